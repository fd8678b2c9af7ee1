"""Roundings of imported models on the overlay: what the output stage does is what they do."""

from typing import Any

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.hwgen import golden
from bitwright.hwgen.assemble import assemble
from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.instructions import Rounding
from bitwright.ir.types import QuantParams
from bitwright.passes.allocate import Allocate
from bitwright.passes.linear_add import linear_add
from bitwright.passes.scaling import scaling
from bitwright.passes.tile import Tile
from bitwright.passes.tile_program import UnsupportedOnOverlay
from bitwright.passes.widths import accumulator_range
from bitwright.runtime.layout import tensor_to_words, words_to_tensor

X = QuantParams((0.5,), 3, 8, -128, 127)


def _sum_pool(**options: Any) -> ir.Module:
    builder = Builder([("x", (1, 2, 3, 3), X)])
    acc = builder.sum_pool2d(builder.inputs[0], kernel=(3, 3), stride=(1, 1))
    return builder.finish([("y", builder.named("pool").requantize(acc, X, **options))])


def _operation(module: ir.Module, kind: str) -> Any:
    return next(op for op in graph.operations(module) if op.operation.name == kind)


def _check(module: ir.Module, inputs: dict[str, reference.Array], tile: Tile | None = None) -> Any:
    """The program of `module` on the functional machine makes what the reference makes."""
    wanted = reference.run(module, inputs)
    assembled = assemble(Allocate().run((tile or Tile()).run(module)))
    lanes = assembled.machine.lanes
    for sample in range(len(next(iter(inputs.values())))):
        words = [tensor_to_words(inputs[i.name][sample], lanes) for i in assembled.inputs]
        found = golden.run(assembled.image, np.concatenate(words))
        for item in assembled.outputs:
            tensor = words_to_tensor(found[item.base :], item.shape, lanes)
            np.testing.assert_array_equal(tensor, wanted[item.name][sample])
    return assembled.machine


def _codes(seed: int, *shape: int) -> reference.Array:
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize(
    ("multiplier", "shift", "found"),
    [(1 << 30, 31, (32768, 16)), (40000 << 15, 31, (40000, 16)), (3 << 29, 28, (49152, 13)),
     (0, 30, (0, 1)), (5, 31, (5, 31))],
)  # fmt: skip
def test_a_multiplier_that_16_bits_hold(
    multiplier: int, shift: int, found: tuple[int, int]
) -> None:
    module = _sum_pool(multiplier=[multiplier], shift=[shift], rounding="tflite")
    scale = scaling(_operation(module, "bw.requantize"))
    assert (scale.multiplier, scale.shift) == ((found[0],), (found[1],))
    assert scale.rounding == Rounding.HALF_UP
    assert _check(module, {"x": _codes(1, 40, 2, 3, 3)}).multiplier_bits == 16


@pytest.mark.parametrize(
    ("multiplier", "shift", "rounding"),
    [
        (1 << 30, 32, "tflite"),  # rounds a second time
        ((1 << 30) + 1, 31, "tflite"),  # more than 16 bits
        ((1 << 30) + 1, 20, "tflite"),  # shifts left
        (1 << 30, 31, "half_away"),
        ((1 << 31) - 1, 36, "half_away"),
        (1 << 30, 31, "half_even"),
        (3, 3, "half_even"),
    ],
)
def test_every_other_rounding_takes_the_wide_multiplier(
    multiplier: int, shift: int, rounding: str
) -> None:
    module = _sum_pool(multiplier=[multiplier], shift=[shift], rounding=rounding)
    assert _check(module, {"x": _codes(2, 40, 2, 3, 3)}).multiplier_bits == 31


def test_channels_that_shift_left_beside_others() -> None:
    module = _sum_pool(
        multiplier=[(1 << 30) + 77, (1 << 30) + 5], shift=[22, 34], axis=1, rounding="tflite"
    )
    _check(module, {"x": _codes(3, 40, 2, 3, 3) // 16})


def test_a_left_shift_that_may_wrap() -> None:
    module = _sum_pool(multiplier=[1 << 30], shift=[10], rounding="tflite")
    with pytest.raises(UnsupportedOnOverlay) as error:
        Tile().run(module)
    assert str(error.value) == (
        "bw.requantize (pool) with operands [1, 2, 1, 1]: its shift of 10 moves sums of up to 12 "
        "bits left by 21, which may leave 32 bits; compile with --target cpu, or change the model "
        "there"
    )


def test_a_machine_that_is_to_stay_narrow() -> None:
    module = _sum_pool(multiplier=[1 << 30], shift=[33], rounding="tflite")
    with pytest.raises(UnsupportedOnOverlay) as error:
        Tile(multiplier_bits=16).run(module)
    assert str(error.value) == (
        "Layer 'bw.sum_pool2d' rounds tflite with multipliers of 31 bits, and the machine is to "
        "have multiplier_bits = 16, with half_up only; leave multiplier_bits out, or compile with "
        "--target cpu"
    )


def _average(shape: tuple[int, int], kernel: tuple[int, int], **options: Any) -> ir.Module:
    builder = Builder([("x", (1, 3, *shape), X)])
    pooled = builder.named("mean").integer_avg_pool2d(builder.inputs[0], kernel=kernel, **options)
    return builder.finish([("y", pooled)])


@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (5, 1), (4, 4), (7, 9)])
def test_integer_averages(kernel: tuple[int, int]) -> None:
    x = _codes(4, 60, 3, *kernel)
    x[:20] = x[:20] // 64  # sums near 0, where ties are
    _check(_average(kernel, kernel, stride=(1, 1)), {"x": x})


@pytest.mark.parametrize("count", [2, 6, 7, 125, 250, 4096, 65025])
def test_the_multiplier_of_an_average_is_right_for_every_sum(count: int) -> None:
    sums = np.arange(-128 * count, 127 * count + 1, max(1, count // 300), dtype=np.int64)
    halves = np.concatenate([(2 * np.arange(-128, 127) + 1) * count // 2 + d for d in (-1, 0, 1)])
    sums = np.concatenate([sums, halves])
    shift = 30 + (count - 1).bit_length()
    found = golden.requantize(
        sums, np.int64(-(-(1 << shift) // count)), np.int64(shift), zero_point=0, clamp_min=-128,
        clamp_max=127, rounding=Rounding.HALF_AWAY,
    )  # fmt: skip
    wanted = np.sign(sums) * ((np.abs(sums) + count // 2) // count)
    np.testing.assert_array_equal(found, np.clip(wanted, -128, 127))


def test_an_average_whose_windows_differ() -> None:
    module = _average((4, 4), (3, 3), stride=(1, 1), padding=(1, 1, 1, 1))
    with pytest.raises(UnsupportedOnOverlay) as error:
        Tile().run(module)
    assert str(error.value) == (
        "bw.integer_avg_pool2d (mean) with operands [1, 3, 4, 4]: its windows cover 4 to 9 "
        "elements, padding not counted; expected as many in each, below 1048576; compile with "
        "--target cpu, or change the model there"
    )


def _scaled_add(
    lhs: tuple[int, int], rhs: tuple[int, int], end: tuple[int, int], points: tuple[int, int, int]
) -> ir.Module:
    x, z, y = (QuantParams((0.5,), point, 8, -128, 127) for point in points)
    builder = Builder([("x", (1, 3, 16, 16), x), ("z", (1, 3, 16, 16), z)])
    acc = builder.named("sum").scaled_add(
        *builder.inputs, left_shift=20, lhs_scale=lhs, rhs_scale=rhs
    )
    options: dict[str, Any] = {"multiplier": [end[0]], "shift": [end[1]], "rounding": "tflite"}
    return builder.finish([("y", builder.requantize(acc, y, **options))])


@pytest.mark.parametrize(
    ("lhs", "rhs", "end", "points"),
    [
        ((1623821475, 33), (1 << 30, 31), (1098017566, 48), (-128, 4, -128)),  # ResNet8's scales
        ((1 << 30, 31), (1 << 30, 31), (1 << 30, 49), (0, 0, 0)),  # ties at every second sum
        ((1 << 30, 31), (1 << 30, 40), (1 << 30, 49), (5, -7, 3)),
        ((0, 31), (1 << 30, 31), (1 << 30, 49), (5, -7, 3)),
        ((1 << 30, 31), (0, 31), (1234567890, 50), (5, -7, 3)),
    ],
)
def test_a_scaled_add_is_a_weighted_sum(
    lhs: tuple[int, int], rhs: tuple[int, int], end: tuple[int, int], points: tuple[int, int, int]
) -> None:
    module = _scaled_add(lhs, rhs, end, points)
    x = np.arange(-128, 128).astype(np.int8).repeat(3 * 256).reshape(256, 16, 16, 3)
    z = np.tile(np.arange(-128, 128).astype(np.int8).reshape(1, 1, 16, 16), (256, 3, 1, 1))
    _check(module, {"x": x.transpose(0, 3, 1, 2), "z": z}, Tile(lanes=4, rows=8))


def test_weighted_sums_of_random_scales() -> None:
    """Every one is proved inside; none may be missing."""
    random = np.random.default_rng(5)
    for _ in range(20):
        scales = 10 ** random.uniform(-2, 0, 2)
        largest = 2 * scales.max()
        lhs, rhs = (_quantized(scale / largest) for scale in scales)
        end = _quantized(largest / 2**20 / (scales.sum() * random.uniform(0.5, 1.2)))
        points = tuple(int(point) for point in random.integers(-128, 128, 3))
        module = _scaled_add(lhs, rhs, end, points)  # pyright: ignore[reportArgumentType]
        add, requantize = (
            _operation(module, f"bw.{kind}") for kind in ("scaled_add", "requantize")
        )
        found = linear_add(add, requantize)
        assert found is not None, (lhs, rhs, end, points)
        assert found.acc_bits <= 32


@pytest.mark.parametrize("gain", [0.3, 2.5, 11.0])
def test_weighted_sums_that_leave_codes_out(gain: float) -> None:
    """Operands of few bits: the results have gaps, and may not reach the clamps."""
    random = np.random.default_rng(6)
    count = 0
    for _ in range(40):
        points = [int(point) for point in random.integers(-4, 4, 3)]
        x, z = (QuantParams((0.5,), point, 3, -4, 3) for point in points[:2])
        y = QuantParams((0.5,), points[2], 8, -128, 127)
        lhs, rhs = (_quantized(scale) for scale in 10 ** random.uniform(-1, -0.31, 2))
        builder = Builder([("x", (1, 1, 8, 8), x), ("z", (1, 1, 8, 8), z)])
        acc = builder.scaled_add(*builder.inputs, left_shift=20, lhs_scale=lhs, rhs_scale=rhs)
        multiplier, shift = _quantized(gain / 2**20)
        result = builder.requantize(
            acc, y, multiplier=[multiplier], shift=[shift], rounding="tflite"
        )
        module = builder.finish([("y", result)])
        add, requantize = (
            _operation(module, f"bw.{kind}") for kind in ("scaled_add", "requantize")
        )
        found = linear_add(add, requantize)
        if found is None:
            continue
        count += 1
        a, b = np.meshgrid(np.arange(-4, 4), np.arange(-4, 4), indexing="ij")
        total = (a - points[0]) * found.lhs + (b - points[1]) * found.rhs + found.offset
        code = (total * found.multiplier + (1 << found.shift - 1) >> found.shift) + points[2]
        wanted = reference.apply(requantize, reference.apply(add, a, b))
        np.testing.assert_array_equal(np.clip(code, -128, 127), wanted)
    assert count > 30


def _quantized(scale: float) -> tuple[int, int]:
    mantissa, exponent = np.frexp(scale)
    return min(round(float(mantissa) * 2**31), (1 << 31) - 1), 31 - int(exponent)


def test_the_range_of_a_scaled_sum_is_reached() -> None:
    builder = Builder([("x", (1, 1), X), ("z", (1, 1), X)])
    acc = builder.scaled_add(
        *builder.inputs, left_shift=20, lhs_scale=(1 << 30, 31), rhs_scale=(3 << 29, 33)
    )
    y = builder.requantize(acc, X, multiplier=[1 << 30], shift=[54], rounding="tflite")
    module = builder.finish([("y", y)])
    found: list[int] = []

    def observe(value: ir.Value, array: reference.Array) -> None:
        if array.dtype == np.int32:
            found.append(int(array.item()))

    for a in (-128, 127):
        for b in (-128, 127):
            x, z = (np.array([[code]], np.int8) for code in (a, b))
            reference.evaluate(module, {"x": x, "z": z}, observe)
    operation = next(op for op in graph.operations(module) if "scaled" in op.operation.name)
    assert accumulator_range(operation) == (min(found), max(found))
