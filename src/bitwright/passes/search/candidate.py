"""What the search compares: designs with their exact cycles and their estimated resources."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bitwright.ir.machine import DSP, WEIGHT_SERIAL
from bitwright.targets.target import Resources

Objective = Literal["latency", "throughput", "luts"]
Style = Literal["overlay", "dataflow"]
Parameters = Mapping[str, int | str]

ROUTABLE = {"lut": 0.78, "ff": 0.8, "bram": 1.0, "dsp": 1.0, "spram": 1.0}
"""Share of each resource that a design may be predicted to take.

Place and route takes as many look-up tables as the netlist has, within a hundredth, with the bus of
the board; above about eight tenths of a device it finds no way, or a slow one. Memories and
multipliers are counted exactly.
"""

ROUTED_LUT = {(DSP, 8): 56_000, (DSP, 4): 46_000, (DSP, 2): 46_000, (WEIGHT_SERIAL, 8): 20_000}
"""Look-up tables that an overlay of an engine and a precision may be predicted to take, however
large the device.

Of `dsp`, 54,656 and 56,102 with the bus of the board were routed in half an hour each, at 120 and
101 MHz; with weights of 2 and 4 bits 44,620 and 39,073 in 33 and 8 minutes, at 122 and 133 MHz.
16 x 16 x 4 of 2 bits (55,271) was not routed in 16 minutes: products of narrow weights have more
wires for each table. Of `weightserial`, every lane goes to every row, and the wires
crowd the rows: neither 32 x 64 (32,128) nor 32 x 32 (22,964 when two lanes took two tables a bit)
was routed in the minutes that it was given.
"""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A design that fits.

    Attributes:
        parameters: that make it, and make it again; the fields of `Machine` for an overlay.
        cycles: of one inference.
        interval: cycles from one inference to the next, when the host keeps up.
        spent: where `cycles` go: counts by purpose, which add up to it.
        limits: what is in the way of each next larger design.
    """

    style: Style
    parameters: Parameters
    cycles: int
    interval: int
    resources: Resources
    spent: Mapping[str, int]
    limits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shortage:
    """A resource of which a design needs more than it may take.

    `at_least`: the need is a lower bound, found without making the design.
    """

    name: str
    need: int
    have: int
    at_least: bool = False

    def __str__(self) -> str:
        return f"{self.need:,}{'+' if self.at_least else ''} {self.name.upper()}"


def budget(resources: Resources) -> Resources:
    """What an overlay may be predicted to take of a device with `resources`."""
    return Resources(**{name: int(count * ROUTABLE[name]) for name, count in resources.items()})


def shortages(need: Resources, have: Resources, *, at_least: bool = False) -> list[Shortage]:
    """The resources that run out, the worst first."""
    counts = dict(have.items())
    found = [
        Shortage(name, count, counts[name], at_least)
        for name, count in need.items()
        if count > counts[name]
    ]
    return sorted(found, key=lambda item: -item.need / max(item.have, 1))


_KEYS: Mapping[Objective, Callable[[Candidate], tuple[int, ...]]] = {
    "latency": lambda c: (c.cycles, c.resources.lut),
    "throughput": lambda c: (c.interval, c.cycles, c.resources.lut),
    "luts": lambda c: (c.resources.lut, c.cycles),
}
OBJECTIVES: tuple[Objective, ...] = tuple(_KEYS)


def ranked(candidates: Sequence[Candidate], objective: Objective) -> list[Candidate]:
    """Best first. All run at the clock of the target, so that fewer cycles are less time."""
    key = _KEYS[objective]
    return sorted(
        candidates,
        key=lambda c: (*key(c), *(count for _, count in c.resources.items()), str(c.parameters)),
    )
