module {
  func.func @main(%arg0: tensor<1x3xf32> {bw.name = "x"}) -> (tensor<1x2xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<[[0.000000e+00, 2.500000e+00, 5.000000e-01], [0.000000e+00, 2.000000e+00, 0.000000e+00]]> : tensor<2x3xf32>} : () -> tensor<2x3xf32>
    %1 = "bw.constant"() {value = dense<0.000000e+00> : tensor<2xf32>} : () -> tensor<2xf32>
    %2 = "bw.linear"(%arg0, %0, %1) : (tensor<1x3xf32>, tensor<2x3xf32>, tensor<2xf32>) -> tensor<1x2xf32>
    return %2 : tensor<1x2xf32>
  }
}

