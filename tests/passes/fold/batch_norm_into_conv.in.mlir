module {
  func.func @main(%arg0: tensor<1x2x4x4xf32> {bw.name = "x"}) -> (tensor<1x2x4x3xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<[[[[-5.000000e-01, 1.250000e+00]], [[2.500000e-01, -7.500000e-01]]], [[[1.000000e+00, 0.000000e+00]], [[-1.000000e+00, 7.500000e-01]]]]> : tensor<2x2x1x2xf32>} : () -> tensor<2x2x1x2xf32>
    %1 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %2 = "bw.conv2d"(%arg0, %0, %1) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x4x4xf32>, tensor<2x2x1x2xf32>, tensor<2xf32>) -> tensor<1x2x4x3xf32>
    %3 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %4 = "bw.constant"() {value = dense<[5.000000e-01, 2.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %5 = "bw.constant"() {value = dense<[-2.500000e-01, 6.250000e-01]> : tensor<2xf32>} : () -> tensor<2xf32>
    %6 = "bw.constant"() {value = dense<[1.500000e+00, 2.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %7 = "bw.batch_norm"(%2, %3, %4, %5, %6) {epsilon = 0.000000e+00 : f64} : (tensor<1x2x4x3xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<1x2x4x3xf32>
    %8 = "bw.relu"(%7) : (tensor<1x2x4x3xf32>) -> tensor<1x2x4x3xf32>
    return %8 : tensor<1x2x4x3xf32>
  }
}

