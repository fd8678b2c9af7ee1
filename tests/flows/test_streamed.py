"""Builds whose weights are in external memory, as a user meets them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch_mlir import ir

from bitwright import api
from bitwright.flows.bitstream import MemoryClockError, NoMemoryController
from bitwright.flows.choose import Fixed, choose
from bitwright.flows.overlay import OverlayBuild
from bitwright.flows.simulate import NoMemoryChip
from bitwright.fpga.errors import DoesNotFit
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.report import Report
from bitwright.targets import get_fpga

BOARD = get_fpga("ulx3s-12f")
DIGITS = Path(__file__).parents[2] / "examples" / "digits"
X = QuantParams((0.5,), 3, 8, -128, 127)


def large() -> ir.Module:
    """A dense layer of 300 kB, which the block RAMs of the board (72 kB) do not hold."""
    builder = Builder([("x", (1, 400), X)])
    params = QuantParams((0.5,), 0, 8, -127, 127)
    weight = np.random.default_rng(0).integers(-127, 128, (750, 400)).astype(np.int8)
    acc = builder.linear(
        builder.inputs[0], builder.constant(weight, params),
        builder.constant(np.zeros(750, np.int64)),
    )  # fmt: skip
    y = builder.requantize(acc, X, multiplier=[30000], shift=[30])
    return builder.finish([("y", y)])


FEW = {"lanes": 8, "rows": 16, "engine": "weightserial", "requant_lanes": 1}


def test_what_does_not_fit_on_the_chip_goes_to_external_memory() -> None:
    module = large()
    build = choose(module, BOARD, fixed=Fixed(FEW), clock_mhz=62.5).build
    assert isinstance(build, OverlayBuild)
    machine = build.assembled.machine
    assert (machine.memory, machine.memory_mhz) == ("sdram", 63)
    # 16 bits a cycle are the least time for 300 kB.
    assert 150_000 < build.prediction.total < 200_000
    with pytest.raises(DoesNotFit):
        choose(module, BOARD, fixed=Fixed({**FEW, "memory": "none"}))
    with pytest.raises(DoesNotFit):
        choose(module, replace(BOARD, memory=None), fixed=Fixed(FEW))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streamed") / "build"
    machine = {**FEW, "memory": "fixed", "memory_latency": 9}
    calibration = DIGITS / "calibration.npz"
    api.compile_model(
        DIGITS / "digits.onnx", BOARD.name, calibration, output=folder, machine=machine
    )
    return folder


def test_the_report_says_for_which_memory_the_cycles_are(build: Path) -> None:
    report = Report.load(build)
    assert report.cycles.memory == "9 cycles to the first word of a burst"
    external = (build / "image" / "external.bin").read_bytes()
    assert external
    assert len(external) % 256 == 0
    text = json.loads((build / "report.json").read_text())
    assert text["target"]["machine"]["memory"] == "fixed"
    tops = [(build / "rtl" / top / f"bitwright_{top}.v").read_text() for top in ("wb", "axil")]
    assert "wbm_cyc" in tops[0]
    assert "m_axi_arvalid" in tops[1]


def test_a_memory_that_the_board_does_not_have_is_refused(build: Path) -> None:
    size = (build / "image" / "external.bin").stat().st_size
    with pytest.raises(NoMemoryController) as caught:
        api.bitstream(build)
    assert str(caught.value) == (
        f'Build {build} has {size:,} bytes of weights in external memory of the kind "fixed", and '
        f'{BOARD.name} has 33,554,432 bytes of "sdram"; expected a machine whose memory the board '
        f'has, or with memory = "none". Or use the Verilog in {build / "rtl"} with a controller of '
        f"your own on its memory port (wbm_* or m_axi_*), which holds "
        f"{build / 'image' / 'external.bin'}"
    )


def test_a_netlist_with_external_memory_is_not_simulated(build: Path) -> None:
    with pytest.raises(NoMemoryChip) as caught:
        api.simulate(build, DIGITS / "calibration.npz", netlist=True)
    assert str(caught.value) == (
        f"Build {build} has its weights in external memory (9 cycles to the first word of a "
        "burst), which the simulation of a netlist does not have; expected a machine without: "
        "simulate the RTL (without --netlist)"
    )


def test_the_clock_is_that_of_the_memory(tmp_path: Path) -> None:
    build = tmp_path / "build"
    machine = {**FEW, "memory": "sdram", "memory_mhz": 80}
    calibration = DIGITS / "calibration.npz"
    api.compile_model(
        DIGITS / "digits.onnx", BOARD.name, calibration, output=build, machine=machine, clock=80
    )
    with pytest.raises(MemoryClockError) as caught:
        api.bitstream(build, clock=75)
    assert str(caught.value) == (
        f"Build {build} has weights in external memory with the cycles of a clock of 80 MHz, and "
        "the clock is 75 MHz; expected more than 79 and at most 80 MHz: compile it again with "
        "--clock 75"
    )
