module {
  func.func @main(%arg0: tensor<1x2x3xf32> {bw.name = "x"}) -> (tensor<1x2xf32> {bw.name = "out"}) {
    %0 = "bw.reduce_mean"(%arg0) {axes = array<i64: 2>, keepdims = false} : (tensor<1x2x3xf32>) -> tensor<1x2xf32>
    return %0 : tensor<1x2xf32>
  }
}

