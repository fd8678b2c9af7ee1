"""Every overlay machine for a model that fits a device.

Arrays (engine, lanes, rows, pixels, banks) are looked at one after the other: one that needs too
much even with the least memories is left out without a program; else its program is made once, and
every number of requantize lanes is priced with it. Of the engine `dsp`, as many products are made
in multiplier blocks as there are blocks. What is left out keeps its reason.

What only the hardware generator knows (programs in its words, cycles, resources) comes from a
`Maker`, which the flow has.
"""

from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, Protocol, Self

from bitwright.errors import BitwrightError
from bitwright.ir.machine import (
    COLUMN_BITS,
    DSP,
    ENGINES,
    MAX_PIXELS,
    PRECISIONS,
    WEIGHT_SERIAL,
    Machine,
    MachineError,
    least_banks,
)
from bitwright.passes.search.candidate import Candidate, Shortage, shortages
from bitwright.passes.tile_program import UnsupportedOnOverlay
from bitwright.progress import ProgressCallback, silent
from bitwright.targets.target import Resources

MOST = 1024  # lanes or rows, more than any device has room for
USUAL = 8
IN_WIDE = 4  # columns of weights that one wide block RAM holds
STEP = "choose a machine"


class Array(NamedTuple):
    """What of a machine its program is a function of."""

    lanes: int
    rows: int
    engine: str = WEIGHT_SERIAL
    pixels: int = 1
    banks: int = 1
    fused_adds: int = 0
    precision: int = PRECISIONS[-1]

    @classmethod
    def of(cls, machine: Machine) -> Self:
        """The array of a machine."""
        return cls(*(getattr(machine, name) for name in cls._fields))


class Shape(NamedTuple):
    """All that is chosen of a machine; the rest follows from the model."""

    array: Array
    requant_lanes: int
    requant_pixels: int = 1


class Price(NamedTuple):
    """Cycles of an inference, from one to the next, and what they are spent on."""

    cycles: int
    interval: int
    spent: Mapping[str, int]


class Maker(Protocol):
    """What the search asks about machines for one model.

    Attributes:
        adds: the model has sums of tensors, which a machine may add to results on their way.
        stride: the greatest power of two in a stride of the model; more than so many times the
            least banks are of no use.
        precision: bits of the widest weight of the model's matrix products.
    """

    @property
    def adds(self) -> bool: ...

    @property
    def stride(self) -> int: ...

    @property
    def precision(self) -> int: ...

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
            if larger == shape:  # it has the most pixels there can be
                continue
            fits = self.machines.get(larger)
            if fits is not None and fits.cycles >= candidate.cycles:
                yield f"{name}: no faster"
            elif larger in self.short:
                yield f"{name}: {self.short[larger][0]}"
            elif larger.array in self.errors:
                yield f"{name}: no program"


def search(
    maker: Maker, fixed: Mapping[str, int | str], whole: Resources,
    progress: ProgressCallback = silent, *, most_lut: Mapping[tuple[str, int], int] | None = None,
) -> Found:  # fmt: skip
    """All machines with the parameters `fixed` that need no more than `whole`.

    Args:
        most_lut: of an engine and a precision, the most look-up tables that a machine may take.

    Raises:
        UnsupportedOnOverlay: an operation without an instruction, whatever the machine.
        MachineError: `fixed` is not what a machine can have.
    """
    found = Found()
    arrays = _arrays(maker, fixed)
    for done, array in enumerate(arrays):
        progress(STEP, done, len(arrays))
        lut = min(whole.lut, (most_lut or {}).get((array.engine, array.precision), whole.lut))
        have = replace(whole, lut=lut)
        try:
            least = _with_blocks(maker, maker.least(array), fixed, have)
            short = shortages(maker.resources(least), have, at_least=True)
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
        machine = replace(
            made, requant_lanes=shape.requant_lanes, requant_pixels=shape.requant_pixels,
            param_words=max(words, least, 2),
        )  # fmt: skip
        machine = _with_blocks(maker, machine, fixed, have)
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


def _with_blocks(
    maker: Maker, machine: Machine, fixed: Mapping[str, int | str], have: Resources
) -> Machine:
    """`machine` with as many products in multiplier blocks as are fixed, or as `have` has; and with
    as many columns of weights as it has block RAMs for, where they take fewer LUT."""
    free = have.dsp - maker.resources(replace(machine, multiplier_blocks=0)).dsp
    blocks = int(fixed.get("multiplier_blocks", max(0, min(free, machine.product_pairs))))
    machine = replace(machine, multiplier_blocks=blocks)
    if "weight_columns" in fixed:
        return machine

    def made(columns: int) -> Resources:
        return maker.resources(replace(machine, weight_columns=columns))

    most = machine.weight_bits // COLUMN_BITS // IN_WIDE * IN_WIDE
    if made(most).lut >= made(0).lut:
        return machine
    fits = bisect(range(0, most + 1, IN_WIDE), have.bram, key=lambda columns: made(columns).bram)
    return replace(machine, weight_columns=max(fits - 1, 0) * IN_WIDE)


def _options(fixed: Mapping[str, int | str], name: str, most: int) -> list[Any]:
    value = fixed.get(name)
    return [1 << bit for bit in range(most.bit_length())] if value is None else [value]


def _arrays(maker: Maker, fixed: Mapping[str, int | str]) -> list[Array]:
    """Those that `Machine` takes, small ones first.

    Raises:
        MachineError: there are none.
    """
    lanes, rows, banks = (_options(fixed, name, MOST) for name in ("lanes", "rows", "banks"))
    pixels = [fixed["pixels"]] if "pixels" in fixed else range(1, MAX_PIXELS + 1)
    engines = [fixed["engine"]] if "engine" in fixed else ENGINES
    sizes = [Array(a, b) for a in lanes for b in rows]
    valid = [array for array in sizes if _takes(maker, array)]
    if not valid:
        few = int(fixed.get("lanes", USUAL))
        maker.least(Array(few, int(fixed.get("rows", max(few, USUAL)))))
    kinds = [
        valid[0]._replace(engine=str(engine), pixels=int(a), banks=b)
        for engine in engines for a in pixels for b in banks
        if "banks" in fixed or b <= least_banks(int(a)) * maker.stride
    ]  # fmt: skip
    kept = [array for array in kinds if _takes(maker, array)]
    if not kept:
        maker.least(kinds[0])
    sized = [kind._replace(lanes=size.lanes, rows=size.rows) for kind in kept for size in valid]
    precise = [_precise(maker, fixed, array) for array in sized]
    arrays = [array for array in precise if _takes(maker, array)]
    if not arrays:
        maker.least(precise[0])
    fused = [fixed["fused_adds"]] if "fused_adds" in fixed else [0, 1] if maker.adds else [0]
    chosen = [array._replace(fused_adds=int(adds)) for adds in fused for array in arrays]
    found = [array for array in chosen if not array.fused_adds or _takes(maker, array)]
    if not found:
        maker.least(chosen[0])
    return found


def _precise(maker: Maker, fixed: Mapping[str, int | str], array: Array) -> Array:
    """`array` with the fixed precision, or on `dsp` with the least that has the model's weights."""
    if "precision" in fixed:
        return array._replace(precision=int(fixed["precision"]))
    if array.engine != DSP:
        return array
    options = (array._replace(precision=bits) for bits in PRECISIONS if bits >= maker.precision)
    return next((option for option in options if _takes(maker, option)), array)


def _takes(maker: Maker, array: Array) -> bool:
    """Whether there is such a machine."""
    try:
        maker.least(array)
    except MachineError:
        return False
    return True


def _shapes(array: Array, fixed: Mapping[str, int | str]) -> list[Shape]:
    """Two pixels are requantized side by side only where all channels of one are."""
    shapes: list[Shape] = []
    for lanes in _options(fixed, "requant_lanes", array.lanes):
        pairs = array.pixels > 1 and lanes == array.lanes and not array.fused_adds
        most = 2 if pairs else 1
        shapes += [Shape(array, lanes, n) for n in _options(fixed, "requant_pixels", most)]
    return shapes


def _larger(shape: Shape) -> dict[str, Shape]:
    """The machines with twice as much of one thing, or the most there can be, and what that is."""
    array, requant, side = shape
    lanes, rows, pixels = 2 * array.lanes, 2 * array.rows, min(2 * array.pixels, MAX_PIXELS)
    wide = array._replace(lanes=lanes, rows=max(array.rows, lanes))
    many = array._replace(pixels=pixels, banks=max(array.banks, least_banks(pixels)))
    return {
        f"{lanes} lanes": Shape(wide, requant, side),
        f"{rows} rows": Shape(array._replace(rows=rows, fused_adds=0), requant, side),
        f"{pixels} pixels": Shape(many, requant, side),
        f"requantize {2 * requant * side}": (
            Shape(array, requant, 2) if requant == array.lanes else Shape(array, 2 * requant)
        ),
    }
