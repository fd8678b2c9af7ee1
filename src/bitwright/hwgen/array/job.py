"""One product of matrices on an array machine: what the host writes, where the results are."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.hwgen.array import control, machine
from bitwright.hwgen.array.shape import (
    INNER_BITS,
    ArrayRegister,
    ArrayShape,
    ArrayWindow,
)
from bitwright.hwgen.engines import acttable, weighttable
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
        results: for each element of C [row, column] its (outer, inner, row) in the machine.
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
        places = self.results.reshape(-1, 3).tolist()
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
            [_join(a[t, :, n], shape.activation_bits) for n in range(columns) for t in range(tiles)],
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
        corrections = np.zeros((blocks, shape.row_stride), int)
        corrections[:, : shape.rows] = -sums
        words = [int(value) & ((1 << shape.acc_bits) - 1) for value in corrections.reshape(-1)]
        memories = {
            ArrayWindow.WEIGHTS: tables,
            ArrayWindow.ACTIVATIONS: uses,
            ArrayWindow.CORRECTIONS: (shape.acc_bits, words),
        }
    _check(shape, memories, outer, inner)
    steps = inner * digit_bits
    period = max(steps, machine.shortest_period(shape))
    rows, places = np.indices((len(weights), columns))
    block, row = np.divmod(rows, shape.rows)
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
        results=np.stack(
            (places, block, row) if on_activations else (block, places, row), axis=-1
        ),
        cycles=control.cycles(
            outer=outer, tiles=tiles, period=period, drain=machine.drain(shape)
        ),
    )


def _check(
    shape: ArrayShape, memories: dict[ArrayWindow, tuple[int, list[int]]], outer: int, inner: int
) -> None:
    for window, (_, words) in memories.items():
        if len(words) > shape.depth:
            raise MachineError(
                f"the product needs {len(words)} words of {window.name}; expected at most "
                f"{shape.depth}, the machine's depth: split the matrices"
            )
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
