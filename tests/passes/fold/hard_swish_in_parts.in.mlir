module {
  func.func @main(%arg0: tensor<1x2x2x2xf32> {bw.name = "x"}) -> (tensor<1x2x2x2xf32> {bw.name = "out0"}, tensor<1x2x2x2xf32> {bw.name = "out1"}) {
    %0 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]], [[[2.500000e-01]], [[-7.500000e-01]]]]> : tensor<2x2x1x1xf32>} : () -> tensor<2x2x1x1xf32>
    %1 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %2 = "bw.conv2d"(%arg0, %0, %1) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x2x2xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x2x2xf32>
    %3 = "bw.constant"() {value = dense<3.000000e+00> : tensor<1xf32>} : () -> tensor<1xf32>
    %4 = "bw.add"(%2, %3) {lhs_multiplier = 1 : i64, rhs_multiplier = 1 : i64} : (tensor<1x2x2x2xf32>, tensor<1xf32>) -> tensor<1x2x2x2xf32>
    %5 = "bw.clip"(%4) {maximum = 6.000000e+00 : f64, minimum = 0.000000e+00 : f64} : (tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32>
    %6 = "bw.constant"() {value = dense<0.166666672> : tensor<1xf32>} : () -> tensor<1xf32>
    %7 = "bw.constant"() {value = dense<[[[[-5.000000e-01]], [[1.250000e+00]]], [[[2.500000e-01]], [[-7.500000e-01]]]]> : tensor<2x2x1x1xf32>} : () -> tensor<2x2x1x1xf32>
    %8 = "bw.constant"() {value = dense<[-5.000000e-01, 1.250000e+00]> : tensor<2xf32>} : () -> tensor<2xf32>
    %9 = "bw.conv2d"(%arg0, %7, %8) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x2x2xf32>, tensor<2x2x1x1xf32>, tensor<2xf32>) -> tensor<1x2x2x2xf32>
    %10 = "bw.mul"(%2, %5) : (tensor<1x2x2x2xf32>, tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32>
    %11 = "bw.mul"(%10, %6) : (tensor<1x2x2x2xf32>, tensor<1xf32>) -> tensor<1x2x2x2xf32>
    %12 = "bw.hard_sigmoid"(%9) {alpha = 0.16666666666666666 : f64, beta = 5.000000e-01 : f64} : (tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32>
    %13 = "bw.mul"(%12, %9) : (tensor<1x2x2x2xf32>, tensor<1x2x2x2xf32>) -> tensor<1x2x2x2xf32>
    return %11, %13 : tensor<1x2x2x2xf32>, tensor<1x2x2x2xf32>
  }
}

