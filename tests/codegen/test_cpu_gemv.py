"""Dense layers of one row with weights of few bits: packed codes, every width, odd sizes."""

from pathlib import Path

import numpy as np
import pytest

from bitwright.codegen.cpu import gemv
from bitwright.codegen.cpu.library import build_library
from bitwright.codegen.cpu.planes import codes_of, packed
from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.runtime.library import load_library

X = QuantParams((0.5,), -3, 8, -128, 127)
Y = QuantParams((1.0,), 5, 8, -128, 127)
WIDTHS = [(-1, 1, 2), (-1, 1, 1), (-2, 1, 1), (0, 7, 1), (-8, 7, 1), (-16, 15, 1), (-32, 31, 1),
          (-64, 63, 1)]  # fmt: skip
SIZES = [(5, 40), (33, 203), (64, 256), (150, 72)]


@pytest.mark.parametrize(("least", "most", "step"), WIDTHS)
def test_a_row_times_a_matrix_equals_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int, most: int, step: int
) -> None:
    monkeypatch.setattr(gemv, "SECOND_CACHE", 1000)  # the larger ones are fetched ahead
    rng = np.random.default_rng(most)
    builder = Builder([(f"x{depth}", (1, depth), X) for _, depth in SIZES])
    results = []
    for x, (outputs, depth) in zip(builder.inputs, SIZES, strict=True):
        codes = rng.integers(0, (most - least) // step + 1, (outputs, depth))
        codes[0, 0], codes[-1, -1] = 0, (most - least) // step
        weight = builder.constant(codes * step + least, QuantParams((0.25,), 0, 8, -127, 127))
        bias = builder.constant(rng.integers(-99, 99, outputs).astype(np.int32))
        shift = int(15 + np.log2(most * depth**0.5))
        sums = builder.linear(x, weight, bias)
        scaled = builder.requantize(sums, Y, multiplier=[30000], shift=[shift])
        results.append((f"y{depth}", scaled))
    module = builder.finish(results)
    library = load_library(build_library(module, tmp_path).library)
    inputs = {
        f"x{depth}": rng.integers(-128, 128, (4, depth)).astype(np.int8) for _, depth in SIZES
    }
    for array in inputs.values():
        array[0], array[1] = -128, 127
    wanted = reference.run(module, inputs)
    for threads in (1, 2):
        library.threads = threads
        found = library.run(inputs)
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array, err_msg=f"{name}, {threads}")
            assert len(np.unique(array)) > 8


@pytest.mark.parametrize(
    ("values", "bits", "step", "least"),
    [([-1, 1], 1, 2, -1), ([-1, 0, 1], 2, 1, -1), ([0, 1], 1, 1, 0), ([-8, 0, 7], 4, 1, -8),
     ([3], 1, 1, 3), ([-64, 0, 63], 7, 1, -64), ([-3, -1, 1, 3], 2, 2, -3), ([-8, 7], 1, 15, -8),
     ([-128, 0, 127], 8, 1, -128)],
)  # fmt: skip
def test_codes_take_the_fewest_bits(values: list[int], bits: int, step: int, least: int) -> None:
    weight = np.array([values])
    codes = codes_of(weight)
    assert (codes.bits, codes.step, codes.least) == (bits, step, least)
    np.testing.assert_array_equal(codes.values.astype(int) * step + least, weight)
    assert sum(plane.bits for plane in codes.planes) == bits


def test_bytes_and_several_rows_have_the_other_kernel() -> None:
    assert not gemv.is_smaller(np.array([[-127, 0, 126]]), 1)
    assert gemv.is_smaller(np.array([[-1, 1]]), 1)
    assert not gemv.is_smaller(np.array([[-1, 1]]), 2)
    assert not gemv.is_smaller(np.full((1, gemv.DEEPEST + 1), 1), 1)
    assert not gemv.is_smaller(
        np.array([[-4, 0, 3]]), 1
    )  # 3 bits are two planes: not while in a cache


def test_weights_of_two_bits_take_a_quarter_of_the_bytes() -> None:
    codes = codes_of(np.array([[-2, -1, 0, 1] * 256] * 64))
    assert len(packed(codes, 4)) == 64 * 1024 // 4
