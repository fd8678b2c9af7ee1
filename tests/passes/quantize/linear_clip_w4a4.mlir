// 4-bit weights and activations, also at the boundary; both bounds of the clip become the clamp.
func.func @main(%x: tensor<1x2xf32> {bw.name = "x"}) -> (tensor<1x2xf32> {bw.name = "y"}) {
  %w = "bw.constant"() {value = dense<[[1.0, -1.0], [0.5, 0.5]]> : tensor<2x2xf32>} : () -> tensor<2x2xf32>
  %b = "bw.constant"() {value = dense<[0.0, 1.0]> : tensor<2xf32>} : () -> tensor<2xf32>
  %l = "bw.linear"(%x, %w, %b) : (tensor<1x2xf32>, tensor<2x2xf32>, tensor<2xf32>) -> tensor<1x2xf32> loc("dense")
  %r = "bw.clip"(%l) {minimum = 0.0 : f64, maximum = 1.5 : f64} : (tensor<1x2xf32>) -> tensor<1x2xf32>
  return %r : tensor<1x2xf32>
}
