module {
  func.func @main(%arg0: tensor<1x2x3x3xf32> {bw.name = "x"}) -> (tensor<1x2x1x1xf32> {bw.name = "out0"}, tensor<1x2xf32> {bw.name = "out1"}, tensor<1x3x3xf32> {bw.name = "out2"}) {
    %0 = "bw.avg_pool2d"(%arg0) {count_include_pad = false, kernel = array<i64: 3, 3>, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 3, 3>} : (tensor<1x2x3x3xf32>) -> tensor<1x2x1x1xf32>
    %1 = "bw.avg_pool2d"(%arg0) {count_include_pad = false, kernel = array<i64: 3, 3>, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 3, 3>} : (tensor<1x2x3x3xf32>) -> tensor<1x2x1x1xf32>
    %2 = "bw.reshape"(%1) : (tensor<1x2x1x1xf32>) -> tensor<1x2xf32>
    %3 = "bw.reduce_mean"(%arg0) {axes = array<i64: 1>, keepdims = false} : (tensor<1x2x3x3xf32>) -> tensor<1x3x3xf32>
    return %0, %2, %3 : tensor<1x2x1x1xf32>, tensor<1x2xf32>, tensor<1x3x3xf32>
  }
}

