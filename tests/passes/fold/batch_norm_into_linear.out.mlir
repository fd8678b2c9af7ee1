module {
  func.func @main(%arg0: tensor<1x2xf32> {bw.name = "x"}) -> (tensor<1x2xf32> {bw.name = "out"}) {
    %0 = "bw.constant"() {value = dense<[[0.204124153, -0.510310352], [0.208333328, -6.250000e-01]]> : tensor<2x2xf32>} : () -> tensor<2x2xf32>
    %1 = "bw.constant"() {value = dense<[0.602062047, 2.77083325]> : tensor<2xf32>} : () -> tensor<2xf32>
    %2 = "bw.linear"(%arg0, %0, %1) : (tensor<1x2xf32>, tensor<2x2xf32>, tensor<2xf32>) -> tensor<1x2xf32>
    return %2 : tensor<1x2xf32>
  }
}

