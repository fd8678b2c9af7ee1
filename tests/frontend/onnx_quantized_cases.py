"""Models of one quantized node, of the domain com.microsoft and of the standard."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(11)
STEP = (np.float32(0.043), np.uint8(117))
SIGNED = (np.float32(0.021), np.int8(-13))


def _u8(*extents: int) -> Any:
    return RANDOM.integers(0, 256, extents).astype(np.uint8)


def _s8(*extents: int) -> Any:
    return RANDOM.integers(-128, 128, extents).astype(np.int8)


def _f(*extents: int, scale: float = 1.0) -> Any:
    return (RANDOM.normal(size=extents) * scale).astype(np.float32)


def _scales(*extents: int) -> Any:
    return RANDOM.uniform(0.004, 0.02, extents).astype(np.float32)


@dataclass
class Case:
    """One node.

    Attributes:
        operands: all inputs, None where left out.
        computed: which of them are inputs of the model; the others are constants.
        steps: how far an integer result may lie from ONNX Runtime's. Its kernels multiply sums by
            one float factor, or look up in tables; the importer's reference rounds after each
            float operation, so that a tie may fall to either side.
        rtol: the same for floats.
        result, more: element types of the first result and of the others.
    """

    kind: str
    operands: Sequence[Any]
    computed: Sequence[int] = (0,)
    result: int = TensorProto.UINT8
    steps: int = 1
    rtol: float = 1e-4
    outputs: Sequence[str] = ("y",)
    more: Sequence[int] = ()
    domain: str = "com.microsoft"
    opset: int = 17
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])


FLOAT, INT8 = TensorProto.FLOAT, TensorProto.INT8
CASES: dict[str, Case] = {
    "quantize": Case("QuantizeLinear", (_f(2, 3, 4), *STEP), steps=0),
    "quantize_axis": Case(
        "QuantizeLinear", (_f(2, 3, 4), _scales(3), _s8(3)), result=INT8, steps=0,
        attributes={"axis": 1},
    ),
    "quantize_16": Case(
        "QuantizeLinear", (_f(2, 30), np.float32(0.0001), np.uint16(30000)), steps=0,
        result=TensorProto.UINT16,
    ),
    "dequantize": Case("DequantizeLinear", (_u8(2, 3, 4), *STEP), result=FLOAT),
    "dequantize_axis": Case(
        "DequantizeLinear", (_s8(2, 3, 4), _scales(4), _s8(4)), result=FLOAT,
        attributes={"axis": -1},
    ),
    "add": Case(
        "QLinearAdd", (_u8(2, 3, 40), *STEP, _u8(3, 1), np.float32(0.031), np.uint8(90),
                       np.float32(0.06), np.uint8(120)), computed=(0, 3),
    ),
    "add_constant": Case(
        "QLinearAdd", (_s8(1, 3, 40), *SIGNED, _s8(1, 3, 1), np.float32(0.031), np.int8(9),
                       np.float32(0.06), np.int8(2)), result=INT8,
    ),
    "add_without_zero_point": Case(
        "QLinearAdd", (_u8(1, 90), *STEP, _u8(1, 90), np.float32(0.03), np.uint8(90),
                       np.float32(0.05)), computed=(0, 3),
    ),
    "mul": Case(
        "QLinearMul", (_u8(1, 3, 40), *STEP, _u8(1, 3, 40), np.float32(0.031), np.uint8(90),
                       np.float32(0.15), np.uint8(120)), computed=(0, 3),
    ),
    "average_pool": Case(
        "QLinearAveragePool", (_u8(1, 3, 7, 6), *STEP, np.float32(0.03), np.uint8(110)),
        attributes={"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
    ),
    "average_pool_counted": Case(
        "QLinearAveragePool", (_s8(1, 3, 7, 6), *SIGNED, np.float32(0.02), np.int8(1)),
        result=INT8,
        attributes={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    ),
    "average_pool_channels_last": Case(
        "QLinearAveragePool", (_u8(1, 7, 6, 3), *STEP, np.float32(0.03), np.uint8(110)),
        attributes={"kernel_shape": [2, 2], "strides": [2, 2], "channels_last": 1},
    ),
    "global_average_pool": Case(
        "QLinearGlobalAveragePool", (_u8(1, 5, 7, 6), *STEP, np.float32(0.01), np.uint8(110)),
    ),
    "global_average_pool_channels_last": Case(
        "QLinearGlobalAveragePool", (_s8(1, 7, 6, 5), *SIGNED, np.float32(0.01), np.int8(3)),
        result=INT8, attributes={"channels_last": 1},
    ),
    "concat": Case(
        "QLinearConcat", (np.float32(0.05), np.uint8(128), _u8(1, 3, 5), *STEP, _u8(1, 2, 5),
                          np.float32(0.02), np.uint8(3)), computed=(2, 5), attributes={"axis": 1},
    ),
    "sigmoid": Case(
        "QLinearSigmoid", (_u8(1, 256), *STEP, np.float32(1 / 256), np.uint8(0)),
    ),
    "sigmoid_signed": Case(
        "QLinearSigmoid", (_s8(1, 256), *SIGNED, np.float32(1 / 256), np.int8(-128)), result=INT8,
    ),
    "leaky_relu": Case(
        "QLinearLeakyRelu", (_u8(1, 256), *STEP, np.float32(0.03), np.uint8(40)),
        attributes={"alpha": 0.1},
    ),
    "softmax": Case(
        "QLinearSoftmax", (_u8(2, 3, 10), *STEP, np.float32(1 / 256), np.uint8(0)),
        attributes={"axis": -1, "opset": 13},
    ),
    "softmax_12": Case(
        "QLinearSoftmax", (_s8(2, 3, 10), *SIGNED, np.float32(1 / 256), np.int8(-128)),
        result=INT8, attributes={"axis": 1, "opset": 12},
    ),
    "where": Case(
        "QLinearWhere", (RANDOM.random((1, 3, 5)) < 0.5, _u8(1, 3, 5), *STEP, _u8(1, 3, 5),
                         np.float32(0.02), np.uint8(3), np.float32(0.05), np.uint8(128)),
        computed=(0, 1, 4),
    ),
    "conv_channels_last": Case(
        "QLinearConv", (_u8(1, 7, 6, 4), *STEP, _s8(6, 4, 3, 3), _scales(6), np.zeros(6, np.int8),
                        np.float32(0.5), np.uint8(128), RANDOM.integers(-999, 999, 6, np.int32)),
        attributes={"channels_last": 1, "pads": [1, 1, 1, 1], "strides": [2, 2]},
    ),
    "gemm": Case(
        "QGemm", (_u8(4, 8), *STEP, _s8(8, 5), _scales(5), np.zeros(5, np.int8),
                  RANDOM.integers(-999, 999, 5, np.int32), np.float32(0.3), np.uint8(120)),
    ),
    "gemm_float": Case(
        "QGemm", (_u8(8, 4), *STEP, _s8(5, 8), np.float32(0.02), np.int8(7),
                  RANDOM.integers(-999, 999, (1, 5), np.int32)), result=FLOAT,
        attributes={"transA": 1, "transB": 1, "alpha": 0.75},
    ),
    "dynamic_quantize_matmul": Case(
        "DynamicQuantizeMatMul", (_f(1, 6, 8), _s8(8, 5), _scales(5), _s8(5), _f(5)), result=FLOAT,
    ),
    "dynamic_quantize_matmul_bare": Case(
        "DynamicQuantizeMatMul", (_f(1, 6, 8), _u8(8, 5), np.float32(0.02)), result=FLOAT,
    ),
    "matmul_integer_to_float": Case(
        "MatMulIntegerToFloat", (_u8(1, 6, 8), _s8(8, 5), np.float32(0.02), _scales(5),
                                 np.uint8(120), _s8(5), _f(5)), result=FLOAT,
    ),
    **{
        f"matmul_{bits}_bits{'_ragged' if columns % 32 else ''}": Case(
            "MatMulNBits", (_f(1, 4, columns), _u8(6, 3, 4 * bits), _scales(6, 3).reshape(shape)),
            result=FLOAT, attributes={"bits": bits, "block_size": 32, "K": columns, "N": 6},
        )
        for bits, columns, shape in ((2, 96, (6, 3)), (4, 96, (18,)), (4, 80, (6, 3)),
                                     (8, 96, (6, 3)))
    },
    "matmul_bits_with_zero_points": Case(
        "MatMulNBits", (_f(1, 4, 96), _u8(6, 3, 16), _scales(6, 3), _u8(6, 2), None, _f(6)),
        result=FLOAT, attributes={"bits": 4, "block_size": 32, "K": 96, "N": 6},
    ),
    "matmul_bits_with_float_zero_points": Case(
        "MatMulNBits", (_f(1, 4, 96), _u8(6, 3, 16), _scales(6, 3), 8 + _f(6, 3)),
        result=FLOAT, attributes={"bits": 4, "block_size": 32, "K": 96, "N": 6},
    ),
    "gather_4_bits": Case(
        "GatherBlockQuantized", (_u8(10, 24), RANDOM.integers(-10, 10, (1, 7)), _scales(10, 3)),
        computed=(1,), result=FLOAT,
        attributes={"bits": 4, "block_size": 16, "gather_axis": 0, "quantize_axis": 1},
    ),
    "gather_8_bits_with_zero_points": Case(
        "GatherBlockQuantized", (_u8(10, 40), np.int64([[3, -1]]), _scales(10, 3), _u8(10, 3)),
        computed=(), result=FLOAT,
        attributes={"bits": 8, "block_size": 16, "gather_axis": 0, "quantize_axis": -1},
    ),
    "fused_conv": Case(
        "FusedConv", (_f(1, 3, 5, 5), _f(4, 3, 3, 3), _f(4)), result=FLOAT,
        attributes={"activation": "Relu", "pads": [1, 1, 1, 1]},
    ),
    "fused_conv_with_sum": Case(
        "FusedConv", (_f(1, 3, 5, 5), _f(4, 3, 1, 1), _f(4), _f(1, 4, 5, 5)), computed=(0, 3),
        result=FLOAT, attributes={"activation": "LeakyRelu", "activation_params": [0.2]},
    ),
    "fused_gemm": Case(
        "FusedGemm", (_f(2, 3), _f(3, 4), _f(4)), result=FLOAT,
        attributes={"activation": "LeakyRelu", "activation_alpha": 0.3},
    ),
    "fused_matmul": Case(
        "FusedMatMul", (_f(2, 4, 3), _f(2, 5, 4)), computed=(0, 1), result=FLOAT,
        attributes={"transA": 1, "transB": 1, "alpha": 0.5},
    ),
    "gelu": Case("Gelu", (_f(1, 50),), result=FLOAT),
    "bias_gelu": Case("BiasGelu", (_f(1, 5, 50), _f(50)), result=FLOAT),
    "fast_gelu": Case("FastGelu", (_f(1, 5, 50), _f(50)), result=FLOAT),
    "quick_gelu": Case("QuickGelu", (_f(1, 50),), result=FLOAT),
    "skip_layer_normalization": Case(
        "SkipLayerNormalization", (_f(1, 5, 8), _f(1, 5, 8), _f(8), _f(8), _f(8)),
        computed=(0, 1), result=FLOAT, outputs=("y", "", "", "sum"), more=(FLOAT,),
        attributes={"epsilon": 1e-5},
    ),
    "skip_simplified_layer_normalization": Case(
        "SkipSimplifiedLayerNormalization", (_f(1, 5, 8), _f(1, 5, 8), _f(8)), computed=(0, 1),
        result=FLOAT, outputs=("y", "", "", "sum"), more=(FLOAT,),
    ),
    "standard_quantize_blocks": Case(
        "QuantizeLinear", (_f(2, 12), _scales(2, 3), _s8(2, 3)), result=INT8, steps=0, domain="",
        attributes={"axis": 1, "block_size": 4}, opset=21,
    ),
    "standard_dequantize": Case(
        "DequantizeLinear", (_u8(2, 12), _scales(12), _u8(12)), result=FLOAT, domain="",
        attributes={"axis": 1},
    ),
    "standard_dynamic_quantize": Case(
        "DynamicQuantizeLinear", (_f(2, 12),), outputs=("y", "scale", "zero"),
        more=(FLOAT, TensorProto.UINT8), domain="",
    ),
    "standard_conv": Case(
        "QLinearConv", (_u8(1, 4, 7, 6), *STEP, _s8(6, 2, 3, 3), _scales(6), np.zeros(6, np.int8),
                        np.float32(0.3), np.uint8(128), RANDOM.integers(-999, 999, 6, np.int32)),
        domain="", attributes={"group": 2, "pads": [1, 1, 1, 1], "strides": [2, 2]},
    ),
    "standard_conv_1d": Case(
        "QLinearConv", (_s8(1, 4, 7), *SIGNED, _s8(6, 4, 3), np.float32(0.02), np.int8(0),
                        np.float32(0.1), np.int8(3)), result=INT8, domain="",
        attributes={"auto_pad": "SAME_UPPER"},
    ),
    "standard_matmul": Case(
        "QLinearMatMul", (_u8(2, 5, 8), *STEP, _s8(8, 3), np.float32(0.02), np.int8(3),
                          np.float32(0.2), np.uint8(128)), domain="",
    ),
    "standard_conv_integer": Case(
        "ConvInteger", (_u8(1, 4, 7, 6), _u8(6, 4, 3, 3), np.uint8(117), np.uint8(3)), steps=0,
        result=TensorProto.INT32, domain="", attributes={"pads": [1, 0, 1, 0]},
    ),
    "standard_matmul_integer": Case(
        "MatMulInteger", (_u8(2, 5, 8), _s8(8, 3), np.uint8(117), _s8(3)), steps=0,
        result=TensorProto.INT32, domain="",
    ),
}  # fmt: skip


def model_of(case: Case) -> tuple[bytes, dict[str, Any]]:
    """The file, and values of its inputs."""
    names = ["" if a is None else f"x{i}" for i, a in enumerate(case.operands)]
    node = helper.make_node(
        case.kind, names, list(case.outputs), "n", domain=case.domain, **case.attributes
    )
    nodes, feeds = [node], {names[i]: case.operands[i] for i in case.computed}
    if not feeds:  # a model needs an input
        feeds = {"unused": np.zeros((1, 2), np.float32)}
        nodes.append(helper.make_node("Identity", ["unused"], ["z"]))
    made = [name for name in case.outputs if name] + (["z"] if "unused" in feeds else [])
    graph = helper.make_graph(
        nodes, "graph",
        [helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.asarray(a).dtype), np.shape(a)
        ) for name, a in feeds.items()],
        [helper.make_tensor_value_info(name, element, None)
         for name, element in zip(made, (case.result, *case.more, FLOAT), strict=False)],
        [numpy_helper.from_array(np.asarray(a), name)
         for name, a in zip(names, case.operands, strict=True) if name and name not in feeds],
    )  # fmt: skip
    imports = [helper.make_opsetid("", case.opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString(), feeds
