"""Sums that convolutions make: the same integers, and what stays an instruction of its own."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.hwgen import golden
from bitwright.hwgen.assemble import assemble
from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.instructions import Opcode
from bitwright.ir.types import QuantParams
from bitwright.passes.allocate import Allocate
from bitwright.passes.linear_add import fused_add
from bitwright.passes.tile import Tile
from bitwright.runtime.layout import tensor_to_words, words_to_tensor

TILE = Tile(lanes=8, rows=8, requant_lanes=4, engine="dsp", pixels=2, banks=4, fused_adds=1)
CHANNELS, SIZE = 12, 6


@dataclass(frozen=True)
class Sum:
    """A convolution of `first` whose result another tensor is added to.

    `first` is a max pool of the input, `second` one of `first`.
    """

    swapped: bool = False
    scaled: bool = True
    points: tuple[int, int, int] = (-128, 4, -7)  # zero points: of the convolution, other, result
    multipliers: tuple[int, int] = (90, 31)
    scales: tuple[tuple[int, int], tuple[int, int]] = ((1623821475, 33), (1 << 30, 31))
    end: tuple[int, int] = (1098017566, 48)
    clamp: tuple[int, int] = (-128, 127)
    groups: int = 1
    other: str = "first"  # or "input", "result", "late"
    used_again: bool = False
    table: bool = False
    channels: int = 1  # scales of the sum
    convolution: dict[str, Any] = field(default_factory=lambda: {"padding": (1, 1, 1, 1)})

    def module(self) -> ir.Module:
        random = np.random.default_rng(3)
        x, made, result = (
            QuantParams((0.5,), point, 8, -128, 127)
            for point in (self.points[1], *self.points[::2])
        )
        builder = Builder([("x", (1, CHANNELS, SIZE, SIZE), x)])
        image = builder.inputs[0]
        first = builder.max_pool2d(image, kernel=(1, 1), stride=(1, 1))
        weight = random.integers(-20, 21, (CHANNELS, CHANNELS // self.groups, 3, 3))
        params = QuantParams((0.1,) * CHANNELS, 0, 8, -127, 127, axis=0)
        bias = builder.constant(random.integers(-900, 900, CHANNELS))
        low, high = self.clamp

        def convolved() -> ir.Value:
            sums = builder.conv2d(
                first, builder.constant(weight, params), bias, groups=self.groups,
                **self.convolution,
            )  # fmt: skip
            return builder.requantize(
                sums, made, multiplier=[40000], shift=[23], clamp_min=low, clamp_max=high
            )

        y = convolved()
        late = builder.max_pool2d(first, kernel=(1, 1), stride=(1, 1))
        other = {"first": first, "input": image, "result": y, "late": late}[self.other]
        pair = (other, y) if self.swapped else (y, other)
        count = (CHANNELS,) if self.channels > 1 else (1,)
        if self.scaled:
            sums = builder.scaled_add(
                *pair, left_shift=20, lhs_scale=self.scales[0], rhs_scale=self.scales[1]
            )
            total = builder.requantize(
                sums,
                result,
                multiplier=[self.end[0]],
                shift=[self.end[1]],
                rounding="tflite",
                clamp_min=self.points[2],
            )
        else:
            total = builder.requantize(
                builder.add(*pair, *self.multipliers),
                result,
                multiplier=[50000] * count[0],
                shift=[22] * count[0],
            )
        if self.table:
            total = builder.table(total, result, table=[*range(127, -129, -1)])
        outputs = [("y", builder.max_pool2d(total, kernel=(2, 2), stride=(2, 2)))]
        if self.used_again:
            outputs.append(("again", builder.max_pool2d(y, kernel=(2, 2), stride=(2, 2))))
        return builder.finish(outputs)


def _adds(module: ir.Module, tile: Tile = TILE) -> int:
    """Instructions that add to a result; what the program makes is what the module makes."""
    shape = (4, CHANNELS, SIZE, SIZE)
    x = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    wanted = reference.run(module, {"x": x})
    assembled = assemble(Allocate().run(tile.run(module)))
    for sample in range(len(x)):
        found = golden.run(assembled.image, tensor_to_words(x[sample], tile.lanes))
        for item in assembled.outputs:
            tensor = words_to_tensor(found[item.base :], item.shape, tile.lanes)
            np.testing.assert_array_equal(tensor, wanted[item.name][sample])
    return sum(i.opcode == Opcode.MATMUL_ADD for i in assembled.instructions)


@pytest.mark.parametrize(
    "made",
    [
        Sum(),
        Sum(swapped=True),
        Sum(scaled=False),
        Sum(scaled=False, swapped=True, multipliers=(127, 5), points=(3, -90, 20)),
        Sum(points=(127, -128, 127), scales=((1 << 30, 31), (1 << 30, 40)), end=(1 << 30, 49)),
    ],
)
def test_a_convolution_makes_the_sum(made: Sum) -> None:
    module = made.module()
    assert _adds(module) == 1
    assert _adds(module, replace(TILE, fused_adds=0)) == 0
    assert _adds(module, replace(TILE, lanes=16, rows=16)) == 1


@pytest.mark.parametrize(
    "made",
    [
        Sum(clamp=(-100, 127)),
        Sum(groups=CHANNELS),
        Sum(other="input"),
        Sum(other="result"),
        Sum(other="late"),
        Sum(used_again=True),
        Sum(table=True),
        Sum(scaled=False, channels=CHANNELS),
        Sum(scaled=False, multipliers=(90, -31)),
        Sum(end=(1 << 30, 44)),  # a factor above 4
    ],
)
def test_what_stays_an_instruction_of_its_own(made: Sum) -> None:
    assert _adds(made.module()) == 0


def test_factors_of_random_scales() -> None:
    """Each is proved inside for all pairs of codes; none may be missing."""
    random = np.random.default_rng(7)
    for _ in range(15):
        scales = 10 ** random.uniform(-1.5, 0, 2)
        largest = 2 * scales.max()
        mantissas = [round(scale / largest * 2**31) for scale in scales]
        end = largest / 2**20 / (scales.sum() * random.uniform(0.5, 1.2))
        exponent = int(np.frexp(end)[1])
        made = Sum(
            scales=((mantissas[0], 31), (mantissas[1], 31)),
            end=(round(end * 2.0 ** (31 - exponent)), 31 - exponent),
            points=tuple(int(point) for point in random.integers(-128, 128, 3)),  # pyright: ignore
        )
        module = made.module()
        (add,) = (op for op in graph.operations(module) if op.operation.name == "bw.scaled_add")
        assert fused_add(add, graph.users(add.result)[0]) is not None, made
