"""Bounds that every format is held to."""

from collections.abc import Sequence

from bitwright.frontend.common.errors import TensorTooLargeError

MAX_ELEMENTS = 1 << 28


def checked_size(extents: Sequence[int], where: str, most: int = MAX_ELEMENTS) -> tuple[int, ...]:
    """`extents` as a shape.

    Raises:
        TensorTooLargeError: for more than `most` elements, or an empty or negative extent.
    """
    total = 1
    for extent in extents:
        total *= int(extent)
        if extent < 1 or total > most:
            raise TensorTooLargeError(
                f"{where} has shape {[int(n) for n in extents]}; expected positive extents and at "
                f"most {most} elements"
            )
    return tuple(int(extent) for extent in extents)
