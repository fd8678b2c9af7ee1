module {
  func.func @main(%arg0: tensor<1x2x4x4xf32> {bw.name = "x"}) -> (tensor<1x2x4x3xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<[[[[-5.000000e-01, 1.250000e+00]], [[2.500000e-01, -7.500000e-01]]], [[[1.000000e+00, 0.000000e+00]], [[-1.000000e+00, 7.500000e-01]]]]> : tensor<2x2x1x2xf32>} : () -> tensor<2x2x1x2xf32>
    %1 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %2 = "bw.conv2d"(%arg0, %0, %1) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x4x4xf32>, tensor<2x2x1x2xf32>, tensor<2xf32>) -> tensor<1x2x4x3xf32>
    %3 = "bw.constant"() {value = dense<[[[[-0.408248305]]], [[[0.833333313]]]]> : tensor<2x1x1x1xf32>} : () -> tensor<2x1x1x1xf32>
    %4 = "bw.constant"() {value = dense<[0.397937924, 1.72916663]> : tensor<2xf32>} : () -> tensor<2xf32>
    %5 = "bw.conv2d"(%2, %3, %4) {dilation = array<i64: 1, 1>, groups = 2 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x4x3xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x3xf32>
    %6 = "bw.add"(%5, %2) {lhs_multiplier = 1 : i64, rhs_multiplier = 1 : i64} : (tensor<1x2x4x3xf32>, tensor<1x2x4x3xf32>) -> tensor<1x2x4x3xf32>
    return %6 : tensor<1x2x4x3xf32>
  }
}

