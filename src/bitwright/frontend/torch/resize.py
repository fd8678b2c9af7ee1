"""Upsampling: along each axis a product with a constant interpolation matrix.

Torch itself computes the matrix: resizing is linear along an axis, so that resizing the unit
vectors gives its columns. A matrix that only picks becomes `bw.gather`.
"""

from typing import Any

import numpy as np
import torch

from bitwright.frontend.common.resample import along
from bitwright.frontend.torch.node import Array, Handler, Node, Operand, shape


def upsample(node: Node) -> Operand:
    """upsample_*, by sizes or factors, in one or two axes."""
    x = node.value("input" if "input" in node.given else "self")
    node.read.update(("output_size", "scale_factors"))
    spatial = len(shape(x)) - 2
    name = str(node.proto.target).split(".")[1]
    if f"{spatial}d" not in name or spatial not in (1, 2):
        node.fail("input", f"has shape {list(shape(x))}", "1-D [N, C, L] and 2-D [N, C, H, W]")
    corners = (node.flag("align_corners"),) if "align_corners" in node.given else ()
    scales = _scales(node, spatial)
    for axis in range(2, 2 + spatial):
        extent, size, scale = shape(x)[axis], node.shape[axis], scales[axis - 2]
        matrix = _matrix(name, spatial, corners, axis - 2, extent, size, scale)
        if not (extent == size and np.array_equal(matrix, np.eye(extent))):
            x = along(node.builder, x, axis, matrix)
    return x


def _scales(node: Node, spatial: int) -> list[float | None]:
    if "scale_factors" in node.given:
        factors = node.argument("scale_factors")
        return [None] * spatial if factors is None else [float(n) for n in factors]
    names = ("scales",) if spatial == 1 else ("scales_h", "scales_w")
    return [node.number(name) if node.has(name) else None for name in names]


def _matrix(
    name: str, spatial: int, corners: tuple[bool, ...], axis: int, extent: int, size: int,
    scale: float | None,
) -> Array:  # fmt: skip
    """[size, extent]: what the operator makes of unit vectors along this axis.

    The other axis has two entries: with one, torch's kernels with antialiasing mistake the layout.
    """
    plane, result = [2] * spatial, [2] * spatial
    plane[axis], result[axis] = extent, size
    scales: list[float | None] = [1.0 if scale is not None else None] * spatial
    scales[axis] = scale
    column = [1] * spatial
    column[axis] = extent
    units = torch.eye(extent).reshape(extent, 1, *column).expand(extent, 1, *plane).contiguous()
    operator: Any = getattr(torch.ops.aten, name).default
    resized = operator(units, result, *corners, *scales)
    return resized.movedim(2 + axis, -1).reshape(extent, -1, size)[:, 0].numpy().T.copy()


_NAMES = (
    "_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "upsample_bicubic2d", "upsample_bilinear2d", "upsample_linear1d",
    "upsample_nearest1d", "upsample_nearest2d",
)  # fmt: skip

HANDLERS: dict[str, Handler] = {f"aten.{name}": upsample for name in _NAMES}
