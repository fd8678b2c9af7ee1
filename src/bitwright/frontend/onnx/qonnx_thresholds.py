"""QONNX: `MultiThreshold`, FINN's form of an activation and its quantization.

out_scale * (how many thresholds of its channel are <= x) + out_bias. The count is
`bw.multi_threshold`; scale and bias are a `bw.dequantize` where that gives the same floats for
every count, else a product and a sum.
"""

import re

import numpy as np
from torch_mlir import ir

from bitwright.frontend.onnx.node import Array, Handler, Node, Operand, shape
from bitwright.frontend.onnx.qonnx import brief
from bitwright.ir.bw_threshold import MAX_THRESHOLDS, count_reached

_COUNTS = np.dtype(np.uint8)
_LAYOUT_OF_RANK = {2: "NC", 3: "NWC", 4: "NCHW"}
_TYPE = re.compile(r"(?P<kind>U?INT)(?P<bits>[1-9]\d?)")
_NAMED_TYPES = {"": None, "FLOAT32": None, "BIPOLAR": (-1, 1), "BINARY": (0, 1), "TERNARY": (-1, 1)}


def multi_threshold(node: Node) -> Operand:
    """MultiThreshold."""
    extents = shape(node.required(0))
    axis = _channel_axis(node, len(extents))
    thresholds = node.float_array(1, "thresholds")
    if thresholds.ndim != 2 or len(thresholds) not in (1, extents[axis]):
        node.fail_operand(
            1, f"is the thresholds of shape {list(thresholds.shape)}",
            f"[1, n] or [{extents[axis]}, n], one row for each index of axis {axis}",
        )  # fmt: skip
    most = thresholds.shape[1]
    if not 1 <= most <= MAX_THRESHOLDS:
        node.fail_operand(1, f"has {most} thresholds", f"1 to {MAX_THRESHOLDS}")
    thresholds = np.sort(thresholds, axis=1)  # a count does not depend on their order
    scale, bias = (np.float32(node.number(f"out_{n}", d)) for n, d in (("scale", 1), ("bias", 0)))
    if not np.isfinite(scale) or scale == 0 or not np.isfinite(bias):
        node.fail_attribute("out_scale", float(scale), "numbers other than 0")
    counts = np.arange(most + 1)
    values = scale * counts.astype(np.float32) + bias
    _check_type(node, values)
    operand, build = node.required(0), node.builder
    if not isinstance(operand, ir.Value):
        return values[count_reached(node.float_array(0, "tensor"), thresholds, axis)]
    grid = (1,) * len(extents)
    for repeat in (1, 2):  # two thresholds at once where the real zero lies between two counts
        step, zero_point = scale / repeat, float(-bias / scale) * repeat
        steps = np.repeat(thresholds, repeat, axis=1)
        found = (repeat * counts - zero_point).astype(np.float32) * step
        integral = zero_point.is_integer() and abs(zero_point) <= steps.shape[1] <= MAX_THRESHOLDS
        if scale > 0 and integral and np.array_equal(found, values):
            reached = build.multi_threshold(node.value(0), _COUNTS, steps, axis)
            zero = np.full(grid, zero_point, _COUNTS)
            return build.dequantize(reached, build.plain(np.full(grid, step)), build.plain(zero))
    reached = build.multi_threshold(node.value(0), _COUNTS, thresholds, axis)
    real = build.mul(build.cast(reached, np.dtype(np.float32)), build.plain(np.full(grid, scale)))
    return build.add(real, build.plain(np.full(grid, bias)))


def _channel_axis(node: Node, rank: int) -> int:
    layout = node.attribute("data_layout", "") or _LAYOUT_OF_RANK.get(rank, "NC")
    if not isinstance(layout, str) or not layout.isalpha() or layout.count("C") > 1:
        node.fail_attribute("data_layout", layout, "NC, NCHW, NHWC and the like, with one C")
    axis = layout.find("C") if "C" in layout else 1
    if axis >= rank:
        node.fail_operand(0, f"has rank {rank}", f"a rank above {axis}, the channels' axis")
    return axis


def _check_type(node: Node, values: Array) -> None:
    """`out_dtype` only says what is known of the result; refuse one that is not true."""
    name = node.attribute("out_dtype", "")
    match = _TYPE.fullmatch(name) if isinstance(name, str) else None
    if match is not None:
        bits, signed = int(match["bits"]), match["kind"] == "INT"
        limits = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    elif isinstance(name, str) and name in _NAMED_TYPES:
        limits = _NAMED_TYPES[name]
    else:
        names = ", ".join(filter(None, _NAMED_TYPES))
        node.fail_attribute("out_dtype", name, f"INT1 to INT99, UINT1 to UINT99, {names}")
    if limits is None:
        return
    whole = (values == np.rint(values)).all()
    if whole and (values.min() < limits[0] or values.max() > limits[1]):
        node.fail_attribute(
            "out_dtype", name, f"a type that holds the results, {brief(values[[0, -1]])}"
        )


HANDLERS: dict[str, Handler] = {"MultiThreshold": multi_threshold}
