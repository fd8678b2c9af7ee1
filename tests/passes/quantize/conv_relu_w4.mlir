// Per-channel 4-bit weights; the relu becomes the clamp, the range is chosen behind it.
func.func @main(%x: tensor<1x1x3x3xf32> {bw.name = "x"}) -> (tensor<1x2x2x2xf32> {bw.name = "y"}) {
  %w = "bw.constant"() {value = dense<[[[[0.5, -0.25], [0.125, 0.0]]], [[[2.0, 1.0], [-1.0, -2.0]]]]> : tensor<2x1x2x2xf32>} : () -> tensor<2x1x2x2xf32>
  %b = "bw.constant"() {value = dense<[0.5, -0.25]> : tensor<2xf32>} : () -> tensor<2xf32>
  %c = "bw.conv2d"(%x, %w, %b) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64} : (tensor<1x1x3x3xf32>, tensor<2x1x2x2xf32>, tensor<2xf32>) -> tensor<1x2x2x2xf32> loc("conv1")
  %r = "bw.relu"(%c) : (tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32> loc("relu1")
  return %r : tensor<1x2x2x2xf32>
}
