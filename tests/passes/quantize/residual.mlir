// The add's operands get scales in an integer ratio; a subtraction has a negative multiplier.
func.func @main(%x: tensor<1x4xf32> {bw.name = "x"}, %y: tensor<1x4xf32> {bw.name = "y"}) -> (tensor<1x4xf32> {bw.name = "z"}) {
  %half = "bw.constant"() {value = dense<0.3> : tensor<1xf32>} : () -> tensor<1xf32>
  %m = "bw.mul"(%y, %half) : (tensor<1x4xf32>, tensor<1xf32>) -> tensor<1x4xf32> loc("scaled")
  %s = "bw.add"(%x, %m) {lhs_multiplier = 1 : i64, rhs_multiplier = -1 : i64} : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<1x4xf32> loc("sub")
  %r = "bw.relu"(%s) : (tensor<1x4xf32>) -> tensor<1x4xf32>
  return %r : tensor<1x4xf32>
}
