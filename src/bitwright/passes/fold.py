"""The clean-up between import and quantization; see `Fold`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch_mlir import ir

from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.bw_quantize import DequantizeOp
from bitwright.ir.types import is_float
from bitwright.passes import fold_affine, fold_layout, fold_windows
from bitwright.passes.rewrite import Match, Rewriter, Rule, to_fixed_point


@dataclass(frozen=True)
class Fold:
    """Bring a float module to few convolutions, products and activations.

        batch_norm(conv2d(x))                  -->  conv2d(x)
        conv2d(mul(x, constant per channel))   -->  conv2d(x)
        transpose(relu(transpose(x)))          -->  relu(x)
        conv2d(pad(x))                         -->  conv2d(x)
        relu6(relu(x))                         -->  clip(x)
        f(constants)                           -->  constant

    The rules stand in `fold_affine.py`, `fold_layout.py` and `fold_windows.py`; each module's
    description shows its own `before --> after`. Requires: a float module. The result computes the
    same function, up to float rounding; inputs and outputs keep their names and shapes.

    Args:
        dequantize: whether constants that are dequantized become floats; else their integers stay.
    """

    dequantize: bool = False

    def run(self, module: ir.Module) -> ir.Module:
        """Return the rewritten module, in the same context."""
        more = {DequantizeOp.OPERATION_NAME: (_dequantized,)} if self.dequantize else {}
        return to_fixed_point(module, {**RULES, **more})


MAX_CONSTANT = 1 << 24


def _constant(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """f(constants) --> constant, computed by the reference interpreter."""
    constants = match.constants()
    if not constants or np.prod(match.shape) > MAX_CONSTANT:
        return None
    scratch = Builder([], rewriter.builder.context)
    operands = [scratch.constant(array) for array in constants]
    module = scratch.finish([("result", scratch.copy(match.operation, operands))])
    return rewriter.builder.constant(reference.run(module, {})["result"])


def _dequantized(rewriter: Rewriter, match: Match) -> ir.Value | None:
    """dequantize(constants) --> constant."""
    array = reference.constant_value(match.operation.result)
    if array is None or not is_float(match.operation.result) or not array.ndim:
        return None
    return rewriter.builder.constant(array)


RULES: Mapping[str, Sequence[Rule]] = {
    "bw.add": (
        _constant, fold_affine.add, fold_layout.sink_transpose, fold_layout.sink_reshape,
    ),
    "bw.avg_pool2d": (_constant, fold_windows.avg_pool2d),
    "bw.batch_norm": (_constant, fold_affine.batch_norm),
    "bw.clip": (
        _constant, fold_windows.clip, fold_layout.sink_transpose, fold_layout.sink_reshape,
    ),
    "bw.concat": (_constant, fold_layout.sink_transpose),
    "bw.conv2d": (_constant, fold_windows.conv2d, fold_affine.conv2d),
    "bw.hard_sigmoid": (_constant, fold_layout.sink_transpose, fold_layout.sink_reshape),
    "bw.hard_swish": (_constant, fold_layout.sink_transpose, fold_layout.sink_reshape),
    "bw.leaky_relu": (_constant, fold_layout.sink_transpose, fold_layout.sink_reshape),
    "bw.linear": (_constant, fold_layout.linear, fold_affine.linear),
    "bw.matmul": (_constant, fold_windows.matmul),
    "bw.max_pool2d": (_constant, fold_windows.max_pool2d),
    "bw.mul": (
        _constant, fold_windows.hard_swish, fold_affine.mul, fold_layout.sink_transpose,
        fold_layout.sink_reshape,
    ),
    "bw.pad": (_constant, fold_windows.pad, fold_layout.sink_transpose),
    "bw.reduce_mean": (_constant, fold_layout.sink_transpose, fold_windows.reduce_mean),
    "bw.relu": (
        _constant, fold_windows.clip, fold_layout.sink_transpose, fold_layout.sink_reshape,
    ),
    "bw.reshape": (_constant, fold_layout.reshape),
    "bw.sigmoid": (_constant, fold_layout.sink_transpose, fold_layout.sink_reshape),
    "bw.softmax": (_constant, fold_layout.sink_transpose),
    "bw.tanh": (_constant, fold_layout.sink_transpose, fold_layout.sink_reshape),
    "bw.transpose": (_constant, fold_layout.transpose),
}  # fmt: skip
