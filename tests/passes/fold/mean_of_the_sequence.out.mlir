module {
  func.func @main(%arg0: tensor<1x2x3xf32> {bw.name = "x"}) -> (tensor<1x2xf32> {bw.name = "out"}) {
    %0 = "bw.reshape"(%arg0) : (tensor<1x2x3xf32>) -> tensor<1x2x1x3xf32>
    %1 = "bw.avg_pool2d"(%0) {count_include_pad = false, kernel = array<i64: 1, 3>, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 3>} : (tensor<1x2x1x3xf32>) -> tensor<1x2x1x1xf32>
    %2 = "bw.reshape"(%1) : (tensor<1x2x1x1xf32>) -> tensor<1x2xf32>
    return %2 : tensor<1x2xf32>
  }
}

