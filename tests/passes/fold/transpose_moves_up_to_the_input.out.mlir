module {
  func.func @main(%arg0: tensor<1x3x3x2xf32> {bw.name = "x"}) -> (tensor<1x2x3x2xf32> {bw.name = "out"}) {
    %0 = "bw.transpose"(%arg0) {perm = array<i64: 0, 3, 1, 2>} : (tensor<1x3x3x2xf32>) -> tensor<1x2x3x3xf32>
    %1 = "bw.constant"() {value = dense<[[[[-2.500000e-01, 6.250000e-01]], [[1.250000e-01, -3.750000e-01]]], [[[5.000000e-01, 0.000000e+00]], [[-5.000000e-01, 3.750000e-01]]]]> : tensor<2x2x1x2xf32>} : () -> tensor<2x2x1x2xf32>
    %2 = "bw.constant"() {value = dense<[-1.500000e+00, 4.375000e-01]> : tensor<2xf32>} : () -> tensor<2xf32>
    %3 = "bw.conv2d"(%0, %1, %2) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x3x3xf32>, tensor<2x2x1x2xf32>, tensor<2xf32>) -> tensor<1x2x3x2xf32>
    return %3 : tensor<1x2x3x2xf32>
  }
}

