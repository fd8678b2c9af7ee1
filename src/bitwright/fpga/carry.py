"""Takes from ECP5 carry chains what makes nextpnr add cells to them.

Yosys connects every pin of a CCU2C. For a carry-in that is driven and for a carry-out that has a
net, nextpnr adds one more cell each, that is four look-up tables a chain, even where the carry-in
changes nothing and nobody listens to the carry-out. And where a constant carry-in does matter, the
chain can make that carry itself: in the last cell's second half, if nothing uses it, or in one more
cell in front, that takes no wire; nextpnr's own is wired to one source of constants for all chains.
To that source it wires every pin that is 0 as well, but none that is 1: tables are changed so that
such pins may be 1.
"""

import json
from collections import Counter
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from bitwright.fpga.cells import TABLE_PINS, Cell, ends, unused_bit

_CARRY = "CCU2C"
_NOTHING = ["x"]  # how the netlist says that a pin is not connected
_HALVES = "01"
# A half that propagates no carry, since C and D are 1, and makes the carry that the string names.
_STARTS = {"0": 0x0000, "1": 0x000F}
_START_PINS = {pin: ["1"] for pin in TABLE_PINS}


def trim(netlist: Path) -> int:
    """Remove such pins from a JSON netlist of yosys, in place.

    A carry-out goes where its net has no reader; a constant carry-in always: where the table of
    the first bit, with the constants on its pins, propagates no carry and drives no sum, nothing
    takes its place; where the chain has an odd number of bits, they move up by one; else a cell
    is put in front.

    Returns:
        The number of pins removed, and of zeros that became ones.
    """
    design: dict[str, Any] = json.loads(netlist.read_text())
    removed = 0
    for module in design["modules"].values():
        cells = [cell for cell in module["cells"].values() if cell["type"] == _CARRY]
        if not cells:
            continue
        uses = ends(module)
        followers = {cell["connections"]["CIN"][0]: cell for cell in cells}
        for cell in cells:
            pins = cell["connections"]
            if uses[pins["COUT"][0]] == 1:
                pins["COUT"] = _NOTHING
                removed += 1
        unused = unused_bit(uses)
        for cell in cells:
            pins = cell["connections"]
            start = pins["CIN"][0]
            if start not in _STARTS:
                continue
            propagates = uses[pins["S0"][0]] != 1 or _propagates(cell)
            if not propagates or _moved_up(_chain(cell, followers), uses):
                pins["CIN"] = _NOTHING
            else:
                pins["CIN"] = [unused]
                module["cells"][f"$carry_start{unused}"] = _start_cell(cell, start, unused)
                unused += 1
            removed += 1
        removed += sum(_without_zeros(cell, half) for cell in cells for half in _HALVES)
    if removed:
        netlist.write_text(json.dumps(design))
    return removed


def _without_zeros(cell: Cell, half: str) -> int:
    """Let pins that are 0 be 1, in a table that takes a 1 there for a 0; returns their number.

    What makes the carry, the table's lowest four bits, reads A and B alone.
    """
    pins, name = cell["connections"], f"INIT{half}"
    if cell["parameters"].get(f"INJECT1_{half}") != "NO":
        return 0
    zeros = [place for place, pin in enumerate(TABLE_PINS) if pins[f"{pin}{half}"] == ["0"]]
    for place in zeros:
        table = int(cell["parameters"][name], 2)
        same = (table >> (address & ~(1 << place)) & 1 for address in range(16))
        cell["parameters"][name] = format(sum(b << i for i, b in enumerate(same)), "016b")
        pins[f"{TABLE_PINS[place]}{half}"] = ["1"]
    return len(zeros)


def _propagates(cell: Cell) -> bool:
    """Whether some value of the pins makes the first bit pass its carry on."""
    table = int(cell["parameters"]["INIT0"], 2)
    choices = [
        (int(bit),) if (bit := cell["connections"][f"{pin}0"][0]) in ("0", "1") else (0, 1)
        for pin in TABLE_PINS
    ]
    addresses = (sum(b << i for i, b in enumerate(bits)) for bits in product(*choices))
    return any(table >> address & 1 for address in addresses)


def _chain(cell: Cell, followers: dict[Any, Cell]) -> list[Cell]:
    """A first cell, and those that its carry goes through."""
    chain = [cell]
    while (carry := chain[-1]["connections"]["COUT"]) != _NOTHING and carry[0] in followers:
        chain.append(followers[carry[0]])
    return chain


def _start_cell(first: Cell, start: str, carry: int) -> Cell:
    """A cell in front of the first one of a chain, that makes its carry-in."""
    pins = {f"{pin}{half}": bits for pin, bits in _START_PINS.items() for half in _HALVES}
    chain = {"CIN": _NOTHING, "COUT": [carry]}
    tables = {f"INIT{half}": format(_STARTS[start], "016b") for half in _HALVES}
    plain = {f"INJECT1_{half}": "NO" for half in _HALVES}
    return {**first, "connections": pins | chain, "parameters": tables | plain}


def _moved_up(chain: list[Cell], uses: Counter[Any]) -> bool:
    """Move the bits of a chain up by one half, and let the first half make its carry-in.

    Done, and True, where the last half is free and every carry between cells is the chain's own.
    """
    last = chain[-1]["connections"]
    free = last["COUT"] == _NOTHING and uses[last["S1"][0]] <= 1
    own = all(
        uses[cell["connections"]["COUT"][0]] == 2
        and cell["connections"]["COUT"] == follower["connections"]["CIN"]
        for cell, follower in pairwise(chain)
    )
    plain = all(
        cell["parameters"].get(f"INJECT1_{half}") == "NO" for cell in chain for half in _HALVES
    )
    if not (free and own and plain):
        return False
    table = format(_STARTS[chain[0]["connections"]["CIN"][0]], "016b")
    pins: dict[str, list[Any]] = {**_START_PINS, "S": last["S1"]}
    for cell in chain:
        for half in _HALVES:
            connections, parameters = cell["connections"], cell["parameters"]
            below = {pin: connections[f"{pin}{half}"] for pin in pins}
            connections.update({f"{pin}{half}": bits for pin, bits in pins.items()})
            parameters[f"INIT{half}"], table = table, parameters[f"INIT{half}"]
            pins = below
    return True
