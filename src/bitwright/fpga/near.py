"""Registers and constants with many readers, made once in each part of the device.

A wire from one register to a thousand readers is as long as the device is wide, slow, and in
everybody's way: when a router takes one piece of it for another net, it loses all that hangs on it.
And nextpnr makes each constant in one place only, and wires it from there to those pins of
multiplier blocks that the bitstream cannot tie.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitwright.fpga.cells import MULTIPLIER, REGISTER, TABLE, TABLE_PINS, Cell, ends, unused_bit

MOST_READERS = 64
_UNTIED = re.compile(r"(CE|RST)\d|(SIGNED|SOURCE)[AB]")
_PINS_OF_A_CONSTANT = 32


class _Pin(NamedTuple):
    cell: int
    port: str
    bit: int


def spread(module: dict[str, Any], places: NDArray[np.float64]) -> int:
    """Copy the registers of more than `MOST_READERS`, and make constants near blocks, in place.

    Args:
        module: of a JSON netlist of yosys for an ECP5.
        places: column and row where each cell likes to be, [cell, 2].

    Returns:
        The number of cells that the module has more.
    """
    return _Spread(module, places).run()


class _Spread:
    """The work on one module: its cells by number, where they are, and who reads each net."""

    def __init__(self, module: dict[str, Any], places: NDArray[np.float64]) -> None:
        self._module = module
        self._names = list(module["cells"])
        self._cells: list[Cell] = list(module["cells"].values())
        self._places = list(places)
        self._readers: dict[Any, list[_Pin]] = defaultdict(list)
        self._registers: dict[Any, int] = {}
        for number, cell in enumerate(self._cells):
            self._connect(number, cell)
        self._unused = unused_bit(ends(module))

    def run(self) -> int:
        before = len(self._cells)
        waiting = list(self._registers.values())
        while waiting:
            waiting = [number for register in waiting for number in self._copy(register)]
        for value in ("0", "1"):
            pins = [
                pin
                for pin in self._readers[value]
                if self._cells[pin.cell]["type"] == MULTIPLIER and _UNTIED.fullmatch(pin.port)
            ]
            for part in self._parts(pins, _PINS_OF_A_CONSTANT):
                self._add(_constant(value), "Z", f"constant_{value}", part)
        return len(self._cells) - before

    def _connect(self, number: int, cell: Cell) -> None:
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                for place, bit in enumerate(bits):
                    self._readers[bit].append(_Pin(number, port, place))
        if cell["type"] == REGISTER:
            self._registers[cell["connections"]["Q"][0]] = number

    def _copy(self, number: int) -> list[int]:
        """Copy a register if it has too many readers; the registers that have more now."""
        register = self._cells[number]
        output = register["connections"]["Q"][0]
        own, *others = self._parts(self._readers[output], MOST_READERS) or [[]]
        if not others:
            return []
        self._readers[output] = own
        self._places[number] = self._middle(own)
        for part in others:
            self._add(deepcopy(register), "Q", self._names[number], part)
        inputs = (bit for bits in register["connections"].values() for bit in bits)
        return [self._registers[bit] for bit in inputs if bit in self._registers]

    def _add(self, cell: Cell, output: str, name: str, readers: Sequence[_Pin]) -> None:
        """Add a cell whose output is what `readers` read from now on."""
        number, bit = len(self._cells), self._unused
        name = f"{name}$near{bit}"
        cell["connections"][output] = [bit]
        self._unused += 1
        self._cells.append(cell)
        self._names.append(name)
        self._places.append(self._middle(readers))
        self._module["cells"][name] = cell
        net = {"hide_name": 1, "bits": [bit], "attributes": {}}
        self._module["netnames"][f"{name}_{output}"] = net
        for pin in readers:
            self._cells[pin.cell]["connections"][pin.port][pin.bit] = bit
        self._readers[bit] = list(readers)
        self._connect(number, cell)

    def _middle(self, pins: Sequence[_Pin]) -> NDArray[np.float64]:
        return np.mean([self._places[pin.cell] for pin in pins], axis=0)

    def _parts(self, pins: list[_Pin], most: int) -> list[list[_Pin]]:
        """Pins in groups of neighbours, of at most so many: halved where they are widest."""
        if not pins:
            return []
        if len(pins) <= most:
            return [pins]
        places = np.array([self._places[pin.cell] for pin in pins])
        axis = np.ptp(places, axis=0).argmax()
        order = [pins[index] for index in np.argsort(places[:, axis], kind="stable")]
        # whole groups of the most on one side, so that there are no more of them than need be
        groups = -(-len(pins) // most)
        size = -(-len(pins) * (groups // 2) // groups)
        return self._parts(order[:size], most) + self._parts(order[size:], most)


def _constant(value: str) -> Cell:
    return {
        "hide_name": 1,
        "type": TABLE,
        "parameters": {"INIT": value * 16},
        "attributes": {},
        "port_directions": dict.fromkeys(TABLE_PINS, "input") | {"Z": "output"},
        "connections": {pin: [] for pin in TABLE_PINS},
    }
