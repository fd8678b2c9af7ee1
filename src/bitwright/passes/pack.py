"""Weights, parameters and tables as memory words of the overlay.

All functions return [words, bytes per word] uint8, little-endian: bit i of a word is bit i % 8 of
byte i // 8.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitwright.ir.machine import SHIFT_BITS

Words = NDArray[np.uint8]


def blocks(count: int, size: int) -> int:
    """How many blocks of `size` hold `count`."""
    return -(-count // size)


def planes_needed(weight: NDArray[np.int8]) -> int:
    """Two's complement bits that hold every weight."""
    wide = weight.astype(np.int16)
    magnitude = int(max(wide.max(initial=0), -1 - wide.min(initial=0)))
    return magnitude.bit_length() + 1


def _ordered(weight: NDArray[np.int8], lanes: int, rows: int) -> NDArray[np.int8]:
    """Dense weights [O, C, KH, KW] as [block of rows, block of lanes, KH, KW, row, lane]."""
    outputs, channels, kernel_rows, kernel_columns = weight.shape
    row_blocks, lane_blocks = blocks(outputs, rows), blocks(channels, lanes)
    padded = np.zeros(
        (row_blocks * rows, lane_blocks * lanes, kernel_rows, kernel_columns), dtype=np.int8
    )
    padded[:outputs, :channels] = weight
    split = padded.reshape(row_blocks, rows, lane_blocks, lanes, kernel_rows, kernel_columns)
    return split.transpose(0, 2, 4, 5, 1, 3)


def whole_weights(weight: NDArray[np.int8], lanes: int, rows: int, precision: int) -> Words:
    """Dense weights [O, C, KH, KW] of `precision` bits, which divide 8.

    Words are ordered block of rows, block of lanes, kernel row, kernel column; number r * lanes + l
    of a word, from the lowest bit on, belongs to row r and lane l.
    """
    codes = _ordered(weight, lanes, rows).astype(np.uint8).reshape(-1, rows * lanes, 1)
    bits = codes >> np.arange(precision, dtype=np.uint8) & 1
    return np.packbits(bits.reshape(len(codes), -1), axis=1, bitorder="little")


def window_words(
    weight: NDArray[np.int8], lanes: int, word_bytes: int, *, together: bool = True
) -> Words:
    """Channelwise weights [C, KH, KW]: a whole block of lanes in each word, or `KH` words for each.

    Byte (KW * ky + kx) * lanes + l belongs to lane l, or byte kx * lanes + l of word ky.
    """
    channels, *kernel = weight.shape
    count = blocks(channels, lanes)
    padded = np.zeros((count * lanes, np.prod(kernel)), dtype=np.int8)
    padded[:channels] = weight.reshape(channels, -1)
    ordered = padded.reshape(count, lanes, -1).transpose(0, 2, 1)
    ordered = ordered.reshape(count * (1 if together else kernel[0]), -1)
    words = np.zeros((len(ordered), word_bytes), dtype=np.uint8)
    words[:, : ordered.shape[1]] = ordered.view(np.uint8)
    return words


def bit_planes(weight: NDArray[np.int8], lanes: int, rows: int, planes: int) -> Words:
    """Dense weights [O, C, KH, KW] as bit planes, most significant first.

    Words are ordered block of rows, plane, block of lanes, kernel row, kernel column; bit
    r * lanes + l of a word belongs to row r and lane l.
    """
    ordered = _ordered(weight, lanes, rows)
    shifts = np.arange(planes - 1, -1, -1, dtype=np.int8).reshape(-1, 1, 1, 1, 1, 1)
    bits = (ordered[:, None] >> shifts) & 1
    return np.packbits(bits.reshape(-1, rows * lanes).astype(np.uint8), axis=1, bitorder="little")


def lane_bytes(weight: NDArray[np.int8], lanes: int, word_bytes: int) -> Words:
    """Channelwise weights [C, steps] as one int8 per lane, in words of `word_bytes`.

    Words are ordered block of lanes, step; lane l is byte l.
    """
    channels, steps = weight.shape
    count = blocks(channels, lanes)
    padded = np.zeros((count * lanes, steps), dtype=np.int8)
    padded[:channels] = weight
    words = np.zeros((count * steps, word_bytes), dtype=np.uint8)
    ordered = padded.reshape(count, lanes, steps).transpose(0, 2, 1).reshape(-1, lanes)
    words[:, :lanes] = ordered.view(np.uint8)
    return words


MAX_PLANES = 15
LARGEST_DIGITS = 127 << MAX_PLANES - 1
"""The largest multiplier that `digits` takes."""


def digits(multipliers: Sequence[int], plane_bits: int) -> NDArray[np.int8]:
    """Multipliers as digits [plane, multiplier] for as few planes of the channelwise engine.

    A plane counts 2^plane_bits times the one behind it; the first of several counts negative.
    """
    largest = max(map(abs, multipliers))
    planes = next(
        count for count in range(1, MAX_PLANES + 1) if largest <= 127 << plane_bits * (count - 1)
    )
    found = np.zeros((planes, len(multipliers)), np.int8)
    for column, rest in enumerate(multipliers):
        for plane in range(planes):
            weight = 1 << plane_bits * (planes - 1 - plane)
            digit = (rest + weight // 2) // weight
            found[plane, column] = -digit if plane == 0 and planes > 1 else digit
            rest -= digit * weight
        assert rest == 0, multipliers
    return found


def channel_params(
    bias: Sequence[int], multiplier: Sequence[int], shift: Sequence[int], *,
    group: int, acc_bits: int, multiplier_bits: int, tile_channels: int,
) -> Words:  # fmt: skip
    """Bias, multiplier and shift per channel, `group` channels a word, padded to whole tiles.

    The bias is kept modulo 2^acc_bits: accumulation is arithmetic in that ring.
    """
    shift_place = acc_bits + multiplier_bits
    channel_bits = shift_place + SHIFT_BITS
    width = -(-group * channel_bits // 8)
    total = blocks(len(bias), tile_channels) * tile_channels
    words = np.zeros((total // group, width), dtype=np.uint8)
    for index in range(total // group):
        word = 0
        for lane in range(group):
            channel = index * group + lane
            entry = 1 << shift_place  # padding channels: 0 * x >> 1
            if channel < len(bias):
                entry = (
                    (bias[channel] & ((1 << acc_bits) - 1))
                    | multiplier[channel] << acc_bits
                    | shift[channel] << shift_place
                )
            word |= entry << (lane * channel_bits)
        words[index] = np.frombuffer(word.to_bytes(width, "little"), dtype=np.uint8)
    return words
