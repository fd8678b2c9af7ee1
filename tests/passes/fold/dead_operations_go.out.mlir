module {
  func.func @main(%arg0: tensor<1x3xf32> {bw.name = "x"}) -> (tensor<1x3xf32> {bw.name = "out"}) {
    %0 = "bw.relu"(%arg0) : (tensor<1x3xf32>) -> tensor<1x3xf32>
    return %0 : tensor<1x3xf32>
  }
}

