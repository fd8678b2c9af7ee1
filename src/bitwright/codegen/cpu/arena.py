"""Places buffers with known lifetimes in one block of memory."""

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(eq=False)
class Buffer:
    """`size` bytes that are needed from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int
    offset: int = 0


def place(buffers: Sequence[Buffer]) -> int:
    """Set every `offset` so that buffers alive at one step do not overlap; return the total size.

    Greedy by size (Pisarchyk and Lee, arXiv 2001.03288, section 5.2): the largest first, each one
    in the smallest gap that holds it between the placed ones that live at the same time.
    """
    placed: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda b: (-b.size, b.first)):
        rivals = sorted(
            (b for b in placed if b.first <= buffer.last and buffer.first <= b.last),
            key=lambda b: b.offset,
        )
        buffer.offset = _smallest_gap(rivals, buffer.size)
        placed.append(buffer)
    return max((_aligned(b.offset + b.size) for b in placed), default=0)


def _smallest_gap(rivals: Sequence[Buffer], size: int) -> int:
    best: tuple[int, int] | None = None
    end = 0
    for rival in rivals:
        gap = rival.offset - end
        if gap >= size and (best is None or gap < best[0]):
            best = (gap, end)
        end = max(end, _aligned(rival.offset + rival.size))
    return end if best is None else best[1]


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT
