module {
  func.func @main(%arg0: tensor<1x3x4x1xf32> {bw.name = "x"}) -> (tensor<1x1x3x4xf32> {bw.name = "out"}) {
    %0 = "bw.reshape"(%arg0) : (tensor<1x3x4x1xf32>) -> tensor<1x1x3x4xf32>
    %1 = "bw.relu"(%0) : (tensor<1x1x3x4xf32>) -> tensor<1x1x3x4xf32>
    return %1 : tensor<1x1x3x4xf32>
  }
}

