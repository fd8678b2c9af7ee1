module {
  func.func @main(%arg0: tensor<1x4x2xf32> {bw.name = "x"}) -> (tensor<1x8xf32> {bw.name = "out"}) {
    %0 = "bw.reshape"(%arg0) : (tensor<1x4x2xf32>) -> tensor<1x4x2xf32>
    %1 = "bw.reshape"(%0) : (tensor<1x4x2xf32>) -> tensor<1x2x4xf32>
    %2 = "bw.reshape"(%1) : (tensor<1x2x4xf32>) -> tensor<1x8xf32>
    return %2 : tensor<1x8xf32>
  }
}

