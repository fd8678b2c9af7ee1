"""`bitwright bitstream`: synthesis, place and route, and the bitstream."""

import math
from dataclasses import replace
from pathlib import Path

from bitwright.errors import BitwrightError
from bitwright.flows.overlay import write_board_rtl
from bitwright.flows.simulate import open_fpga_build
from bitwright.fpga.flow import build_bitstream
from bitwright.fpga.pll import plan_clock
from bitwright.hwgen.isa import EXTERNAL_FILE
from bitwright.progress import ProgressCallback, silent
from bitwright.report import Report
from bitwright.targets import get
from bitwright.targets.target import FpgaTarget


class NoMemoryController(BitwrightError):
    """A machine with external memory, for a board without a controller for it."""

    exit_code = 58


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
        NoMemoryController: its weights are in external memory.
        DoesNotFit: synthesis needs more than the target has.
        ToolFailed: with the exact command.
        TimingNotMet: the fastest of the attempts is too slow (its results and report are kept).
    """
    folder, report, program = open_fpga_build(build)
    target = get(report.target.name)
    assert isinstance(target, FpgaTarget), "the build says so"
    if report.cycles.memory is not None:
        raise NoMemoryController(
            f"Build {build} has its weights in external memory, and there is no memory controller "
            f'for {target.name}; expected a machine with memory = "none". Use the Verilog in '
            f"{folder.rtl} with a controller of your own on its memory port (wbm_* or m_axi_*), "
            f"which holds {folder.image / EXTERNAL_FILE}; or a model or a target that needs none"
        )
    plan = plan_clock(target, clock or report.clock_mhz)
    progress("write the board's Verilog", 0, 0)
    rtl = write_board_rtl(
        folder, program.accelerator.core(), clock_hz=plan.output_hz, baud=target.uart_baud
    )
    made = build_bitstream(
        rtl, target, folder.fpga, seed=seed, attempts=attempts,
        clock_mhz=clock or report.clock_mhz,
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
        raise TimingNotMet(
            f"The design runs at up to {made.fmax_mhz:.1f} MHz on {target.name}, the clock is "
            f"{made.clock_mhz:g} MHz ({attempts} seeds tried from {seed} on); run it again with "
            f"--clock {math.floor(0.97 * made.fmax_mhz)}, or with another --seed"
        )
    return report
