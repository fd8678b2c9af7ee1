module {
  func.func @main(%arg0: tensor<1x3x3x2xf32> {bw.name = "x"}) -> (tensor<1x2x3x3xf32> {bw.name = "out"}) {
    %0 = "bw.transpose"(%arg0) {perm = array<i64: 0, 3, 1, 2>} : (tensor<1x3x3x2xf32>) -> tensor<1x2x3x3xf32>
    %1 = "bw.relu"(%0) : (tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
    %2 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]], [[[2.500000e-01]], [[-7.500000e-01]]]]> : tensor<2x2x1x1xf32>} : () -> tensor<2x2x1x1xf32>
    %3 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %4 = "bw.conv2d"(%1, %2, %3) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x3x3xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x3x3xf32>
    return %4 : tensor<1x2x3x3xf32>
  }
}

