// A function becomes a table, a softmax the integer softmax with its own fixed type.
func.func @main(%x: tensor<1x3xf32> {bw.name = "x"}) -> (tensor<1x3xf32> {bw.name = "y"}) {
  %t = "bw.hard_swish"(%x) : (tensor<1x3xf32>) -> tensor<1x3xf32> loc("swish")
  %s = "bw.softmax"(%t) {axis = 1 : i64} : (tensor<1x3xf32>) -> tensor<1x3xf32> loc("probabilities")
  return %s : tensor<1x3xf32>
}
