"""Scaled dot-product attention, as products, sums and a softmax."""

import math

import numpy as np
import torch
from torch_mlir import ir

from bitwright.frontend.common.normalization import scalar
from bitwright.frontend.torch.node import Array, Handler, Node, Operand, shape
from bitwright.ir.types import dtype_of


def attention(node: Node) -> Operand:
    """scaled_dot_product_attention with a mask, causal, or with grouped heads."""
    build = node.builder
    query, key, value = (node.value(name) for name in ("query", "key", "value"))
    if node.number("dropout_p") != 0:
        node.fail_value("dropout_p", "0; call model.eval() before the export")
    heads = shape(query)[-3] if len(shape(query)) > 2 else 1
    if node.flag("enable_gqa"):
        key, value = (_repeated(node, x, heads) for x in (key, value))
    width = shape(query)[-1]
    scale = node.number("scale") if node.has("scale") else 1 / math.sqrt(width)
    query = build.mul(query, scalar(build, scale, query))
    rank = len(shape(key))
    swapped = [*range(rank - 2), rank - 1, rank - 2]
    scores = build.matmul(query, build.transpose(key, swapped))
    axis = len(shape(scores)) - 1
    bias = _bias(node, shape(scores)[-2], shape(scores)[-1])
    if bias is None:
        return build.matmul(build.softmax(scores, axis), value)
    if isinstance(bias, ir.Value) or np.isneginf(bias).all(axis=-1).any():
        return build.matmul(_masked_softmax(node, scores, bias), value)
    return build.matmul(build.softmax(build.add(scores, build.plain(bias)), axis), value)


def _masked_softmax(node: Node, scores: ir.Value, bias: ir.Value | Array) -> ir.Value:
    """A row that is masked throughout attends to nothing, by way of an unmasked softmax."""
    build = node.builder
    bias = bias if isinstance(bias, ir.Value) else build.plain(bias)
    zero = scalar(build, 0, scores)
    top = build.reduce("reduce_max", bias, [len(shape(bias)) - 1], True)
    nothing = build.function("is_inf", top, negative=1, positive=0)
    masked = build.add(scores, build.select(nothing, zero, bias))
    return build.select(nothing, zero, build.softmax(masked, len(shape(scores)) - 1))


def _repeated(node: Node, x: ir.Value, heads: int) -> ir.Value:
    """Each head as often as makes `heads` of them."""
    *outer, own, length, width = shape(x)
    build = node.builder
    wide = build.expand(
        build.reshape(x, (*outer, own, 1, length, width)),
        (*outer, own, heads // own, length, width),
    )
    return build.reshape(wide, (*outer, heads, length, width))


def _bias(node: Node, rows: int, columns: int) -> ir.Value | Array | None:
    """What is added to the scores: the mask, constant where it can be."""
    build = node.builder
    if node.flag("is_causal"):
        allowed = np.tril(np.ones((rows, columns), np.bool_))
        return np.where(allowed, 0, -np.inf).astype(np.float32)
    if not node.has("attn_mask"):
        return None
    if isinstance(node.argument("attn_mask"), torch.Tensor):
        mask = node.array("attn_mask", "mask")
        mask = np.where(mask, 0, -np.inf) if mask.dtype == np.bool_ else mask
        return mask.astype(np.float32)
    mask = node.tensor("attn_mask")
    if dtype_of(mask) != np.bool_:
        return mask
    zero, low = (build.plain(np.asarray(n, np.float32)) for n in (0, -np.inf))
    return build.select(mask, zero, low)


HANDLERS: dict[str, Handler] = {"aten.scaled_dot_product_attention": attention}
