"""Depthwise convolutions with AVX-512 VNNI: 16 channels a vector, four taps a product."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.codegen.cpu.dot import padded_image
from bitwright.codegen.cpu.program import Kernel
from bitwright.codegen.cpu.rescale import Rescale, Scales
from bitwright.codegen.cpu.values import Values, folded_bias, weight_of, zero_point
from bitwright.codegen.cpu.vectors import BYTES, INTS, LANES, RESULTS, VectorCode
from bitwright.ir.checks import ints
from bitwright.ir.types import shape_of

TAPS = 4
MOST_PLACES = 8


def is_regular(op: Any) -> bool:
    """Whether vectors of 16 neighbours in memory have the channels 0 to 15, 16 to 31, ..."""
    outputs, per_group = shape_of(op.weight)[:2]
    channels = shape_of(op.input)[1]
    if per_group != 1 or op.groups.value != channels or outputs != channels:
        return False
    return channels % LANES == 0 or (LANES % channels == 0 and ints(op.stride)[1] == 1)


def conv2d(kernel: Kernel, values: Values, op: Any, requantize: Any) -> None:
    """One filter a channel, into a channels-last result."""
    weight = weight_of(op, "weight")
    channels = len(weight)
    taps = weight.reshape(channels, -1)
    zero = zero_point(op.input) + 128  # of the unsigned byte
    bias = folded_bias(op, taps, zero)
    if channels < LANES:  # several pixels side by side in a vector
        taps, bias = (np.tile(a, (LANES // channels, *[1] * (a.ndim - 1))) for a in (taps, bias))
    _Channels(kernel, values, op, requantize, taps, bias).emit()


class _Channels:
    def __init__(
        self, kernel: Kernel, values: Values, op: Any, requantize: Any, taps: NDArray[Any],
        bias: NDArray[np.int32],
    ) -> None:  # fmt: skip
        self._code = VectorCode(kernel)
        _, self._channels, self._rows, self._columns = shape_of(op.result)
        self._groups = -(-taps.shape[1] // TAPS)
        filled = np.zeros((len(taps), self._groups * TAPS), np.int8)
        filled[:, : taps.shape[1]] = taps
        split = filled.reshape(-1, LANES, self._groups, TAPS)
        self._weights = kernel.constant(split.transpose(0, 2, 1, 3).reshape(-1))
        self._bias = kernel.constant(bias)
        self._rescale = Rescale(kernel, requantize, self._channels, len(taps))
        self._image = padded_image(kernel, values, op)
        self._out = values.flat(kernel, requantize.result)
        _, left, _, right = ints(op.padding)
        width = shape_of(op.input)[3] + left + right
        (down, across), (apart, beside) = ints(op.stride), ints(op.dilation)
        tall, wide = shape_of(op.weight)[2:]
        self._by_block = self._channels % LANES == 0 and self._rows < self._channels // LANES
        self._row, self._column = down * width * self._channels, across * self._channels
        self._offsets = [
            (i * apart * width + j * beside) * self._channels
            for i in range(tall)
            for j in range(wide)
        ]

    def emit(self) -> None:
        """All rows; in a row, blocks of channels, or pixels side by side."""
        code = self._code
        if self._channels % LANES == 0:
            blocks = self._channels // LANES
            with code.loop(blocks, shared=self._by_block) as block:
                self._along(block, self._columns, self._channels, self._column, [(block, LANES)])
        else:
            with code.loop(1) as block:
                places = -(-self._columns * self._channels // LANES)
                self._along(block, places, LANES, LANES, [])

    def _along(
        self, block: str, places: int, out_step: int, in_step: int, lanes: list[tuple[str, int]]
    ) -> None:
        """`places` vectors of each row, `out_step` results and `in_step` inputs apart."""
        code = self._code
        step = LANES * TAPS
        weights = [
            code.load(self._weights, code.index([(block, self._groups * step)], g * step), BYTES)
            for g in range(self._groups)
        ]
        first = code.index([(block, LANES)])
        bias, scales = code.load(self._bias, first, INTS), self._rescale.load(code, first)
        together = max(n for n in range(1, MOST_PLACES + 1) if places % n == 0)
        if together == 1:
            together = min(MOST_PLACES, places)
        whole, rest = divmod(places, together)
        length = self._columns * self._channels
        with code.loop(self._rows, shared=not self._by_block) as y:
            begin, place = [(y, self._row), *lanes], [(y, length), *lanes]
            with code.loop(whole) as t:
                for n in range(together):
                    at_in = code.index([*begin, (t, together * in_step)], n * in_step)
                    at_out = code.index([*place, (t, together * out_step)], n * out_step)
                    left = code.index([(t, -together * out_step)], length - n * out_step)
                    self._vector(at_in, at_out, left, weights, bias, scales)
            for n in range(whole * together, whole * together + rest):
                at_in, at_out = code.index(begin, n * in_step), code.index(place, n * out_step)
                left = code.index_constant(length - n * out_step)
                self._vector(at_in, at_out, left, weights, bias, scales)

    def _vector(
        self, at_in: str, at_out: str, left: str, weights: list[str], bias: str, scales: Scales
    ) -> None:
        code, total = self._code, bias
        for group, weight in enumerate(weights):
            offsets = self._offsets[group * TAPS : (group + 1) * TAPS]
            parts = [
                code.load(self._image, code.index([(at_in, 1)], offset), RESULTS)
                for offset in offsets
            ]
            parts += [parts[-1]] * (TAPS - len(parts))  # their weights are zero
            total = code.products(total, code.interleave(parts), weight)
        result = self._rescale.apply(code, total, scales)
        if self._channels % LANES and self._columns * self._channels % LANES:
            code.store_first(left, result, self._out, at_out)
        else:
            code.store(result, self._out, at_out)
