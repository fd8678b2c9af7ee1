module {
  func.func @main(%arg0: tensor<1x1x3x3xf32> {bw.name = "x"}) -> (tensor<1x1x4x5xf32> {bw.name = "out"}) {
    %0 = "bw.pad"(%arg0) {high = array<i64: 0, 0, 0, 0>, low = array<i64: 0, 0, 1, 0>, value = 0.000000e+00 : f64} : (tensor<1x1x3x3xf32>) -> tensor<1x1x4x3xf32>
    %1 = "bw.pad"(%0) {high = array<i64: 0, 0, 0, 2>, low = array<i64: 0, 0, 0, 1>, value = 0.000000e+00 : f64} : (tensor<1x1x4x3xf32>) -> tensor<1x1x4x6xf32>
    %2 = "bw.constant"() {value = dense<[[[[-5.000000e-01, 1.250000e+00], [2.500000e-01, -7.500000e-01]]]]> : tensor<1x1x2x2xf32>} : () -> tensor<1x1x2x2xf32>
    %3 = "bw.constant"() {value = dense<-5.000000e-01> : tensor<1xf32>} : () -> tensor<1xf32>
    %4 = "bw.conv2d"(%1, %2, %3) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 1, 0>, stride = array<i64: 1, 1>} : (tensor<1x1x4x6xf32>, tensor<1x1x2x2xf32>, tensor<1xf32>) -> tensor<1x1x4x5xf32>
    return %4 : tensor<1x1x4x5xf32>
  }
}

