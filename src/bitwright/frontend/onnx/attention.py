"""Attention and rotary embedding, as products, sums and a softmax."""

import math
from collections.abc import Sequence

import numpy as np
from torch_mlir import ir

from bitwright.frontend.onnx.functions import scalar, tanh
from bitwright.frontend.onnx.indexing import part
from bitwright.frontend.onnx.node import Handler, Node, Operand, shape
from bitwright.ir.types import dtype_of

_FLOAT = np.dtype(np.float32)
_KNOWN = (
    "is_causal", "kv_num_heads", "q_num_heads", "qk_matmul_output_mode", "scale", "softcap",
    "softmax_precision",
)  # fmt: skip


def _heads(node: Node, x: ir.Value, count: int) -> ir.Value:
    """[B, S, heads * D] to [B, heads, S, D]; four axes stay as they are."""
    extents = shape(x)
    if len(extents) == 4:
        return x
    split = (extents[0], extents[1], count, extents[2] // count)
    return node.builder.transpose(node.builder.reshape(x, split), (0, 2, 1, 3))


def _repeated(node: Node, x: ir.Value, times: int) -> ir.Value:
    """Each head `times` times (grouped-query attention)."""
    if times == 1:
        return x
    batch, heads, length, width = shape(x)
    build = node.builder
    wide = build.reshape(x, (batch, heads, 1, length, width))
    wide = build.expand(wide, (batch, heads, times, length, width))
    return build.reshape(wide, (batch, heads * times, length, width))


def attention(node: Node) -> Sequence[Operand]:
    """Scaled dot-product attention: grouped heads, masks, a cache, soft capping.

    What `qk_matmul_output_mode` names is the fourth result.
    """
    for item in node.proto.attribute:
        if item.name not in _KNOWN:
            node.fail_attribute(item.name, node.attribute(item.name), ", ".join(_KNOWN))
    build = node.builder
    own, flat = dtype_of(node.tensor(0)), node.rank(0) == 3
    query, key, value = (build.cast(node.tensor(index), _FLOAT) for index in range(3))
    query = _heads(node, query, node.integer("q_num_heads", 0))
    key = _heads(node, key, node.integer("kv_num_heads", 0))
    value = _heads(node, value, node.integer("kv_num_heads", 0))
    past = 0
    if node.operand(4) is not None and node.operand(5) is not None:
        past = node_shape(node, 4)[2]
        key = build.concat([build.cast(node.tensor(4), _FLOAT), key], 2)
        value = build.concat([build.cast(node.tensor(5), _FLOAT), value], 2)
    present = [build.cast(x, own) for x in (key, value)]
    if node.operand(6) is not None:
        node.fail_operand(6, "gives the lengths of padded sequences", "no such input")
    heads, rows, width = shape(query)[1:]
    columns = shape(key)[2]
    key = _repeated(node, key, heads // shape(key)[1])
    value = _repeated(node, value, heads // shape(value)[1])
    root = math.sqrt(node.number("scale", 0.0) or 1 / math.sqrt(width))
    query, key = (build.mul(x, scalar(node, root, x)) for x in (query, key))
    raw = scores = build.matmul(query, build.transpose(key, (0, 1, 3, 2)))
    cap, mode = node.number("softcap", 0.0), node.integer("qk_matmul_output_mode", 0)
    bias = _bias(node, rows, columns, past)
    if cap:
        scores = _capped(node, scores, cap)
    if bias is not None:
        scores = build.add(scores, bias)
    weights = build.softmax(scores, 3)
    if bias is not None:  # a row that is masked throughout attends to nothing
        top = build.reduce("reduce_max", scores, [3], True)
        nothing = build.function("is_inf", top, negative=1, positive=0)
        weights = build.select(nothing, scalar(node, 0, weights), weights)
    wants_scores = len(node.proto.output) > 3 and bool(node.proto.output[3])
    if wants_scores and mode in (1, 2) and (cap or bias is not None):
        node.fail_attribute("qk_matmul_output_mode", mode, "0, 3 (with a mask or a soft cap)")
    result = build.matmul(weights, value)
    if flat:
        result = build.transpose(result, (0, 2, 1, 3))
        batch, _, _, depth = shape(value)
        result = build.reshape(result, (batch, rows, heads * depth))
    return [build.cast(result, own), *present, build.cast(weights if mode == 3 else raw, own)]


def node_shape(node: Node, index: int) -> tuple[int, ...]:
    """Shape of an operand."""
    return shape(node.required(index))


def _capped(node: Node, x: ir.Value, cap: float) -> ir.Value:
    build, limit = node.builder, scalar(node, cap, x)
    return build.mul(tanh(node, build.binary("div", x, limit)), limit)


def _bias(node: Node, rows: int, columns: int, past: int) -> ir.Value | None:
    """What is added to the scores: the mask, and minus infinity above the diagonal."""
    build = node.builder
    bias: ir.Value | None = None
    zero, low = (build.plain(np.asarray(n, np.float32)) for n in (0, -np.inf))
    if node.operand(3) is not None:
        mask = node.tensor(3)
        is_bool = dtype_of(mask) == np.bool_
        bias = build.select(mask, zero, low) if is_bool else build.cast(mask, _FLOAT)
        missing = columns - shape(bias)[-1]
        if missing:
            node.fail_operand(3, f"is {missing} columns short", f"{columns} columns")
    if node.integer("is_causal", 0):
        allowed = np.tril(np.ones((rows, columns), np.bool_), past)
        causal = build.select(build.plain(allowed), zero, low)
        bias = causal if bias is None else build.add(bias, causal)
    return bias


def rotary_embedding(node: Node) -> Operand:
    """RotaryEmbedding: pairs of each head's elements are turned by an angle of the position."""
    build, x = node.builder, node.tensor(0)
    extents = shape(x)
    flat = len(extents) == 3
    if flat:
        count = node.integer("num_heads", 0)
        split = (extents[0], extents[1], count, extents[2] // count)
        x = build.reshape(x, split)
    else:
        x = build.transpose(x, (0, 2, 1, 3))
    width = shape(x)[3]
    turned = node.integer("rotary_embedding_dim", 0) or width
    rest = part(node, x, 3, turned, width - turned) if turned < width else None
    x = part(node, x, 3, 0, turned)
    angles: list[ir.Value] = []
    for index in (1, 2):
        table = node.tensor(index)
        if node.operand(3) is not None:
            table = build.gather(table, node.tensor(3), 0)
        table = part(node, table, 2, 0, turned // 2)
        batch, length, half = shape(table)
        angles.append(build.reshape(table, (batch, length, 1, half)))
    cosine, sine = angles
    if node.integer("interleaved", 0):
        starts, sizes = [0, 0, 0, 0], [*shape(x)[:3], turned // 2]
        first = build.slice(x, starts, sizes, (1, 1, 1, 2))
        second = build.slice(x, [0, 0, 0, 1], sizes, (1, 1, 1, 2))
    else:
        first, second = part(node, x, 3, 0, turned // 2), part(node, x, 3, turned // 2, turned // 2)
    real = build.add(build.mul(cosine, first), build.mul(sine, second), 1, -1)
    imaginary = build.add(build.mul(sine, first), build.mul(cosine, second))
    if node.integer("interleaved", 0):
        column = (*shape(real), 1)
        pairs = [build.reshape(y, column) for y in (real, imaginary)]
        result = build.reshape(build.concat(pairs, 4), (*shape(real)[:3], turned))
    else:
        result = build.concat([real, imaginary], 3)
    if rest is not None:
        result = build.concat([result, rest], 3)
    return build.reshape(result, extents) if flat else build.transpose(result, (0, 2, 1, 3))


HANDLERS: dict[str, Handler] = {
    "Attention": attention,
    "RotaryEmbedding": rotary_embedding,
}
