"""`bitwright bitstream`: synthesis, place and route, and the bitstream."""

import math
from dataclasses import replace
from pathlib import Path

from bitwright.errors import BitwrightError
from bitwright.flows.accelerators import Accelerator, Overlay
from bitwright.flows.folder import BuildFolder
from bitwright.flows.overlay import write_board_rtl
from bitwright.flows.simulate import open_fpga_build
from bitwright.fpga.flow import build_bitstream
from bitwright.fpga.pll import plan_clock
from bitwright.hwgen.isa import EXTERNAL_FILE
from bitwright.hwgen.memory_model import Sdram, timing
from bitwright.progress import ProgressCallback, silent
from bitwright.report import Report
from bitwright.targets import get
from bitwright.targets.target import FpgaTarget


class NoMemoryController(BitwrightError):
    """A machine with external memory that the board does not have, or not so much of it."""

    exit_code = 58


class MemoryClockError(BitwrightError):
    """A clock that the cycles of the external memory are not for."""

    exit_code = 5


class TimingNotMet(BitwrightError):
    """A clock that the routed design cannot run at."""

    exit_code = 54


def bitstream(
    build: Path,
    *,
    seed: int = 1,
    attempts: int = 3,
    clock: float | None = None,
    progress: ProgressCallback = silent,
) -> Report:
    """Build the bitstream of a build for an FPGA; update and return its report.

    Args:
        seed: of place and route; the same seed and tools give the same bitstream.
        attempts: how many seeds, from `seed` on, are tried until the timing is met.
        clock: the machine's clock in MHz; by default the one of the build.

    Raises:
        NoMemoryController: its weights are in an external memory that the board does not have.
        MemoryClockError: the cycles of that memory are for another clock.
        DoesNotFit: synthesis needs more than the target has.
        ToolFailed: with the exact command.
        TimingNotMet: the fastest of the attempts is too slow (its results and report are kept).
    """
    folder, report, program = open_fpga_build(build)
    target = get(report.target.name)
    assert isinstance(target, FpgaTarget), "the build says so"
    mhz = clock or report.clock_mhz
    assert mhz is not None, "a build for an FPGA has a clock"
    sdram = _memory(folder, target, program.accelerator, mhz)
    plan = plan_clock(target, mhz, memory=sdram is not None)
    progress("write the board's Verilog", 0, 0)
    rtl = write_board_rtl(
        folder, program.accelerator.core(), clock_hz=plan.output_hz, baud=target.uart_baud,
        sdram=sdram,
    )  # fmt: skip
    made = build_bitstream(
        rtl, target, folder.fpga, seed=seed, attempts=attempts, clock_mhz=mhz,
        memory=sdram is not None,
        progress=lambda step, number, count: progress(f"{step} ({number} of {count})", 0, 0),
    )  # fmt: skip
    report.set_resources("synthesised", dict(made.synthesis.resources.items()))
    report.set_resources("routed", dict(made.resources.items()))
    report.set_clock(made.clock_mhz, made.fmax_mhz)
    report.tools.update(made.tools)
    report.seeds["place and route"] = made.seed
    report.seconds.update(made.seconds)
    report.files["bitstream"] = str(made.bitstream.relative_to(build))
    report.bit_exact = replace(report.bit_exact, netlist=None)
    report.save(build)
    if not made.timing_met:
        again = "run" if sdram is None else "compile"
        raise TimingNotMet(
            f"The design runs at up to {made.fmax_mhz:.1f} MHz on {target.name}, the clock is "
            f"{made.clock_mhz:g} MHz ({attempts} seeds tried from {seed} on); {again} it again "
            f"with --clock {math.floor(0.97 * made.fmax_mhz)}, or with another --seed"
        )
    return report


def _memory(
    folder: BuildFolder, target: FpgaTarget, accelerator: Accelerator, clock_mhz: float
) -> Sdram | None:
    """The cycles of the board's external memory, where the machine has its weights there."""
    if not isinstance(accelerator, Overlay) or not accelerator.assembled.machine.streams:
        return None
    machine, memory = accelerator.assembled.machine, target.memory
    size, cycles = len(accelerator.assembled.image.external), timing(machine)
    if memory is None or not isinstance(cycles, Sdram) or size > memory.size:
        has = "none" if memory is None else f'{memory.size:,} bytes of "{memory.kind}"'
        raise NoMemoryController(
            f"Build {folder.path} has {size:,} bytes of weights in external memory of the kind "
            f'"{machine.memory}", and {target.name} has {has}; expected a machine whose memory the '
            f'board has, or with memory = "none". Or use the Verilog in {folder.rtl} with a '
            f"controller of your own on its memory port (wbm_* or m_axi_*), which holds "
            f"{folder.image / EXTERNAL_FILE}"
        )
    if math.ceil(clock_mhz - 1e-6) != machine.memory_mhz:
        raise MemoryClockError(
            f"Build {folder.path} has weights in external memory with the cycles of a clock of "
            f"{machine.memory_mhz} MHz, and the clock is {clock_mhz:g} MHz; expected more than "
            f"{machine.memory_mhz - 1} and at most {machine.memory_mhz} MHz: compile it again with "
            f"--clock {clock_mhz:g}"
        )
    return cycles
