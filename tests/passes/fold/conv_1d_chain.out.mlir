module {
  func.func @main(%arg0: tensor<1x2x6xf32> {bw.name = "x"}) -> (tensor<1x1x4xf32> {bw.name = "out"}) {
    %0 = "bw.reshape"(%arg0) : (tensor<1x2x6xf32>) -> tensor<1x2x1x6xf32>
    %1 = "bw.constant"() {value = dense<[[[[0.204124153, -0.510310352]], [[-0.102062076, 0.306186229]]], [[[0.833333313, 0.000000e+00]], [[-0.833333313, 6.250000e-01]]]]> : tensor<2x2x1x2xf32>} : () -> tensor<2x2x1x2xf32>
    %2 = "bw.constant"() {value = dense<[0.602062047, 2.77083325]> : tensor<2xf32>} : () -> tensor<2xf32>
    %3 = "bw.conv2d"(%0, %1, %2) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x1x6xf32>, tensor<2x2x1x2xf32>, tensor<2xf32>) -> tensor<1x2x1x5xf32>
    %4 = "bw.relu"(%3) : (tensor<1x2x1x5xf32>) -> tensor<1x2x1x5xf32>
    %5 = "bw.constant"() {value = dense<[[[[-5.000000e-01, 1.250000e+00]], [[2.500000e-01, -7.500000e-01]]]]> : tensor<1x2x1x2xf32>} : () -> tensor<1x2x1x2xf32>
    %6 = "bw.constant"() {value = dense<-5.000000e-01> : tensor<1xf32>} : () -> tensor<1xf32>
    %7 = "bw.conv2d"(%4, %5, %6) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x1x5xf32>, tensor<1x2x1x2xf32>, tensor<1xf32>) -> tensor<1x1x1x4xf32>
    %8 = "bw.reshape"(%7) : (tensor<1x1x1x4xf32>) -> tensor<1x1x4xf32>
    return %8 : tensor<1x1x4xf32>
  }
}

