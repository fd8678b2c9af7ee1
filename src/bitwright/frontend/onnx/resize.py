"""Resize: along each axis a product with a constant interpolation matrix.

ONNX's own reference evaluator computes the matrix: resizing is linear along an axis, so that
resizing the unit vectors gives its columns. A matrix that only picks becomes `bw.gather`.
"""

from typing import Any

import numpy as np
import onnx
from onnx import helper

from bitwright.frontend.common.resample import along
from bitwright.frontend.onnx import constants
from bitwright.frontend.onnx.node import Array, Handler, Node, Operand, checked_size, shape

MAX_MATRIX = 1 << 24
_KEPT = (
    "antialias", "coordinate_transformation_mode", "cubic_coeff_a", "exclude_outside",
    "extrapolation_value", "mode", "nearest_mode",
)  # fmt: skip


def resize(node: Node) -> Operand:
    """Resize by constant scales or sizes, every mode that the standard has."""
    x = node.value(0)
    rank = len(shape(x))
    axes = node.attribute("axes")
    axes = list(range(rank)) if axes is None else [node.axis(int(a), rank) for a in axes]
    roi = _floats(node, 1, 2 * len(axes))
    scales = _floats(node, 2, len(axes))
    sizes = None if node.operand(3) is None else node.integer_list(3, "list of sizes")
    if scales is None and sizes is None:
        node.fail_operand(2, "is empty, and there are no sizes", "scales or sizes")
    crop = node.attribute("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    if crop and node.number("extrapolation_value", 0.0) != 0.0:
        node.fail_attribute(
            "extrapolation_value", node.number("extrapolation_value", 0.0), "0 (with a crop)"
        )
    policy = node.attribute("keep_aspect_ratio_policy", "stretch")
    if sizes is not None and policy != "stretch":
        ratios = [n / shape(x)[axis] for n, axis in zip(sizes, axes, strict=True)]
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        scales = np.full(len(axes), ratio, np.float32)
        sizes = [int(ratio * shape(x)[axis] + 0.5) for axis in axes]
    for number, axis in enumerate(axes):
        extent = shape(x)[axis]
        scale = None if scales is None or sizes is not None else float(scales[number])
        size = sizes[number] if sizes is not None else int(extent * float(scales[number]))  # pyright: ignore
        own_roi = None if roi is None else (float(roi[number]), float(roi[number + len(axes)]))
        if size == extent and scale in (None, 1.0) and own_roi in (None, (0.0, 1.0)):
            continue
        if size == extent and scale in (None, 1.0) and not crop:
            continue
        checked_size((extent, size), f"{node.describe()}: its matrix", MAX_MATRIX)
        x = along(node.builder, x, axis, _matrix(node, extent, size, scale, own_roi))
    return x


def _floats(node: Node, index: int, count: int) -> Array | None:
    if node.operand(index) is None:
        return None
    array = node.array(index, "roi, scales or sizes")
    if array.size == 0:
        return None
    if array.size != count:
        node.fail_operand(index, f"has {array.size} elements", f"{count}")
    return array.reshape(-1).astype(np.float32)


def _matrix(
    node: Node, extent: int, size: int, scale: float | None, roi: tuple[float, float] | None
) -> Array:  # fmt: skip
    """[size, extent]."""
    names = [
        "x",
        "roi",
        "scales" if scale is not None else "",
        "" if scale is not None else "sizes",
    ]
    attributes: dict[str, Any] = {
        name: node.attribute(name) for name in _KEPT if node.attribute(name) is not None
    }
    inner = helper.make_node("Resize", names, ["y"], name=node.proto.name, **attributes)
    bounds = (0.0, 1.0) if roi is None else roi
    if node.attribute("mode", "nearest") == "nearest" and "tf_crop" not in str(
        node.attribute("coordinate_transformation_mode", "")
    ):  # what a ramp becomes says which entry each one picks
        ramp = _evaluated(inner, node, np.arange(extent, dtype=np.float32), bounds, scale, size)
        return (ramp[:, None] == np.arange(extent)).astype(np.float32)
    rows: list[Array] = []
    for position in range(extent):
        unit = np.zeros(extent, np.float32)
        unit[position] = 1
        rows.append(_evaluated(inner, node, unit, bounds, scale, size))
    return np.stack(rows, axis=1)


def _evaluated(
    inner: onnx.NodeProto, node: Node, x: Array, roi: tuple[float, float], scale: float | None,
    size: int,
) -> Array:  # fmt: skip
    operands = [
        x, np.asarray(roi, np.float32),
        None if scale is None else np.asarray([scale], np.float32),
        None if scale is not None else np.asarray([size], np.int64),
    ]  # fmt: skip
    return constants.evaluate(inner, max(node.opset, 19), operands)[0]


HANDLERS: dict[str, Handler] = {"Resize": resize}
