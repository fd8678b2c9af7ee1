module {
  func.func @main(%arg0: tensor<1x2x3x3xf32> {bw.name = "x"}) -> (tensor<1x8x3x4xf32> {bw.name = "out0"}, tensor<1x2xf32> {bw.name = "out1"}, tensor<1x1x3x2xf32> {bw.name = "out2"}) {
    %0 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]], [[[2.500000e-01]], [[-7.500000e-01]]]]> : tensor<2x2x1x1xf32>} : () -> tensor<2x2x1x1xf32>
    %1 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %2 = "bw.conv2d"(%arg0, %0, %1) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x3x3xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x3x3xf32>
    %3 = "bw.pad"(%2) {high = array<i64: 0, 2, 0, 0>, low = array<i64: 0, 0, 1, 0>, value = 0.000000e+00 : f64} : (tensor<1x2x3x3xf32>) -> tensor<1x4x4x3xf32>
    %4 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]], [[[2.500000e-01]], [[-7.500000e-01]]]]> : tensor<2x2x1x1xf32>} : () -> tensor<2x2x1x1xf32>
    %5 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %6 = "bw.conv2d"(%arg0, %4, %5) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x3x3xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x3x3xf32>
    %7 = "bw.pad"(%6) {high = array<i64: 0, 0, 1, 0>, low = array<i64: 0, 2, 0, 0>, value = 0.000000e+00 : f64} : (tensor<1x2x3x3xf32>) -> tensor<1x4x4x3xf32>
    %8 = "bw.concat"(%3, %7) {axis = 2 : i64} : (tensor<1x4x4x3xf32>, tensor<1x4x4x3xf32>) -> tensor<1x4x8x3xf32>
    %9 = "bw.softmax"(%8) {axis = 1 : i64} : (tensor<1x4x8x3xf32>) -> tensor<1x4x8x3xf32>
    %10 = "bw.transpose"(%9) {perm = array<i64: 0, 2, 3, 1>} : (tensor<1x4x8x3xf32>) -> tensor<1x8x3x4xf32>
    %11 = "bw.avg_pool2d"(%2) {count_include_pad = false, kernel = array<i64: 3, 3>, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 3, 3>} : (tensor<1x2x3x3xf32>) -> tensor<1x2x1x1xf32>
    %12 = "bw.reshape"(%11) : (tensor<1x2x1x1xf32>) -> tensor<1x2xf32>
    %13 = "bw.reduce_mean"(%2) {axes = array<i64: 2>, keepdims = true} : (tensor<1x2x3x3xf32>) -> tensor<1x2x1x3xf32>
    %14 = "bw.transpose"(%13) {perm = array<i64: 0, 2, 3, 1>} : (tensor<1x2x1x3xf32>) -> tensor<1x1x3x2xf32>
    return %10, %12, %14 : tensor<1x8x3x4xf32>, tensor<1x2xf32>, tensor<1x1x3x2xf32>
  }
}

