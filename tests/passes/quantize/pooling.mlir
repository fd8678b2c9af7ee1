// Means become sums; maximum, padding and shape operations keep the type; the relu moves up to the
// requantize of the average through the maximum.
func.func @main(%x: tensor<1x2x4x4xf32> {bw.name = "x"}) -> (tensor<1x2xf32> {bw.name = "y"}) {
  %a = "bw.avg_pool2d"(%x) {kernel = array<i64: 2, 2>, stride = array<i64: 1, 1>, padding = array<i64: 1, 1, 0, 0>, count_include_pad = true} : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32> loc("mean")
  %m = "bw.max_pool2d"(%a) {kernel = array<i64: 2, 2>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0, 0, 0>, dilation = array<i64: 1, 1>} : (tensor<1x2x4x4xf32>) -> tensor<1x2x2x2xf32> loc("max")
  %r = "bw.relu"(%m) : (tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32> loc("relu")
  %p = "bw.pad"(%r) {low = array<i64: 0, 0, 1, 0>, high = array<i64: 0, 0, 0, 0>, value = 0.25 : f64} : (tensor<1x2x2x2xf32>) -> tensor<1x2x3x2xf32> loc("pad")
  %s = "bw.reduce_mean"(%p) {axes = array<i64: 2, 3>, keepdims = false} : (tensor<1x2x3x2xf32>) -> tensor<1x2xf32> loc("global")
  return %s : tensor<1x2xf32>
}
