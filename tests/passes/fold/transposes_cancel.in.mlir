module {
  func.func @main(%arg0: tensor<1x2x3x3xf32> {bw.name = "x"}) -> (tensor<1x1x3x3xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]], [[[2.500000e-01]], [[-7.500000e-01]]]]> : tensor<2x2x1x1xf32>} : () -> tensor<2x2x1x1xf32>
    %1 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %2 = "bw.conv2d"(%arg0, %0, %1) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x3x3xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x3x3xf32>
    %3 = "bw.transpose"(%2) {perm = array<i64: 0, 2, 3, 1>} : (tensor<1x2x3x3xf32>) -> tensor<1x3x3x2xf32>
    %4 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %5 = "bw.add"(%3, %4) {lhs_multiplier = 1 : i64, rhs_multiplier = 1 : i64} : (tensor<1x3x3x2xf32>, tensor<2xf32>) -> tensor<1x3x3x2xf32>
    %6 = "bw.relu"(%5) : (tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xf32>
    %7 = "bw.transpose"(%6) {perm = array<i64: 0, 3, 1, 2>} : (tensor<1x3x3x2xf32>) -> tensor<1x2x3x3xf32>
    %8 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]], [[[2.500000e-01]], [[-7.500000e-01]]]]> : tensor<2x2x1x1xf32>} : () -> tensor<2x2x1x1xf32>
    %9 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %10 = "bw.conv2d"(%7, %8, %9) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x3x3xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x3x3xf32>
    %11 = "bw.transpose"(%10) {perm = array<i64: 0, 2, 3, 1>} : (tensor<1x2x3x3xf32>) -> tensor<1x3x3x2xf32>
    %12 = "bw.add"(%6, %11) {lhs_multiplier = 1 : i64, rhs_multiplier = 1 : i64} : (tensor<1x3x3x2xf32>, tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xf32>
    %13 = "bw.relu"(%12) : (tensor<1x3x3x2xf32>) -> tensor<1x3x3x2xf32>
    %14 = "bw.transpose"(%13) {perm = array<i64: 0, 3, 1, 2>} : (tensor<1x3x3x2xf32>) -> tensor<1x2x3x3xf32>
    %15 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]]]> : tensor<1x2x1x1xf32>} : () -> tensor<1x2x1x1xf32>
    %16 = "bw.constant"() {value = dense<-5.000000e-01> : tensor<1xf32>} : () -> tensor<1xf32>
    %17 = "bw.conv2d"(%14, %15, %16) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x3x3xf32>, tensor<1x2x1x1xf32>, tensor<1xf32>) -> tensor<1x1x3x3xf32>
    return %17 : tensor<1x1x3x3xf32>
  }
}

