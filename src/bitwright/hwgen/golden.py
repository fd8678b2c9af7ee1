"""What a machine does with an image, in NumPy: the oracle of every RTL test.

Exact, and fast by doing a whole instruction at once: gather the source words, one integer
product per block, requantize, scatter. An instruction must not overwrite words that one of its
later tiles still reads; in place (each tile only its own words) is fine.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.hwgen.isa import Image, Instruction, InstructionError, field_bits, groups
from bitwright.ir import fixed_point
from bitwright.ir.instructions import ChannelOp, Opcode, Rounding, Space
from bitwright.ir.machine import TABLE_ENTRIES, Machine

Ints = NDArray[np.int64]
Bytes = NDArray[np.int8]


def requantize(
    acc: Ints, multiplier: Ints, shift: Ints, *, zero_point: int, clamp_min: int, clamp_max: int,
    rounding: int = Rounding.HALF_UP,
) -> Ints:  # fmt: skip
    """`clamp(round(acc * m / 2^s) + zero_point)` on 64-bit integers.

    The machine never shifts left: below a shift of 32 TFLITE is HALF_UP, which is the same where
    the reference's left shift does not wrap.
    """
    product, shift = np.broadcast_arrays(acc * multiplier, shift)
    half = np.int64(1) << (shift - 1)
    match Rounding(rounding):
        case Rounding.HALF_UP:
            offset = half
        case Rounding.HALF_AWAY:
            offset = half - (product < 0)
        case Rounding.HALF_EVEN:
            offset = half - 1 + ((product >> shift) & 1)
        case Rounding.TFLITE:
            twice = shift > fixed_point.HALF_BITS
            high = (product + (1 << fixed_point.HALF_BITS - 1)) >> fixed_point.HALF_BITS
            product = np.where(twice, high, product)
            shift = np.where(twice, shift - fixed_point.HALF_BITS, shift)
            offset = (np.int64(1) << (shift - 1)) - (twice & (high < 0))
    rounded = (product + offset) >> shift
    return np.clip(rounded + zero_point, clamp_min, clamp_max)


def wrap(values: Ints, bits: int) -> Ints:
    """The low `bits` bits as a signed number."""
    half = np.int64(1) << (bits - 1)
    return ((values + half) & ((np.int64(1) << bits) - 1)) - half


def weight_bits(words: list[int], machine: Machine) -> NDArray[np.uint8]:
    """Weight words as bits [word, row, lane]."""
    size = machine.weight_bits // 8
    raw = np.frombuffer(b"".join(word.to_bytes(size, "little") for word in words), np.uint8)
    bits = np.unpackbits(raw.reshape(len(words), size), axis=1, bitorder="little")
    return bits.reshape(len(words), machine.rows, machine.lanes)


class _Memories:
    def __init__(
        self, image: Image, input_words: Bytes, before: Mapping[Space, Bytes] | None = None
    ) -> None:
        machine = image.machine
        self.spaces = {
            Space.MAIN: np.zeros((machine.act_words, machine.lanes), np.int8),
            Space.INPUT: np.zeros((machine.in_words, machine.lanes), np.int8),
            Space.OUTPUT: np.zeros((machine.out_words, machine.lanes), np.int8),
        }
        for space, words in (before or {}).items():
            self.spaces[space][:] = words
        self.spaces[Space.INPUT][: len(input_words)] = input_words
        self.weights = weight_bits(image.weights, machine)
        self.params = _channel_params(image)
        self.tables = np.array(image.tables, np.uint8).astype(np.int8)


def _channel_params(image: Image) -> Ints:
    """Columns bias, multiplier, shift; one row per channel."""
    machine = image.machine
    bits, mask = machine.channel_param_bits, (1 << machine.acc_bits) - 1
    multiplier = (1 << machine.multiplier_bits) - 1
    rows = [
        ((word >> v * bits) & mask, (word >> v * bits + machine.acc_bits) & multiplier,
         (word >> v * bits + machine.acc_bits + machine.multiplier_bits) & 0x3F)
        for word in image.params for v in range(machine.requant_lanes)
    ]  # fmt: skip
    params = np.array(rows, np.int64).reshape(-1, 3)
    params[:, 0] = wrap(params[:, 0], machine.acc_bits)
    return params


def _grid(*axes: tuple[int, int]) -> Ints:
    """Sum of `index * step` over a nest of (count, step) axes, as one array of those dimensions."""
    total = np.zeros((1,) * len(axes), np.int64)
    for axis, (count, step) in enumerate(axes):
        shape = [1] * len(axes)
        shape[axis] = count
        total = total + (np.arange(count, dtype=np.int64) * step).reshape(shape)
    return total


def _source(machine: Machine, memory: Bytes, instruction: Instruction, block: int) -> Ints:
    """Words [oy * ox, cb * ky * kx, lane] that one block of the instruction reads (one plane)."""
    i = instruction
    nest = [i["n_oy"], i["n_ox"], i["n_cb"], i["n_ky"], i["n_kx"]]
    steps = [i["s_oy"], i["s_ox"], i["s_cb"], i["s_ky"], i["s_kx"]]
    address = i["src_base"] + block * i["s_block"] + _grid(*zip(nest, steps, strict=True))
    address &= (1 << field_bits(machine)["src_base"]) - 1
    y = i["y0"] + _grid(*zip(nest, [i["y_oy"], 0, 0, i["y_ky"], 0], strict=True))
    x = i["x0"] + _grid(*zip(nest, [0, i["x_ox"], 0, 0, i["x_kx"]], strict=True))
    inside = (y >= 0) & (y < i["height"]) & (x >= 0) & (x < i["width"])
    used = address[np.broadcast_to(inside, address.shape)]
    if used.size and (used.min() < 0 or used.max() >= len(memory)):
        raise InstructionError(
            f"{i.opcode.name} reads words {used.min()} to {used.max()} of its source in block "
            f"{block}; the memory has {len(memory)} words"
        )
    words = memory[address % len(memory)]
    words[~np.broadcast_to(inside, address.shape)] = i["pad_value"]
    return words.reshape(i["n_oy"] * i["n_ox"], -1, memory.shape[1]).astype(np.int64)


def _plane_values(digits: NDArray[Any], planes: int, single: int) -> Ints:
    """Weights [position, ...] from digits [plane * position, ...]; the first plane is negative.

    `single`: what the digits of a lone plane are multiplied with.
    """
    split = digits.reshape(planes, -1, *digits.shape[1:]).astype(np.int64)
    scale = np.int64(1) << np.arange(planes - 1, -1, -1, dtype=np.int64)
    scale[0] = -scale[0] if planes > 1 else single
    return np.tensordot(scale, split, axes=1)


def _accumulate(
    words: Ints, memories: _Memories, machine: Machine, instruction: Instruction, block: int
) -> Ints:
    """Accumulators [tile, row or lane] of one block from its source words."""
    if instruction.opcode == Opcode.CHANNELWISE and instruction["channel_op"] == ChannelOp.MAX:
        return words.max(axis=1)
    first = instruction["w_base"] + block * instruction.steps
    bits = memories.weights[first : first + instruction.steps]
    if instruction.opcode == Opcode.CHANNELWISE:
        raw = bits.reshape(len(bits), -1)[:, : 8 * machine.lanes]
        lanes = np.packbits(raw, axis=1, bitorder="little").view(np.int8).astype(np.int64)
        return np.einsum("psl,sl->pl", words, _plane_values(lanes, instruction["n_plane"], 1))
    weights = _plane_values(bits, instruction["n_plane"], -1)
    left = words.reshape(len(words), -1).astype(np.float64)  # exact: sums stay below 2^53
    right = weights.transpose(0, 2, 1).reshape(left.shape[1], -1).astype(np.float64)
    return (left @ right).astype(np.int64)


def _compute(memories: _Memories, machine: Machine, instruction: Instruction) -> None:
    i = instruction
    per_block = groups(machine, i.opcode) * machine.requant_lanes
    target = memories.spaces[Space(i["dst_space"])]
    pixels = i["n_oy"] * i["n_ox"]
    results: list[tuple[slice, Bytes]] = []
    words: Ints | None = None
    for block in range(i["n_block"]):
        if words is None or i["s_block"]:
            words = _source(machine, memories.spaces[Space(i["src_space"])], i, block)
        acc = _accumulate(words, memories, machine, i, block)
        start = i["p_base"] * machine.requant_lanes + block * per_block
        bias, multiplier, shift = memories.params[start : start + per_block].T
        acc = wrap(acc + bias, machine.acc_bits)
        y = requantize(
            acc, multiplier, shift,
            zero_point=i["zero_point"], clamp_min=i["clamp_min"], clamp_max=i["clamp_max"],
            rounding=i["rounding"],
        )  # fmt: skip
        if i["table_enable"]:
            y = memories.tables[TABLE_ENTRIES * i["table"] + 128 + y]
        packed = y.astype(np.int8).reshape(pixels, -1, machine.lanes)
        last = block == i["n_block"] - 1
        for j in range(i["dst_words_last"] if last else i["dst_words"]):
            base = i["dst_base"] + (block * i["dst_words"] + j) * i["dst_word_stride"]
            results.append((slice(base, base + pixels), packed[:, j]))
    for place, packed in results:
        target[place] = packed


def run_memories(
    image: Image, input_words: Bytes, before: Mapping[Space, Bytes] | None = None
) -> dict[Space, Bytes]:
    """One inference; the activation memories as they are afterwards.

    `before`: what they held; 0 where it is not given.
    """
    memories = _Memories(image, input_words, before)
    for instruction in image.instructions:
        if instruction.opcode in (Opcode.MATMUL, Opcode.CHANNELWISE):
            _compute(memories, image.machine, instruction)
    return memories.spaces


def run(image: Image, input_words: Bytes) -> Bytes:
    """One inference.

    Args:
        image: program and constants.
        input_words: int8 [at most in_words, lanes], what the host writes into an input bank.

    Returns:
        int8 [out_words, lanes], the output bank; words that the program does not write are 0.
    """
    return run_memories(image, input_words)[Space.OUTPUT]
