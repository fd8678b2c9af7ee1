module {
  func.func @main(%arg0: tensor<1x1x3x3xf32> {bw.name = "x"}) -> (tensor<1x1x2x2xf32> {bw.name = "out"}) {
    %0 = "bw.avg_pool2d"(%arg0) {count_include_pad = true, kernel = array<i64: 2, 2>, padding = array<i64: 1, 0, 0, 1>, stride = array<i64: 2, 2>} : (tensor<1x1x3x3xf32>) -> tensor<1x1x2x2xf32>
    return %0 : tensor<1x1x2x2xf32>
  }
}

