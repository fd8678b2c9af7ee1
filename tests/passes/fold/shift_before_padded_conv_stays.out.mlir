module {
  func.func @main(%arg0: tensor<1x2x4x4xf32> {bw.name = "x"}) -> (tensor<1x2x4x4xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<1.000000e+00> : tensor<2x1x1x1xf32>} : () -> tensor<2x1x1x1xf32>
    %1 = "bw.constant"() {value = dense<5.000000e-01> : tensor<2xf32>} : () -> tensor<2xf32>
    %2 = "bw.conv2d"(%arg0, %0, %1) {dilation = array<i64: 1, 1>, groups = 2 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x4x4xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
    %3 = "bw.constant"() {value = dense<[[[[-5.000000e-01, 1.250000e+00], [2.500000e-01, -7.500000e-01]], [[1.000000e+00, 0.000000e+00], [-1.000000e+00, 7.500000e-01]]], [[[-2.500000e-01, -1.250000e+00], [5.000000e-01, -5.000000e-01]], [[1.250000e+00, 2.500000e-01], [-7.500000e-01, 1.000000e+00]]]]> : tensor<2x2x2x2xf32>} : () -> tensor<2x2x2x2xf32>
    %4 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %5 = "bw.conv2d"(%2, %3, %4) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 0, 0, 1>, stride = array<i64: 1, 1>} : (tensor<1x2x4x4xf32>, tensor<2x2x2x2xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
    return %5 : tensor<1x2x4x4xf32>
  }
}

