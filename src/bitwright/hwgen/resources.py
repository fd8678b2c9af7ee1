"""What a machine takes of an FPGA, without synthesis.

Block RAM and DSP follow from the parameters. LUT and FF are sums over the units: each unit states,
beside its code, the parts that its structure has (`resources`, a `Structure`), and a file for each
family (`costs/`) has the factor between what a part states and what synthesis makes of it, near 1.
`benchmarks/resource_costs.py` fits the files to syntheses of random machines.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bitwright.errors import BitwrightError
from bitwright.hwgen import core, prefetch, sdram
from bitwright.hwgen.ports import axi4lite, memory_window, uart, wishbone, wishbone_master
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import SDRAM_MEMORY, Machine
from bitwright.targets.target import Resources

COSTS_FOLDER = Path(__file__).with_name("costs")


@dataclass(frozen=True)
class _BlockRam:
    """A family's block RAM as yosys maps memories to it (its pass memory_libmap).

    Attributes:
        shapes: (bits, words) that one can be.
        byte: bits with a write enable of their own: a word is padded to a multiple of them (of
            the shape's bits where that is narrower), then several words share a block's row.
        weight: what one counts, where a bit of a choice among rows of blocks, and the write enable
            of each row, count 1/2.
    """

    shapes: tuple[tuple[int, int], ...]
    byte: int
    weight: int

    def fit(self, width: int, depth: int) -> tuple[int, int]:
        """(blocks, rows of them) of a memory: the shape that counts least."""
        found: list[tuple[float, int, int]] = []
        for bits, words in self.shapes:
            unit, rows = min(self.byte, bits), -(-depth // words)
            blocks = -(-rows * -(-width // unit) * unit // bits)
            choice = ((rows - 1) * width + rows) / 2 if rows > 1 else 0
            found.append((self.weight * blocks + choice, blocks, rows))
        return min(found)[1:]


_BLOCK_RAMS = {
    "ecp5": _BlockRam(
        ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)), byte=9, weight=128
    ),
    "ice40": _BlockRam(((16, 256), (8, 512), (4, 1024), (2, 2048)), byte=1, weight=64),
}

BRIDGES = {
    "wishbone": wishbone.resources,
    "axi4lite": axi4lite.resources,
    "uart": uart.resources,
}


class FamilyError(BitwrightError):
    """An FPGA family of which no resource costs are known."""

    exit_code = 5


def block_rams(family: str, width: int, depth: int) -> int:
    """Block RAMs of one memory."""
    return _BLOCK_RAMS[family].fit(width, depth)[0]


def memory_glue(family: str, shapes: Iterable[tuple[int, int]]) -> Structure:
    """What chooses among rows of blocks, in memories that are deeper than one row."""
    rows = [
        (number, width, _BLOCK_RAMS[family].fit(width, depth)[1])
        for (width, depth), number in Counter(shapes).items()
    ]
    return Structure(
        lut={
            "choices": sum(number * width * (count - 1) for number, width, count in rows) * 3 / 4,
            "rows": sum(number * (count - 1) for number, _, count in rows),
        },
        ff={"rows": sum(number * (count - 1).bit_length() for number, _, count in rows)},
    )


def structure(machine: Machine, bus: str = "") -> dict[str, Structure]:
    """The units of a machine behind a bus of `BRIDGES`, or of the core alone.

    On a serial line a machine with an SDRAM has its controller, too.
    """
    units = core.resources(machine)
    if bus:
        units[bus] = BRIDGES[bus]()
    if bus == "uart" and machine.memory == SDRAM_MEMORY:
        sizes = prefetch.memory_signature(machine).parameters
        units["memory_master"] = wishbone_master.resources(**sizes)
        units["memory_window"] = memory_window.resources(sizes["address_bits"])
        units["sdram"] = sdram.resources()
    return units


@cache
def costs(family: str) -> dict[str, dict[str, dict[str, float]]]:
    """The factor of each part of each unit: `costs("ecp5")["lut"]["loops"]["counters"]`."""
    path = COSTS_FOLDER / f"{family}.json"
    if family not in _BLOCK_RAMS or not path.exists():
        raise FamilyError(
            f"FPGA family {family} has no resource costs; expected one of "
            f"{', '.join(sorted(_BLOCK_RAMS))}"
        )
    return json.loads(path.read_text(encoding="utf-8"))["costs"]


def price(units: Mapping[str, Structure], family: str) -> Resources:
    """Resources of a design of these units after synthesis for `family`.

    A part that was never fitted counts as its unit states it.

    Raises:
        FamilyError: there are no costs of that family.
    """
    known = costs(family)
    memories = [shape for unit in units.values() for shape in unit.memories]
    units = {**units, "memories": memory_glue(family, memories)}
    sums = {
        cell: sum(
            known[cell].get(name, {}).get(part, 1) * number
            for name, unit in units.items()
            for part, number in getattr(unit, cell).items()
        )
        for cell in ("lut", "ff")
    }
    return Resources(
        lut=round(sums["lut"]),
        ff=round(sums["ff"]),
        bram=sum(
            number * block_rams(family, *shape) for shape, number in Counter(memories).items()
        ),
        dsp=sum(unit.dsp_of.get(family, unit.dsp) for unit in units.values()),
    )


def estimate(machine: Machine, family: str, bus: str = "") -> Resources:
    """Resources of a machine behind a bus ("" for the core alone) after synthesis for `family`."""
    return price(structure(machine, bus), family)
