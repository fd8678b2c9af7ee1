"""Place the buffers of a program and size the machine's memories: `accel` --> `accel`.

    accel.buffer {buffer = "t3", space = "main", words = 64, base = -1}
    -->  accel.buffer {buffer = "t3", space = "main", words = 64, base = 128}

Buffers in main memory share words where they are not alive together (first fit, largest first);
input and output buffers lie one after the other. Places are then added to the instructions'
src_base, s_cb (where there are two sources), add_base and dst_base.

Requires: a program from `tile`.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.ir import accel
from bitwright.ir.builder import attribute
from bitwright.ir.context import IrError, clone, entered, verify
from bitwright.ir.machine import MAX_WORDS, MachineError

_MIN_WORDS = 2
_SIZED = ("weights", "params")  # memories whose depth their contents give


@dataclass(frozen=True)
class Allocate:
    """See the module's description.

    Attributes:
        act_words, in_words, out_words, weight_words, param_words, program_words: memory depths,
            at least what the program needs; 0 takes just that.
        tables: number of activation tables, at least what the program needs.
    """

    act_words: int = 0
    in_words: int = 0
    out_words: int = 0
    weight_words: int = 0
    param_words: int = 0
    program_words: int = 0
    tables: int = 0

    def __post_init__(self) -> None:
        for item in fields(self):
            value, limit = getattr(self, item.name), MAX_WORDS
            if not 0 <= value <= limit:
                raise MachineError(
                    f"Machine parameter {item.name} is {value}; expected 0 (what the program "
                    f"needs) to {limit}"
                )

    def run(self, module: ir.Module) -> ir.Module:
        """Return a copy of `module` with its buffers placed."""
        module = clone(module)
        operations = list(module.body.operations)
        buffers = [op for op in operations if isinstance(op, accel.BufferOp)]
        instructions = [op for op in operations if isinstance(op, accel.COMPUTE)]
        bases = place(buffers, instructions)
        with entered(module):
            for buffer in buffers:
                buffer.attributes["base"] = attribute(bases[buffer.buffer.value])
            for instruction in instructions:
                _relocate(instruction, bases)
            needed = _needed(buffers, bases, operations)
            machine = dict(_items(module.operation.attributes["accel.machine"]))
            for name, words in needed.items():
                if name in machine:  # a buffer for weights in external memory
                    continue
                machine[name] = attribute(max(words, getattr(self, name), _MIN_WORDS))
            machine["tables"] = attribute(max(ir.IntegerAttr(machine["tables"]).value, self.tables))
            module.operation.attributes["accel.machine"] = ir.DictAttr.get(machine)
        verify(module)
        return module


def _items(attributes: Any) -> list[tuple[str, ir.Attribute]]:
    return [(item.name, item.attr) for item in attributes]


def place(buffers: list[Any], instructions: list[Any]) -> dict[str, int]:
    """First word of each buffer by name."""
    names = [buffer.buffer.value for buffer in buffers]
    for name in names:
        if names.count(name) > 1:
            raise IrError(f"The program has two buffers named {name!r}; every name must be its own")
    bases: dict[str, int] = {}
    for space in ("input", "output"):
        next_word = 0
        for buffer in (b for b in buffers if b.space.value == space):
            bases[buffer.buffer.value] = next_word
            next_word += buffer.words.value
    lives = _lives(instructions)
    placed: list[tuple[int, int, tuple[int, int]]] = []  # first word, words, life
    main = [buffer for buffer in buffers if buffer.space.value == "main"]
    for buffer in sorted(main, key=lambda b: -b.words.value):
        name, words = buffer.buffer.value, buffer.words.value
        first, last = lives.get(name, (0, 0))
        base = 0
        for start, length, (other_first, other_last) in sorted(placed):
            if other_last < first or last < other_first:
                continue
            if base + words <= start:
                break
            base = max(base, start + length)
        bases[name] = base
        placed.append((base, words, (first, last)))
    return bases


def _lives(instructions: list[Any]) -> dict[str, tuple[int, int]]:
    """First and last instruction that names each buffer."""
    lives: dict[str, tuple[int, int]] = {}
    for index, instruction in enumerate(instructions):
        for role in ("src", "src2", "dst", "other"):
            if role not in instruction.attributes:
                continue
            name = instruction.attributes[role].value
            first, _ = lives.get(name, (index, index))
            lives[name] = (first, index)
    return lives


def _relocate(instruction: Any, bases: dict[str, int]) -> None:
    def move(field: str, words: int) -> None:
        instruction.attributes[field] = attribute(instruction.attributes[field].value + words)

    source, second = instruction.src.value, instruction.src2.value
    move("src_base", bases[source])
    move("dst_base", bases[instruction.dst.value])
    if second:
        move("s_cb", bases[second] - bases[source])
    if isinstance(instruction, accel.MatmulAddOp):
        move("add_base", bases[instruction.other.value])


def _needed(buffers: list[Any], bases: dict[str, int], operations: list[Any]) -> dict[str, int]:
    words = {"act_words": 0, "in_words": 0, "out_words": 0, "weight_words": 0, "param_words": 0}
    names = {"main": "act_words", "input": "in_words", "output": "out_words"}
    for buffer in buffers:
        name = names[buffer.space.value]
        end = bases[buffer.buffer.value] + buffer.words.value
        words[name] = max(words[name], end)
    program = 0
    for operation in operations:
        if isinstance(operation, accel.MemoryOp) and operation.memory.value in _SIZED:
            words[f"{operation.memory.value.removesuffix('s')}_words"] = len(
                np.asarray(operation.value)
            )
        elif isinstance(operation, accel.COMPUTE):
            program += 1 + len(operation.fields)
        elif isinstance(operation, (accel.LoadOp, accel.StoreOp)):
            program += 1
    return {**words, "program_words": program + 1}
