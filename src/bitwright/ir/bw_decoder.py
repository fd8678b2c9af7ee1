"""Operations of a transformer decoder: normalisation, positions, attention over a cache, gates.

They are float only. Activations are [N, T, heads, head_width], a cache is [N, C, heads,
head_width] and holds the keys or the values of positions 0 to C-1. `position` is one integer
known at run time: the position of the first of the T tokens. What each operation computes is
defined by `bitwright.ir.reference_decoder`.
"""

# Operations get their operands and attributes as annotations that the dialect machinery reads.
# pyright: basic, reportInvalidTypeForm=false, reportAttributeAccessIssue=false

from typing import Any

import numpy as np
from torch_mlir import ir
from torch_mlir.dialects import ext

from bitwright.ir.bw import BwOperation
from bitwright.ir.checks import VerifyError, expect_float, expect_shape
from bitwright.ir.types import dtype_of, is_plain, shape_of

ROPE_PAIRS = ("neighbours", "halves")
GLU_ACTIVATIONS = ("silu", "gelu_tanh", "relu_squared")


def _expect_rank(value: ir.Value, name: str, rank: int) -> None:
    if len(shape_of(value)) != rank:
        raise VerifyError(f"{name} has shape {shape_of(value)}, expected {rank} axes")


def _expect_position(value: ir.Value) -> None:
    if not is_plain(value) or dtype_of(value) != np.int32 or shape_of(value) != (1,):
        raise VerifyError(f"position is {value.type}, expected tensor<1xsi32>")


def _expect_rows(rows: int, cache: ir.Value) -> None:
    extent = shape_of(cache)[1]
    if rows > extent:
        raise VerifyError(f"{rows} rows do not fit the cache, which has {extent}")


class RmsNormOp(BwOperation, name="rms_norm", traits=[ext.Pure]):
    """x * weight / sqrt(mean(x^2) + epsilon) along the last axis (arXiv 1910.07467)."""

    input: ext.Operand[Any]
    weight: ext.Operand[Any]
    epsilon: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_float(self.input, self.weight, self.result)
        expect_shape(self.result, shape_of(self.input))
        expected = shape_of(self.input)[-1:]
        if shape_of(self.weight) != expected:
            raise VerifyError(f"weight has shape {shape_of(self.weight)}, expected {expected}")
        if not self.epsilon.value >= 0:
            raise VerifyError(f"epsilon is {self.epsilon.value}, expected at least 0")


class RopeOp(BwOperation, name="rope", traits=[ext.Pure]):
    """Rotary position embedding (arXiv 2104.09864) of [N, T, heads, head_width].

    Pair i of token t is turned by (position + t) * frequencies[i]. Pairs are `neighbours`,
    elements 2i and 2i+1, or `halves`, elements i and i+R/2, where R is twice the number of
    frequencies; elements from R on stay as they are.
    """

    input: ext.Operand[Any]
    frequencies: ext.Operand[Any]
    position: ext.Operand[Any]
    pairs: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_float(self.input, self.frequencies, self.result)
        expect_shape(self.result, shape_of(self.input))
        _expect_rank(self.input, "input", 4)
        _expect_rank(self.frequencies, "frequencies", 1)
        _expect_position(self.position)
        rotated, width = 2 * shape_of(self.frequencies)[0], shape_of(self.input)[3]
        if rotated > width:
            raise VerifyError(f"{rotated} rotated elements of a head that has {width}")
        if self.pairs.value not in ROPE_PAIRS:
            raise VerifyError(f"pairs {self.pairs.value!r} is not one of {', '.join(ROPE_PAIRS)}")


class CacheUpdateOp(BwOperation, name="cache_update", traits=[ext.Pure]):
    """The cache [N, C, heads, width] with `rows` [N, T, heads, width] from `position` on."""

    cache: ext.Operand[Any]
    rows: ext.Operand[Any]
    position: ext.Operand[Any]
    result: ext.Result[Any]

    def check(self) -> None:
        expect_float(self.cache, self.rows, self.result)
        expect_shape(self.result, shape_of(self.cache))
        _expect_rank(self.cache, "cache", 4)
        _expect_position(self.position)
        samples, _, *inner = shape_of(self.cache)
        rows = shape_of(self.rows)
        if len(rows) != 4 or (rows[0], *rows[2:]) != (samples, *inner):
            raise VerifyError(f"rows of shape {rows} do not fit a cache {shape_of(self.cache)}")
        _expect_rows(rows[1], self.cache)


class AttentionOp(BwOperation, name="attention", traits=[ext.Pure]):
    """Causal grouped-query attention of [N, T, H, D] to caches [N, C, G, D] and [N, C, G, E].

    Query t of head h attends to the positions j of head h // (H/G) with
    position + t - window < j <= position + t (window 0: no lower bound), with the weights
    softmax(cap(scale * query . key_j)), where cap(x) is softcap * tanh(x / softcap), or x where
    softcap is 0. The result is [N, T, H, E].
    """

    query: ext.Operand[Any]
    key: ext.Operand[Any]
    value: ext.Operand[Any]
    position: ext.Operand[Any]
    scale: Any
    window: Any
    softcap: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_float(self.query, self.key, self.value, self.result)
        for name in ("query", "key", "value"):
            _expect_rank(getattr(self, name), name, 4)
        _expect_position(self.position)
        samples, rows, heads, width = shape_of(self.query)
        extent, groups = shape_of(self.key)[1:3]
        if shape_of(self.key) != (samples, extent, groups, width):
            raise VerifyError(
                f"key has shape {shape_of(self.key)}, expected ({samples}, C, G, {width})"
            )
        if shape_of(self.value)[:3] != (samples, extent, groups):
            raise VerifyError(
                f"value has shape {shape_of(self.value)}, expected ({samples}, {extent}, "
                f"{groups}, E)"
            )
        if heads % groups:
            raise VerifyError(f"{heads} heads are no multiple of {groups} heads of the cache")
        _expect_rows(rows, self.key)
        if self.window.value < 0 or not self.softcap.value >= 0:
            raise VerifyError(
                f"window {self.window.value} and softcap {self.softcap.value}; expected at least 0"
            )
        expect_shape(self.result, (samples, rows, heads, shape_of(self.value)[3]))


class GluOp(BwOperation, name="glu", traits=[ext.Pure]):
    """activation(gate) * input: SwiGLU with `silu`, GEGLU with `gelu_tanh` (arXiv 2002.05202).

    `relu_squared` is max(gate, 0)^2 (BitNet).
    """

    gate: ext.Operand[Any]
    input: ext.Operand[Any]
    activation: Any
    result: ext.Result[Any]

    def check(self) -> None:
        expect_float(self.gate, self.input, self.result)
        expect_shape(self.gate, shape_of(self.input))
        expect_shape(self.result, shape_of(self.input))
        if self.activation.value not in GLU_ACTIVATIONS:
            raise VerifyError(
                f"activation {self.activation.value!r} is not one of {', '.join(GLU_ACTIVATIONS)}"
            )
