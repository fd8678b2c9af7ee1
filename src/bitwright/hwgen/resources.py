"""What a machine takes of an FPGA, without synthesis.

Block RAM and DSP follow from the parameters. LUT and FF are sums over the units: each unit states,
beside its code, the counts that its structure gives (`resources`, a `Structure`), and a file for
each family (`costs/`) has what one of each costs. `benchmarks/resource_costs.py` fits the files to
syntheses of random machines.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from bitwright.errors import BitwrightError
from bitwright.hwgen import core
from bitwright.hwgen.ports import axi4lite, uart, wishbone
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import Machine
from bitwright.targets.target import Resources

COSTS_FOLDER = Path(__file__).with_name("costs")
# (bits, words) that one block RAM can be, and whether a column that is narrower than the block
# is folded (several words of the column in one word of the block).
_BLOCK_SHAPES = {
    "ecp5": ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)),
    "ice40": ((16, 256), (8, 512), (4, 1024), (2, 2048)),
}
_FOLDS = {"ecp5": False, "ice40": True}

BRIDGES = {
    "wishbone": wishbone.resources,
    "axi4lite": axi4lite.resources,
    "uart": uart.resources,
}


class FamilyError(BitwrightError):
    """An FPGA family of which no resource costs are known."""

    exit_code = 5


def block_rams(family: str, width: int, depth: int) -> int:
    """Block RAMs of one memory: the cheapest of the shapes that a block can take."""
    return min(_blocks(family, width, depth, *shape) for shape in _BLOCK_SHAPES[family])


def _blocks(family: str, width: int, depth: int, bits: int, words: int) -> int:
    columns, rest = divmod(width, bits)
    count = columns * -(-depth // words)
    if rest:
        fold = bits // (1 << (rest - 1).bit_length()) if _FOLDS[family] else 1
        count += -(-depth // (words * fold))
    return count


def memory_glue(family: str, shapes: Iterable[tuple[int, int]]) -> Structure:
    """What chooses among the blocks of memories that are deeper than their blocks."""
    banks = [(width, _banks(family, width, depth)) for width, depth in shapes]
    return Structure(
        lut={"choice_bits": sum(width * (count - 1) for width, count in banks)},
        ff={"bank_bits": sum((count - 1).bit_length() for _, count in banks)},
    )


def _banks(family: str, width: int, depth: int) -> int:
    """Blocks one behind the other, in the shape that takes the fewest blocks."""
    found = [(_blocks(family, width, depth, *shape), -(-depth // shape[1]))
             for shape in _BLOCK_SHAPES[family]]  # fmt: skip
    return min(found)[1]


def structure(machine: Machine, bus: str = "") -> dict[str, Structure]:
    """The units of a machine behind a bus of `BRIDGES`, or of the core alone."""
    units = core.resources(machine)
    if bus:
        units[bus] = BRIDGES[bus]()
    return units


@cache
def costs(family: str) -> dict[str, dict[str, dict[str, float]]]:
    """LUT and FF of one of each count of each unit: `costs["ecp5"]["lut"]["loops"]["nests"]`."""
    path = COSTS_FOLDER / f"{family}.json"
    if family not in _BLOCK_SHAPES or not path.exists():
        raise FamilyError(
            f"FPGA family {family} has no resource costs; expected one of "
            f"{', '.join(sorted(_BLOCK_SHAPES))}"
        )
    return json.loads(path.read_text(encoding="utf-8"))["costs"]


def price(units: Mapping[str, Structure], family: str) -> Resources:
    """Resources of a design of these units after synthesis for `family`.

    Raises:
        FamilyError: there are no costs of that family.
    """
    known = costs(family)
    memories = [shape for unit in units.values() for shape in unit.memories]
    units = {**units, "memories": memory_glue(family, memories)}
    sums = {
        cell: sum(
            known[cell][name].get(count, 0) * number
            for name, unit in units.items()
            for count, number in getattr(unit, cell).items()
        )
        for cell in ("lut", "ff")
    }
    return Resources(
        lut=round(sums["lut"]),
        ff=round(sums["ff"]),
        bram=sum(block_rams(family, *shape) for shape in memories),
        dsp=sum(unit.dsp for unit in units.values()),
    )


def estimate(machine: Machine, family: str, bus: str = "") -> Resources:
    """Resources of a machine behind a bus ("" for the core alone) after synthesis for `family`."""
    return price(structure(machine, bus), family)
