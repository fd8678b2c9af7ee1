module {
  func.func @main(%arg0: tensor<1x1x3x3xf32> {bw.name = "x"}) -> (tensor<1x1x4x5xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<[[[[-5.000000e-01, 1.250000e+00], [2.500000e-01, -7.500000e-01]]]]> : tensor<1x1x2x2xf32>} : () -> tensor<1x1x2x2xf32>
    %1 = "bw.constant"() {value = dense<-5.000000e-01> : tensor<1xf32>} : () -> tensor<1xf32>
    %2 = "bw.conv2d"(%arg0, %0, %1) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1, 1, 2>, stride = array<i64: 1, 1>} : (tensor<1x1x3x3xf32>, tensor<1x1x2x2xf32>, tensor<1xf32>) -> tensor<1x1x4x5xf32>
    return %2 : tensor<1x1x4x5xf32>
  }
}

