module {
  func.func @main(%arg0: tensor<1x2x4x4xf32> {bw.name = "x"}) -> (tensor<1x2x4x3xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<[[[[0.204124153, -0.510310352]], [[-0.102062076, 0.306186229]]], [[[0.833333313, 0.000000e+00]], [[-0.833333313, 6.250000e-01]]]]> : tensor<2x2x1x2xf32>} : () -> tensor<2x2x1x2xf32>
    %1 = "bw.constant"() {value = dense<[0.602062047, 2.77083325]> : tensor<2xf32>} : () -> tensor<2xf32>
    %2 = "bw.conv2d"(%arg0, %0, %1) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x4x4xf32>, tensor<2x2x1x2xf32>, tensor<2xf32>) -> tensor<1x2x4x3xf32>
    %3 = "bw.relu"(%2) : (tensor<1x2x4x3xf32>) -> tensor<1x2x4x3xf32>
    return %3 : tensor<1x2x4x3xf32>
  }
}

