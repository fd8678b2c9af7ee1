"""Every overlay machine for a model that fits a device.

Arrays (lanes x rows) are looked at one after the other: one that needs too much even with the
least memories is left out without a program; else its program is made once, and every number of
requantize lanes is priced with it. What is left out keeps its reason.

What only the hardware generator knows (programs in its words, cycles, resources) comes from a
`Maker`, which the flow has.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple, Protocol

from bitwright.errors import BitwrightError
from bitwright.ir.machine import Machine, MachineError
from bitwright.passes.search.candidate import Candidate, Shortage, shortages
from bitwright.passes.tile_program import UnsupportedOnOverlay
from bitwright.progress import ProgressCallback, silent
from bitwright.targets.target import Resources

MOST = 1024  # lanes or rows, more than any device has room for
USUAL = 8
STEP = "choose a machine"


class Array(NamedTuple):
    """The matrix engine's size, of which the program is a function."""

    lanes: int
    rows: int


class Shape(NamedTuple):
    """All that is chosen of a machine; the rest follows from the model."""

    array: Array
    requant_lanes: int


class Price(NamedTuple):
    """Cycles of an inference, from one to the next, and what they are spent on."""

    cycles: int
    interval: int
    spent: Mapping[str, int]


class Maker(Protocol):
    """What the search asks about machines for one model."""

    def least(self, array: Array) -> Machine:
        """A machine that takes no more of anything than the model's own of this array."""
        ...

    def machine(self, array: Array) -> Machine:
        """The machine of the model's program for this array, with one requantize lane."""
        ...

    def resources(self, machine: Machine) -> Resources:
        """What a machine takes of the device."""
        ...

    def price(self, machine: Machine) -> Price:
        """The cycles of the program for the machine's array, which `machine` has made."""
        ...


@dataclass
class Found:
    """The machines that fit, and what each other one lacks.

    Attributes:
        machines: with their candidates, in the order of the search.
        short: resources that run out, the worst first.
        errors: why a program cannot be written for an array.
    """

    machines: dict[Shape, Candidate] = field(default_factory=dict[Shape, Candidate])
    short: dict[Shape, list[Shortage]] = field(default_factory=dict[Shape, list[Shortage]])
    errors: dict[Array, BitwrightError] = field(default_factory=dict[Array, BitwrightError])

    def candidates(self) -> list[Candidate]:
        """The machines that fit, each with what is in the way of the next larger ones."""
        return [
            replace(candidate, limits=tuple(self._limits(shape, candidate)))
            for shape, candidate in self.machines.items()
        ]

    def _limits(self, shape: Shape, candidate: Candidate) -> Iterator[str]:
        for name, larger in _larger(shape).items():
            fits = self.machines.get(larger)
            if fits is not None and fits.cycles >= candidate.cycles:
                yield f"{name}: no faster"
            elif larger in self.short:
                yield f"{name}: {self.short[larger][0]}"
            elif larger.array in self.errors:
                yield f"{name}: no program"


def search(
    maker: Maker, fixed: Mapping[str, int | str], have: Resources,
    progress: ProgressCallback = silent,
) -> Found:  # fmt: skip
    """All machines with the parameters `fixed` that need no more than `have`.

    Raises:
        UnsupportedOnOverlay: an operation without an instruction, whatever the machine.
        MachineError: `fixed` is not what a machine can have.
    """
    found = Found()
    arrays = _arrays(maker, fixed)
    for done, array in enumerate(arrays):
        progress(STEP, done, len(arrays))
        try:
            short = shortages(maker.resources(maker.least(array)), have, at_least=True)
            if short:
                found.short |= dict.fromkeys(_shapes(array, fixed), short)
                continue
            made = maker.machine(array)
        except UnsupportedOnOverlay:
            raise
        except BitwrightError as error:
            found.errors[array] = error
            continue
        for shape in _shapes(array, fixed):
            _price(found, maker, shape, made, fixed, have)
    return found


def _price(
    found: Found, maker: Maker, shape: Shape, made: Machine, fixed: Mapping[str, int | str],
    have: Resources,
) -> None:  # fmt: skip
    words = made.param_words * made.requant_lanes // shape.requant_lanes
    least = fixed.get("param_words", 0)
    assert isinstance(least, int), "checked when it was read"
    try:
        machine = replace(made, requant_lanes=shape.requant_lanes, param_words=max(words, least, 2))
    except BitwrightError as error:
        found.errors[shape.array] = error
        return
    resources = maker.resources(machine)
    short = shortages(resources, have)
    if short:
        found.short[shape] = short
        return
    price = maker.price(machine)
    found.machines[shape] = Candidate(
        style="overlay", parameters=asdict(machine), cycles=price.cycles, interval=price.interval,
        resources=resources, spent=price.spent,
    )  # fmt: skip


def _options(fixed: Mapping[str, int | str], name: str, most: int) -> list[int]:
    value = fixed.get(name)
    powers = [1 << bit for bit in range(most.bit_length())]
    return powers if value is None else [int(value)]


def _arrays(maker: Maker, fixed: Mapping[str, int | str]) -> list[Array]:
    """Those that `Machine` takes, small ones first.

    Raises:
        MachineError: there are none.
    """
    found: list[Array] = []
    for lanes in _options(fixed, "lanes", MOST):
        for rows in _options(fixed, "rows", MOST):
            with suppress(MachineError):
                maker.least(Array(lanes, rows))
                found.append(Array(lanes, rows))
    if not found:
        lanes = int(fixed.get("lanes", USUAL))
        maker.least(Array(lanes, int(fixed.get("rows", max(lanes, USUAL)))))
    return found


def _shapes(array: Array, fixed: Mapping[str, int | str]) -> list[Shape]:
    return [Shape(array, v) for v in _options(fixed, "requant_lanes", array.lanes)]


def _larger(shape: Shape) -> dict[str, Shape]:
    """The machines with twice as much of one thing, and what that is."""
    (lanes, rows), requant = shape
    return {
        f"{2 * lanes} lanes": Shape(Array(2 * lanes, max(rows, 2 * lanes)), requant),
        f"{2 * rows} rows": Shape(Array(lanes, 2 * rows), requant),
        f"requantize {2 * requant}": Shape(shape.array, 2 * requant),
    }
