module {
  func.func @main(%arg0: tensor<1x2x6xf32> {bw.name = "x"}) -> (tensor<1x1x4xf32> {bw.name = "out"}) {
    %0 = "bw.reshape"(%arg0) : (tensor<1x2x6xf32>) -> tensor<1x2x1x6xf32>
    %1 = "bw.constant"() {value = dense<[[[[-5.000000e-01, 1.250000e+00]], [[2.500000e-01, -7.500000e-01]]], [[[1.000000e+00, 0.000000e+00]], [[-1.000000e+00, 7.500000e-01]]]]> : tensor<2x2x1x2xf32>} : () -> tensor<2x2x1x2xf32>
    %2 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %3 = "bw.conv2d"(%0, %1, %2) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x1x6xf32>, tensor<2x2x1x2xf32>, tensor<2xf32>) -> tensor<1x2x1x5xf32>
    %4 = "bw.reshape"(%3) : (tensor<1x2x1x5xf32>) -> tensor<1x2x5xf32>
    %5 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %6 = "bw.constant"() {value = dense<[5.000000e-01, 2.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %7 = "bw.constant"() {value = dense<[-2.500000e-01, 6.250000e-01]> : tensor<2xf32>} : () -> tensor<2xf32>
    %8 = "bw.constant"() {value = dense<[1.500000e+00, 2.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %9 = "bw.batch_norm"(%4, %5, %6, %7, %8) {epsilon = 0.000000e+00 : f64} : (tensor<1x2x5xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<1x2x5xf32>
    %10 = "bw.relu"(%9) : (tensor<1x2x5xf32>) -> tensor<1x2x5xf32>
    %11 = "bw.reshape"(%10) : (tensor<1x2x5xf32>) -> tensor<1x2x1x5xf32>
    %12 = "bw.constant"() {value = dense<[[[[-5.000000e-01, 1.250000e+00]], [[2.500000e-01, -7.500000e-01]]]]> : tensor<1x2x1x2xf32>} : () -> tensor<1x2x1x2xf32>
    %13 = "bw.constant"() {value = dense<-5.000000e-01> : tensor<1xf32>} : () -> tensor<1xf32>
    %14 = "bw.conv2d"(%11, %12, %13) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x1x5xf32>, tensor<1x2x1x2xf32>, tensor<1xf32>) -> tensor<1x1x1x4xf32>
    %15 = "bw.reshape"(%14) : (tensor<1x1x1x4xf32>) -> tensor<1x1x4xf32>
    return %15 : tensor<1x1x4xf32>
  }
}

