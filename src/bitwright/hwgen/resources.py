"""What a machine takes of an FPGA, without synthesis.

Block RAM and DSP follow from the parameters. LUT and FF are a linear function of counts that
the structure gives (see `features`), fitted to synthesis of a few machines; the coefficients
and the machines that they were fitted to are in `resource_costs.json`, which
`benchmarks/resource_costs.py` writes.
"""

import json
from functools import cache
from pathlib import Path

from bitwright.errors import BitwrightError
from bitwright.hwgen.core import bank_words
from bitwright.hwgen.engines import dsp, window
from bitwright.hwgen.isa import field_layout, kept_bits, program_bits
from bitwright.hwgen.operands import bank_depth
from bitwright.ir.machine import TABLE_ENTRIES, Machine
from bitwright.targets.target import Resources

COSTS_FILE = Path(__file__).with_name("resource_costs.json")
# (bits, words) that one block RAM can be, and whether a column that is narrower than the block
# is folded (several words of the column in one word of the block).
_BLOCK_SHAPES = {
    "ecp5": ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)),
    "ice40": ((16, 256), (8, 512), (4, 1024), (2, 2048)),
}
_FOLDS = {"ecp5": False, "ice40": True}


class FamilyError(BitwrightError):
    """An FPGA family of which no resource costs are known."""

    exit_code = 5


def memory_shapes(machine: Machine) -> list[tuple[int, int]]:
    """(width, depth) of every memory of the machine."""
    word = machine.activation_bits
    shapes = [
        *[(word, bank_depth(machine, machine.act_words))] * machine.banks,
        *[(word, bank_words(bank_depth(machine, machine.in_words)))] * machine.banks,
        (word, bank_words(machine.out_words)),
        (machine.weight_bits, machine.weight_words),
        (machine.param_bits, machine.param_words),
        (program_bits(machine), machine.program_words),
    ]
    if machine.tables:
        shapes += [(8, TABLE_ENTRIES * machine.tables)] * machine.requant_lanes
    return shapes


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


def dsps(machine: Machine) -> int:
    """One multiplier per lane, two (wide: four) per channel that is requantized in a cycle.

    The engine `dsp` multiplies for the lanes too.
    """
    engine = machine.multiplier_blocks if machine.dsp else machine.lanes
    return engine + (4 if machine.wide else 2) * machine.requant_lanes


def features(machine: Machine) -> dict[str, float]:
    """Counts that LUT and FF depend on linearly."""
    fields = field_layout(machine, list(kept_bits(machine)))
    return {
        "one": 1,
        **(_whole_weight_features(machine) if machine.dsp else _bit_plane_features(machine)),
        "requantizer_bits": machine.requant_lanes * machine.acc_bits,
        "wide_requantizers": machine.requant_lanes * machine.wide,
        "field_bits": fields.size,
    }


def _bit_plane_features(machine: Machine) -> dict[str, float]:
    lanes, rows = machine.lanes, machine.rows
    pairs = lanes // 2
    levels = [pairs >> level for level in range(1, pairs.bit_length())]
    tree = sum(count * (9 + level) for level, count in enumerate(levels, 1))
    return {
        "pair_bits": rows * pairs * 9,
        "tree_bits": rows * tree,
        "accumulator_bits": rows * machine.acc_bits,
        "lane_bits": 8 * lanes,
        "weight_bits": machine.weight_bits,
    }


def _whole_weight_features(machine: Machine) -> dict[str, float]:
    lanes, rows = machine.lanes, machine.pixels * machine.rows
    levels = [lanes >> level for level in range(1, lanes.bit_length())]
    tree = sum(count * (dsp.PRODUCT_BITS + level) for level, count in enumerate(levels, 1))
    return {
        "block_pairs": machine.multiplier_blocks,
        "table_products": 2 * (machine.product_pairs - machine.multiplier_blocks),
        "sum_bits": rows * tree,
        "tile_bits": rows * machine.acc_bits,
        "window_bits": (machine.pixels + window.CARRIED) * lanes * machine.acc_bits,
        "bank_bits": machine.banks * machine.pixels * machine.activation_bits,
        "operand_bits": machine.weight_bits,
    }


@cache
def _costs() -> dict[str, dict[str, dict[str, float]]]:
    return json.loads(COSTS_FILE.read_text(encoding="utf-8"))["costs"]


def estimate(machine: Machine, family: str) -> Resources:
    """Resources of the core (without a bus top) after synthesis for `family`."""
    if family not in _BLOCK_SHAPES:
        raise FamilyError(
            f"FPGA family {family} has no resource costs; expected one of "
            f"{', '.join(sorted(_BLOCK_SHAPES))}"
        )
    counts = features(machine)
    lut, ff = (
        round(sum(cost * counts.get(name, 0) for name, cost in _costs()[family][cell].items()))
        for cell in ("lut", "ff")
    )
    bram = sum(block_rams(family, *shape) for shape in memory_shapes(machine))
    return Resources(lut=lut, ff=ff, bram=bram, dsp=dsps(machine))
