"""Moves registers around an ECP5's multiplier blocks and block RAMs into them.

A multiplier has registers of its own at its operands and at its product, a RAM at what it reads.
Yosys leaves them unused. The flip-flops that it puts around a block take sites, and wires in its
row, which is where wires are scarce; and what a RAM reads leaves its register ten times as fast.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from bitwright.fpga import choices
from bitwright.fpga.cells import BLOCK_RAM, MULTIPLIER, Cell, ends, is_plain

_OPERAND_BITS, _PRODUCT_BITS = 18, 36
_WORD_BITS = 18  # of a port of a RAM; one of 36 bits reads through both
_CONTROLS = {"CLK": "CLK0", "CE": "CE0", "RST": "RST0"}  # of a register, and the pin of each


def absorb(netlist: Path) -> int:
    """Move them, in a JSON netlist of yosys, in place.

    Both operands of a multiplier together, where every bit is constant 0 or comes from a flip-flop;
    a product, and what a port of a RAM reads, where each of its bits goes to one flip-flop and
    nowhere else; in deep memories that is after `choices.turn_round`. A flip-flop between a
    product and an operand of the same multiplier goes to the operand. Flip-flops with a reset or an
    enable stay.

    Returns:
        The number of flip-flops that are gone.
    """
    design: dict[str, Any] = json.loads(netlist.read_text())
    gone = [
        _absorb(module)
        for module in design["modules"].values()
        if any(cell["type"] in (MULTIPLIER, BLOCK_RAM) for cell in module["cells"].values())
    ]
    if gone:
        netlist.write_text(json.dumps(design))
    return sum(gone)


def _absorb(module: dict[str, Any]) -> int:
    choices.turn_round(module)
    cells: dict[str, Cell] = module["cells"]
    plain = {name: cell for name, cell in cells.items() if is_plain(cell)}
    by_result = {cell["connections"]["Q"][0]: name for name, cell in plain.items()}
    by_data = {cell["connections"]["DI"][0]: name for name, cell in plain.items()}
    count = ends(module)
    for block in [cell for cell in cells.values() if cell["type"] == MULTIPLIER]:
        pins = block["connections"]
        operands = [
            pin
            for pin in (f"{operand}{bit}" for operand in "AB" for bit in range(_OPERAND_BITS))
            if pins[pin] != ["0"]
        ]
        product = [
            pin for pin in (f"P{bit}" for bit in range(_PRODUCT_BITS)) if count[pins[pin][0]] > 1
        ]
        before = _flip_flops(cells, [by_result.get(pins[pin][0]) for pin in operands])
        after = _only_readers(cells, [pins[pin][0] for pin in product], by_data, count)
        if set(before) & set(after):
            after = []
        clocks = {plain[name]["connections"]["CLK"][0] for name in (*before, *after)}
        if not before or len(clocks) != 1:
            continue
        for pin, name in zip(operands, before, strict=True):
            result, data = (plain[name]["connections"][end][0] for end in ("Q", "DI"))
            pins[pin] = [data]
            count.subtract([result])
            count.update([data])
            if count[result] == 1:
                del cells[name]
                count.subtract([data])
        if after:
            for pin, name in zip(product, after, strict=True):
                pins[pin] = plain[name]["connections"]["Q"]
                del cells[name]
        for register in ("INPUTA", "INPUTB", "OUTPUT") if after else ("INPUTA", "INPUTB"):
            for control, pin in _CONTROLS.items():
                block["parameters"][f"REG_{register}_{control}"] = pin
        for pin, bit in zip(_CONTROLS.values(), (clocks.pop(), "1", "0"), strict=True):
            pins[pin] = [bit]
            block["port_directions"][pin] = "input"
    for memory in [cell for cell in cells.values() if cell["type"] == BLOCK_RAM]:
        for ports in ("AB",) if int(memory["parameters"]["DATA_WIDTH_B"], 2) == 36 else "AB":
            _register_reads(cells, memory, ports, by_data, count)
    return sum(name not in cells for name in plain)


def _register_reads(
    cells: dict[str, Cell], memory: Cell, ports: str, by_data: dict[Any, str], count: Counter[Any]
) -> None:
    """Use the registers of some ports of a RAM that read together, if they can be."""
    pins = memory["connections"]
    read_only = ports == "AB" and pins["CEA"] == pins["CLKA"] == ["0"]  # A has half of the bits
    clock_pins = ["CLKB"] if read_only else [f"CLK{port}" for port in ports]
    outputs = [
        pin
        for pin in (f"DO{port}{bit}" for port in ports for bit in range(_WORD_BITS))
        if count[pins[pin][0]] > 1
    ]
    registers = _only_readers(cells, [pins[pin][0] for pin in outputs], by_data, count)
    clocks = {cells[name]["connections"]["CLK"][0] for name in registers}
    resets = [pins[f"RST{port}"] for port in ports]
    rising = all(memory["parameters"][f"CLK{port}MUX"] == f"CLK{port}" for port in ports)
    if (
        clocks != {pins[name][0] for name in clock_pins}
        or resets != [["0"]] * len(ports)
        or not rising
    ):
        return
    for port in ports:
        memory["parameters"][f"REGMODE_{port}"] = "OUTREG"
        pins[f"OCE{port}"] = ["1"]
        pins[f"CLK{port}"] = [*clocks]
    for pin, name in zip(outputs, registers, strict=True):
        pins[pin] = cells[name]["connections"]["Q"]
        del cells[name]


def _only_readers(
    cells: dict[str, Cell], bits: list[Any], by_data: dict[Any, str], count: Counter[Any]
) -> list[str]:
    """The flip-flop of each bit, if each bit goes to one that is still there, and nowhere else."""
    return _flip_flops(cells, [by_data.get(bit) if count[bit] == 2 else None for bit in bits])


def _flip_flops(cells: dict[str, Cell], names: list[str | None]) -> list[str]:
    """The names, if each is that of a flip-flop that is still there; else none."""
    found = [name for name in names if name is not None and name in cells]
    return found if len(found) == len(names) else []
