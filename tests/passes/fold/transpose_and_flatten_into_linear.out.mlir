module {
  func.func @main(%arg0: tensor<1x2x2x2xf32> {bw.name = "x"}) -> (tensor<1x2xf32> {bw.name = "out"}) {
    %0 = "bw.max_pool2d"(%arg0) {dilation = array<i64: 1, 1>, kernel = array<i64: 1, 2>, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x2x2xf32>) -> tensor<1x2x2x1xf32>
    %1 = "bw.reshape"(%0) : (tensor<1x2x2x1xf32>) -> tensor<1x4xf32>
    %2 = "bw.constant"() {value = dense<[[-5.000000e-01, 2.500000e-01, 1.250000e+00, -7.500000e-01], [1.000000e+00, -1.000000e+00, 0.000000e+00, 7.500000e-01]]> : tensor<2x4xf32>} : () -> tensor<2x4xf32>
    %3 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %4 = "bw.linear"(%1, %2, %3) : (tensor<1x4xf32>, tensor<2x4xf32>, tensor<2xf32>) -> tensor<1x2xf32>
    return %4 : tensor<1x2xf32>
  }
}

