"""Scales, dyadic multipliers and the integer ratios of adds."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.ir.types import QuantParams
from bitwright.passes.quantize.errors import ScaleNotRepresentable
from bitwright.passes.quantize.scales import (
    approximate,
    dyadic,
    match,
    params_of,
    round_scale,
    scale_of,
)
from bitwright.passes.quantize.tables import exponentials, table_of

POSITIVE = st.floats(1e-20, 1e20, allow_nan=False)


@given(POSITIVE)
def test_scales_are_rounded_up_to_16_bits(scale: float) -> None:
    rounded = round_scale(scale)
    assert scale <= rounded <= scale * (1 + 2**-15)
    assert float(np.float32(rounded)) == rounded
    assert math.frexp(rounded)[0] * 2**16 % 1 == 0


@given(st.floats(-100, 0), st.floats(0, 100), st.integers(2, 8))
def test_a_type_covers_its_range_and_zero_exactly(low: float, high: float, bits: int) -> None:
    if high - low < 1e-12:
        return
    scale = scale_of(low, high, bits, "x")
    params = params_of(low, scale, bits)
    assert params.quantize(np.zeros(1))[0] == params.zero_point
    ends = params.dequantize(np.asarray([params.qmin, params.qmax]))
    assert ends[0] <= low + 0.51 * scale
    assert ends[1] >= high - 0.51 * scale


@given(st.floats(2**-31, 32767.0))
@settings(max_examples=300)
def test_dyadic_multipliers_are_normalised(ratio: float) -> None:
    multiplier, shift = dyadic(ratio, "x")
    assert 1 <= shift <= 46
    assert multiplier / 2**shift == pytest.approx(ratio, rel=2**-16 + 2**-40)
    if ratio >= 2**-30:
        assert 2**15 <= multiplier < 2**16


def test_dyadic_at_the_ends() -> None:
    assert dyadic(1.0, "x") == (32768, 15)
    assert dyadic(2.0**-46, "x") == (1, 46)
    assert dyadic((1 - 2**-20) * 2.0, "x") == (32768, 14)
    assert dyadic(32767.4, "x") == (65535, 1)


@pytest.mark.parametrize(("ratio", "shown"), [(32768.0, "32768"), (2.0**-48, "3.55271e-15")])
def test_a_ratio_that_no_multiplier_reaches(ratio: float, shown: str) -> None:
    with pytest.raises(ScaleNotRepresentable) as caught:
        dyadic(ratio, "conv1")
    assert str(caught.value) == (
        f"The accumulator of 'conv1' is {shown} output steps per unit; a multiplier of 1 to 65535 "
        "with a shift of 1 to 46 does not reach it, so check the calibration samples and the "
        "scaling of that layer"
    )


def test_a_range_that_no_scale_covers() -> None:
    with pytest.raises(ScaleNotRepresentable) as caught:
        scale_of(0.0, 1e-35, 8, "conv1")
    assert str(caught.value) == (
        "The values of 'conv1' span [0, 1e-35], which needs a scale of 3.92159e-38; expected "
        "2^-100 to 2^100, rescale the model's weights or inputs"
    )


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
@settings(max_examples=200)
def test_matched_scales_are_in_an_integer_ratio(fixed: float, wanted: float) -> None:
    fixed, wanted = round_scale(fixed), round_scale(wanted)
    found = match(fixed, wanted)
    if found is None:
        assert wanted > 127 * fixed
        return
    assert 1 <= found.fixed <= 127
    assert 1 <= found.free <= 127
    assert found.scale * (1 + 1e-7) >= wanted
    exact = Fraction(fixed) * found.free / found.fixed
    assert float(Fraction(found.scale) / exact) == pytest.approx(1, abs=2**-24)
    if 1 <= wanted / fixed <= 120:
        assert Fraction(found.scale) == exact, "a power of two is taken where it is near"
        assert found.scale <= wanted * 1.021


def test_ratios_of_scales_that_are_taken_already() -> None:
    assert approximate(0.3, 0.1, 2**-10) == (3, 1)
    assert approximate(1.0, 1.004, 2**-10) is None
    assert approximate(1.0, 300.0, 2**-10) is None


def test_tables_state_their_error() -> None:
    source = QuantParams((0.05,), 0, 8, -128, 127)
    target = QuantParams((1 / 256,), -128, 8, -128, 127)
    table = table_of(lambda x: 1 / (1 + np.exp(-x)), source, target)
    assert table.entries[128] == 0
    assert 0.5 < table.error < 0.56, "1 - 1/256 is the largest value that 1/256 steps reach"
    narrow = QuantParams((1 / 512,), -128, 8, -128, 127)
    clipped = table_of(lambda x: 1 / (1 + np.exp(-x)), source, narrow)
    assert clipped.error == pytest.approx(512 / (1 + math.exp(-127 * 0.05)) - 255)


def test_codes_outside_of_a_narrow_source_repeat_its_ends() -> None:
    source = QuantParams((0.5,), 0, 4, -8, 7)
    table = table_of(lambda x: np.clip(x, 0.0, 2.0), source, source)
    assert table.entries[:121] == (0,) * 121
    assert table.entries[120:136] == (*(0,) * 9, 1, 2, 3, 4, 4, 4, 4)
    assert table.entries[136:] == (4,) * 120
    assert table.error == 0


def test_exponentials_start_at_one() -> None:
    table = exponentials(0.1)
    assert table[0] == 65536
    assert table[10] == round(65536 * math.exp(-1))
    assert len(table) == 256
