"""The resource estimate against the synthesis that it was fitted to."""

import json

import pytest

from bitwright.hwgen.resources import COSTS_FILE, FamilyError, Resources, block_rams, estimate
from bitwright.ir.machine import Machine

MEASURED = json.loads(COSTS_FILE.read_text())["measured"]


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: f"{row['family']}-{row['cells']['lut']}")
def test_estimate_is_near_synthesis(row):
    found, cells = estimate(Machine(**row["machine"]), row["family"]), Resources(**row["cells"])
    assert (found.bram, found.dsp) == (cells.bram, cells.dsp)
    assert found.lut == pytest.approx(cells.lut, rel=0.05)
    assert found.ff == pytest.approx(cells.ff, rel=0.05)


@pytest.mark.parametrize(
    ("family", "width", "depth", "blocks"),
    [
        ("ecp5", 36, 512, 1), ("ecp5", 37, 1024, 3), ("ecp5", 128, 2048, 15),
        ("ecp5", 12, 20000, 15), ("ecp5", 512, 1024, 29), ("ice40", 36, 512, 5),
        ("ice40", 10, 1500, 4), ("ice40", 17, 4096, 17), ("ice40", 14, 2048, 7),
    ],
)  # fmt: skip
def test_block_rams(family, width, depth, blocks):
    """As synthesis maps memories of these sizes."""
    assert block_rams(family, width, depth) == blocks


def test_an_unknown_family(small_machine):
    with pytest.raises(FamilyError) as caught:
        estimate(small_machine(), "gowin")
    assert str(caught.value) == (
        "FPGA family gowin has no resource costs; expected one of ecp5, ice40"
    )
