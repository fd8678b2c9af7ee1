module {
  func.func @main(%arg0: tensor<1x2x3x3xf32> {bw.name = "x"}) -> (tensor<1x2x1x1xf32> {bw.name = "out0"}, tensor<1x2xf32> {bw.name = "out1"}, tensor<1x3x3xf32> {bw.name = "out2"}) {
    %0 = "bw.reduce_mean"(%arg0) {axes = array<i64: 2, 3>, keepdims = true} : (tensor<1x2x3x3xf32>) -> tensor<1x2x1x1xf32>
    %1 = "bw.reduce_mean"(%arg0) {axes = array<i64: 2, 3>, keepdims = false} : (tensor<1x2x3x3xf32>) -> tensor<1x2xf32>
    %2 = "bw.reduce_mean"(%arg0) {axes = array<i64: 1>, keepdims = false} : (tensor<1x2x3x3xf32>) -> tensor<1x3x3xf32>
    return %0, %1, %2 : tensor<1x2x1x1xf32>, tensor<1x2xf32>, tensor<1x3x3xf32>
  }
}

