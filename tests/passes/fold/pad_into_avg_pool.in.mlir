module {
  func.func @main(%arg0: tensor<1x1x3x3xf32> {bw.name = "x"}) -> (tensor<1x1x2x2xf32> {bw.name = "out"}) {
    %0 = "bw.pad"(%arg0) {high = array<i64: 0, 0, 0, 1>, low = array<i64: 0, 0, 1, 0>, value = 0.000000e+00 : f64} : (tensor<1x1x3x3xf32>) -> tensor<1x1x4x4xf32>
    %1 = "bw.avg_pool2d"(%0) {count_include_pad = false, kernel = array<i64: 2, 2>, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 2, 2>} : (tensor<1x1x4x4xf32>) -> tensor<1x1x2x2xf32>
    return %1 : tensor<1x1x2x2xf32>
  }
}

