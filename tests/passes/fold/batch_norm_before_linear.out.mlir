module {
  func.func @main(%arg0: tensor<1x2x2x1xf32> {bw.name = "x"}) -> (tensor<1x3xf32> {bw.name = "out"}) {
    %0 = "bw.relu"(%arg0) : (tensor<1x2x2x1xf32>) -> tensor<1x2x2x1xf32>
    %1 = "bw.reshape"(%0) : (tensor<1x2x2x1xf32>) -> tensor<1x4xf32>
    %2 = "bw.constant"() {value = dense<[[0.204124153, -0.510310411, 0.208333328, -6.250000e-01], [-0.408248305, -0.000000e+00, -0.833333313, 6.250000e-01], [0.102062076, 0.510310411, 0.416666657, -0.416666657]]> : tensor<3x4xf32>} : () -> tensor<3x4xf32>
    %3 = "bw.constant"() {value = dense<[-1.06612992, 1.21564627, -0.3469069]> : tensor<3xf32>} : () -> tensor<3xf32>
    %4 = "bw.linear"(%1, %2, %3) : (tensor<1x4xf32>, tensor<3x4xf32>, tensor<3xf32>) -> tensor<1x3xf32>
    return %4 : tensor<1x3xf32>
  }
}

