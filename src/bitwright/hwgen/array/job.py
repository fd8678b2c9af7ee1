"""One product of matrices on an array machine: what the host writes, where the results are."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.hwgen.array import bit_machine, control, machine
from bitwright.hwgen.array.shape import (
    INNER_BITS,
    ArrayRegister,
    ArrayShape,
    ArrayWindow,
)
from bitwright.hwgen.engines import acttable, bitserial, weighttable
from bitwright.ir.machine import MachineError
from bitwright.targets.host_interface import WINDOW_SHIFT, used_slices

MASK = 0xFFFF_FFFF


@dataclass(frozen=True, kw_only=True)
class Job:
    """C = W x A.

    Attributes:
        shape: the machine.
        memories: words by window; their addresses count from 0.
        registers: what the host writes before START.
        results: for each element of C [row, column] its word and its number in the word.
        cycles: the machine's CYCLES at the end.
    """

    shape: ArrayShape
    memories: dict[ArrayWindow, tuple[int, list[int]]]
    registers: dict[ArrayRegister, int]
    results: NDArray
    cycles: int

    def writes(self) -> Iterator[tuple[int, int]]:
        """Byte address and value of each of the host's writes, START last."""
        for window, (width, words) in self.memories.items():
            for number, word in enumerate(words):
                for part in range(used_slices(width)):
                    address = self.shape.word_address(window, width, number, part)
                    yield address, word >> (32 * part) & MASK
        for register, value in {**self.registers, ArrayRegister.START: 1}.items():
            yield (ArrayWindow.REGISTERS << WINDOW_SHIFT) + register, value

    def reads(self) -> list[int]:
        """Byte address of each element of C, row by row."""
        places = self.results.reshape(-1, 2).tolist()
        return [self.shape.result_address(*place) for place in places]


def table_job(
    shape: ArrayShape,
    weights: NDArray,
    activations: NDArray,
    *,
    weight_bits: int,
    activation_bits: int,
    activation_signed: bool = True,
) -> Job:
    """The product of weights [row, k] and activations [k, column] on a table engine.

    Weights and activations of one bit are +1 and -1; other weights are two's complement.
    Raises `MachineError` where a matrix does not fit the machine's memories.
    """
    on_activations = shape.engine == "acttable"
    digit_bits = weight_bits if on_activations else activation_bits
    digit_signed = on_activations or activation_signed
    blocks, tiles = -(-len(weights) // shape.rows), -(-len(weights[0]) // shape.lanes)
    columns = len(activations[0])
    outer, inner = (columns, blocks) if on_activations else (blocks, columns)
    w = np.zeros((blocks * shape.rows, tiles * shape.lanes), int)
    w[: len(weights), : len(weights[0])] = weights
    a = np.zeros((tiles * shape.lanes, columns), int)
    a[: len(activations)] = activations
    if digit_bits == 1:  # there is no 0 among +1 and -1; the other operand is 0 there
        digit_operand = w if on_activations else a
        digit_operand[digit_operand == 0] = 1
    w = w.reshape(blocks, shape.rows, tiles, shape.lanes)
    a = a.reshape(tiles, shape.lanes, columns)

    if on_activations:
        width = shape.lanes * shape.activation_bits
        tables = (
            width,
            [
                _join(a[t, :, n], shape.activation_bits)
                for n in range(columns)
                for t in range(tiles)
            ],
        )
        planes = acttable.digits(w, weight_bits)
        uses = (
            shape.rows * shape.lanes,
            [
                acttable.pack(planes[p, b, :, t])
                for t in range(tiles) for b in range(blocks) for p in range(weight_bits)
            ],
        )  # fmt: skip
        memories = {ArrayWindow.ACTIVATIONS: tables, ArrayWindow.WEIGHTS: uses}
    else:
        tables = (
            weighttable.word_bits(shape.lanes, shape.weight_bits),
            [
                word
                for b in range(blocks) for t in range(tiles)
                for word in weighttable.pack(w[b, :, t], weight_bits=shape.weight_bits)
            ],
        )  # fmt: skip
        planes = acttable.digits(a, activation_bits)
        uses = (
            shape.lanes,
            [
                weighttable.pack_digits(planes[p, t, :, n])
                for t in range(tiles) for n in range(columns) for p in range(activation_bits)
            ],
        )  # fmt: skip
        factor = 1 if activation_signed else (1 << activation_bits) - 1
        sums = w.sum((2, 3)) * (factor if activation_signed else -factor)
        corrections = np.zeros((blocks, shape.result_stride), int)
        corrections[:, : shape.rows] = -sums
        words = [int(value) & ((1 << shape.acc_bits) - 1) for value in corrections.reshape(-1)]
        memories = {
            ArrayWindow.WEIGHTS: tables,
            ArrayWindow.ACTIVATIONS: uses,
            ArrayWindow.CORRECTIONS: (shape.acc_bits, words),
        }
    _check_words(shape, memories)
    _check_steps(shape, outer, inner)
    steps = inner * digit_bits
    period = max(steps, machine.shortest_period(shape))
    rows, places = np.indices((len(weights), columns))
    block, row = np.divmod(rows, shape.rows)
    outers, inners = (places, block) if on_activations else (block, places)
    return Job(
        shape=shape,
        memories=memories,
        registers={
            ArrayRegister.OUTER: outer - 1,
            ArrayRegister.TILES: tiles - 1,
            ArrayRegister.INNER: inner - 1,
            ArrayRegister.PLANES: digit_bits - 1,
            ArrayRegister.PERIOD: period - 1,
            ArrayRegister.MODE: 0 if digit_bits == 1 else 2 | digit_signed,
        },
        results=np.stack([outers << INNER_BITS | inners, row], axis=-1),
        cycles=control.cycles(outer=outer, tiles=tiles, period=period, drain=machine.drain(shape)),
    )


def bit_job(
    shape: ArrayShape,
    weights: NDArray,
    activations: NDArray,
    *,
    weight_bits: int,
    activation_bits: int,
    activation_signed: bool = True,
) -> Job:
    """The product of weights [row, k] and activations [k, column] on `bitserial`.

    Both are two's complement, activations unsigned where so said; with `shape.binary` both are +1
    and -1. Raises `MachineError` where a matrix does not fit the machine's memories.
    """
    length = len(activations)
    tiles = -(-length // shape.lanes)
    operands: list[NDArray] = []  # [block, plane, tile, row or column, lane], the top plane first
    for matrix, size, bits, filler in (
        (weights, shape.rows, weight_bits, 0),
        (activations.T, shape.columns, activation_bits, 1),
    ):
        blocks = -(-len(matrix) // size)
        # Of lanes that are no element, the bits are equal in no pair, and both set in none.
        padded = np.full((blocks * size, tiles * shape.lanes), filler if shape.binary else 0)
        padded[: len(matrix), :length] = matrix > 0 if shape.binary else matrix
        planes = np.stack([padded >> bit & 1 for bit in range(bits - 1, -1, -1)])
        shaped = planes.reshape(bits, blocks, size, tiles, shape.lanes)
        operands.append(shaped.transpose(1, 0, 3, 2, 4))
    pairs: list[int] = []
    for weight in range(weight_bits + activation_bits - 1):
        first = max(0, weight - activation_bits + 1)
        final = min(weight, weight_bits - 1)
        for w in range(first, final + 1):
            a = weight - w
            signs = (w == 0) ^ (a == 0 and activation_signed)
            entry = {
                "weights": w * tiles,
                "activations": a * tiles,
                "negate": signs and not shape.binary,
                "first": w == first,
                "last": w == final,
                "opens": weight == 0,
            }
            layout = bit_machine.pair_layout(shape.depth)
            pairs.append(layout.const(entry).as_value().value)
    words = [[bitserial.pack(bits) for bits in o.reshape(-1, *o.shape[-2:])] for o in operands]
    memories = {
        ArrayWindow.WEIGHTS: (shape.rows * shape.lanes, words[0]),
        ArrayWindow.ACTIVATIONS: (shape.columns * shape.lanes, words[1]),
        ArrayWindow.CORRECTIONS: (bit_machine.pair_layout(shape.depth).size, pairs),
    }
    blocks, columns = len(operands[0]), len(operands[1])
    _check_words(shape, {**memories, ArrayWindow.RESULTS: (0, [0] * (blocks * columns))})
    block, row = np.divmod(np.arange(len(weights)), shape.rows)
    place, column = np.divmod(np.arange(len(activations[0])), shape.columns)
    results = np.broadcast_arrays(
        block[:, None] * columns + place, row[:, None] * shape.columns + column
    )
    return Job(
        shape=shape,
        memories=memories,
        registers={
            ArrayRegister.OUTER: blocks - 1,
            ArrayRegister.TILES: tiles - 1,
            ArrayRegister.INNER: columns - 1,
            ArrayRegister.PLANES: len(pairs) - 1,
            ArrayRegister.WEIGHT_STRIDE: weight_bits * tiles,
            ArrayRegister.ACTIVATION_STRIDE: activation_bits * tiles,
            ArrayRegister.OFFSET: -length & 0xFFFF if shape.binary else 0,
        },
        results=np.stack(results, axis=-1),
        cycles=bit_machine.cycles(
            blocks=blocks, columns=columns, pairs=len(pairs), tiles=tiles,
            drain=bit_machine.drain(shape),
        ),
    )  # fmt: skip


def _check_words(shape: ArrayShape, memories: dict[ArrayWindow, tuple[int, list[int]]]) -> None:
    for window, (_, words) in memories.items():
        if len(words) > shape.depth:
            raise MachineError(
                f"the product needs {len(words)} words of {window.name}; expected at most "
                f"{shape.depth}, the machine's depth: split the matrices"
            )


def _check_steps(shape: ArrayShape, outer: int, inner: int) -> None:
    most = shape.depth >> INNER_BITS
    for name, count, limit in (("outer", outer, most), ("inner", inner, 1 << INNER_BITS)):
        if count > limit:
            raise MachineError(
                f"the product has {count} {name} steps; expected at most {limit} on this machine: "
                f"split the matrices"
            )


def _join(values: NDArray, bits: int) -> int:
    mask = (1 << bits) - 1
    return sum((int(value) & mask) << (bits * lane) for lane, value in enumerate(values))
