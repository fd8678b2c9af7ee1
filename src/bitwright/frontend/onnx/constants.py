"""Nodes that depend on constants only are computed here, by ONNX's own reference evaluator."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from bitwright.frontend.common.checks import checked_size
from bitwright.frontend.onnx.errors import (
    InvalidModelError,
    ModelError,
    UnsupportedOperatorError,
)  # fmt: skip
from bitwright.frontend.onnx.node import Array, describe

FOLDABLE = frozenset((
    "Abs", "Add", "And", "ArgMax", "ArgMin", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr",
    "BitwiseXor", "Cast", "CastLike", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape",
    "Cos", "CumSum", "DepthToSpace", "DequantizeLinear", "Div", "Equal", "Erf", "Exp", "Expand",
    "EyeLike", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Greater",
    "GreaterOrEqual", "Identity", "IsInf", "IsNaN", "Less", "LessOrEqual", "Log", "MatMul", "Max",
    "Mean", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad", "Pow", "QuantizeLinear", "Range",
    "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape",
    "Resize", "Round", "Shape", "Sigmoid", "Sign", "Sin", "Size", "Slice", "Softmax", "Softplus",
    "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Tile", "Transpose",
    "Trilu", "Unsqueeze", "Where", "Xor",
))  # fmt: skip

# What an operator may make out of little: 64 MiB of float32.
MAX_GROWN = 1 << 24


def evaluate(node: onnx.NodeProto, opset: int, arrays: Sequence[Array | None]) -> list[Array]:
    """Outputs of `node` on constant operands (None where one is left out).

    Raises:
        UnsupportedOperatorError: an operator that is not folded.
        TensorTooLargeError: a result of more elements than any model here may have.
        InvalidModelError: operands that the operator does not accept.
    """
    where = describe(node, opset)
    if node.op_type not in FOLDABLE:
        raise UnsupportedOperatorError(
            f"{where} has only constant operands, and {node.op_type} is not computed at import; "
            f"those that are: {', '.join(sorted(FOLDABLE))}"
        )
    if node.op_type == "Constant" and any(item.name == "sparse_value" for item in node.attribute):
        raise UnsupportedOperatorError(f"{where} is sparse; supported: dense constants")
    feeds = {
        name: array for name, array in zip(node.input, arrays, strict=True) if array is not None
    }
    try:
        checked_size((_estimate(node, arrays) or 1,), f"{where}: its result", MAX_GROWN)
        graph = helper.make_graph(
            [node], "constant",
            [helper.make_tensor_value_info(name, _element(array), list(array.shape))
             for name, array in feeds.items()],
            [helper.make_empty_tensor_value_info(name) for name in node.output if name],
        )  # fmt: skip
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _version(node, opset))], ir_version=8
        )
        with np.errstate(all="ignore"):
            results: Sequence[Any] = ReferenceEvaluator(model).run(None, feeds)  # pyright: ignore
    except ModelError:
        raise
    except Exception as error:  # the evaluator passes on whatever NumPy raises
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise InvalidModelError(f"{where} cannot be computed: {reason}") from None
    return [np.asarray(result) for result in results]


def _version(node: onnx.NodeProto, opset: int) -> int:
    """The evaluator has these operators only in a later version, which extends the earlier ones."""
    return max(opset, _FIRST_EVALUATED.get(node.op_type, opset))


_FIRST_EVALUATED = {"DequantizeLinear": 19, "QuantizeLinear": 19}


def _element(array: Array) -> int:
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


def _product(array: Array | None) -> int:
    return 0 if array is None else math.prod(int(value) for value in array.reshape(-1))


def _padded(arrays: Sequence[Array | None]) -> int:
    data, pads = arrays[0], arrays[1]
    if data is None or pads is None:
        return 0
    return data.size + sum(abs(int(p)) for p in pads.reshape(-1)) * max(data.size, 1)


def _range(arrays: Sequence[Array | None]) -> int:
    start, limit, delta = (float(np.asarray(array).reshape(-1)[0]) for array in arrays)
    return int(abs((limit - start) / delta)) + 1


def _gathered(arrays: Sequence[Array | None]) -> int:
    data, indices = arrays[0], arrays[1]
    if data is None or indices is None or not data.shape:
        return 0
    return indices.size * (data.size // max(min(data.shape), 1))


def _broadcast(arrays: Sequence[Array | None]) -> int:
    return math.prod(np.broadcast_shapes(*(a.shape for a in arrays if a is not None)))


def _multiplied(arrays: Sequence[Array | None]) -> int:
    lhs, rhs = arrays[0], arrays[1]
    if lhs is None or rhs is None:
        return 0
    return math.prod(lhs.shape[:-1]) * math.prod(rhs.shape[:-2]) * (rhs.shape or (1,))[-1]


_ESTIMATES: dict[str, Callable[[Sequence[Array | None]], int]] = {
    "ConstantOfShape": lambda arrays: _product(arrays[0]),
    "Expand": lambda arrays: _product(arrays[1]) * (arrays[0].size if arrays[0] is not None else 1),
    "Tile": lambda arrays: _product(arrays[1]) * (arrays[0].size if arrays[0] is not None else 1),
    "Pad": _padded,
    "Range": _range,
    "Gather": _gathered,
    "MatMul": _multiplied,
    **dict.fromkeys(
        ("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Mod", "Sum", "Mean", "Where", "Equal",
         "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Xor"),
        _broadcast,
    ),
}  # fmt: skip


def _estimate(node: onnx.NodeProto, arrays: Sequence[Array | None]) -> int:
    """An upper bound of the result's elements for the operators that can grow; else 0."""
    estimate = _ESTIMATES.get(node.op_type)
    return estimate(arrays) if estimate else 0
