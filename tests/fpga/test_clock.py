"""Clock plans against the limits of the data sheets and against the families' own tools."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bitwright import targets
from bitwright.fpga.errors import ClockOutOfReach
from bitwright.fpga.pll import plan_clock


@pytest.mark.parametrize("name", ["ulx3s-85f", "icebreaker"])
@pytest.mark.parametrize("asked", [18.0, 24.0, 30.0, 48.0, 66.0, 80.0, 100.0, 125.0])
def test_plan_keeps_the_limits(name: str, asked: float) -> None:
    target = targets.get_fpga(name)
    plan = plan_clock(target, asked)
    dividers = dict(plan.dividers)
    if target.family == "ecp5":
        detector = plan.input_mhz / dividers["CLKI_DIV"]
        vco = detector * dividers["CLKFB_DIV"] * dividers["CLKOP_DIV"]
        output = vco / dividers["CLKOS_DIV"]
        assert max(dividers["CLKOP_DIV"], dividers["CLKOS_DIV"]) <= 128
        assert dividers["CLKFB_DIV"] <= 80
    else:
        detector = plan.input_mhz / (dividers["DIVR"] + 1)
        vco = detector * (dividers["DIVF"] + 1)
        output = vco / 2 ** dividers["DIVQ"]
    assert plan.output_mhz == pytest.approx(output)
    assert asked * 0.98 <= output <= asked + 1e-9
    low, high = target.pll.vco_mhz
    assert low <= vco <= high
    low, high = target.pll.phase_detector_mhz
    assert low <= detector <= high


@pytest.mark.parametrize("asked", [33.5, 83.5, 127.25])
def test_a_planned_clock_is_planned_again(asked: float) -> None:
    target = targets.get_fpga("ulx3s-85f")
    plan = plan_clock(target, asked)
    assert plan.output_mhz != plan.output_hz / 1e6
    assert plan_clock(target, plan.output_mhz) == plan


def test_the_oscillator_itself_needs_no_pll() -> None:
    plan = plan_clock(targets.get_fpga("icebreaker"), 12.0)
    assert not plan.uses_pll
    assert plan.output_hz == 12_000_000


def test_default_clocks() -> None:
    for name in ("ulx3s-85f", "ulx3s-25f", "ulx3s-12f", "icebreaker"):
        target = targets.get_fpga(name)
        assert plan_clock(target).output_mhz == target.default_clock_mhz


@pytest.mark.parametrize("name", ["ulx3s-85f", "icebreaker"])
def test_out_of_reach(name: str) -> None:
    target = targets.get_fpga(name)
    low, high = target.pll.output_mhz
    with pytest.raises(ClockOutOfReach) as error:
        plan_clock(target, 2.0)
    assert str(error.value) == (
        f"Clock of 2 MHz cannot be made on target '{name}'; expected {low:g} to {high:g} MHz"
    )


def test_ice40_dividers_are_those_of_icepll() -> None:
    tool = Path(sys.executable).with_name("yowasp-icepll")
    text = subprocess.run(
        [tool, "-i", "12", "-o", "24"], capture_output=True, text=True, check=True
    ).stdout
    expected = {
        name: int(value) for name, value in re.findall(r"(DIV[RFQ]|FILTER_RANGE): +(\d+)", text)
    }
    plan = plan_clock(targets.get_fpga("icebreaker"), 24.0)
    assert dict(plan.dividers) == expected
