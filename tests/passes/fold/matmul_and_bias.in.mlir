module {
  func.func @main(%arg0: tensor<1x3xf32> {bw.name = "x"}) -> (tensor<1x2xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<[[-5.000000e-01, 1.250000e+00], [2.500000e-01, -7.500000e-01], [1.000000e+00, 0.000000e+00]]> : tensor<3x2xf32>} : () -> tensor<3x2xf32>
    %1 = "bw.matmul"(%arg0, %0) : (tensor<1x3xf32>, tensor<3x2xf32>) -> tensor<1x2xf32>
    %2 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %3 = "bw.add"(%1, %2) {lhs_multiplier = 1 : i64, rhs_multiplier = 1 : i64} : (tensor<1x2xf32>, tensor<2xf32>) -> tensor<1x2xf32>
    return %3 : tensor<1x2xf32>
  }
}

