"""Kernel of `multi_threshold`: counts the thresholds that are not greater than the input."""

from typing import Any

import numpy as np

from bitwright.codegen.cpu.program import Kernel, count
from bitwright.codegen.cpu.values import Values, element_of, weight_of
from bitwright.ir.types import shape_of, value_params


def multi_threshold(kernel: Kernel, values: Values, op: Any) -> None:
    """qmin, plus 1 for each threshold: a sum over the innermost loop, without branches."""
    shape, axis = shape_of(op.input), op.axis.value
    rows = weight_of(op, "thresholds").astype(np.int32)
    if len(rows) == 1:
        split = (1, 1, count(shape))
    else:
        split = (count(shape[:axis]), shape[axis], count(shape[axis + 1 :]))
    element = element_of(op.input)
    x, y = values.view(kernel, op.input, split), values.view(kernel, op.result, split)
    wide = "%x = arith.extsi %i0 : i8 to i32" if element == "i8" else ""
    kernel.fill(y, value_params(op.result).qmin)
    kernel.generic(
        "a c b t", [(x, "a, c, b"), (kernel.constant(rows), "c, t")], (y, "a, c, b"),
        f"""
        {wide}
        %reached = arith.cmpi sle, %i1, {"%x" if wide else "%i0"} : i32
        %one = arith.extui %reached : i1 to i8
        %r = arith.addi %o, %one : i8
        """, reduced="t",
    )  # fmt: skip
