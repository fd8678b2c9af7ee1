module {
  func.func @main(%arg0: tensor<1x2x3x3xf32> {bw.name = "x"}) -> (tensor<1x1x3x3xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]], [[[2.500000e-01]], [[-7.500000e-01]]]]> : tensor<2x2x1x1xf32>} : () -> tensor<2x2x1x1xf32>
    %1 = "bw.constant"() {value = dense<[-1.000000e+00, 2.500000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %2 = "bw.conv2d"(%arg0, %0, %1) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x3x3xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x3x3xf32>
    %3 = "bw.relu"(%2) : (tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
    %4 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]], [[[2.500000e-01]], [[-7.500000e-01]]]]> : tensor<2x2x1x1xf32>} : () -> tensor<2x2x1x1xf32>
    %5 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %6 = "bw.conv2d"(%3, %4, %5) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x3x3xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x3x3xf32>
    %7 = "bw.add"(%3, %6) {lhs_multiplier = 1 : i64, rhs_multiplier = 1 : i64} : (tensor<1x2x3x3xf32>, tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
    %8 = "bw.relu"(%7) : (tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
    %9 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]]]> : tensor<1x2x1x1xf32>} : () -> tensor<1x2x1x1xf32>
    %10 = "bw.constant"() {value = dense<-5.000000e-01> : tensor<1xf32>} : () -> tensor<1xf32>
    %11 = "bw.conv2d"(%8, %9, %10) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x3x3xf32>, tensor<1x2x1x1xf32>, tensor<1xf32>) -> tensor<1x1x3x3xf32>
    return %11 : tensor<1x1x3x3xf32>
  }
}

