"""Every operator of the importer against ONNX Runtime."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from bitwright.frontend.onnx import HANDLERS


def _weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def _ints(*values: int) -> np.ndarray:
    return np.asarray(values, np.int64)


def _float(value: float) -> np.ndarray:
    return np.asarray(value, np.float32)


@dataclass
class Case:
    """One operator: inputs x (and z) computed, the rest constants."""

    kind: str
    shape: tuple[int, ...]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    opset: int = 17
    attributes: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] | None = None
    second: tuple[int, ...] | None = None
    samples: int = 1

    def node(self) -> NodeProto:
        """The ONNX node."""
        names = self.inputs or ("x", *(("z",) if self.second else ()), *self.constants)
        return helper.make_node(self.kind, names, ["y"], name="node", **self.attributes)


def _conv(shape: tuple[int, ...], *weight: int, bias: bool = True, **attributes: Any) -> Case:
    constants = {"w": _weights(*weight)} | ({"b": _weights(weight[0])} if bias else {})
    return Case("Conv", shape, constants, attributes=attributes)


def _pool(kind: str, shape: tuple[int, ...], opset: int = 17, **attributes: Any) -> Case:
    return Case(kind, shape, opset=opset, attributes=attributes)


CASES = {
    "conv": _conv((1, 3, 9, 8), 5, 3, 3, 3),
    "conv_no_bias": _conv((1, 3, 9, 8), 5, 3, 3, 3, bias=False),
    "conv_stride_pads": _conv((1, 3, 9, 8), 5, 3, 3, 2, strides=[2, 1], pads=[0, 1, 2, 0]),
    "conv_group": _conv((1, 4, 9, 8), 6, 2, 3, 3, group=2),
    "conv_depthwise": _conv((1, 4, 9, 8), 4, 1, 3, 3, group=4, pads=[1, 1, 1, 1]),
    "conv_depthwise_twofold": _conv((1, 4, 9, 8), 8, 1, 3, 3, group=4),
    "conv_dilated": _conv((1, 3, 12, 12), 5, 3, 3, 3, dilations=[2, 3]),
    "conv_same_upper": _conv((1, 3, 9, 8), 5, 3, 4, 3, auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv_same_lower": _conv((1, 3, 9, 8), 5, 3, 4, 3, auto_pad="SAME_LOWER", strides=[2, 2]),
    "conv_valid": _conv((1, 3, 9, 8), 5, 3, 4, 3, auto_pad="VALID"),
    "conv_1d": _conv((1, 3, 20), 5, 3, 4, strides=[2], pads=[3, 1], dilations=[2]),
    "conv_1d_same": _conv((1, 3, 20), 5, 3, 4, auto_pad="SAME_UPPER", strides=[3]),
    "conv_many_samples": Case("Conv", (1, 3, 9, 8), {"w": _weights(5, 3, 3, 3)}, samples=3),
    "gemm": Case("Gemm", (1, 6), {"w": _weights(6, 4), "b": _weights(4)}),
    "gemm_alpha_beta": Case(
        "Gemm", (1, 6), {"w": _weights(4, 6), "b": _weights(1, 4)},
        attributes={"alpha": 0.5, "beta": 2.0, "transB": 1},
    ),
    "gemm_scalar_bias": Case("Gemm", (1, 6), {"w": _weights(6, 4), "b": _weights(1)}),
    "gemm_no_bias": Case("Gemm", (1, 6), {"w": _weights(6, 4)}),
    "gemm_trans_a": Case(
        "Gemm", (6, 3), {"w": _weights(6, 4), "b": _weights(3, 4)}, attributes={"transA": 1}
    ),
    "gemm_computed": Case(
        "Gemm", (1, 6), {"b": _weights(4)}, second=(4, 6),
        attributes={"alpha": 0.5, "beta": 0.25, "transB": 1},
    ),
    "matmul_constant": Case("MatMul", (1, 5, 6), {"w": _weights(6, 4)}, samples=2),
    "matmul_vector": Case("MatMul", (1, 5, 6), {"w": _weights(6)}),
    "matmul_computed": Case("MatMul", (1, 5, 6), second=(1, 6, 4)),
    "matmul_left_constant": Case("MatMul", (1, 6, 3), {"w": _weights(5, 6)}, inputs=("w", "x")),
    "add": Case("Add", (1, 3, 4, 5), second=(1, 3, 4, 5)),
    "add_broadcast": Case("Add", (1, 3, 4, 5), second=(1, 3, 1, 1)),
    "add_constant": Case("Add", (1, 3, 4, 5), {"c": _weights(3, 1, 1)}),
    "add_scalar": Case("Add", (1, 3, 4, 5), {"c": _float(2.5)}),
    "sub": Case("Sub", (1, 3, 4), second=(1, 3, 4)),
    "sub_constant": Case("Sub", (1, 3, 4), {"c": _weights(4)}),
    "sub_from_constant": Case("Sub", (1, 3, 4), {"c": _weights(4)}, inputs=("c", "x")),
    "mul": Case("Mul", (1, 3, 4), second=(1, 3, 1)),
    "mul_constant": Case("Mul", (1, 3, 4), {"c": _weights(3, 1)}),
    "div_constant": Case("Div", (1, 3, 4), {"c": _weights(4)}),
    "neg": Case("Neg", (1, 3, 4)),
    "sum": Case("Sum", (1, 3, 4), {"c": _weights(4), "d": _weights(3, 1)}, second=(1, 3, 4)),
    "sum_of_one": Case("Sum", (1, 3, 4)),
    "relu": Case("Relu", (1, 3, 4)),
    "clip": Case("Clip", (1, 3, 4), {"low": _float(-0.5), "high": _float(0.7)}),
    "clip_low_only": Case("Clip", (1, 3, 4), {"low": _float(-0.5)}, opset=11),
    "clip_high_only": Case(
        "Clip", (1, 3, 4), {"high": _float(0.5)}, inputs=("x", "", "high")
    ),
    "clip_relu6": Case("Clip", (1, 3, 4), {"low": _float(0), "high": _float(6)}, opset=12),
    "clip_infinite": Case("Clip", (1, 3, 4), {"low": _float(0), "high": _float(np.inf)}),
    "clip_nothing": Case("Clip", (1, 3, 4)),
    "leaky_relu": Case("LeakyRelu", (1, 3, 4), attributes={"alpha": 0.3}),
    "leaky_relu_default": Case("LeakyRelu", (1, 3, 4)),
    "prelu": Case("PRelu", (1, 3, 4), {"s": np.full((3, 1), 0.2, np.float32)}),
    "hard_sigmoid": Case("HardSigmoid", (1, 3, 4)),
    "hard_sigmoid_sixth": Case("HardSigmoid", (1, 3, 4), attributes={"alpha": 1 / 6}),
    "hard_swish": Case("HardSwish", (1, 30, 4)),
    "sigmoid": Case("Sigmoid", (1, 3, 4)),
    "tanh": Case("Tanh", (1, 3, 4)),
    "softmax": Case("Softmax", (1, 3, 4)),
    "softmax_axis": Case("Softmax", (1, 3, 4, 5), attributes={"axis": 1}),
    "softmax_old": Case("Softmax", (1, 3, 4, 5), opset=11),
    "softmax_old_axis": Case("Softmax", (2, 3, 4, 5), opset=12, attributes={"axis": 2}),
    "softmax_old_last": Case("Softmax", (1, 10), opset=12, samples=3),
    "batch_normalization": Case(
        "BatchNormalization", (1, 3, 4, 5),
        {"s": _weights(3), "b": _weights(3), "m": _weights(3), "v": np.float32([0.5, 1, 2])},
        attributes={"epsilon": 1e-3}, samples=2,
    ),
    "batch_normalization_flat": Case(
        "BatchNormalization", (1, 3),
        {"s": _weights(3), "b": _weights(3), "m": _weights(3), "v": np.float32([0.5, 1, 2])},
        opset=11,
    ),
    "max_pool": _pool("MaxPool", (1, 3, 9, 8), kernel_shape=[3, 2], strides=[2, 2]),
    "max_pool_pads": _pool("MaxPool", (1, 3, 9, 8), kernel_shape=[3, 3], pads=[1, 0, 0, 2]),
    "max_pool_ceil": _pool(
        "MaxPool", (1, 3, 9, 8), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1
    ),
    "max_pool_ceil_pads": _pool(
        "MaxPool", (1, 3, 8, 8), kernel_shape=[2, 3], strides=[3, 2], pads=[1, 1, 1, 1],
        ceil_mode=1,
    ),
    "max_pool_dilated": _pool("MaxPool", (1, 3, 9, 8), kernel_shape=[3, 2], dilations=[2, 3]),
    "max_pool_same": _pool(
        "MaxPool", (1, 3, 9, 8), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"
    ),
    "max_pool_1d": _pool("MaxPool", (1, 3, 9), kernel_shape=[3], strides=[2], pads=[1, 0]),
    "average_pool": _pool("AveragePool", (1, 3, 9, 8), kernel_shape=[3, 2], strides=[2, 2]),
    "average_pool_pads": _pool("AveragePool", (1, 3, 9, 8), kernel_shape=[3, 3], pads=[1, 0, 0, 2]),
    "average_pool_counted": _pool(
        "AveragePool", (1, 3, 9, 8), kernel_shape=[3, 3], pads=[1, 0, 0, 2], count_include_pad=1
    ),
    "average_pool_ceil": _pool(
        "AveragePool", (1, 3, 9, 8), opset=19, kernel_shape=[2, 3], strides=[2, 2],
        pads=[0, 1, 0, 1], ceil_mode=1,
    ),
    "average_pool_ceil_counted": _pool(
        "AveragePool", (1, 3, 9, 8), opset=19, kernel_shape=[2, 3], strides=[2, 2],
        pads=[0, 1, 0, 1], ceil_mode=1, count_include_pad=1,
    ),
    "average_pool_same": _pool(
        "AveragePool", (1, 3, 9, 8), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"
    ),
    "average_pool_1d": _pool("AveragePool", (1, 3, 9), kernel_shape=[3], strides=[2]),
    "global_average_pool": _pool("GlobalAveragePool", (1, 3, 9, 8)),
    "global_average_pool_1d": _pool("GlobalAveragePool", (1, 3, 9)),
    "global_max_pool": _pool("GlobalMaxPool", (1, 3, 9, 8)),
    "reduce_mean": Case("ReduceMean", (1, 3, 4, 5), attributes={"axes": [2, -1]}),
    "reduce_mean_flat": Case(
        "ReduceMean", (1, 3, 4, 5), attributes={"axes": [2, 3], "keepdims": 0}
    ),
    "reduce_mean_input": Case("ReduceMean", (1, 3, 4, 5), {"axes": _ints(1)}, opset=18),
    "reduce_mean_all": Case("ReduceMean", (1, 3, 4, 5), opset=18),
    "reduce_mean_nothing": Case(
        "ReduceMean", (1, 3, 4), opset=18, attributes={"noop_with_empty_axes": 1}
    ),
    "flatten": Case("Flatten", (1, 3, 4, 5), samples=2),
    "flatten_axis": Case("Flatten", (2, 3, 4, 5), attributes={"axis": -1}),
    "flatten_end": Case("Flatten", (1, 3), attributes={"axis": 2}),
    "reshape": Case("Reshape", (1, 3, 4, 5), {"s": _ints(0, -1, 2)}, samples=3),
    "reshape_fixed": Case("Reshape", (1, 12), {"s": _ints(1, 3, 2, 2)}),
    "squeeze": Case("Squeeze", (1, 3, 1, 5), {"axes": _ints(-2)}),
    "squeeze_old": Case("Squeeze", (1, 3, 1, 5), opset=11, attributes={"axes": [2]}),
    "squeeze_all": Case("Squeeze", (1, 3, 1, 5)),
    "unsqueeze": Case("Unsqueeze", (1, 3), {"axes": _ints(-1, 1)}),
    "unsqueeze_old": Case("Unsqueeze", (1, 3), opset=12, attributes={"axes": [2, 3]}),
    "transpose": Case("Transpose", (1, 3, 4, 5), attributes={"perm": [0, 2, 3, 1]}, samples=2),
    "transpose_default": Case("Transpose", (1, 3, 4)),
    "concat": Case("Concat", (1, 3, 4), {"c": _weights(1, 2, 4)}, second=(1, 3, 4),
                   attributes={"axis": -2}),
    "pad": Case("Pad", (1, 3, 4, 5), {"p": _ints(0, 0, 1, 2, 0, 1, 0, 3)}),
    "pad_value": Case("Pad", (1, 3, 4), {"p": _ints(0, 0, 1, 0, 1, 0), "v": _float(1.5)}, opset=11),
    "pad_axes": Case(
        "Pad", (1, 3, 4, 5), {"p": _ints(1, 2, 3, 4), "v": _float(0), "a": _ints(-1, 2)}, opset=18
    ),
    "identity": Case("Identity", (1, 3)),
    "dropout": Case("Dropout", (1, 3), {"r": _float(0.3)}),
    "dropout_old": Case("Dropout", (1, 3), opset=11, attributes={"ratio": 0.3}),
    "cast": Case("Cast", (1, 3), attributes={"to": TensorProto.FLOAT}),
    "div_computed": Case("Div", (1, 3, 4), second=(1, 3, 1)),
    "erf": Case("Erf", (1, 3, 4)),
    "exp": Case("Exp", (2, 3, 4)),
    "elu": Case("Elu", (1, 3, 4), attributes={"alpha": 0.5}),
    "softplus": Case("Softplus", (1, 3, 4), samples=3),
    "maximum": Case("Max", (1, 3, 4), {"c": _weights(4)}, second=(1, 3, 1)),
    "prelu_channels": Case("PRelu", (1, 3, 4), {"s": _weights(3, 1)}),
    "matmul_vector_left": Case("MatMul", (3,), {"w": _weights(2, 3, 4)}),
    "slice": Case(
        "Slice", (1, 5, 6), {"a": _ints(1, -1), "b": _ints(4, -9), "c": _ints(1, 2),
                             "d": _ints(2, -2)}, samples=3,
    ),
    "gather": Case("Gather", (1, 5, 6), {"i": _ints(0, -1, 3)}, attributes={"axis": 2}),
    "expand": Case("Expand", (1, 3, 1), {"s": _ints(2, 1, 4)}),
    "tile": Case("Tile", (1, 3, 2), {"r": _ints(2, 1, 3)}),
    "depth_to_space": Case("DepthToSpace", (1, 8, 2, 3), attributes={"blocksize": 2}),
    "reduce_sum": Case("ReduceSum", (1, 3, 4, 5), {"a": _ints(1, -1)}, samples=2),
    "reduce_max": Case("ReduceMax", (1, 3, 4), attributes={"axes": [1], "keepdims": 0}, samples=2),
    "reduce_l2": Case("ReduceL2", (1, 3, 4), attributes={"axes": [2]}),
    "log_softmax": Case("LogSoftmax", (1, 3, 4)),
    "layer_normalization": Case(
        "LayerNormalization", (1, 3, 4), {"s": _weights(4), "b": _weights(4)}, samples=3
    ),
    "instance_normalization": Case(
        "InstanceNormalization", (1, 3, 4, 5), {"s": _weights(3), "b": _weights(3)}, samples=2
    ),
    "conv_transpose": Case(
        "ConvTranspose", (1, 4, 5, 6), {"w": _weights(4, 3, 3, 2), "b": _weights(6)}, samples=2,
        attributes={"strides": [2, 3], "pads": [1, 0, 2, 1], "group": 2, "output_padding": [1, 0]},
    ),
    "conv_transpose_same": Case(
        "ConvTranspose", (1, 2, 5, 6), {"w": _weights(2, 3, 3, 3)},
        attributes={"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    "resize_nearest": Case(
        "Resize", (1, 2, 5, 4), {"s": np.float32([1, 1, 2, 1.5])}, inputs=("x", "", "s"),
        attributes={"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
                    "nearest_mode": "floor"},
    ),
    "resize_linear": Case(
        "Resize", (1, 2, 5, 4), {"z": _ints(1, 2, 8, 7)}, inputs=("x", "", "", "z"),
        attributes={"mode": "linear"},
    ),
    "resize_cubic": Case(
        "Resize", (1, 2, 5, 4), {"s": np.float32([1, 1, 2, 2])}, inputs=("x", "", "s"),
        attributes={"mode": "cubic", "coordinate_transformation_mode": "align_corners"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operator_agrees_with_onnx_runtime(name, model, agree):
    case = CASES[name]
    inputs = {"x": case.shape} | ({"z": case.second} if case.second else {})
    if case.samples > 1:
        inputs["x"] = ("N", *case.shape[1:])
    agree(model([case.node()], inputs, case.constants, case.opset), samples=case.samples)


def test_every_operator_has_a_case():
    """Here, or in the standard's own node tests (docs/operators.md, which is kept up to date)."""
    text = (Path(__file__).parents[2] / "docs" / "operators.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| yes \| (\d+) \| (\d+) \|", text, re.MULTILINE)
    passing = {name for name, run_time, constants in rows if int(run_time) + int(constants)}
    assert {case.kind for case in CASES.values()} | passing | {"Not"} == set(HANDLERS)


def test_not(model, agree):
    """The standard's tests of it are of opset 1, which is not imported."""
    nodes = [
        helper.make_node("Greater", ["x", "c"], ["g"]),
        helper.make_node("Not", ["g"], ["n"]),
        helper.make_node("Cast", ["n"], ["y"], to=TensorProto.FLOAT),
    ]
    agree(model(nodes, {"x": (1, 30)}, {"c": _float(0.2)}), samples=1)


@pytest.mark.parametrize("opset", range(11, 24))
def test_every_opset(opset, model, agree):
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "g"], ["h"]),
        helper.make_node("Softmax", ["h"], ["y"], axis=-1),
    ]
    weights = {"w": _weights(4, 3, 3, 3), "b": _weights(4), "g": _weights(64, 5)}
    agree(model(nodes, {"x": ("N", 3, 8, 8)}, weights, opset), samples=2)
