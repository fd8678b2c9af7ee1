func.func @main(%x: tensor<1x8x8x3x!quant.uniform<i8:f32, 5.0e-01:-3>> {bw.name = "image"}) -> (tensor<1x2x!quant.uniform<i8:f32, 3.906250e-03:-128>> {bw.name = "classes"}) {
  %0 = "bw.transpose"(%x) {perm = array<i64: 0, 3, 1, 2>} : (tensor<1x8x8x3x!quant.uniform<i8:f32, 5.0e-01:-3>>) -> tensor<1x3x8x8x!quant.uniform<i8:f32, 5.0e-01:-3>> loc("to NCHW")
  %w = "bw.constant"() {value = dense<1> : tensor<4x3x3x3xi8>} : () -> tensor<4x3x3x3x!quant.uniform<i4<-7:7>:f32, 2.5e-01>>
  %b = "bw.constant"() {value = dense<[1, 2, 3, 4]> : tensor<4xi32>} : () -> tensor<4xi32>
  %1 = "bw.conv2d"(%0, %w, %b) {dilation = array<i64: 1, 1>, groups = 1 : i64, padding = array<i64: 1, 1, 1, 1>, stride = array<i64: 2, 2>} : (tensor<1x3x8x8x!quant.uniform<i8:f32, 5.0e-01:-3>>, tensor<4x3x3x3x!quant.uniform<i4<-7:7>:f32, 2.5e-01>>, tensor<4xi32>) -> tensor<1x4x4x4xi32> loc("conv")
  %2 = "bw.requantize"(%1) {axis = 1 : i64, clamp_max = 127 : i64, clamp_min = -5 : i64, multiplier = array<i64: 40000>, rounding = "half_up", shift = array<i64: 18>} : (tensor<1x4x4x4xi32>) -> tensor<1x4x4x4x!quant.uniform<i8:f32, 1.0:-5>> loc("conv")
  %3 = "bw.add"(%2, %2) {lhs_multiplier = 1 : i64, rhs_multiplier = -2 : i64} : (tensor<1x4x4x4x!quant.uniform<i8:f32, 1.0:-5>>, tensor<1x4x4x4x!quant.uniform<i8:f32, 1.0:-5>>) -> tensor<1x4x4x4xi32> loc("sum")
  %4 = "bw.requantize"(%3) {axis = 1 : i64, clamp_max = 127 : i64, clamp_min = -128 : i64, multiplier = array<i64: 32768>, rounding = "half_up", shift = array<i64: 16>} : (tensor<1x4x4x4xi32>) -> tensor<1x4x4x4x!quant.uniform<i8:f32, 1.0:0>> loc("sum")
  %5 = "bw.reshape"(%4) : (tensor<1x4x4x4x!quant.uniform<i8:f32, 1.0:0>>) -> tensor<1x64x!quant.uniform<i8:f32, 1.0:0>> loc("flat")
  %v = "bw.constant"() {value = dense<-1> : tensor<2x64xi8>} : () -> tensor<2x64x!quant.uniform<i2<-1:1>:f32, 2.5e-01>>
  %c = "bw.constant"() {value = dense<0> : tensor<2xi32>} : () -> tensor<2xi32>
  %6 = "bw.linear"(%5, %v, %c) : (tensor<1x64x!quant.uniform<i8:f32, 1.0:0>>, tensor<2x64x!quant.uniform<i2<-1:1>:f32, 2.5e-01>>, tensor<2xi32>) -> tensor<1x2xi32> loc("dense")
  %7 = "bw.requantize"(%6) {axis = 1 : i64, clamp_max = 127 : i64, clamp_min = -128 : i64, multiplier = array<i64: 50000>, rounding = "half_up", shift = array<i64: 20>} : (tensor<1x2xi32>) -> tensor<1x2x!quant.uniform<i8:f32, 3.906250e-03:-128>> loc("dense")
  return %7 : tensor<1x2x!quant.uniform<i8:f32, 3.906250e-03:-128>>
}
