"""Takes pins that nothing needs off the ends of ECP5 carry chains.

Yosys connects every pin of a CCU2C. For a carry-in that is driven and for a carry-out that has a
net, nextpnr adds one more cell each, that is four look-up tables a chain, even where the carry-in
changes nothing and nobody listens to the carry-out.
"""

import json
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

_CARRY = "CCU2C"
_NOTHING = ["x"]  # how the netlist says that a pin is not connected
_TABLE_PINS = ("A0", "B0", "C0", "D0")  # the lowest address bit of INIT0 first


def trim(netlist: Path) -> int:
    """Remove such pins from a JSON netlist of yosys, in place.

    A carry-out goes where its net has no reader; a carry-in where it is constant and the table
    of the first bit, with the constants on its pins, propagates no carry and drives no sum.

    Returns:
        The number of pins removed.
    """
    design: dict[str, Any] = json.loads(netlist.read_text())
    removed = 0
    for module in design["modules"].values():
        cells = [cell for cell in module["cells"].values() if cell["type"] == _CARRY]
        if not cells:
            continue
        uses = Counter(
            bit
            for owner in (*module["cells"].values(), *module["ports"].values())
            for bits in owner.get("connections", {"": owner.get("bits", [])}).values()
            for bit in bits
        )
        for cell in cells:
            pins = cell["connections"]
            if uses[pins["COUT"][0]] == 1:
                pins["COUT"] = _NOTHING
                removed += 1
            constant = pins["CIN"][0] in ("0", "1")
            if constant and uses[pins["S0"][0]] == 1 and not _propagates(cell):
                pins["CIN"] = _NOTHING
                removed += 1
    if removed:
        netlist.write_text(json.dumps(design))
    return removed


def _propagates(cell: dict[str, Any]) -> bool:
    """Whether some value of the pins makes the first bit pass its carry on."""
    table = int(cell["parameters"]["INIT0"], 2)
    choices = [
        (int(bit),) if (bit := cell["connections"][pin][0]) in ("0", "1") else (0, 1)
        for pin in _TABLE_PINS
    ]
    addresses = (sum(b << i for i, b in enumerate(bits)) for bits in product(*choices))
    return any(table >> address & 1 for address in addresses)
