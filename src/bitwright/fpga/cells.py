"""What the changes to a JSON netlist of yosys share."""

from collections import Counter
from typing import Any

MULTIPLIER = "MULT18X18D"
BLOCK_RAM = "DP16KD"
REGISTER = "TRELLIS_FF"
TABLE = "LUT4"
TABLE_PINS = "ABCD"  # the lowest address bit of INIT first
Cell = dict[str, Any]


def ends(module: dict[str, Any]) -> Counter[Any]:
    """How many pins of cells and ports each net of a module has, its driver among them."""
    return Counter(
        bit
        for owner in (*module["cells"].values(), *module["ports"].values())
        for bits in owner.get("connections", {"": owner.get("bits", [])}).values()
        for bit in bits
    )


def unused_bit(ends: Counter[Any]) -> int:
    """The first number that no net of a module has, nor a later one."""
    return 1 + max((bit for bit in ends if isinstance(bit, int)), default=1)


def is_plain(cell: Cell) -> bool:
    """Whether it takes its data at every rising edge of its clock, and begins at 0."""
    if cell["type"] != REGISTER:
        return False
    modes = {name: value.strip() for name, value in cell["parameters"].items()}
    return (
        modes["CEMUX"] == "1"
        and modes["CLKMUX"] == "CLK"
        and modes["LSRMUX"] == "LSR"
        and modes["REGSET"] == "RESET"
        and cell["connections"].get("LSR", ["0"]) == ["0"]
    )
