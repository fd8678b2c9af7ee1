"""Operations of the `bw` dialect on the order and the places of elements, of any plain type."""

# Operations get their operands and attributes as annotations that the dialect machinery reads.
# pyright: basic, reportInvalidTypeForm=false, reportAttributeAccessIssue=false

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext

from bitwright.ir.bw import BwOperation
from bitwright.ir.checks import VerifyError, expect_same_type, expect_shape
from bitwright.ir.types import element_type, is_plain, shape_of

REDUCTIONS = ("none", "add", "mul", "max", "min")


class ArgsortOp(BwOperation, name="argsort", traits=[ext.Pure]):
    """Indices (int64) that sort each line along `axis`; of equal elements the first comes first."""

    input: ext.Operand[Any]
    axis: Any
    descending: Any
    result: ext.Result[Any]

    def check(self) -> None:
        if not is_plain(self.input) or str(element_type(self.result)) != "si64":
            raise VerifyError(f"{self.input.type} to {self.result.type}; expected plain to si64")
        expect_shape(self.result, shape_of(self.input))
        _check_axis(self)


class ScatterElementsOp(BwOperation, name="scatter_elements", traits=[ext.Pure]):
    """input with input[indices[i, j, k], j, k] = updates[i, j, k] for axis 0, likewise for others.

    With a `reduction` the old element and the update are combined, in the order of the updates;
    negative indices count from the end.
    """

    input: ext.Operand[Any]
    indices: ext.Operand[Any]
    updates: ext.Operand[Any]
    axis: Any
    reduction: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_same_type(self.result, self.input)
        expect_same_type(self.updates, self.input)
        if not is_plain(self.input) or not isinstance(element_type(self.indices), ir.IntegerType):
            raise VerifyError(f"{self.input.type} by {self.indices.type}; expected plain, integers")
        expect_shape(self.result, shape_of(self.input))
        expect_shape(self.updates, shape_of(self.indices))
        _check_axis(self)
        if self.reduction.value not in REDUCTIONS:
            raise VerifyError(f"reduction {self.reduction.value!r} is none of {REDUCTIONS}")
        own, picked = shape_of(self.input), shape_of(self.indices)
        if len(own) != len(picked) or any(
            n > m for i, (n, m) in enumerate(zip(picked, own, strict=True)) if i != self.axis.value
        ):
            raise VerifyError(f"indices of {picked} leave {own}")


def _check_axis(operation: Any) -> None:
    rank = len(shape_of(operation.input))
    if not 0 <= operation.axis.value < rank:
        raise VerifyError(f"axis {operation.axis.value} is outside of rank {rank}")
