"""The SDRAM chip that simulations check a controller with: it keeps data, and each rule ends the
simulation."""

import json
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
BROKEN: dict[str, list[Step]] = {
    "a command before power-up ends": [close(3)],
    "REFRESH before all banks are closed": [IDLE, refresh(7)],
    "MODE before two refreshes": [IDLE, close(3), refresh(7), mode()],
    "MODE is not bursts of two": [*START[:-1], mode(value=0x22)],
    "ACTIVATE before the mode is set": [*START[:-1], activate(3)],
    "t_mrd": [*START[:-1], mode(1), activate(3)],
    "t_rfc": [*START, refresh(6), refresh(7)],
    "t_rp before ACTIVATE": [*START, activate(5), close(2), activate(2)],
    "t_rp before REFRESH": [*START, activate(5), close(2), refresh(2)],
    "t_rcd": [*START, activate(2), read(4)],
    "t_rc": [*START, activate(3), ("010", 1, 0, None, 1), close(3), activate(3)],
    "t_ras": [*START, activate(4), close(3)],
    "t_wr": [*START, activate(3), write(3), close(3)],
    "t_rrd": [*START, activate(1), activate(2, bank=1)],
    "ACTIVATE of an open bank": [*START, activate(7), activate(2)],
    "REFRESH while a bank is open": [*START, activate(7), refresh(2)],
    "READ or WRITE of a closed bank": [*START, activate(5), close(3), read(3)],
    "auto precharge, or half a word": [*START, activate(3), read(3, column=4 + ALL)],
    "nobody drives the data of a WRITE": [*START, activate(3), write(3, data=None)],
    "both sides drive the data pins": [*START, activate(3), read(2), write(4)],
    "refreshes are late": [*START, ("111", 0, 0, None, 7100)],
}


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
            parameters={"ROW_BITS": 4, "POWER_UP": 50000}, log_file=folder / "build.log",
        )  # fmt: skip
    return folder


def run(folder: Path, commands: list[Step]) -> str:
    """The log of a simulation."""
    log = folder / "run.log"
    log.unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHES)
        try:
            get_runner("verilator").test(
                test_module="drive_sdram_chip", hdl_toplevel=CHIP_MODULE, build_dir=folder,
                hdl_toplevel_lang="verilog", log_file=log,
                extra_env={"BITWRIGHT_COMMANDS": json.dumps(commands)},
            )  # fmt: skip
        except (RuntimeError, SystemExit):  # the simulation has ended early
            pass
    return log.read_text()


def test_what_is_written_is_read(folder: Path) -> None:
    log = run(folder, LEGAL)
    assert "SDRAM chip:" not in log
    given = log.split("given ")[1].split()
    at = sum(step[-1] for step in [*START, activate(3), write(4)])
    assert given[at + 1 : at + 3] == ["1234", "cafe"]


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_ends_the_simulation(rule: str, folder: Path) -> None:
    log = run(folder, BROKEN[rule])
    assert f"SDRAM chip: {rule}, in cycle" in log
    assert "given" not in log
