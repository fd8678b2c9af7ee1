module {
  func.func @main(%arg0: tensor<1x3xf32> {bw.name = "x"}) -> (tensor<1x3xf32> {bw.name = "out"}) {
    %0 = "bw.relu"(%arg0) : (tensor<1x3xf32>) -> tensor<1x3xf32>
    %1 = "bw.softmax"(%0) {axis = 1 : i64} : (tensor<1x3xf32>) -> tensor<1x3xf32>
    %2 = "bw.relu"(%arg0) : (tensor<1x3xf32>) -> tensor<1x3xf32>
    return %2 : tensor<1x3xf32>
  }
}

