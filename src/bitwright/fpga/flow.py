"""From Verilog to a bitstream: synthesis, place and route, packing.

Every step is one call of one program in the output folder, with its log beside its results. What
a step makes appears under its final name only when the step has succeeded.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bitwright.fpga import blocks, carry, sites, tools
from bitwright.fpga.board import MACHINE_TOP, TOP, board_verilog
from bitwright.fpga.constraints import constraints, file_name
from bitwright.fpga.errors import MissingRtl, ToolFailed, UnwritableFolder
from bitwright.fpga.pll import plan_clock
from bitwright.fpga.report import (
    BitstreamReport,
    SynthesisReport,
    check_fits,
    read_cells,
    read_routed,
    synthesised_resources,
)
from bitwright.targets.target import FpgaTarget

Progress = Callable[[str, int, int], None]
"""Called when a step begins: its title, its number from 1, and the number of steps."""

SYNTHESIS = {
    # -no-rw-check: what a memory gives when a word is read while it is written is never used by the
    # machine; without it every read port gets a bypass of flip-flops and multiplexers.
    # -nowidelut: a function of 5 to 7 inputs becomes few tables, one behind the other, and not
    # 2 to 8 with multiplexers: 4 to 14 % fewer in all, and counts that follow the parameters.
    # -W: picoseconds that a wire between two tables takes once it is routed. synth_ecp5 itself says
    # 300, and makes paths of more tables for it; the count of tables is the same.
    "ecp5": (
        "{synth} -run begin:map_luts; abc9 -maxlut 4 -W 900; clean; {synth} -run map_cells:"
    ).replace("{synth}", "synth_ecp5 -no-rw-check -nowidelut -top {top}"),
    "ice40": "synth_ice40 -device u -dsp -no-rw-check -top {top}",
}
_ROUTER = {"ecp5": "nextpnr-ecp5", "ice40": "nextpnr-ice40"}
_PACKER = {"ecp5": "ecppack", "ice40": "icepack"}
_SUFFIX = {"ecp5": "bit", "ice40": "bin"}
_SYNTHESIS_STEPS = {"ecp5": 3, "ice40": 2}
_LOG_TAIL_LINES = 15
_TIMING_WEIGHT = 30
"""Weight of a critical wire in placement, against 1 of one that has all the time; nextpnr says 10,
and leaves registers of a chain at one of its ends, with a wire through the whole device behind."""


def synthesise(
    rtl_files: Sequence[Path],
    top: str,
    target: FpgaTarget,
    folder: Path,
    *,
    progress: Progress | None = None,
) -> SynthesisReport:
    """Synthesise `top` for a target into `folder`.

    Writes `netlist.json` (for place and route), `netlist.v` (for simulation), `statistics.json`
    and the log. Files that the RTL reads are looked for in `folder` and beside the Verilog file.

    Raises `ToolFailed`, `ToolMissing`, `UnwritableFolder`. Says nothing about whether it fits.
    """
    runner = _Runner(folder, progress, count=_SYNTHESIS_STEPS[target.family])
    return _synthesise(runner, rtl_files, top, target)


def build_bitstream(
    rtl_folder: Path,
    target: FpgaTarget,
    folder: Path,
    *,
    seed: int = 1,
    attempts: int = 1,
    clock_mhz: float | None = None,
    machine_top: str = MACHINE_TOP,
    memory: bool = False,
    progress: Progress | None = None,
) -> BitstreamReport:
    """Build the board design around the machine in `rtl_folder` (all its `*.v`).

    Args:
        rtl_folder: the machine's Verilog, with `machine_top` in it.
        target: the board.
        folder: where everything is written; the bitstream is `bitwright.bit` (ECP5) or
            `bitwright.bin` (iCE40), the report `bitstream.json`.
        seed: the same seed and tools give the same bitstream.
        attempts: how many seeds, from `seed` on, are tried until the timing is met; the fastest
            result counts.
        clock_mhz: the machine's clock, by default the target's. The machine's RTL must have been
            made for `plan_clock(target, clock_mhz).output_hz`, its serial port depends on it.
        machine_top: name of the machine's module.
        memory: the machine has the ports of the board's external memory.
        progress: called when a step begins.

    Raises `MissingRtl`, `ClockOutOfReach`, `DoesNotFit`, `ToolFailed`, `ToolMissing`,
    `UnwritableFolder`. A clock that is too fast for the routed design is no error: see
    `timing_met` of the report.
    """
    if attempts < 1:
        raise ValueError(f"attempts is {attempts}; expected 1 or more")
    sources = sorted(rtl_folder.glob("*.v"))
    if not sources:
        raise MissingRtl(rtl_folder)
    plan = plan_clock(target, clock_mhz, memory=memory)
    runner = _Runner(folder, progress, count=_SYNTHESIS_STEPS[target.family] + attempts + 1)
    text = board_verilog(target, plan, machine_top=machine_top, memory=memory)
    board = runner.write("board.v", text)
    runner.write(file_name(target), constraints(target, memory=memory))
    bitstream = folder / f"bitwright.{_SUFFIX[target.family]}"
    for stale in (bitstream, folder / "bitstream.json"):
        stale.unlink(missing_ok=True)

    synthesis = _synthesise(runner, [*sources, board], TOP, target)
    check_fits(machine_top, synthesis.resources, target)
    best = None
    for attempt in range(seed, seed + attempts):
        layout, timing = _place_and_route(runner, target, attempt)
        resources, clocks = read_routed(timing, target.family, synthesis.resources.ff)
        slack = min(clock.achieved_mhz / clock.required_mhz for clock in clocks)
        if best is None or slack > best[0]:
            best = (slack, attempt, layout, resources, tuple(clocks))
        if slack >= 1:
            break
    assert best is not None
    _, used_seed, layout, resources, clocks = best
    _pack(runner, target, layout, bitstream)

    report = BitstreamReport(
        synthesis=synthesis,
        resources=resources,
        clocks=clocks,
        clock_mhz=plan.output_mhz,
        seed=used_seed,
        bitstream=bitstream,
        tools=dict(runner.tools),
        seconds=dict(runner.seconds),
    )
    runner.write("bitstream.json", json.dumps(report.as_dict(), indent=2) + "\n")
    return report


def _synthesise(
    runner: "_Runner", rtl_files: Sequence[Path], top: str, target: FpgaTarget
) -> SynthesisReport:
    # Paths relative to the folder: the wheel's yosys sees a temporary folder of its own as /tmp.
    # Deferred: a module is elaborated with the parameters it is used with, not with its defaults.
    define = f"-D BITWRIGHT_{target.family.upper()}"
    reads = [f'read_verilog {define} -defer "{runner.relative(path)}"' for path in rtl_files]
    netlist, verilog = (runner.folder / f"netlist.{suffix}" for suffix in ("json", "v"))
    partial = netlist.with_name(partial_name(netlist.name))
    for stale in (netlist, verilog, runner.folder / "statistics.json"):
        stale.unlink(missing_ok=True)
    runner.yosys(
        "synthesis",
        [
            *reads,
            SYNTHESIS[target.family].format(top=top),
            f"write_json {partial.name}",
        ],
        results=[],
    )
    if target.family == "ecp5":
        carry.trim(partial)
        blocks.absorb(partial)
        with runner.step("sites of blocks"):
            sites.assign(partial, target.device_option)
    runner.yosys(
        "netlist",
        [
            f"read_json {partial.name}",
            f"write_verilog -noattr {partial_name(verilog.name)}",
            f"tee -q -o {partial_name('statistics.json')} stat -json",
        ],
        results=[verilog.name, "statistics.json"],
    )
    # An output that is not connected comes back as one that is connected to a constant.
    runner.write(verilog.name, verilog.read_text().replace(".COUT(1'hx)", ".COUT()"))
    partial.replace(netlist)
    cells = read_cells(runner.folder / "statistics.json")
    return SynthesisReport(
        target=target.name,
        top=top,
        resources=synthesised_resources(target.family, cells),
        cells=cells,
        netlist_json=netlist,
        netlist_verilog=verilog,
        tools=dict(runner.tools),
        seconds=dict(runner.seconds),
    )


def _place_and_route(runner: "_Runner", target: FpgaTarget, seed: int) -> tuple[Path, Path]:
    layout = f"layout-{seed}.{'config' if target.family == 'ecp5' else 'asc'}"
    timing = f"timing-{seed}.json"
    arguments = [
        target.device_option,
        "--package", target.package,
        "--json", "netlist.json",
        "--seed", str(seed),
        "--timing-allow-fail",
        "--report", partial_name(timing),
    ]  # fmt: skip
    if target.family == "ecp5":
        arguments += ["--speed", target.speed_grade, "--lpf", file_name(target)]
        arguments += ["--placer-heap-timingweight", str(_TIMING_WEIGHT)]
        arguments += ["--textcfg", partial_name(layout)]
    else:
        arguments += ["--pcf", file_name(target), "--asc", partial_name(layout)]
    step = f"place and route (seed {seed})"
    runner.run(step, _ROUTER[target.family], arguments, results=[layout, timing])
    return runner.folder / layout, runner.folder / timing


def _pack(runner: "_Runner", target: FpgaTarget, layout: Path, bitstream: Path) -> None:
    options = ["--compress"] if target.family == "ecp5" else []
    arguments = [*options, layout.name, partial_name(bitstream.name)]
    runner.run("bitstream", _PACKER[target.family], arguments, results=[bitstream.name])


def partial_name(name: str) -> str:
    """Name of a result until its step has succeeded."""
    return f"{name}.partial"


def _message(log: Path) -> str:
    """The errors in a log, or its last lines where no line names an error."""
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if "ERROR" in line]
    return "\n".join(dict.fromkeys(errors) or lines[-_LOG_TAIL_LINES:])


class _Runner:
    """Runs the steps in one folder, and remembers their times and the tools' versions."""

    def __init__(self, folder: Path, progress: Progress | None, *, count: int) -> None:
        self.folder = folder
        self.tools: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._count = count
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / partial_name("probe")
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UnwritableFolder(folder, error.strerror or str(error)) from error

    def relative(self, path: Path) -> str:
        """A path as the tools, which run in the folder, see it."""
        return Path(os.path.relpath(path.resolve(), self.folder.resolve())).as_posix()

    def write(self, name: str, text: str) -> Path:
        """Write a file as a whole or not at all."""
        path = self.folder / name
        partial = self.folder / partial_name(name)
        partial.write_text(text)
        return partial.replace(path)

    @contextmanager
    def step(self, title: str) -> Generator[None]:
        """Say that a step begins; remember how long it took."""
        if self._progress is not None:
            self._progress(title, len(self.seconds) + 1, self._count)
        begin = time.perf_counter()
        yield
        self.seconds[title] = round(time.perf_counter() - begin, 2)

    def yosys(self, step: str, script: Sequence[str], *, results: Sequence[str]) -> None:
        """Run a script of yosys commands, which writes the partial files of `results`."""
        self.write(f"{step}.ys", "\n".join(script) + "\n")
        # -l: of the wheel's yosys nothing is heard on its outputs any more once abc9 has run.
        log = partial_name(f"{step}.log")
        self.run(step, "yosys", ["-q", "-l", log, "-s", f"{step}.ys"], results=results)

    def run(
        self,
        step: str,
        name: str,
        arguments: Sequence[str],
        *,
        results: Sequence[str],
    ) -> None:
        """Run one program; its `results` get their final names if it succeeds.

        What it writes to the partial file of the log comes first in it, before its outputs.
        """
        tool = tools.find(name)
        command = [*tool.command, *arguments]
        log = self.folder / f"{step.replace(' (', '-').replace(')', '').replace(' ', '-')}.log"
        own = log.with_name(partial_name(log.name))
        own.unlink(missing_ok=True)
        with self.step(step), log.open("w") as sink:
            done = subprocess.run(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if own.exists():
            log.write_bytes(own.read_bytes() + log.read_bytes())
            own.unlink()
        missing = [n for n in results if not (self.folder / partial_name(n)).exists()]
        if done.returncode != 0 or missing:
            raise ToolFailed(step, command, self.folder, done.returncode, log, _message(log))
        for result in results:
            (self.folder / partial_name(result)).replace(self.folder / result)
        if tool.version:
            self.tools[name] = tool.version
