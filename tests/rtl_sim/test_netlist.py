"""What synthesis makes of a whole machine, on random programs: results and cycles."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from bitwright.hwgen.core import Core
from bitwright.ir.machine import Machine
from bitwright.rtl_sim.bus import VerilatorBus
from bitwright.runtime.driver import Bus

pytestmark = pytest.mark.slow

OVERLAY = Machine(
    lanes=2, rows=8, requant_lanes=1, acc_bits=18, act_words=200, in_words=64, out_words=100,
    weight_words=512, param_words=256, tables=1, program_words=512,
)  # fmt: skip


def test_overlay(
    netlist_bus: Callable[..., AbstractContextManager[VerilatorBus]],
    check_programs: Callable[[Bus, Machine, int, int], None],
) -> None:
    with netlist_bus(Core(machine=OVERLAY)) as bus:
        check_programs(bus, OVERLAY, 4, 4)
