module {
  func.func @main(%arg0: tensor<1x2x2x2xf32> {bw.name = "x"}) -> (tensor<1x2x2x2xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<1.000000e+00> : tensor<1xf32>} : () -> tensor<1xf32>
    %1 = "bw.mul"(%arg0, %0) : (tensor<1x2x2x2xf32>, tensor<1xf32>) -> tensor<1x2x2x2xf32>
    %2 = "bw.constant"() {value = dense<0.000000e+00> : tensor<2x1x1xf32>} : () -> tensor<2x1x1xf32>
    %3 = "bw.add"(%1, %2) {lhs_multiplier = 1 : i64, rhs_multiplier = 1 : i64} : (tensor<1x2x2x2xf32>, tensor<2x1x1xf32>) -> tensor<1x2x2x2xf32>
    %4 = "bw.relu"(%3) : (tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32>
    return %4 : tensor<1x2x2x2xf32>
  }
}

