module {
  func.func @main(%arg0: tensor<1x2x2x1xf32> {bw.name = "x"}) -> (tensor<1x3xf32> {bw.name = "out"}) {
    %0 = "bw.relu"(%arg0) : (tensor<1x2x2x1xf32>) -> tensor<1x2x2x1xf32>
    %1 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %2 = "bw.constant"() {value = dense<[5.000000e-01, 2.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %3 = "bw.constant"() {value = dense<[-2.500000e-01, 6.250000e-01]> : tensor<2xf32>} : () -> tensor<2xf32>
    %4 = "bw.constant"() {value = dense<[1.500000e+00, 2.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %5 = "bw.batch_norm"(%0, %1, %2, %3, %4) {epsilon = 0.000000e+00 : f64} : (tensor<1x2x2x1xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<1x2x2x1xf32>
    %6 = "bw.reshape"(%5) : (tensor<1x2x2x1xf32>) -> tensor<1x4xf32>
    %7 = "bw.constant"() {value = dense<[[-5.000000e-01, 1.250000e+00, 2.500000e-01, -7.500000e-01], [1.000000e+00, 0.000000e+00, -1.000000e+00, 7.500000e-01], [-2.500000e-01, -1.250000e+00, 5.000000e-01, -5.000000e-01]]> : tensor<3x4xf32>} : () -> tensor<3x4xf32>
    %8 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00, 2.500000e-01]> : tensor<3xf32>} : () -> tensor<3xf32>
    %9 = "bw.linear"(%6, %7, %8) : (tensor<1x4xf32>, tensor<3x4xf32>, tensor<3xf32>) -> tensor<1x3xf32>
    return %9 : tensor<1x3xf32>
  }
}

