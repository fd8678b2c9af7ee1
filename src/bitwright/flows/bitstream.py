"""`bitwright bitstream`: synthesis, place and route; on request the netlist against the reference."""

from pathlib import Path

from bitwright.flows.folder import BuildFolder
from bitwright.flows.overlay import serial_divisor, write_board_rtl
from bitwright.flows.simulate import Program, check_machine, open_fpga_build, raise_if_different
from bitwright.fpga.board import TOP
from bitwright.fpga.flow import build_bitstream
from bitwright.fpga.netlist import simulation_sources
from bitwright.fpga.pll import plan_clock
from bitwright.fpga.report import SynthesisReport
from bitwright.ir import graph
from bitwright.progress import ProgressCallback, silent
from bitwright.report import Report
from bitwright.rtl_sim.bus import VerilatorSerial
from bitwright.rtl_sim.verilate import Pins, PortKind, build_simulator
from bitwright.runtime.serial import SerialBus
from bitwright.runtime.tensors import load_inputs
from bitwright.targets import get
from bitwright.targets.target import FpgaTarget

SERIAL_TIMEOUT_CYCLES = 50_000_000


def bitstream(
    build: Path,
    *,
    seed: int = 1,
    clock: float | None = None,
    netlist_inputs: Path | None = None,
    netlist_samples: int = 0,
    progress: ProgressCallback = silent,
) -> Report:
    """Build the bitstream of a build for an FPGA; update and return its report.

    Args:
        clock: the machine's clock in MHz; by default the one of the build.
        netlist_inputs: samples for the simulation of the synthesised netlist, whose results and
            cycles are then compared like those of the RTL.
        netlist_samples: how many of them.

    Raises:
        DoesNotFit: synthesis needs more than the target has.
        ToolFailed: with the exact command.
        ResultsDiffer: the netlist differs from the reference.
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
    if netlist_inputs is not None and netlist_samples:
        check_netlist(
            folder, report, program, made.synthesis, target, netlist_inputs, netlist_samples,
            divisor=serial_divisor(plan.output_hz, target.uart_baud), progress=progress,
        )  # fmt: skip
    return report


def check_netlist(
    folder: BuildFolder, report: Report, program: Program, synthesis: SynthesisReport,
    target: FpgaTarget, inputs: Path, samples: int, *, divisor: int, progress: ProgressCallback,
) -> None:  # fmt: skip
    """Simulate the board's netlist through its serial port and compare it with the reference."""
    given = load_inputs(inputs, [item.name for item in graph.inputs(program.model)])
    given = {name: array[:samples] for name, array in given.items()}
    progress("build the netlist's simulator", 0, 0)
    reset = target.pins.reset
    simulator = build_simulator(
        simulation_sources(synthesis, target), TOP, port=PortKind.UART,
        pins=Pins(clock="clock", reset="reset_button", reset_level=int(not reset.inverted)),
    )  # fmt: skip
    with VerilatorSerial(
        simulator, divisor=divisor, read_timeout_cycles=SERIAL_TIMEOUT_CYCLES
    ) as line:
        line.reset()
        line.step(64)
        bus = SerialBus(line, divisor=divisor)
        checked = check_machine(
            program, report, "netlist", given, bus, load=False, progress=progress
        )
    report.save(folder.path)
    raise_if_different(report, "netlist", checked)
