"""What a machine does with an image, in NumPy: the oracle of every RTL test.

Exact, and fast by doing a whole instruction at once: gather the source words, one integer
product per block, requantize, scatter. An instruction must not overwrite words that one of its
later tiles still reads; in place (each tile only its own words) is fine.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.hwgen import fused_add
from bitwright.hwgen.image import Image
from bitwright.hwgen.isa import COMPUTE, Instruction, InstructionError, field_bits, groups
from bitwright.ir import fixed_point
from bitwright.ir.instructions import ChannelOp, Opcode, Rounding, Space
from bitwright.ir.machine import TABLE_ENTRIES, WINDOW_TAPS, Machine, plane_bits

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


def matrix_weights(words: NDArray[np.uint8], machine: Machine) -> NDArray[np.int8]:
    """Weight words [word, byte] as numbers [word, row, lane], or as bits of them."""
    bits = np.unpackbits(words, axis=1, bitorder="little").astype(np.int8)
    if not machine.dsp:
        return bits.reshape(len(words), machine.rows, machine.lanes)
    digits = bits.reshape(len(words), machine.rows, machine.lanes, machine.precision)
    scale = 1 << np.arange(machine.precision, dtype=np.int16)
    scale[-1] *= -1
    return (digits @ scale).astype(np.int8)


def weight_bytes(words: list[int], machine: Machine) -> NDArray[np.uint8]:
    size = machine.weight_bits // 8
    raw = np.frombuffer(b"".join(word.to_bytes(size, "little") for word in words), np.uint8)
    return raw.reshape(len(words), size)


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
        words = weight_bytes(image.weights, machine)
        self.weights = matrix_weights(words, machine)
        self.taps = words.view(np.int8).reshape(len(words), -1, machine.lanes)
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


def _tile_pixels(instruction: Instruction) -> tuple[Ints, Ints]:
    """Of each output pixel of a row: its tile, and its place in that tile."""
    counts = [instruction["pixels"]] * instruction["n_ox"]
    counts[-1], counts[0] = instruction["pixels_last"], instruction["pixels_first"]
    pairs = [(tile, pixel) for tile, count in enumerate(counts) for pixel in range(count)]
    tiles, pixels = np.array(pairs, np.int64).T
    return tiles, pixels


def _source(
    machine: Machine, memory: Bytes, instruction: Instruction, block: int, tiles: Ints, pixels: Ints
) -> Ints:
    """Words [oy, column, cb * ky * kx, lane] that one block of the instruction reads (one plane).

    Column j of a row is place `pixels[j]` of tile `tiles[j]`.
    """
    i = instruction

    def places(row: int, tile: int, pixel: int, *kernel: int) -> Ints:
        rows = _grid((i["n_oy"], row)).reshape(-1, 1, 1, 1, 1)
        columns = (tiles * tile + pixels * pixel).reshape(-1, 1, 1, 1)
        nest = (i["n_cb"], i["n_ky"], i["n_kx"])
        return rows + columns + _grid(*zip(nest, kernel, strict=True))

    address = i["src_base"] + block * i["s_block"]
    kernel = (i["s_cb"], i["s_ky"], i["s_kx"])
    address = address + places(i["s_oy"], i["s_ox"], i["s_pixel"], *kernel)
    address &= (1 << field_bits(machine)["src_base"]) - 1
    y = i["y0"] + places(i["y_oy"], 0, 0, 0, i["y_ky"], 0)
    x = i["x0"] + places(0, i["x_ox"], i["x_pixel"], 0, 0, i["x_kx"])
    inside = (y >= 0) & (y < i["height"]) & (x >= 0) & (x < i["width"])
    used = address[inside]
    if used.size and (used.min() < 0 or used.max() >= len(memory)):
        raise InstructionError(
            f"{i.opcode.name} reads words {used.min()} to {used.max()} of its source in block "
            f"{block}; the memory has {len(memory)} words"
        )
    words = memory[address % len(memory)]
    words[~inside] = i["pad_value"]
    return words.reshape(i["n_oy"], len(tiles), -1, memory.shape[1]).astype(np.int64)


def _plane_values(digits: NDArray[Any], planes: int, single: int, bits: int = 1) -> Ints:
    """Weights [position, ...] from digits [plane * position, ...]; the first plane is negative.

    `single`: what the digits of a lone plane are multiplied with; `bits`: by how many bits a plane
    counts more than the next.
    """
    split = digits.reshape(planes, -1, *digits.shape[1:]).astype(np.int64)
    scale = np.int64(1) << bits * np.arange(planes - 1, -1, -1, dtype=np.int64)
    scale[0] = -scale[0] if planes > 1 else single
    return np.tensordot(scale, split, axes=1)


def _weights(memories: _Memories, instruction: Instruction, block: int) -> NDArray[Any]:
    """Weight words of one block, [step, row, lane]; of a channelwise one [step, tap, lane]."""
    own = 0 if instruction["w_same_blocks"] else block * instruction.weight_words
    first = instruction["w_base"] + own
    whole = memories.taps if instruction.opcode == Opcode.CHANNELWISE else memories.weights
    words = whole[first : first + instruction.weight_words]
    if instruction["w_same_steps"]:
        words = np.repeat(words, instruction.steps, axis=0)
    return words


def _accumulate(
    words: Ints, memories: _Memories, machine: Machine, instruction: Instruction, block: int
) -> Ints:
    """Accumulators [pixel, row or lane] of one block from its source words [pixel, step, lane]."""
    if instruction.opcode == Opcode.CHANNELWISE and instruction["channel_op"] == ChannelOp.MAX:
        return words.max(axis=1)
    own = _weights(memories, instruction, block)
    if instruction.opcode == Opcode.CHANNELWISE:
        bits = plane_bits(machine.engine)
        values = _plane_values(own[:, 0], instruction["n_plane"], 1, bits)
        return np.einsum("psl,sl->pl", words, values)
    weights = _plane_values(own, instruction["n_plane"], 1 if machine.dsp else -1)
    left = words.reshape(len(words), -1).astype(np.float64)  # exact: sums stay below 2^53
    right = weights.transpose(0, 2, 1).reshape(left.shape[1], -1).astype(np.float64)
    return (left @ right).astype(np.int64)


def _window(memories: _Memories, machine: Machine, instruction: Instruction, block: int) -> Ints:
    """Accumulators [pixel, lane] of one block of a window."""
    i, taps = instruction, WINDOW_TAPS
    tiles, places = _tile_pixels(i)
    columns = np.arange(i["n_ox"] * machine.pixels, dtype=np.int64)
    memory = memories.spaces[Space(i["src_space"])]
    words = _source(machine, memory, i, block, *divmod(columns, machine.pixels))
    kernel = _weights(memories, i, block).astype(np.int64)
    rows = kernel[0] if i["w_same_steps"] else kernel[:, :taps].reshape(-1, machine.lanes)
    kernel = rows[: taps * i["n_ky"]].reshape(i["n_ky"], taps, machine.lanes)
    stride = machine.pixels // i["pixels"]
    begin = tiles * machine.pixels + places * stride - (taps - 1) * (tiles > 0)
    windows = np.stack([words[:, begin + tap] for tap in range(taps)], axis=3)
    return np.einsum("ypktl,ktl->ypl", windows, kernel).reshape(-1, machine.lanes)


def _columns(memories: _Memories, machine: Machine, instruction: Instruction, block: int) -> Ints:
    """Accumulators [pixel, lane] of one block whose steps read neighbouring columns."""
    i, taps = instruction, np.arange(min(WINDOW_TAPS, machine.pixels), dtype=np.int64)
    memory = memories.spaces[Space(i["src_space"])]
    words = _source(machine, memory, i, block, 0 * taps, taps)
    kernel = _weights(memories, i, block)[:, : len(taps)].astype(np.int64)
    return np.einsum("ytsl,stl->yl", words, kernel)


def _compute(memories: _Memories, machine: Machine, instruction: Instruction) -> None:
    i = instruction
    per_block = groups(machine, i.opcode) * machine.requant_lanes
    target = memories.spaces[Space(i["dst_space"])]
    pixels = i["n_oy"] * i.row_pixels
    results: list[tuple[slice, Bytes]] = []
    words: Ints | None = None
    low, high = (-128, 127) if i.adds else (i["clamp_min"], i["clamp_max"])
    for block in range(i["n_block"]):
        if i.window:
            acc = _window(memories, machine, i, block)
        elif i.columns:
            acc = _columns(memories, machine, i, block)
        else:
            if words is None or i["s_block"]:
                memory = memories.spaces[Space(i["src_space"])]
                words = _source(machine, memory, i, block, *_tile_pixels(i))
                words = words.reshape(pixels, -1, machine.lanes)
            acc = _accumulate(words, memories, machine, i, block)
        start = i["p_base"] * machine.requant_lanes + block * per_block
        bias, multiplier, shift = memories.params[start : start + per_block].T
        acc = wrap(acc + bias, machine.acc_bits)
        y = requantize(
            acc, multiplier, shift,
            zero_point=i["zero_point"], clamp_min=low, clamp_max=high,
            rounding=i["rounding"],
        )  # fmt: skip
        if i["table_enable"]:
            y = memories.tables[TABLE_ENTRIES * i["table"] + 128 + y]
        if i.adds:
            first = i["add_base"] + block * pixels
            y = fused_add.golden(
                y, memories.spaces[Space.MAIN][first : first + pixels],
                add_own=i["add_own"], add_other=i["add_other"], add_offset=i["add_offset"],
                clamp_min=i["clamp_min"], clamp_max=i["clamp_max"],
            )  # fmt: skip
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
        if instruction.opcode in COMPUTE:
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
