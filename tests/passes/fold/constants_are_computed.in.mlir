module {
  func.func @main(%arg0: tensor<1x3xf32> {bw.name = "x"}) -> (tensor<1x2xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<[[-5.000000e-01, 1.250000e+00, 2.500000e-01], [-7.500000e-01, 1.000000e+00, 0.000000e+00]]> : tensor<2x3xf32>} : () -> tensor<2x3xf32>
    %1 = "bw.constant"() {value = dense<2.000000e+00> : tensor<1xf32>} : () -> tensor<1xf32>
    %2 = "bw.mul"(%0, %1) : (tensor<2x3xf32>, tensor<1xf32>) -> tensor<2x3xf32>
    %3 = "bw.transpose"(%2) {perm = array<i64: 1, 0>} : (tensor<2x3xf32>) -> tensor<3x2xf32>
    %4 = "bw.relu"(%3) : (tensor<3x2xf32>) -> tensor<3x2xf32>
    %5 = "bw.matmul"(%arg0, %4) : (tensor<1x3xf32>, tensor<3x2xf32>) -> tensor<1x2xf32>
    return %5 : tensor<1x2xf32>
  }
}

