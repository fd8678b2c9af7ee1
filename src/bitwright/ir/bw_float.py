"""Operations of the `bw` dialect that have no integer form: they end at the reference interpreter.

Elementwise functions, comparisons, reductions and the moving of elements by index, on tensors of
any plain element type (floats of 4 to 64 bits, integers of 2 to 64 bits, booleans). What each
one computes is defined by `bitwright.ir.reference_float`.
"""

# Operations get their operands and attributes as annotations that the dialect machinery reads.
# pyright: basic, reportInvalidTypeForm=false, reportAttributeAccessIssue=false

import types
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext

from bitwright.ir import shapes
from bitwright.ir.bw import BwOperation
from bitwright.ir.checks import VerifyError, expect_float, expect_same_type, expect_shape, ints
from bitwright.ir.types import element_type, is_plain, shape_of

FLOAT_FUNCTIONS = (
    "exp", "log", "sqrt", "erf", "reciprocal", "sin", "cos", "tan", "asin", "acos", "atan",
    "sinh", "cosh", "asinh", "acosh", "atanh", "softplus", "softsign", "floor", "ceil", "round",
)  # fmt: skip
NUMBER_FUNCTIONS = ("abs", "neg", "sign", "bitwise_not", "logical_not")
PREDICATES = ("isnan",)
PARAMETRIC: dict[str, tuple[str, ...]] = {
    "elu": ("alpha",),
    "celu": ("alpha",),
    "selu": ("alpha", "gamma"),
    "gelu": ("approximate",),
    "thresholded_relu": ("alpha",),
    "shrink": ("lambd", "bias"),
    "is_inf": ("negative", "positive"),
}
ARITHMETIC = (
    "div", "mod", "fmod", "pow", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor",
    "shift_left", "shift_right", "logical_and", "logical_or", "logical_xor",
)  # fmt: skip
COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal")
REDUCTIONS = ("reduce_max", "reduce_min", "reduce_prod")


def _expect_plain(*values: ir.Value) -> None:
    for value in values:
        if not is_plain(value):
            raise VerifyError(f"{value.type} is not plain; this operation has no integer form")


def _expect_bool(value: ir.Value, name: str) -> None:
    if str(element_type(value)) != "i1":
        raise VerifyError(f"{name} is {value.type}, expected i1")


class _Function(BwOperation):
    def check(self) -> None:
        _expect_plain(self.input, self.result)
        expect_shape(self.result, shape_of(self.input))
        if self.OPERATION_NAME.removeprefix("bw.") in (*PREDICATES, "is_inf"):
            _expect_bool(self.result, "result")
        else:
            expect_same_type(self.result, self.input)


class _Binary(BwOperation):
    def check(self) -> None:
        _expect_plain(self.lhs, self.rhs, self.result)
        expect_shape(self.result, shapes.broadcast(shape_of(self.lhs), shape_of(self.rhs)))
        kind = self.OPERATION_NAME.removeprefix("bw.")
        if kind in COMPARISONS:
            _expect_bool(self.result, "result")
        else:
            expect_same_type(self.result, self.lhs)
        if kind != "pow" and element_type(self.lhs) != element_type(self.rhs):
            raise VerifyError(f"operands {self.lhs.type} and {self.rhs.type} differ in their type")


class _Reduction(BwOperation):
    def check(self) -> None:
        _expect_plain(self.input)
        expect_same_type(self.result, self.input)
        axes, keepdims = ints(self.axes), bool(self.keepdims.value)
        expect_shape(self.result, shapes.reduce(shape_of(self.input), axes, keepdims))


def _make(base: type[Any], name: str, operands: tuple[str, ...], *attributes: str) -> Any:
    annotations: dict[str, Any] = dict.fromkeys(operands, ext.Operand[Any])
    annotations |= dict.fromkeys(attributes, Any)
    annotations["result"] = ext.Result[Any]
    title = "".join(part.title() for part in name.split("_")) + "Op"

    def fill(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = annotations
        namespace["__module__"] = __name__

    return types.new_class(title, (base,), {"name": name, "traits": [ext.Pure]}, fill)


FUNCTIONS: dict[str, Any] = {
    name: _make(_Function, name, ("input",), *PARAMETRIC.get(name, ()))
    for name in (*FLOAT_FUNCTIONS, *NUMBER_FUNCTIONS, *PREDICATES, *PARAMETRIC)
}
BINARIES: dict[str, Any] = {
    name: _make(_Binary, name, ("lhs", "rhs")) for name in (*ARITHMETIC, *COMPARISONS)
}
REDUCES: dict[str, Any] = {
    name: _make(_Reduction, name, ("input",), "axes", "keepdims") for name in REDUCTIONS
}


class SelectOp(BwOperation, name="select", traits=[ext.Pure]):
    """lhs where the condition holds, else rhs; broadcast."""

    condition: ext.Operand[Any]
    lhs: ext.Operand[Any]
    rhs: ext.Operand[Any]
    result: ext.Result[Any]

    def check(self) -> None:
        _expect_bool(self.condition, "condition")
        expect_same_type(self.result, self.lhs)
        expect_same_type(self.result, self.rhs)
        shape = shapes.broadcast(shape_of(self.lhs), shape_of(self.rhs))
        expect_shape(self.result, shapes.broadcast(shape_of(self.condition), shape))


class CastOp(BwOperation, name="cast", traits=[ext.Pure]):
    """The nearest value of another element type; an 8-bit float clips where `saturate`."""

    input: ext.Operand[Any]
    saturate: Any
    result: ext.Result[Any]

    def check(self) -> None:
        _expect_plain(self.input, self.result)
        expect_shape(self.result, shape_of(self.input))


class SliceOp(BwOperation, name="slice", traits=[ext.Pure]):
    """`sizes` elements of each axis, from `starts` on, `steps` apart (which may be negative)."""

    input: ext.Operand[Any]
    starts: Any
    sizes: Any
    steps: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_same_type(self.result, self.input)
        expect_shape(self.result, ints(self.sizes))
        fields = zip(
            shape_of(self.input), ints(self.starts), ints(self.sizes), ints(self.steps), strict=True
        )
        for extent, start, size, step in fields:
            last = start + (size - 1) * step
            if not (0 <= start < extent and 0 <= last < extent and size > 0 and step != 0):
                raise VerifyError(
                    f"{size} elements from {start}, {step} apart, leave an axis of {extent}"
                )


class GatherOp(BwOperation, name="gather", traits=[ext.Pure]):
    """The entries of one axis that `indices` names; negative ones count from the end."""

    input: ext.Operand[Any]
    indices: ext.Operand[Any]
    axis: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_same_type(self.result, self.input)
        shape, axis = shape_of(self.input), self.axis.value
        if not 0 <= axis < len(shape):
            raise VerifyError(f"axis {axis} is outside of rank {len(shape)}")
        expect_shape(self.result, (*shape[:axis], *shape_of(self.indices), *shape[axis + 1 :]))


class GatherElementsOp(BwOperation, name="gather_elements", traits=[ext.Pure]):
    """result[i, j, k] = input[indices[i, j, k], j, k] for axis 0, likewise for others."""

    input: ext.Operand[Any]
    indices: ext.Operand[Any]
    axis: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_same_type(self.result, self.input)
        expect_shape(self.result, shape_of(self.indices))


class ExpandOp(BwOperation, name="expand", traits=[ext.Pure]):
    """Broadcast to the shape of the result."""

    input: ext.Operand[Any]
    result: ext.Result[Any]

    def check(self) -> None:
        expect_same_type(self.result, self.input)
        shape = shape_of(self.result)
        expect_shape(self.result, shapes.broadcast(shape_of(self.input), shape))


class CumsumOp(BwOperation, name="cumsum", traits=[ext.Pure]):
    """Running sum along one axis; from the end where `reverse`, without itself if `exclusive`."""

    input: ext.Operand[Any]
    axis: Any
    exclusive: Any
    reverse: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_same_type(self.result, self.input)
        expect_shape(self.result, shape_of(self.input))


class ConvTranspose2dOp(BwOperation, name="conv_transpose2d", traits=[ext.Pure]):
    """The gradient of conv2d: [N, C, H, W] with [C, O/groups, KH, KW] to [N, O, OH, OW].

    `padding` (top, left, bottom, right) is cut off the result; `extra` rows and columns are
    added below and to the right.
    """

    input: ext.Operand[Any]
    weight: ext.Operand[Any]
    stride: Any
    padding: Any
    dilation: Any
    extra: Any
    groups: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_float(self.input, self.weight, self.result)
        expected = shapes.conv_transpose2d(
            shape_of(self.input), shape_of(self.weight), ints(self.stride), ints(self.padding),
            ints(self.dilation), ints(self.extra), self.groups.value,
        )  # fmt: skip
        expect_shape(self.result, expected)
