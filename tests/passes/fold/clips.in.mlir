module {
  func.func @main(%arg0: tensor<1x3xf32> {bw.name = "x"}) -> (tensor<1x3xf32> {bw.name = "out0"}, tensor<1x3xf32> {bw.name = "out1"}, tensor<1x3xf32> {bw.name = "out2"}, tensor<1x3xf32> {bw.name = "out3"}) {
    %0 = "bw.relu"(%arg0) : (tensor<1x3xf32>) -> tensor<1x3xf32>
    %1 = "bw.relu"(%0) : (tensor<1x3xf32>) -> tensor<1x3xf32>
    %2 = "bw.relu"(%arg0) : (tensor<1x3xf32>) -> tensor<1x3xf32>
    %3 = "bw.clip"(%2) {maximum = 6.000000e+00 : f64, minimum = -1.000000e+00 : f64} : (tensor<1x3xf32>) -> tensor<1x3xf32>
    %4 = "bw.clip"(%arg0) {maximum = 1.000000e+00 : f64, minimum = -1.000000e+00 : f64} : (tensor<1x3xf32>) -> tensor<1x3xf32>
    %5 = "bw.relu"(%4) : (tensor<1x3xf32>) -> tensor<1x3xf32>
    %6 = "bw.clip"(%arg0) {maximum = 1.000000e+00 : f64, minimum = 5.000000e-01 : f64} : (tensor<1x3xf32>) -> tensor<1x3xf32>
    %7 = "bw.clip"(%6) {maximum = 3.000000e+00 : f64, minimum = 2.000000e+00 : f64} : (tensor<1x3xf32>) -> tensor<1x3xf32>
    return %1, %3, %5, %7 : tensor<1x3xf32>, tensor<1x3xf32>, tensor<1x3xf32>, tensor<1x3xf32>
  }
}

