module {
  func.func @main(%arg0: tensor<1x3xf32> {bw.name = "x"}) -> (tensor<1x3xf32> {bw.name = "out0"}, tensor<1x3xf32> {bw.name = "out1"}, tensor<1x3xf32> {bw.name = "out2"}, tensor<1x3xf32> {bw.name = "out3"}) {
    %0 = "bw.relu"(%arg0) : (tensor<1x3xf32>) -> tensor<1x3xf32>
    %1 = "bw.clip"(%arg0) {maximum = 6.000000e+00 : f64, minimum = 0.000000e+00 : f64} : (tensor<1x3xf32>) -> tensor<1x3xf32>
    %2 = "bw.clip"(%arg0) {maximum = 1.000000e+00 : f64, minimum = 0.000000e+00 : f64} : (tensor<1x3xf32>) -> tensor<1x3xf32>
    %3 = "bw.clip"(%arg0) {maximum = 2.000000e+00 : f64, minimum = 2.000000e+00 : f64} : (tensor<1x3xf32>) -> tensor<1x3xf32>
    return %0, %1, %2, %3 : tensor<1x3xf32>, tensor<1x3xf32>, tensor<1x3xf32>, tensor<1x3xf32>
  }
}

