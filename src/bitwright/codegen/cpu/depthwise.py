"""Depthwise convolutions with AVX-512 VNNI: four taps a product, 16 channels a vector of sums.

Where 64 bytes in a row are neighbours for every tap, they are loaded at once. Interleaving four
taps in each 128 bits gives four vectors of sums, of which vector j has the channels
16 * (lane // 4) + 4 * j + lane % 4; packing them puts the results back in order.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.codegen.cpu.dot import padded_image
from bitwright.codegen.cpu.program import Kernel
from bitwright.codegen.cpu.rescale import Rescale, Scales
from bitwright.codegen.cpu.values import Values, folded_bias, weight_of, zero_point
from bitwright.codegen.cpu.vectors import BYTES, INTS, LANES, RESULTS, VECTOR, VectorCode
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of

TAPS = 4
MOST_PLACES = 8
"""Vectors of 16 results in a row, without a loop."""


def is_regular(op: Any) -> bool:
    """Whether vectors of 16 neighbours in memory have the channels 0 to 15, 16 to 31, ..."""
    outputs, per_group = shape_of(op.weight)[:2]
    channels = shape_of(op.input)[1]
    if per_group != 1 or op.groups.value != channels or outputs != channels:
        return False
    return channels % LANES == 0 or (LANES % channels == 0 and ints(op.stride)[1] == 1)


def conv2d(kernel: Kernel, values: Values, op: Any, requantize: Any) -> None:
    """One filter a channel, into a channels-last result."""
    channels = shape_of(op.input)[1]
    fits = channels % VECTOR == 0 or (VECTOR % channels == 0 and ints(op.stride)[1] == 1)
    _Channels(kernel, values, op, requantize, VECTOR if fits else LANES).emit()


def _order(channels: int, unit: int) -> NDArray[np.int64]:
    """The channel of each lane of the vectors of sums."""
    each = np.arange(max(channels, unit))
    if unit == VECTOR:
        each = each.reshape(-1, 4, unit // LANES, 4).transpose(0, 2, 1, 3).reshape(-1)
    return each % channels  # of few channels, several pixels stand side by side


class _Channels:
    """`unit` bytes in a row are computed at once."""

    def __init__(
        self, kernel: Kernel, values: Values, op: Any, requantize: Any, unit: int
    ) -> None:  # fmt: skip
        self._code, self._unit = VectorCode(kernel), unit
        _, self._channels, self._rows, self._columns = shape_of(op.result)
        order = _order(self._channels, unit)
        weight = weight_of(op, "weight")
        taps = weight.reshape(len(weight), -1)
        bias = folded_bias(op, taps, zero_point(op.input) + 128)  # of the unsigned byte
        self._groups = -(-taps.shape[1] // TAPS)
        filled = np.zeros((len(order), self._groups * TAPS), np.int8)
        filled[:, : taps.shape[1]] = taps[order]
        split = filled.reshape(-1, unit, self._groups, TAPS)
        self._weights = kernel.constant(split.transpose(0, 2, 1, 3).reshape(-1))
        self._bias = kernel.constant(bias[order])
        self._rescale = Rescale(kernel, requantize, self._channels, order)
        self._image = padded_image(kernel, values, op)
        self._out = values.flat(kernel, requantize.result)
        _, left, _, right = ints(op.padding)
        width = shape_of(op.input)[3] + left + right
        (down, across), (apart, beside) = ints(op.stride), ints(op.dilation)
        tall, wide = shape_of(op.weight)[2:]
        self._by_block = self._channels % unit == 0 and self._rows < self._channels // unit
        self._row, self._column = down * width * self._channels, across * self._channels
        self._offsets = [
            (i * apart * width + j * beside) * self._channels
            for i in range(tall)
            for j in range(wide)
        ]

    def emit(self) -> None:
        """All rows; in a row, blocks of channels, or pixels side by side."""
        code, unit = self._code, self._unit
        if self._channels % unit == 0:
            with code.loop(self._channels // unit, shared=self._by_block) as block:
                self._along(block, self._columns, self._channels, self._column, [(block, unit)])
        else:
            with code.loop(1) as block:
                places = -(-self._columns * self._channels // unit)
                self._along(block, places, unit, unit, [])

    def _along(
        self, block: str, places: int, out_step: int, in_step: int, lanes: list[tuple[str, int]]
    ) -> None:
        """`places` units of each row, `out_step` results and `in_step` inputs apart."""
        code, unit = self._code, self._unit
        step = unit * TAPS
        weights = [
            [
                code.load(self._weights, code.index([(block, self._groups * step)], at), BYTES)
                for at in range(g * step, (g + 1) * step, LANES * TAPS)
            ]
            for g in range(self._groups)
        ]
        firsts = [code.index([(block, unit)], at) for at in range(0, unit, LANES)]
        bias = [code.load(self._bias, first, INTS) for first in firsts]
        scales = [self._rescale.load(code, first) for first in firsts]
        most = MOST_PLACES * LANES // unit
        together = max(n for n in range(1, most + 1) if places % n == 0)
        if together == 1:
            together = min(most, places)
        whole, rest = divmod(places, together)
        length = self._columns * self._channels
        with code.loop(self._rows, shared=not self._by_block) as y:
            begin, place = [(y, self._row), *lanes], [(y, length), *lanes]
            with code.loop(whole) as t:
                for n in range(together):
                    at_in = code.index([*begin, (t, together * in_step)], n * in_step)
                    at_out = code.index([*place, (t, together * out_step)], n * out_step)
                    left = code.index([(t, -together * out_step)], length - n * out_step)
                    self._unit_at(at_in, at_out, left, weights, bias, scales)
            for n in range(whole * together, whole * together + rest):
                at_in, at_out = code.index(begin, n * in_step), code.index(place, n * out_step)
                left = code.index_constant(length - n * out_step)
                self._unit_at(at_in, at_out, left, weights, bias, scales)

    def _unit_at(
        self, at_in: str, at_out: str, left: str, weights: list[list[str]], bias: list[str],
        scales: list[Scales],
    ) -> None:  # fmt: skip
        code, totals = self._code, bias
        type_ = RESULTS if self._unit == LANES else BYTES
        for group, own in enumerate(weights):
            offsets = self._offsets[group * TAPS : (group + 1) * TAPS]
            parts = [
                code.load(self._image, code.index([(at_in, 1)], offset), type_)
                for offset in offsets
            ]
            parts += [parts[-1]] * (TAPS - len(parts))  # their weights are zero
            mixed = [code.interleave(parts)] if self._unit == LANES else code.interleave_wide(parts)
            totals = [
                code.products(total, quads, weight)
                for total, quads, weight in zip(totals, mixed, own, strict=True)
            ]
        if self._unit == LANES:
            result = self._rescale.apply(code, totals[0], scales[0])
        else:
            result = self._rescale.apply_packed(code, totals, scales)
        if self._channels % self._unit and self._columns * self._channels % self._unit:
            code.store_first(left, result, self._out, at_out, type_)
        else:
            code.store(result, self._out, at_out, type_)
