module {
  func.func @main(%arg0: tensor<1x2x4x4xf32> {bw.name = "x"}) -> (tensor<1x2x4x4xf32> {bw.name = "out"}) {
    %0 = "bw.relu"(%arg0) : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32>
    %1 = "bw.constant"() {value = dense<[[[[-0.408248305]]], [[[0.833333313]]]]> : tensor<2x1x1x1xf32>} : () -> tensor<2x1x1x1xf32>
    %2 = "bw.constant"() {value = dense<[0.397937924, 1.72916663]> : tensor<2xf32>} : () -> tensor<2xf32>
    %3 = "bw.conv2d"(%0, %1, %2) {dilation = array<i64: 1, 1>, groups = 2 : i64, padding = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>} : (tensor<1x2x4x4xf32>, tensor<2x1x1x1xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32>
    return %3 : tensor<1x2x4x4xf32>
  }
}

