"""`bitwright bitstream`: synthesis, place and route, and the bitstream."""

from pathlib import Path

from bitwright.flows.overlay import write_board_rtl
from bitwright.flows.simulate import open_fpga_build
from bitwright.fpga.flow import build_bitstream
from bitwright.fpga.pll import plan_clock
from bitwright.progress import ProgressCallback, silent
from bitwright.report import Report
from bitwright.targets import get
from bitwright.targets.target import FpgaTarget


def bitstream(
    build: Path,
    *,
    seed: int = 1,
    clock: float | None = None,
    progress: ProgressCallback = silent,
) -> Report:
    """Build the bitstream of a build for an FPGA; update and return its report.

    Args:
        clock: the machine's clock in MHz; by default the one of the build.

    Raises:
        DoesNotFit: synthesis needs more than the target has.
        ToolFailed: with the exact command.
    """
    folder, report, program = open_fpga_build(build)
    target = get(report.target.name)
    assert isinstance(target, FpgaTarget), "the build says so"
    plan = plan_clock(target, clock or report.clock_mhz)
    progress("write the board's Verilog", 0, 0)
    rtl = write_board_rtl(
        folder, program.assembled.machine, clock_hz=plan.output_hz, baud=target.uart_baud
    )
    made = build_bitstream(
        rtl, target, folder.fpga, seed=seed, clock_mhz=clock or report.clock_mhz,
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
    return report
