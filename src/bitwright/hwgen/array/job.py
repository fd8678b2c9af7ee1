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
    pair_layout,
)
from bitwright.hwgen.engines import acttable, bitserial, weighttable
from bitwright.ir.machine import MachineError
from bitwright.targets.host_interface import WINDOW_SHIFT, used_slices

MASK = 0xFFFF_FFFF
MAX_BITS = 16  # of an operand of `bitserial`


@dataclass(frozen=True, kw_only=True)
class Job:
    """C = W x A.

    Attributes:
        shape: the machine.
        memories: words by window, from address 0 on.
        registers: what the host writes before START.
        results: for each element of C [row, column] its word and its number in the word.
        cycles: the machine's CYCLES at the end.
    """

    shape: ArrayShape
    memories: dict[ArrayWindow, list[int]]
    registers: dict[ArrayRegister, int]
    results: NDArray
    cycles: int

    def writes(self) -> Iterator[tuple[int, int]]:
        """Byte address and value of each of the host's writes, START last."""
        for window, words in self.memories.items():
            for number, word in enumerate(words):
                for part in range(used_slices(self.shape.word_bits[window])):
                    address = self.shape.word_address(window, number, part)
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

    Weights, and signed activations, of one bit are +1 and -1; others are two's complement.
    Raises `MachineError` where a matrix does not fit the machine's memories.
    """
    on_activations = shape.engine == "acttable"
    operands = (
        ("weight", weights, weight_bits, True, shape.weight_bits),
        ("activation", activations, activation_bits, activation_signed, shape.activation_bits),
    )
    for name, values, bits, is_signed, most in operands:
        bipolar = bits == 1 and is_signed
        if (name == "activation") == on_activations:
            _check_table_bits(name, 2 if bipolar else bits + (not is_signed), most)
        _check_values(name, values, bits, is_signed, bipolar=bipolar, most=most)
    digit_bits = weight_bits if on_activations else activation_bits
    digit_signed = on_activations or activation_signed
    blocks, tiles = -(-len(weights) // shape.rows), -(-len(weights[0]) // shape.lanes)
    columns = len(activations[0])
    outer, inner = (columns, blocks) if on_activations else (blocks, columns)
    w = np.zeros((blocks * shape.rows, tiles * shape.lanes), int)
    w[: len(weights), : len(weights[0])] = weights
    a = np.zeros((tiles * shape.lanes, columns), int)
    a[: len(activations)] = activations
    bipolar = digit_bits == 1 and digit_signed
    if bipolar:  # there is no 0 among +1 and -1; the other operand is 0 there
        digit_operand = w if on_activations else a
        digit_operand[digit_operand == 0] = 1
    w = w.reshape(blocks, shape.rows, tiles, shape.lanes)
    a = a.reshape(tiles, shape.lanes, columns)

    if on_activations:
        planes = acttable.digits(w, weight_bits)
        memories = {
            ArrayWindow.ACTIVATIONS: [
                _join(a[t, :, n], shape.activation_bits)
                for n in range(columns) for t in range(tiles)
            ],
            ArrayWindow.WEIGHTS: [
                _stages(shape, [acttable.pack(row) for row in planes[p, b, :, t]])
                for t in range(tiles) for b in range(blocks) for p in range(weight_bits)
            ],
        }  # fmt: skip
    else:
        planes = acttable.digits(a, activation_bits if bipolar else max(activation_bits, 2))
        factor = -1 if activation_signed else (1 << activation_bits) - 1
        corrections = np.zeros((blocks, shape.result_stride), int)
        corrections[:, : shape.rows] = factor * w.sum((2, 3))
        memories = {
            ArrayWindow.WEIGHTS: [
                word
                for b in range(blocks) for t in range(tiles)
                for word in weighttable.pack(w[b, :, t], weight_bits=shape.weight_bits)
            ],
            ArrayWindow.ACTIVATIONS: [
                weighttable.pack_digits(planes[p, t, :, n])
                for t in range(tiles) for n in range(columns) for p in range(-activation_bits, 0)
            ],
            ArrayWindow.CORRECTIONS: [
                value & ((1 << shape.acc_bits) - 1) for value in corrections.reshape(-1).tolist()
            ],
        }  # fmt: skip
    _check_words(shape, memories)
    _check_steps(shape, outer, inner)
    _check_results(shape, weights, activations, doubled=not bipolar)
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
            ArrayRegister.SIGNED: digit_signed and not bipolar,
            ArrayRegister.HALVE: not bipolar,
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
    for name, values, bits, is_signed in (
        ("weight", weights, weight_bits, True),
        ("activation", activations, activation_bits, activation_signed),
    ):
        most = 1 if shape.binary else MAX_BITS
        _check_values(name, values, bits, is_signed, bipolar=shape.binary, most=most)
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
            pairs.append(pair_layout(shape.depth).const(entry).as_value().value)
    words = [o.reshape(-1, *o.shape[-2:]) for o in operands]
    memories = {
        ArrayWindow.WEIGHTS: [_stages(shape, [bitserial.pack(r) for r in w]) for w in words[0]],
        ArrayWindow.ACTIVATIONS: [bitserial.pack(bits) for bits in words[1]],
        ArrayWindow.CORRECTIONS: pairs,
    }
    blocks, columns = len(operands[0]), len(operands[1])
    _check_results(shape, weights, activations, doubled=False)
    _check_words(shape, {**memories, ArrayWindow.RESULTS: [0] * (blocks * columns)})
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
            ArrayRegister.OFFSET: -length & MASK,
        },
        results=np.stack(results, axis=-1),
        cycles=bit_machine.cycles(
            blocks=blocks, columns=columns, pairs=len(pairs), tiles=tiles,
            drain=bit_machine.drain(shape),
        ),
    )  # fmt: skip


def _check_values(
    name: str, values: NDArray, bits: int, is_signed: bool, *, bipolar: bool, most: int
) -> None:
    if not 1 <= bits <= most:
        raise MachineError(
            f"the product has {name}_bits {bits}; expected 1 to {most} on this machine"
        )
    low = -(1 << (bits - 1)) if is_signed else 0
    high = low + (1 << bits) - 1
    wrong = values[(abs(values) != 1) if bipolar else (values < low) | (values > high)]
    if wrong.size:
        expected = "-1 or 1 with 1 bit" if bipolar else f"{low} to {high} with {bits} bits"
        article = "an" if name[0] == "a" else "a"
        raise MachineError(f"{article} {name} is {wrong[0]}; expected {expected}")


def _check_table_bits(name: str, bits: int, most: int) -> None:
    if bits > most:
        raise MachineError(
            f"the product's {name}s take {bits} bits in two's complement; expected at most {most} "
            f"on this machine"
        )


def _check_words(shape: ArrayShape, memories: dict[ArrayWindow, list[int]]) -> None:
    for window, words in memories.items():
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


def _check_results(
    shape: ArrayShape, weights: NDArray, activations: NDArray, *, doubled: bool
) -> None:
    """What a result may be at most; the digits of a table engine make twice of it."""
    reach = int(abs(weights).sum(1).max()) * int(abs(activations).max())
    most = (1 << (shape.acc_bits - 1 - doubled)) - 1
    if reach > most:
        raise MachineError(
            f"a result may reach {reach}; expected at most {most} with acc_bits {shape.acc_bits}"
        )


def _stages(shape: ArrayShape, rows: list[int]) -> int:
    """A word of digits: each stage's rows side by side, from its own slice on."""
    stage_bits = 32 * shape.stage_slices
    return sum(
        word << (stage * stage_bits + place * shape.lanes)
        for stage, own in enumerate(shape.stages)
        for place, word in enumerate(rows[own.start : own.stop])
    )


def _join(values: NDArray, bits: int) -> int:
    mask = (1 << bits) - 1
    return sum((int(value) & mask) << (bits * lane) for lane, value in enumerate(values))
