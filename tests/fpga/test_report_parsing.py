"""Reports of the tools, and whether a design fits."""

import json
from pathlib import Path

import pytest

from bitwright import targets
from bitwright.fpga.errors import DoesNotFit, ReportUnreadable
from bitwright.fpga.report import (
    check_fits,
    read_cells,
    read_routed,
    synthesised_resources,
)
from bitwright.fpga.tools import version_number
from bitwright.targets.target import Resources


def test_ecp5_cells() -> None:
    cells = {
        "LUT4": 100, "CCU2C": 10, "TRELLIS_DPR16X4": 3, "PFUMX": 7, "TRELLIS_FF": 50,
        "DP16KD": 4, "MULT18X18D": 2,
    }  # fmt: skip
    assert synthesised_resources("ecp5", cells) == Resources(lut=138, ff=50, bram=4, dsp=2)


def test_ice40_cells() -> None:
    cells = {
        "SB_LUT4": 100, "SB_CARRY": 30, "SB_DFF": 5, "SB_DFFESR": 6, "SB_RAM40_4K": 3,
        "SB_RAM40_4KNR": 1, "SB_MAC16": 2, "SB_SPRAM256KA": 1,
    }  # fmt: skip
    expected = Resources(lut=100, ff=11, bram=4, dsp=2, spram=1)
    assert synthesised_resources("ice40", cells) == expected


def test_cells_leave_out_what_is_no_hardware(tmp_path: Path) -> None:
    path = tmp_path / "statistics.json"
    path.write_text(json.dumps({"design": {"num_cells_by_type": {"$scopeinfo": 3, "LUT4": 1}}}))
    assert read_cells(path) == {"LUT4": 1}


def test_unreadable_report(tmp_path: Path) -> None:
    path = tmp_path / "statistics.json"
    path.write_text("{}")
    with pytest.raises(ReportUnreadable) as error:
        read_cells(path)
    assert str(error.value) == (
        f"Tool report '{path}' cannot be read: KeyError('design'); "
        "see the log beside it, and check the tool's version"
    )


def test_routed(tmp_path: Path) -> None:
    path = tmp_path / "timing.json"
    report = {
        "utilization": {
            "TRELLIS_COMB": {"used": 90, "available": 24288},
            "TRELLIS_RAMW": {"used": 5, "available": 3036},
            "TRELLIS_FF": {"used": 40, "available": 24288},
            "DP16KD": {"used": 1, "available": 56},
        },
        "fmax": {"$glbnet$clk": {"achieved": 99.5, "constraint": 100.0}},
    }
    path.write_text(json.dumps(report))
    resources, clocks = read_routed(path, "ecp5", flip_flops=40)
    assert resources == Resources(lut=100, ff=40, bram=1, dsp=0)
    assert [(clock.name, clock.met) for clock in clocks] == [("$glbnet$clk", False)]


def test_fits_to_the_last_one() -> None:
    target = targets.get_fpga("ulx3s-12f")
    check_fits("bitwright_uart", target.resources, target)


def test_does_not_fit() -> None:
    needed = Resources(lut=4000, ff=6000, bram=31, dsp=1)
    with pytest.raises(DoesNotFit) as error:
        check_fits("bitwright_uart", needed, targets.get_fpga("icebreaker"))
    assert str(error.value) == (
        "Design 'bitwright_uart' does not fit target 'icebreaker': "
        "ff: needs 6000, has 5280; bram: needs 31, has 30. "
        "Choose a smaller machine, fewer weight bits, or a larger target"
    )
    assert error.value.shortages == (("ff", 6000, 5280), ("bram", 31, 30))
    assert error.value.exit_code == 51


@pytest.mark.parametrize(
    ("text", "number"),
    [("yosys 0.70", (0, 70)), ("nextpnr-0.11.1", (0, 11)), ("unknown", (0, 0))],
)
def test_version_number(text: str, number: tuple[int, int]) -> None:
    assert version_number(text) == number
