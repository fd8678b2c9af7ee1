"""`bw.dynamic_linear`: a float layer on integer weights, whose rows become integers at run time.

What it computes, bit for bit, is defined by `bitwright.ir.reference_dynamic`.
"""

# Operations get their operands and attributes as annotations that the dialect machinery reads.
# pyright: basic, reportInvalidTypeForm=false, reportAttributeAccessIssue=false

from typing import Any

from torch_mlir.dialects import ext

from bitwright.ir import shapes
from bitwright.ir.bw import BwOperation
from bitwright.ir.checks import VerifyError, expect_float, expect_shape
from bitwright.ir.types import dtype_of, is_plain, shape_of

LONGEST_GROUP = 1 << 15
"""Products in an integer sum: 2^15 of -128 * 127 fit 32 bits, also where a field is scaled."""


class DynamicLinearOp(BwOperation, name="dynamic_linear", traits=[ext.Pure]):
    """[..., K] float times the transpose of [N, K] int8 with a scale for each group of a row.

    `scale` is [N, G], where G divides K: group g is K / G weights in a row. `bias` is [N].
    """

    input: ext.Operand[Any]
    weight: ext.Operand[Any]
    scale: ext.Operand[Any]
    bias: ext.Operand[Any]
    result: ext.Result[Any]

    def check(self) -> None:
        expect_float(self.input, self.scale, self.bias, self.result)
        expect_shape(self.result, shapes.linear(shape_of(self.input), shape_of(self.weight)))
        if not is_plain(self.weight) or dtype_of(self.weight).name != "int8":
            raise VerifyError(f"weight is {self.weight.type}, expected plain int8")
        outputs, depth = shape_of(self.weight)
        grid = shape_of(self.scale)
        if len(grid) != 2 or grid[0] != outputs or depth % grid[1]:
            raise VerifyError(
                f"scale has shape {grid}, expected ({outputs}, G) with a divisor G of {depth}"
            )
        if depth // grid[1] > LONGEST_GROUP:
            raise VerifyError(
                f"groups are {depth // grid[1]} weights long, expected at most {LONGEST_GROUP}"
            )
        if shape_of(self.bias) != (outputs,):
            raise VerifyError(f"bias has shape {shape_of(self.bias)}, expected ({outputs},)")
