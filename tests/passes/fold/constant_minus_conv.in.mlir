module {
  func.func @main(%arg0: tensor<1x2x2x2xf32> {bw.name = "x"}) -> (tensor<1x2x2x2xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<[[[-5.000000e-01]], [[1.250000e+00]]]> : tensor<2x1x1xf32>} : () -> tensor<2x1x1xf32>
    %1 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]], [[[2.500000e-01]], [[-7.500000e-01]]]]> : tensor<2x2x1x1xf32>} : () -> tensor<2x2x1x1xf32>
    %2 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %3 = "bw.conv2d"(%arg0, %1, %2) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x2x2xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x2x2xf32>
    %4 = "bw.add"(%0, %3) {lhs_multiplier = 1 : i64, rhs_multiplier = -1 : i64} : (tensor<2x1x1xf32>, tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32>
    return %4 : tensor<1x2x2x2xf32>
  }
}

