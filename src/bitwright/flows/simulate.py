"""`bitwright simulate`: a machine in Verilator against the reference, value by value.

The machine is the RTL on its Wishbone port (with a simulated external memory where it has one), or
the netlist that synthesis made of the whole board design, on the pins of its serial line.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright import report as reports
from bitwright.errors import BitwrightError
from bitwright.flows.accelerators import Accelerator, Arrays, Dataflow, Overlay
from bitwright.flows.compare import compare_arrays, raise_if_different, raise_if_not_on_time
from bitwright.flows.compile import tool_versions
from bitwright.flows.dataflow import load_dataflow
from bitwright.flows.folder import BuildFolder
from bitwright.flows.overlay import serial_divisor, write_external, write_simulated_system
from bitwright.fpga.board import TOP
from bitwright.fpga.netlist import cell_models
from bitwright.fpga.pll import plan_clock
from bitwright.fpga.report import read_cells
from bitwright.hwgen.assemble import assemble
from bitwright.hwgen.simulated_system import SimulatedSystem
from bitwright.hwgen.tops import CORE, WishboneTop
from bitwright.ir import graph, reference, serialize
from bitwright.ir.types import shape_of
from bitwright.progress import ProgressCallback, silent
from bitwright.report import Report
from bitwright.rtl_sim.begins import interval, read_begins, write_monitor
from bitwright.rtl_sim.bus import VerilatorBus, VerilatorSerial, Waves
from bitwright.rtl_sim.verilate import Pins, PortKind, build_simulator
from bitwright.runtime.driver import Bus
from bitwright.runtime.serial import SerialBus
from bitwright.runtime.tensors import TensorInfo, finish, load_inputs, prepare, save_outputs
from bitwright.targets import get
from bitwright.targets.target import FpgaTarget

SERIAL_SILENCE_BYTES = 64
"""A machine that has not answered in the time of so many bytes will not."""
RESET_CYCLES = 64  # the board's reset chain, and some


class NoMachine(BitwrightError):
    """A build folder without a machine."""

    exit_code = 5


class NoMemoryChip(BitwrightError):
    """A netlist whose external memory is not simulated."""

    exit_code = 5


class NotSynthesised(BitwrightError):
    """A build folder without a netlist."""

    exit_code = 6


@dataclass(frozen=True)
class Program:
    """The modules of a build folder and its machine."""

    model: ir.Module
    before: ir.Module
    core: ir.Module
    after: ir.Module
    accelerator: Accelerator

    @classmethod
    def load(cls, folder: BuildFolder) -> "Program":
        """Read a build for an FPGA, of either style."""
        core = serialize.load(folder.core)
        accelerator: Accelerator
        if folder.folding.exists():
            (output,) = graph.outputs(core)
            accelerator = Dataflow(load_dataflow(core, folder.folding), output.name)
        else:
            accelerator = Overlay(assemble(serialize.load(folder.program)))
        return cls(
            serialize.load(folder.model), serialize.load(folder.before), core,
            serialize.load(folder.after), accelerator,
        )  # fmt: skip

    def tensor_infos(self, items: list[graph.NamedValue]) -> list[TensorInfo]:
        """The boundary types of the model for `runtime.tensors`."""
        infos: list[TensorInfo] = []
        for item in items:
            params = item.params
            infos.append(
                TensorInfo(
                    item.name,
                    shape_of(item.value),
                    params.scale,
                    params.zero_point,
                    params.qmin,
                    params.qmax,
                )
            )
        return infos


@dataclass(frozen=True)
class MachineRun:
    """What a machine gave for some samples: outputs of the core, and of each sample its cycles and
    when it began (see `Inference`)."""

    outputs: dict[str, NDArray[Any]]
    cycles: tuple[int, ...]
    begins: tuple[int, ...]


def open_fpga_build(build: Path) -> tuple[BuildFolder, Report, Program]:
    """A build folder for an FPGA, its report and program.

    Raises:
        NotABuildFolder: no report there.
        NoMachine: a build for a processor.
    """
    report = Report.load(build)
    if report.target.kind != "fpga":
        raise NoMachine(
            f"Build {build} is for the target {report.target.name!r}, which has no machine to "
            "simulate or synthesise; compile with an FPGA target (`bitwright targets` lists them)"
        )
    folder = BuildFolder(build)
    return folder, report, Program.load(folder)


def simulate(
    build: Path,
    inputs: Path,
    output: Path | None = None,
    *,
    netlist: bool = False,
    trace: Path | None = None,
    limit: int | None = None,
    progress: ProgressCallback = silent,
) -> Report:
    """Simulate a build on the samples of `inputs`; update and return its report.

    Args:
        netlist: simulate what `bitstream` synthesised, instead of the RTL.
        trace: a waveform file to write (.fst or .vcd).
        limit: only so many samples.

    Raises:
        NotSynthesised: no netlist there yet.
        NoMemoryChip: with `netlist`, a machine with external memory.
        ResultsDiffer: an element or a cycle count differs, or the interval of a pipeline's images
            (the report is saved before).
    """
    folder, report, program = open_fpga_build(build)
    given = load_inputs(inputs, [item.name for item in graph.inputs(program.model)])
    if limit is not None:
        batched = {i.name for i in program.tensor_infos(graph.inputs(program.model)) if i.batched}
        given = {n: array[:limit] if n in batched else array for n, array in given.items()}
    waves = None if trace is None else Waves(path=trace)
    progress("build the simulator", 0, 0)
    opened = _netlist(folder, report, waves) if netlist else _rtl(folder, program, waves)
    rung: reports.Rung = "netlist" if netlist else "rtl"
    with opened as bus:
        checked = check_machine(
            program, report, rung, given, bus, load=not netlist, progress=progress
        )
    began = None
    if not netlist and isinstance(program.accelerator, Dataflow):
        began = read_begins(folder.simulation, len(checked.cycles))
        report.set_cycles(interval=interval(began))
    slowest = None if checked.predicted is None else max(checked.predicted)
    report.set_cycles(simulated=max(checked.cycles), predicted=slowest)
    report.tools.update(tool_versions(("verilator",)))
    report.save(build)
    raise_if_different(report, rung, checked.cycles, checked.predicted)
    if began is not None:
        raise_if_not_on_time(began, report.candidates[0].interval)
    if output is not None:
        save_outputs(output, checked.outputs)
    return report


@contextmanager
def _rtl(folder: BuildFolder, program: Program, waves: Waves | None) -> Iterator[Bus]:
    files, top, place = sorted((folder.rtl / "wb").glob("*.v")), WishboneTop.module_name, None
    accelerator = program.accelerator
    if isinstance(accelerator, Overlay) and accelerator.assembled.machine.streams:
        top, place = SimulatedSystem.module_name, folder.simulation
        words = write_external(accelerator.assembled.image, place)
        files = write_simulated_system(accelerator.assembled.machine, place, words=words)
    if isinstance(accelerator, Dataflow):
        place = folder.simulation
        place.mkdir(exist_ok=True)
        files.append(write_monitor(place, CORE))
    simulator = build_simulator(
        files, top, port=PortKind.WISHBONE, waves=None if waves is None else waves.format
    )
    arguments = [] if waves is None else waves.arguments()
    with VerilatorBus(simulator, arguments, folder=place) as bus:
        bus.reset()
        yield bus


@contextmanager
def _netlist(folder: BuildFolder, report: Report, waves: Waves | None) -> Iterator[Bus]:
    target = get(report.target.name)
    assert isinstance(target, FpgaTarget), "the build says so"
    if report.cycles.memory is not None:
        raise NoMemoryChip(
            f"Build {folder.path} has its weights in external memory ({report.cycles.memory}), "
            f"which the simulation of a netlist does not have; expected a machine without: "
            f"simulate the RTL (without --netlist)"
        )
    netlist, statistics = folder.fpga / "netlist.v", folder.fpga / "statistics.json"
    if not netlist.exists() or not statistics.exists():
        raise NotSynthesised(
            f"Build {folder.path} has no netlist ({netlist}); run `bitwright bitstream "
            f"{folder.path}` first"
        )
    models = folder.fpga / "cells.v"
    models.write_text(cell_models(list(read_cells(statistics)), target.family))
    reset = target.pins.reset
    simulator = build_simulator(
        [netlist, models],
        TOP,
        port=PortKind.UART,
        pins=Pins(clock="clock", reset="reset_button", reset_level=int(not reset.inverted)),
        waves=None if waves is None else waves.format,
    )
    divisor = serial_divisor(plan_clock(target, report.clock_mhz).output_hz, target.uart_baud)
    with VerilatorSerial(
        simulator,
        [] if waves is None else waves.arguments(),
        divisor=divisor,
        read_timeout_cycles=10 * divisor * SERIAL_SILENCE_BYTES,
    ) as line:
        line.reset()
        line.step(RESET_CYCLES)
        yield SerialBus(line, divisor=divisor, retries=0)  # this line damages nothing


@dataclass(frozen=True)
class Checked:
    """Outputs of the model (as real as the inputs were), and the cycles of each sample.

    `predicted`: see `Accelerator`.
    """

    outputs: dict[str, NDArray[Any]]
    cycles: tuple[int, ...]
    predicted: list[int] | None


def check_machine(
    program: Program, report: Report, rung: reports.Rung, given: Arrays, bus: Bus, *,
    load: bool, progress: ProgressCallback,
) -> Checked:  # fmt: skip
    """Run `given` on the machine behind `bus` and record how it compares with the reference.

    What the overlay computes is compared where it leaves the overlay, what follows on the host
    where it leaves the model.
    """
    inputs, outputs = graph.inputs(program.model), graph.outputs(program.model)
    batch = prepare(program.tensor_infos(inputs), given)
    named = dict(zip((item.name for item in inputs), batch.arrays, strict=True))
    progress("reference", 0, 0)
    wanted = reference.run(program.model, named)
    entering = reference.run(program.before, named)
    core = {item.name: entering[item.name] for item in graph.inputs(program.core)}
    wanted_core = reference.run(program.core, core)
    ran = run_machine(program.accelerator, core, bus, load=load, progress=progress)
    found_core = {
        name: array.reshape(wanted_core[name].shape).astype(wanted_core[name].dtype)
        for name, array in ran.outputs.items()
    }
    after = {
        item.name: found_core.get(item.name, entering.get(item.name))
        for item in graph.inputs(program.after)
    }
    if list(graph.operations(program.after)):
        found = reference.run(program.after, after)  # pyright: ignore[reportArgumentType]
    else:  # perhaps with sums, which are no module's inputs
        found = {item.name: found_core[item.name] for item in outputs}
    pairs = [(wanted_core[name], found_core[name]) for name in wanted_core]
    if any(name not in wanted_core for name in wanted):
        pairs += [(wanted[name], found[name]) for name in wanted]
    compare_arrays(report, rung, batch.samples, pairs)
    infos = program.tensor_infos(outputs)
    final = finish(infos, [[found[info.name] for info in infos]], batch.real)
    return Checked(final, ran.cycles, program.accelerator.predicted(ran.begins))


def run_machine(
    accelerator: Accelerator, core: Arrays, bus: Bus, *, load: bool, progress: ProgressCallback
) -> MachineRun:
    """Stream the core's inputs ([samples, ...] each) through the machine behind `bus`; the first
    ones of a pipeline are there before it starts.

    Args:
        load: write the memories through the bus first; else they hold the program already.
    """
    driver = accelerator.driver(
        bus, load=load, progress=lambda done, total: progress("load the machine", done, total)
    )
    samples = len(next(iter(core.values())))
    progress("simulate", 0, samples)
    collected: list[dict[str, NDArray[Any]]] = []
    cycles: list[int] = []
    begins: list[int] = []
    words = (accelerator.input_words(core, sample) for sample in range(samples))
    held = isinstance(accelerator, Dataflow)
    for index, inference in enumerate(driver.run(words, held=held)):
        cycles.append(inference.cycles)
        begins.append(inference.began)
        collected.append(accelerator.outputs(inference.words))
        progress("simulate", index + 1, samples)
    outputs = {name: np.stack([part[name] for part in collected]) for name in collected[0]}
    return MachineRun(outputs, tuple(cycles), tuple(begins))
