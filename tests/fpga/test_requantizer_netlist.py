"""The requantizer after synthesis: multipliers and their registers are where yosys may go wrong."""

from pathlib import Path

import pytest
from amaranth.hdl import Value

from bitwright import targets
from bitwright.fpga import flow, netlist
from bitwright.hwgen.requantize import Requantizer
from bitwright.hwgen.verilog import emit
from bitwright.ir.machine import Machine

pytestmark = pytest.mark.slow


def _rtl(acc_bits: int, folder: Path) -> str:
    """Module `cells`: random bits to a wide requantizer's pins, its entry to the results."""
    machine = Machine(
        lanes=4, rows=8, acc_bits=acc_bits, multiplier_bits=31, act_words=2, in_words=2,
        out_words=2, weight_words=2, param_words=2, program_words=2,
    )  # fmt: skip
    unit = Requantizer(machine=machine)
    text = "".join(path.read_text() for path in emit(unit, folder, name="requantizer"))
    pins, bit = "", 0
    for name in unit.signature.members:
        width = len(Value.cast(getattr(unit, name)))
        if name != "entry":
            pins += f", .{name}(stimulus[{bit} +: {width}])"
            bit += width
    return (
        "module cells(input clk, input [255:0] stimulus, output [35:0] results);\n"
        "    assign results[35:8] = 0;\n"
        f"    requantizer unit(.clk(clk), .entry(results[7:0]){pins});\nendmodule\n{text}"
    )


@pytest.mark.parametrize(
    ("board", "acc_bits", "blocks"),
    [("icebreaker", 20, 4), ("ulx3s-85f", 21, 2), ("ulx3s-85f", 22, 2),
     ("ulx3s-85f", 32, 4)],
)  # fmt: skip
def test_products_of_a_channel(
    tmp_path: Path, bench, board: str, acc_bits: int, blocks: int
) -> None:
    target = targets.get_fpga(board)
    text = _rtl(acc_bits, tmp_path / "rtl")
    source = tmp_path / "cells.v"
    source.write_text(text)
    report = flow.synthesise([source], "cells", target, tmp_path / "synthesis")
    assert report.resources.dsp == blocks
    sources = netlist.simulation_sources(report, target)
    assert bench(text, sources, "cells", 1, cycles=200_000) == set()
