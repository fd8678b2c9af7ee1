"""Sliding windows: one spatial axis as a row, and what `ceil_mode` adds."""

from torch_mlir import ir

from bitwright.ir.builder import Builder
from bitwright.ir.types import shape_of


def as_2d(build: Builder, x: ir.Value) -> ir.Value:
    """[N, C, L] as [N, C, 1, L]; two spatial axes stay as they are."""
    extents = shape_of(x)
    return x if len(extents) == 4 else build.reshape(x, (*extents[:2], 1, extents[2]))


def from_2d(build: Builder, x: ir.Value, spatial: int) -> ir.Value:
    """The inverse of `as_2d` for a result."""
    extents = shape_of(x)
    return x if spatial == 2 else build.reshape(x, (*extents[:2], extents[3]))


def overhang(padded: int, kernel: int, stride: int, dilation: int, real_end: int) -> int:
    """What the last window of `ceil_mode` sticks out; it must start before the high padding."""
    extent = dilation * (kernel - 1) + 1
    outputs = -(-(padded - extent) // stride) + 1
    if (outputs - 1) * stride >= real_end:
        outputs -= 1
    return max((outputs - 1) * stride + extent - padded, 0)
