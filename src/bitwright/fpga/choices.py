"""Registers around the choice of a block RAM, in memories deeper than one, moved to its other side.

High address bits say which of several block RAMs a word is in. Of a word that is read, a register
behind the choice goes before it, to each block RAM, which has one of its own: what leaves a block
RAM without it takes half of a cycle. Of a word that is written, registers before the choice go
behind it: what enables the block RAMs, which may be anywhere, comes straight from a register then;
registers that nothing reads any more go.
"""

from collections import defaultdict
from copy import deepcopy
from typing import Any

from bitwright.fpga.cells import BLOCK_RAM, TABLE, TABLE_PINS, Cell, ends, is_plain, unused_bit


def turn_round(module: dict[str, Any]) -> None:
    """Move them, in a module of a JSON netlist of yosys for an ECP5, in place.

    Only where what the design does stays the same from its first cycle on. Of words that are read
    only where all bits of a block RAM get a register so, and where more of what a register's value
    is chosen by comes from block RAMs than from elsewhere, where each bit costs a flip-flop.
    """
    if any(cell["type"] == BLOCK_RAM for cell in module["cells"].values()):
        _Choices(module).run()


class _Choices:
    """The work on one module, with what drives and what reads each net."""

    def __init__(self, module: dict[str, Any]) -> None:
        self._module = module
        self._cells: dict[str, Cell] = module["cells"]
        self._ends = ends(module)
        self._unused = unused_bit(self._ends)
        self._drivers: dict[Any, str] = {}
        self._readers: dict[Any, list[str]] = defaultdict(list)
        for name, cell in self._cells.items():
            for port, bits in cell["connections"].items():
                for bit in bits:
                    if cell["port_directions"][port] == "output":
                        self._drivers[bit] = name
                    else:
                        self._readers[bit].append(name)
        self._later: dict[tuple[Any, ...], Any] = {}  # net and clock, and the net a cycle later
        self._passed: set[str] = set()  # registers that have lost a reader

    def run(self) -> None:
        tables = [name for name, cell in self._cells.items() if cell["type"] == TABLE]
        writes = [name for name in tables if self._enables(self._result(name))]
        for register, choice in self._reads().items():
            self._move_before(register, choice)
        while moved := {name for name in writes if self._move_behind(name)}:
            writes = [name for name in writes if name not in moved]
        left = ends(self._module)
        for name in self._passed:
            if left[self._cells[name]["connections"]["Q"][0]] == 1:
                del self._cells[name]

    def _reads(self) -> dict[str, set[str]]:
        """The registers behind choices of whole block RAMs, and the tables that choose."""
        choices: dict[str, set[str]] = defaultdict(set)
        memories: dict[str, set[str]] = {}  # and the registers that its bits go to
        refused: set[str] = set()
        for name, cell in self._cells.items():
            if cell["type"] != BLOCK_RAM:
                continue
            ways = [
                self._way(bits[0])
                for port, bits in cell["connections"].items()
                if cell["port_directions"][port] == "output" and self._ends[bits[0]] > 1
            ]
            memories[name] = {way[-1] for way in ways if way}
            for *tables, register in filter(None, ways):
                choices[register].update(tables)
            if not all(ways):
                refused |= memories[name]
        refused |= {name for name, tables in choices.items() if not self._is_choice(name, tables)}
        while more := {
            name for mine in memories.values() if mine & refused for name in mine - refused
        }:
            refused |= more
        return {name: tables for name, tables in choices.items() if tables and name not in refused}

    def _way(self, bit: Any) -> list[str]:
        """The tables from a bit to a plain register, and that; empty if it goes elsewhere, too."""
        way: list[str] = []
        while self._ends[bit] == 2 and self._readers[bit]:
            (name,) = self._readers[bit]
            cell = self._cells[name]
            way.append(name)
            if is_plain(cell) and cell["connections"]["DI"] == [bit]:
                return way
            if cell["type"] != TABLE:
                break
            bit = self._result(name)
        return []

    def _is_choice(self, register: str, tables: set[str]) -> bool:
        """Whether a register may go before the tables, or reads a block RAM without any."""
        leaves = self._leaves(tables)
        drivers = [self._cells[self._drivers[bit]] for bit in leaves if bit in self._drivers]
        words = sum(cell["type"] == BLOCK_RAM for cell in drivers)
        begins = self._value_of_zeros(self._cells[register]["connections"]["DI"][0], tables)
        return not tables or (2 * words > len(leaves) and not begins)

    def _leaves(self, tables: set[str]) -> list[Any]:
        """The nets that some tables read, and none of them drives."""
        inputs = {bit for table in tables for bit in self._inputs(table)}
        return sorted(bit for bit in inputs if self._drivers.get(bit) not in tables)

    def _inputs(self, table: str) -> list[Any]:
        """The nets that a table reads, without constants."""
        pins = self._cells[table]["connections"]
        return [pins[pin][0] for pin in TABLE_PINS if isinstance(pins[pin][0], int)]

    def _result(self, table: str) -> Any:
        return self._cells[table]["connections"]["Z"][0]

    def _value_of_zeros(self, bit: Any, tables: set[str]) -> bool:
        """The value of a net if all nets that the tables read are 0."""
        driver = self._drivers.get(bit)
        if driver is None or driver not in tables:
            return bit == "1"
        pins = self._cells[driver]["connections"]
        values = [self._value_of_zeros(pins[pin][0], tables) for pin in TABLE_PINS]
        index = sum(value << number for number, value in enumerate(values))
        return self._cells[driver]["parameters"]["INIT"][-1 - index] == "1"

    def _move_before(self, register: str, tables: set[str]) -> None:
        """From the result of a choice to all that it is made from."""
        pins = self._cells[register]["connections"]
        (clock,), (data,), (result,) = pins["CLK"], pins["DI"], pins["Q"]
        leaves = self._leaves(tables)
        for leaf in leaves:
            if (leaf, clock) not in self._later:
                self._later[leaf, clock] = self._new_bit()
                self._add_register(register, leaf, self._later[leaf, clock])
        for table in tables:
            inputs = self._cells[table]["connections"]
            for pin in TABLE_PINS:
                if inputs[pin][0] in leaves:
                    inputs[pin] = [self._later[inputs[pin][0], clock]]
        self._connect(self._drivers[data], "Z", result)
        del self._cells[register]

    def _enables(self, bit: Any) -> bool:
        """Whether a net goes to block RAMs, by nothing but tables, and nowhere else."""
        readers = self._readers[bit]
        return len(readers) == self._ends[bit] - 1 > 0 and all(
            self._cells[name]["type"] == BLOCK_RAM
            or (self._cells[name]["type"] == TABLE and self._enables(self._result(name)))
            for name in readers
        )

    def _move_behind(self, table: str) -> bool:
        """From all that a table reads to its result; whether that can be done."""
        before = {bit: self._drivers.get(bit) for bit in self._inputs(table)}
        registers = {
            bit: name for bit, name in before.items() if name and is_plain(self._cells[name])
        }
        clocks = {self._cells[name]["connections"]["CLK"][0] for name in registers.values()}
        result, pins = self._result(table), self._cells[table]["connections"]
        if registers != before or len(clocks) != 1 or self._value_of_zeros(result, {table}):
            return False
        for pin in TABLE_PINS:
            if name := registers.get(pins[pin][0]):
                pins[pin] = self._cells[name]["connections"]["DI"]
        self._passed.update(registers.values())
        self._connect(table, "Z", data := self._new_bit())
        self._add_register(next(iter(registers.values())), data, result)
        return True

    def _add_register(self, like: str, data: Any, result: Any) -> None:
        register = deepcopy(self._cells[like])
        register["connections"]["DI"] = [data]
        name = f"{like}$moved{result}"
        self._cells[name] = register
        self._connect(name, "Q", result)

    def _connect(self, cell: str, output: str, bit: Any) -> None:
        self._cells[cell]["connections"][output] = [bit]
        self._drivers[bit] = cell

    def _new_bit(self) -> int:
        self._unused += 1
        return self._unused - 1
