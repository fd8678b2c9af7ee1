"""Result shapes of the `bw` operations, shared by the builder and the verifiers.

All functions take and return plain tuples and raise `ValueError` with the offending values.
"""

from collections.abc import Sequence

Shape = tuple[int, ...]


def _window_extent(
    size: int, kernel: int, stride: int, before: int, after: int, dilation: int, what: str
) -> int:
    extent = dilation * (kernel - 1) + 1
    padded = size + before + after
    if stride < 1 or dilation < 1 or kernel < 1 or before < 0 or after < 0:
        raise ValueError(
            f"{what}: kernel {kernel}, stride {stride}, dilation {dilation} must be positive and "
            f"padding ({before}, {after}) not negative"
        )
    if padded < extent:
        raise ValueError(
            f"{what}: the window spans {extent} but the padded input has only {padded}"
        )
    return (padded - extent) // stride + 1


def window(
    spatial: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, int]:
    """Output rows and columns of a sliding window; padding is top, left, bottom, right."""
    if len(kernel) != 2 or len(stride) != 2 or len(dilation) != 2 or len(padding) != 4:
        raise ValueError(
            f"expected 2 kernel, 2 stride, 2 dilation and 4 padding values, found {list(kernel)}, "
            f"{list(stride)}, {list(dilation)}, {list(padding)}"
        )
    rows = _window_extent(
        spatial[0], kernel[0], stride[0], padding[0], padding[2], dilation[0], "rows"
    )
    columns = _window_extent(
        spatial[1], kernel[1], stride[1], padding[1], padding[3], dilation[1], "columns"
    )
    return rows, columns


def conv2d(
    input_shape: Shape,
    weight: Shape,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Shape:
    """[N, C, H, W] and [O, C/groups, KH, KW] to [N, O, OH, OW]."""
    if len(input_shape) != 4 or len(weight) != 4:
        raise ValueError(f"input {input_shape} and weight {weight} must both have rank 4")
    channels, outputs = input_shape[1], weight[0]
    if groups < 1 or channels % groups or outputs % groups or weight[1] != channels // groups:
        raise ValueError(
            f"{channels} input channels in {groups} groups need a weight of "
            f"[{outputs}, channels / groups, ...], found {weight}"
        )
    rows, columns = window(input_shape[2:], weight[2:], stride, padding, dilation)
    return (input_shape[0], outputs, rows, columns)


def pool2d(
    input_shape: Shape,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int] = (1, 1),
) -> Shape:
    """[N, C, H, W] to [N, C, OH, OW]."""
    if len(input_shape) != 4:
        raise ValueError(f"input {input_shape} must have rank 4")
    rows, columns = window(input_shape[2:], kernel, stride, padding, dilation)
    return (*input_shape[:2], rows, columns)


def linear(input_shape: Shape, weight: Shape) -> Shape:
    """[..., K] and [N, K] to [..., N]."""
    if len(input_shape) < 1 or len(weight) != 2 or input_shape[-1] != weight[1]:
        raise ValueError(f"input {input_shape} must end in the {weight[1:]} columns of {weight}")
    return (*input_shape[:-1], weight[0])


def broadcast(lhs: Shape, rhs: Shape) -> Shape:
    """NumPy broadcasting."""
    rank = max(len(lhs), len(rhs))
    left = (1,) * (rank - len(lhs)) + lhs
    right = (1,) * (rank - len(rhs)) + rhs
    if any(a != b and a != 1 and b != 1 for a, b in zip(left, right, strict=True)):
        raise ValueError(f"shapes {lhs} and {rhs} do not broadcast")
    return tuple(b if a == 1 else a for a, b in zip(left, right, strict=True))


def matmul(lhs: Shape, rhs: Shape) -> Shape:
    """[..., M, K] and [..., K, N] to [..., M, N]."""
    if len(lhs) < 2 or len(rhs) < 2 or lhs[-1] != rhs[-2]:
        raise ValueError(f"{lhs} and {rhs} do not multiply")
    return (*broadcast(lhs[:-2], rhs[:-2]), lhs[-2], rhs[-1])


def transpose(input_shape: Shape, perm: Sequence[int]) -> Shape:
    """Axes in the order of `perm`."""
    if sorted(perm) != list(range(len(input_shape))):
        raise ValueError(f"perm {list(perm)} is not a permutation of the axes of {input_shape}")
    return tuple(input_shape[axis] for axis in perm)


def concat(inputs: Sequence[Shape], axis: int) -> Shape:
    """Joined along `axis`, all other axes equal."""
    first = inputs[0]
    if not 0 <= axis < len(first):
        raise ValueError(f"axis {axis} is outside of rank {len(first)}")
    for shape in inputs:
        if len(shape) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(shape, first, strict=True)) if i != axis
        ):
            raise ValueError(f"inputs {list(inputs)} differ outside of axis {axis}")
    return (*first[:axis], sum(shape[axis] for shape in inputs), *first[axis + 1 :])


def pad(input_shape: Shape, low: Sequence[int], high: Sequence[int]) -> Shape:
    """`low` values before and `high` values after, per axis."""
    if len(low) != len(input_shape) or len(high) != len(input_shape) or min(*low, *high, 0) < 0:
        raise ValueError(
            f"low {list(low)} and high {list(high)} must name one count >= 0 per axis of "
            f"{input_shape}"
        )
    return tuple(a + n + b for n, a, b in zip(input_shape, low, high, strict=True))


def reduce(input_shape: Shape, axes: Sequence[int], keepdims: bool) -> Shape:
    """Reduced axes become 1 or vanish."""
    if len(set(axes)) != len(axes) or any(not 0 <= axis < len(input_shape) for axis in axes):
        raise ValueError(f"axes {list(axes)} are not distinct axes of {input_shape}")
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(input_shape))
    return tuple(n for i, n in enumerate(input_shape) if i not in axes)


def conv_transpose2d(
    input_shape: Shape,
    weight: Shape,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    extra: Sequence[int],
    groups: int,
) -> Shape:
    """[N, C, H, W] and [C, O/groups, KH, KW] to [N, O, OH, OW]."""
    if len(input_shape) != 4 or len(weight) != 4:
        raise ValueError(f"input {input_shape} and weight {weight} must both have rank 4")
    channels = input_shape[1]
    if groups < 1 or weight[0] != channels or channels % groups:
        raise ValueError(f"{channels} input channels in {groups} groups do not fit {weight}")
    spatial = [
        (size - 1) * s + d * (k - 1) + 1 - low - high + more
        for size, s, d, k, low, high, more in zip(
            input_shape[2:], stride, dilation, weight[2:], padding[:2], padding[2:], extra,
            strict=True,
        )
    ]  # fmt: skip
    if min(spatial) < 1:
        raise ValueError(f"the padding {list(padding)} leaves {spatial} rows and columns")
    return (input_shape[0], weight[1] * groups, *spatial)
