module {
  func.func @main(%arg0: tensor<1x2x2x2xf32> {bw.name = "x"}) -> (tensor<1x2x2x2xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<[[-5.000000e-01, 1.250000e+00], [2.500000e-01, -7.500000e-01]]> : tensor<2x2xf32>} : () -> tensor<2x2xf32>
    %1 = "bw.add"(%arg0, %0) {lhs_multiplier = 1 : i64, rhs_multiplier = 1 : i64} : (tensor<1x2x2x2xf32>, tensor<2x2xf32>) -> tensor<1x2x2x2xf32>
    return %1 : tensor<1x2x2x2xf32>
  }
}

