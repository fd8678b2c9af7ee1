module {
  func.func @main(%arg0: tensor<1x2x3x3xf32> {bw.name = "x"}) -> (tensor<1x8x3x4xf32> {bw.name = "out0"}, tensor<1x2xf32> {bw.name = "out1"}, tensor<1x1x3x2xf32> {bw.name = "out2"}) {
    %0 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]], [[[2.500000e-01]], [[-7.500000e-01]]]]> : tensor<2x2x1x1xf32>} : () -> tensor<2x2x1x1xf32>
    %1 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %2 = "bw.conv2d"(%arg0, %0, %1) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x3x3xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x3x3xf32>
    %3 = "bw.transpose"(%2) {perm = array<i64: 0, 2, 3, 1>} : (tensor<1x2x3x3xf32>) -> tensor<1x3x3x2xf32>
    %4 = "bw.pad"(%3) {high = array<i64: 0, 0, 0, 2>, low = array<i64: 0, 1, 0, 0>, value = 0.000000e+00 : f64} : (tensor<1x3x3x2xf32>) -> tensor<1x4x3x4xf32>
    %5 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]], [[[2.500000e-01]], [[-7.500000e-01]]]]> : tensor<2x2x1x1xf32>} : () -> tensor<2x2x1x1xf32>
    %6 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %7 = "bw.conv2d"(%arg0, %5, %6) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x3x3xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x3x3xf32>
    %8 = "bw.pad"(%7) {high = array<i64: 0, 0, 1, 0>, low = array<i64: 0, 2, 0, 0>, value = 0.000000e+00 : f64} : (tensor<1x2x3x3xf32>) -> tensor<1x4x4x3xf32>
    %9 = "bw.transpose"(%8) {perm = array<i64: 0, 2, 3, 1>} : (tensor<1x4x4x3xf32>) -> tensor<1x4x3x4xf32>
    %10 = "bw.concat"(%4, %9) {axis = 1 : i64} : (tensor<1x4x3x4xf32>, tensor<1x4x3x4xf32>) -> tensor<1x8x3x4xf32>
    %11 = "bw.softmax"(%10) {axis = 3 : i64} : (tensor<1x8x3x4xf32>) -> tensor<1x8x3x4xf32>
    %12 = "bw.reduce_mean"(%3) {axes = array<i64: 1, 2>, keepdims = false} : (tensor<1x3x3x2xf32>) -> tensor<1x2xf32>
    %13 = "bw.reduce_mean"(%3) {axes = array<i64: 1>, keepdims = true} : (tensor<1x3x3x2xf32>) -> tensor<1x1x3x2xf32>
    return %11, %12, %13 : tensor<1x8x3x4xf32>, tensor<1x2xf32>, tensor<1x1x3x2xf32>
  }
}

