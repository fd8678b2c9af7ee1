"""Encode a placed `accel` program: the machine, its memory image, and what the host must know."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch_mlir import ir

from bitwright.hwgen.image import Image
from bitwright.hwgen.isa import (
    SOURCE_FIELDS,
    Instruction,
    InstructionError,
    check,
    encode,
    field_bits,
)
from bitwright.hwgen.overlap import hand_over
from bitwright.ir import accel
from bitwright.ir.checks import ints
from bitwright.ir.context import clone, entered
from bitwright.ir.instructions import Opcode, fields_of
from bitwright.ir.machine import Machine


@dataclass(frozen=True)
class HostTensor:
    """An input or output of the program: int8 [channels, height, width] at a word of its bank."""

    name: str
    shape: tuple[int, int, int]
    base: int


@dataclass(frozen=True)
class Assembled:
    """A program in the machine's own words.

    `layers` names what each instruction makes ("" for LOAD, STORE, END).
    """

    machine: Machine
    image: Image
    instructions: tuple[Instruction, ...]
    layers: tuple[str, ...]
    inputs: tuple[HostTensor, ...]
    outputs: tuple[HostTensor, ...]


@dataclass(frozen=True)
class Assemble:
    """Append the encoded program to a placed program, as one more memory.

        accel.load, accel.matmul {...}, accel.store
        -->  accel.load, accel.matmul {...}, accel.store, accel.memory {memory = "program", ...}

    Requires: a program from `allocate`.
    """

    def run(self, module: ir.Module) -> ir.Module:
        """Return a copy of `module` with its program words."""
        words = np.asarray(assemble(module).image.program, dtype="<u4").view(np.int8)
        module = clone(module)
        with entered(module), ir.InsertionPoint(module.body):
            accel.MemoryOp(
                memory=ir.StringAttr.get("program"),
                value=ir.DenseElementsAttr.get(words.reshape(-1, 4)),
            )
        return module


def assemble(module: ir.Module) -> Assembled:
    """Encode a program that `allocate` has placed.

    Raises:
        InstructionError: where a field does not fit the machine, naming the layer.
    """
    operations = list(module.body.operations)
    machine = Machine(
        **{item.name: item.attr.value for item in module.operation.attributes["accel.machine"]}
    )
    instructions = [_instruction(machine, op) for op in operations if _opcode(op) is not None]
    instructions.append(Instruction(Opcode.END))
    layers = [_layer(op) for op in operations if _opcode(op) is not None] + [""]
    for layer, instruction in zip(layers, instructions, strict=True):
        try:
            check(machine, instruction)
        except InstructionError as error:
            raise InstructionError(
                f"Layer {layer!r}: {error}; compile with --target cpu, or change the model there"
            ) from None
    instructions = hand_over(machine, instructions)
    memories: dict[str, list[int]] = {"weights": [], "params": [], "tables": []}
    for operation in operations:
        if not isinstance(operation, accel.MemoryOp):
            continue
        name = "weights" if operation.memory.value == "external" else operation.memory.value
        if name in memories:
            rows = np.asarray(operation.value).view(np.uint8)
            memories[name] = [int.from_bytes(row.tobytes(), "little") for row in rows]
    return Assembled(
        machine=machine,
        image=Image(machine=machine, program=encode(machine, instructions), **memories),
        instructions=tuple(instructions),
        layers=tuple(layers),
        inputs=_host_tensors(operations, "input"),
        outputs=_host_tensors(operations, "output"),
    )


def _opcode(operation: Any) -> Opcode | None:
    return {
        accel.LoadOp: Opcode.LOAD,
        accel.StoreOp: Opcode.STORE,
        accel.MatmulOp: Opcode.MATMUL,
        accel.MatmulAddOp: Opcode.MATMUL_ADD,
        accel.ChannelwiseOp: Opcode.CHANNELWISE,
    }.get(type(operation))


def _instruction(machine: Machine, operation: Any) -> Instruction:
    """The fields of an operation; the machine computes source addresses modulo their width."""
    opcode = _opcode(operation)
    assert opcode is not None, "only called for instructions"
    if not isinstance(operation, accel.COMPUTE):
        return Instruction(opcode)
    fields = {item.name: operation.attributes[item.name].value for item in fields_of(opcode)}
    modulus = 1 << field_bits(machine)["src_base"]
    for name in SOURCE_FIELDS:
        if not -modulus < fields[name] < modulus:
            fields[name] %= modulus
    return Instruction(opcode, fields)


def _layer(operation: Any) -> str:
    return operation.layer.value if isinstance(operation, accel.COMPUTE) else ""


def _host_tensors(operations: list[Any], space: str) -> tuple[HostTensor, ...]:
    return tuple(
        HostTensor(op.buffer.value, ints(op.shape), op.base.value)  # pyright: ignore
        for op in operations
        if isinstance(op, accel.BufferOp) and op.space.value == space
    )
