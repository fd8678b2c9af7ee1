"""What synthesis makes of a whole machine, on random programs: results and cycles."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bitwright import targets
from bitwright.fpga.netlist import synthesised
from bitwright.hwgen.core import Core
from bitwright.hwgen.tops import WishboneTop
from bitwright.ir.machine import Machine
from bitwright.rtl_sim.bus import open_bus
from bitwright.runtime.driver import Bus

MACHINE = Machine(
    lanes=2, rows=8, requant_lanes=1, acc_bits=18, act_words=200, in_words=64, out_words=100,
    weight_words=512, param_words=256, tables=1, program_words=512,
)  # fmt: skip


@pytest.mark.slow
def test_random_programs(
    tmp_path: Path, check_programs: Callable[[Bus, Machine, int, int], None]
) -> None:
    top = WishboneTop(core=Core(machine=MACHINE))
    files = synthesised(top, top.module_name, targets.get_fpga("ulx3s-85f"), tmp_path)
    with open_bus(files, top.module_name, short_run=True) as bus:
        check_programs(bus, MACHINE, 4, 4)
