"""The SDRAM chip that simulations check a controller with: it keeps data, and each rule ends the
simulation."""

import contextlib
import json
import re
from pathlib import Path

import pytest
from cocotb_tools.runner import Verilog, get_runner

from bitwright.hwgen import handwritten
from bitwright.hwgen.simulated_sdram import CHIP_MODULE
from bitwright.rtl_sim import toolchain

BENCHES = Path(__file__).parent / "benches"
Step = tuple[str, int, int, int | None, int]
ALL = 1 << 10


def close(cycles: int, address: int = ALL) -> Step:
    return "010", 0, address, None, cycles


def refresh(cycles: int) -> Step:
    return "001", 0, 0, None, cycles


def mode(cycles: int = 2, value: int = 0x21) -> Step:
    return "000", 0, value, None, cycles


def activate(cycles: int, bank: int = 0) -> Step:
    return "011", bank, 1, None, cycles


def write(cycles: int, column: int = 4, data: int | None = 0xCAFE1234) -> Step:
    return "100", 0, column, data, cycles


def read(cycles: int, column: int = 4) -> Step:
    return "101", 0, column, None, cycles


IDLE: Step = ("111", 0, 0, None, 10)
START = [IDLE, close(3), refresh(7), refresh(7), mode()]  # at 10 ns a cycle
LEGAL = [*START, activate(3), write(4), read(6), close(3), refresh(7), activate(5), close(3), IDLE]
BROKEN: list[tuple[list[str], list[Step]]] = [
    (["a command before power-up ends", "REFRESH before all banks are closed"], [refresh(7)]),
    (["ACTIVATE before the mode is set"], [activate(5), close(3)]),
    (["MODE before two refreshes"], [mode()]),
    (["MODE is not bursts of two"], [refresh(7), refresh(7), mode(value=0x22)]),
    (["MODE has no CAS latency of 2 or 3"], [refresh(7), refresh(7), mode(value=0x11)]),
    (["t_mrd"], [refresh(7), refresh(7), mode(1), close(3)]),
    (["t_rfc"], [refresh(6), refresh(7)]),
    (["t_rp before ACTIVATE"], [activate(8), close(2), activate(5), close(5)]),
    (["t_rp before REFRESH"], [activate(5), close(2), refresh(7)]),
    (["t_rcd"], [activate(2), read(8), close(5)]),
    (["t_rc"], [activate(5), close(3), activate(5), close(5)]),
    (["t_ras"], [activate(4), close(9)]),
    (["t_wr"], [activate(4), write(2), close(9)]),
    (
        ["nobody drives the data of a WRITE", "t_wr", "PRECHARGE within a WRITE"],
        [activate(5), write(1), close(9)],
    ),
    (["t_rrd"], [activate(1), activate(5, bank=1), close(9)]),
    (["ACTIVATE of an open bank"], [activate(9), activate(5), close(9)]),
    (["REFRESH while a bank is open"], [activate(7), refresh(7), close(9)]),
    (["READ or WRITE of a closed bank"], [read(9)]),
    (["auto precharge, or half a word"], [activate(5), read(9, column=4 + ALL), close(9)]),
    (2 * ["nobody drives the data of a WRITE"], [activate(5), write(9, data=None), close(9)]),
    (2 * ["both sides drive the data pins"], [activate(5), read(2), write(4), close(9)]),
    (["refreshes are late"], [("111", 0, 0, None, 12000)]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chip")
    environment = toolchain.verilator_environment()
    variables = [f"{name}={value}" for name, value in toolchain.make_variables().items()]
    environment["MAKEFLAGS"] = " -- " + " ".join(variables)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        get_runner("verilator").build(
            sources=[Verilog(handwritten.source(CHIP_MODULE))], hdl_toplevel=CHIP_MODULE,
            build_dir=folder, build_args=["-Wno-fatal", "--no-timing"],
            parameters={"ROW_BITS": 4, "POWER_UP": 50000, "T_RC": 90000},
            log_file=folder / "build.log",
        )  # fmt: skip
    return folder


def run(folder: Path, commands: list[Step], *options: str) -> tuple[list[str], str]:
    """The rules that were broken, in a simulation, and its log."""
    log = folder / "run.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHES)
        with contextlib.suppress(RuntimeError, SystemExit):  # the simulation has ended early
            get_runner("verilator").test(
                test_module="drive_sdram_chip", hdl_toplevel=CHIP_MODULE, build_dir=folder,
                hdl_toplevel_lang="verilog", log_file=log, plusargs=options,
                extra_env={"BITWRIGHT_COMMANDS": json.dumps(commands)},
            )  # fmt: skip
    text = log.read_text()
    return re.findall("SDRAM chip: (.*), in cycle", text), text


def test_what_is_written_is_read(folder: Path) -> None:
    broken, log = run(folder, LEGAL)
    assert not broken
    given = log.split("given ")[1].split()
    at = sum(step[-1] for step in [*START, activate(3), write(4)])
    assert given[at + 1 : at + 3] == ["1234", "cafe"]


def test_a_broken_rule_ends_the_simulation(folder: Path) -> None:
    broken, log = run(folder, [*START, activate(2), read(4)])
    assert broken == ["t_rcd"]
    assert "given" not in log


def test_every_rule_is_checked(folder: Path) -> None:
    broken, _ = run(folder, [step for _, steps in BROKEN for step in steps], "+sdram_goes_on")
    wanted = [rule for rules, _ in BROKEN for rule in rules]
    assert broken[: len(wanted)] == wanted
    assert set(broken[len(wanted) :]) <= {wanted[-1]}
    said = re.findall(r'broken\("(.*)"\)', handwritten.source(CHIP_MODULE).read_text())
    assert set(said) - set(wanted) == {
        "DQM masks what is read", "a command without CKE", "CAS latency 2 is too fast",
        "an unknown command",
    }  # fmt: skip
