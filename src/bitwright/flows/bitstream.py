"""`bitwright bitstream`: synthesis, place and route, and the bitstream."""

import math
from pathlib import Path
from typing import NoReturn

from bitwright.errors import BitwrightError
from bitwright.flows.accelerators import Accelerator, Overlay
from bitwright.flows.folder import BuildFolder
from bitwright.flows.overlay import write_board_rtl
from bitwright.flows.simulate import open_fpga_build
from bitwright.fpga.flow import build_bitstream
from bitwright.fpga.pll import plan_clock
from bitwright.hwgen.image import EXTERNAL_FILE, Image
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
    mhz = report.clock_mhz if clock is None else clock
    assert mhz is not None, "a build for an FPGA has a clock"
    image = _streaming(program.accelerator)
    sdram = None if image is None else _memory(folder, target, image)
    plan = plan_clock(target, mhz, memory=sdram is not None)
    if image is not None and not -1 < plan.output_mhz - image.machine.memory_mhz < 1e-6:
        _refuse_clock(folder, image.machine.memory_mhz, plan.output_mhz)
    progress("write the board's Verilog", 0, 0)
    rtl = write_board_rtl(
        folder, program.accelerator.core(), clock_hz=plan.output_hz, baud=target.uart_baud,
        sdram=sdram,
    )  # fmt: skip
    report.forget_bitstream()
    report.set_clock(plan.output_mhz)
    report.save(build)
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
    report.save(build)
    if not made.timing_met:
        again = "run" if sdram is None else "compile"
        raise TimingNotMet(
            f"The design runs at up to {made.fmax_mhz:.1f} MHz on {target.name}, the clock is "
            f"{made.clock_mhz:g} MHz ({attempts} seeds tried from {seed} on); {again} it again "
            f"with --clock {math.floor(0.97 * made.fmax_mhz)}, or with another --seed"
        )
    return report


def _streaming(accelerator: Accelerator) -> Image | None:
    """The contents of a machine that has its weights in external memory."""
    if isinstance(accelerator, Overlay) and accelerator.assembled.machine.streams:
        return accelerator.assembled.image
    return None


def _memory(folder: BuildFolder, target: FpgaTarget, image: Image) -> Sdram:
    """The cycles of the board's external memory."""
    machine, memory = image.machine, target.memory
    size, cycles = len(image.external), timing(machine)
    if memory is None or not isinstance(cycles, Sdram) or size > memory.size:
        has = "none" if memory is None else f'{memory.size:,} bytes of "{memory.kind}"'
        raise NoMemoryController(
            f"Build {folder.path} has {size:,} bytes of weights in external memory of the kind "
            f'"{machine.memory}", and {target.name} has {has}; expected a machine whose memory the '
            f'board has, or with memory = "none". Or use the Verilog in {folder.rtl} with a '
            f"controller of your own on its memory port (wbm_* or m_axi_*), which holds "
            f"{folder.image / EXTERNAL_FILE}"
        )
    return cycles


def _refuse_clock(folder: BuildFolder, memory_mhz: int, clock_mhz: float) -> NoReturn:
    raise MemoryClockError(
        f"Build {folder.path} has weights in external memory with the cycles of a clock of "
        f"{memory_mhz} MHz, and the clock is {clock_mhz:g} MHz; expected more than "
        f"{memory_mhz - 1} and at most {memory_mhz} MHz: compile it again with --clock "
        f"{clock_mhz:g}"
    )
