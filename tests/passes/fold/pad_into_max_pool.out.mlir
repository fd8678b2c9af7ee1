module {
  func.func @main(%arg0: tensor<1x1x3x3xf32> {bw.name = "x"}) -> (tensor<1x1x2x2xf32> {bw.name = "out0"}, tensor<1x1x2x2xf32> {bw.name = "out1"}) {
    %0 = "bw.relu"(%arg0) : (tensor<1x1x3x3xf32>) -> tensor<1x1x3x3xf32>
    %1 = "bw.max_pool2d"(%0) {dilation = array<i64: 1, 1>, kernel = array<i64: 2, 2>, padding = array<i64: 1, 0, 0, 1>, stride = array<i64: 2, 2>} : (tensor<1x1x3x3xf32>) -> tensor<1x1x2x2xf32>
    %2 = "bw.pad"(%arg0) {high = array<i64: 0, 0, 0, 1>, low = array<i64: 0, 0, 1, 0>, value = 0.000000e+00 : f64} : (tensor<1x1x3x3xf32>) -> tensor<1x1x4x4xf32>
    %3 = "bw.max_pool2d"(%2) {dilation = array<i64: 1, 1>, kernel = array<i64: 2, 2>, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 2, 2>} : (tensor<1x1x4x4xf32>) -> tensor<1x1x2x2xf32>
    return %1, %3 : tensor<1x1x2x2xf32>, tensor<1x1x2x2xf32>
  }
}

