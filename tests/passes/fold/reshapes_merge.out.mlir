module {
  func.func @main(%arg0: tensor<1x4x2xf32> {bw.name = "x"}) -> (tensor<1x8xf32> {bw.name = "out"}) {
    %0 = "bw.reshape"(%arg0) : (tensor<1x4x2xf32>) -> tensor<1x8xf32>
    return %0 : tensor<1x8xf32>
  }
}

