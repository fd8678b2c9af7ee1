"""Random programs on whole machines, through every port: results, cycles, and clean Verilog."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bitwright.hwgen.core import Core
from bitwright.hwgen.tops import Axi4LiteTop, UartTop, WishboneTop
from bitwright.hwgen.verilog import emit, lint_arguments
from bitwright.ir.machine import Machine
from bitwright.rtl_sim import toolchain
from bitwright.rtl_sim.bus import VerilatorBus, VerilatorSerial
from bitwright.rtl_sim.verilate import PortKind, build_simulator
from bitwright.runtime.driver import Bus
from bitwright.runtime.serial import SerialBus

DIVISOR = 4

SMALL = Machine(
    lanes=4, rows=16, requant_lanes=2, acc_bits=22, act_words=300, in_words=80, out_words=150,
    weight_words=400, param_words=200, tables=2, program_words=512,
)  # fmt: skip
NARROW = Machine(
    lanes=2, rows=8, requant_lanes=1, acc_bits=18, act_words=200, in_words=64, out_words=100,
    weight_words=512, param_words=256, program_words=512,
)  # fmt: skip
WIDE = Machine(
    lanes=16, rows=32, requant_lanes=4, acc_bits=21, multiplier_bits=31, act_words=256,
    in_words=75, out_words=128, weight_words=256, param_words=128, tables=1, program_words=512,
)  # fmt: skip
SQUARE = Machine(
    lanes=8, rows=8, requant_lanes=8, acc_bits=32, act_words=300, in_words=80, out_words=150,
    weight_words=512, param_words=64, tables=1, program_words=512,
)  # fmt: skip
TOPS = {
    "wishbone": (PortKind.WISHBONE, lambda core: WishboneTop(core=core)),
    "axi4lite": (PortKind.AXI4LITE, lambda core: Axi4LiteTop(core=core)),
    "uart": (PortKind.UART, lambda core: UartTop(core=core, divisor=DIVISOR)),
}


def build(folder: Path, machine: Machine, port: str) -> Path:
    kind, make = TOPS[port]
    top = make(Core(machine=machine))
    return build_simulator(emit(top, folder, name=top.module_name), top.module_name, port=kind)


@pytest.mark.parametrize(
    ("machine", "port"),
    [
        pytest.param(SMALL, "wishbone", id="small-wishbone"),
        pytest.param(SMALL, "axi4lite", id="small-axi4lite"),
        pytest.param(NARROW, "wishbone", id="narrow-wishbone"),
        pytest.param(WIDE, "wishbone", id="wide-wishbone"),
        pytest.param(SQUARE, "wishbone", id="square-wishbone"),
    ],
)
def test_random_programs(
    machine: Machine,
    port: str,
    tmp_path: Path,
    check_programs: Callable[[Bus, Machine, int, int], None],
) -> None:
    with VerilatorBus(build(tmp_path, machine, port)) as bus:
        check_programs(bus, machine, 25, 4)


def test_random_program_through_uart(
    tmp_path: Path, check_programs: Callable[[Bus, Machine, int, int], None]
) -> None:
    program = build(tmp_path, SMALL, "uart")
    with VerilatorSerial(program, divisor=DIVISOR, read_timeout_cycles=100_000) as line:
        check_programs(SerialBus(line, divisor=DIVISOR), SMALL, 3, 3)


@pytest.mark.parametrize("port", TOPS)
@pytest.mark.parametrize(
    "machine", [pytest.param(SMALL, id="small"), pytest.param(WIDE, id="wide")]
)
def test_lint(machine: Machine, port: str, tmp_path: Path) -> None:
    """No warnings but those with a documented reason."""
    _, make = TOPS[port]
    top = make(Core(machine=machine))
    files = emit(top, tmp_path, name=top.module_name)
    done = subprocess.run(
        [
            *toolchain.verilator(), "--lint-only", *lint_arguments(),
            "--top-module", top.module_name, *map(str, files),
        ],
        env=toolchain.verilator_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
