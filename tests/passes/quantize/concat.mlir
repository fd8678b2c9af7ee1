// A private operand takes the common type; the shared input is brought to it by a table.
func.func @main(%x: tensor<1x2x2x2xf32> {bw.name = "x"}) -> (tensor<1x4x2x2xf32> {bw.name = "y"}) {
  %two = "bw.constant"() {value = dense<2.0> : tensor<1xf32>} : () -> tensor<1xf32>
  %m = "bw.mul"(%x, %two) : (tensor<1x2x2x2xf32>, tensor<1xf32>) -> tensor<1x2x2x2xf32> loc("double")
  %c = "bw.concat"(%m, %x) {axis = 1 : i64} : (tensor<1x2x2x2xf32>, tensor<1x2x2x2xf32>) -> tensor<1x4x2x2xf32> loc("join")
  return %c : tensor<1x4x2x2xf32>
}
