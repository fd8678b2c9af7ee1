"""Random machines for random networks, and one pair of them through the whole way."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from amaranth.lib import wiring
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.flows.accelerators import Accelerator, Dataflow, Overlay
from bitwright.flows.dataflow import DataflowBuild, build_dataflow
from bitwright.flows.folding_file import FoldingFile
from bitwright.flows.overlay import write_external, write_simulated_system
from bitwright.flows.simulate import run_machine
from bitwright.fpga.netlist import synthesised
from bitwright.hwgen.assemble import Assembled, assemble
from bitwright.hwgen.core import Core
from bitwright.hwgen.cycles import Bus, predict_all
from bitwright.hwgen.simulated_system import SimulatedSystem
from bitwright.hwgen.tops import Axi4LiteTop, WishboneTop
from bitwright.hwgen.verilog import emit
from bitwright.ir import graph, reference
from bitwright.ir.dataflow import Fold, MatrixStage, Stage
from bitwright.ir.machine import (
    DSP,
    ENGINES,
    FIXED_MEMORY,
    MEMORIES,
    NO_MEMORY,
    SDRAM_MEMORY,
    WEIGHT_SERIAL,
    burst_weights,
    least_banks,
    precisions,
    word_bits,
)
from bitwright.passes.allocate import Allocate
from bitwright.passes.dataflow import lower
from bitwright.passes.dataflow.fold import with_folds
from bitwright.passes.dataflow.options import fits, folds
from bitwright.passes.kernel_columns import KernelColumns
from bitwright.passes.legalize import Legalize
from bitwright.passes.long_rows import long_rows
from bitwright.passes.partition import Parts, partition
from bitwright.passes.stream import Stream
from bitwright.passes.tile import Tile
from bitwright.passes.tile_program import UnsupportedOnOverlay
from bitwright.progress import silent
from bitwright.rtl_sim.begins import due, read_begins, write_monitor
from bitwright.rtl_sim.bus import VerilatorBus
from bitwright.rtl_sim.verilate import PortKind, build_simulator
from bitwright.targets import get_fpga

Arrays = Mapping[str, NDArray[np.integer]]

# Enough for every random network, so that all networks share a machine.
DEPTHS = Allocate(
    act_words=4096, in_words=512, out_words=1024, weight_words=16384, param_words=1024,
    program_words=2048, tables=8,
)  # fmt: skip
MEMORY_WORDS = 1 << 17  # of a simulated external memory
TOPS = {PortKind.WISHBONE: WishboneTop, PortKind.AXI4LITE: Axi4LiteTop}
BUSES: dict[PortKind, Bus] = {PortKind.WISHBONE: "wishbone", PortKind.AXI4LITE: "axi4"}
Sources = Callable[[wiring.Component, str, Path], list[Path]]
"""Writes the Verilog of a component, as module of that name, into a folder."""


def rtl(component: wiring.Component, name: str, folder: Path) -> list[Path]:
    """A component as it is generated; see `Sources`."""
    return emit(component, folder, name=name)


def netlist(component: wiring.Component, name: str, folder: Path) -> list[Path]:
    """A component as synthesis for an ECP5 makes it; see `Sources`."""
    return synthesised(component, name, get_fpga("ulx3s-85f"), folder)


@dataclass(frozen=True)
class Style:
    """A machine that several networks share, and the port that the host takes.

    `stream`: of a machine whose weights are in external memory, its buffer and that memory.
    `depths`: of the memories.
    """

    tile: Tile
    port: PortKind
    stream: Stream | None = None
    depths: Allocate = DEPTHS

    def __str__(self) -> str:
        tile = self.tile
        pixels = f" x {tile.pixels}" if tile.pixels > 1 else ""
        bits = f" W{tile.precision}" if tile.precision < 8 else ""
        adds = " adds" if tile.fused_adds else ""
        memory = f" {self.stream.memory}" if self.stream else ""
        return f"{tile.engine} {tile.lanes} x {tile.rows}{pixels}{bits}{adds}{memory}"


def random_style(seed: int, wide: bool) -> Style:
    """A small machine; `wide` for networks with the operations of models that came quantized.

    Every fourth one fuses adds, two of three have their weights in external memory.
    """
    random = np.random.default_rng(seed)

    def choice(*values: int) -> int:
        return int(random.choice(values))

    engine, fused = ENGINES[seed % len(ENGINES)], seed % 4 == 3
    lanes = choice(2, 4, 4, 8, 8, 16) if engine == WEIGHT_SERIAL else choice(2, 4, 4, 8)
    rows = choice(*(rows for rows in (8, 16, 32) if not rows % lanes and rows * lanes <= 256))
    pixels = banks = 1
    if fused:
        lanes = rows = 8
    if engine == DSP:
        rows = min(rows, max(64 // lanes, 8))
        pixels = choice(2, 3, 4, 5, 6)
        banks = least_banks(pixels) * choice(1, 2)
    precision = choice(*precisions(engine, rows)) if engine == DSP else 8
    tile = Tile(
        lanes, rows, choice(*(v for v in (1, 2, 4, 8) if v <= lanes)), acc_bits=32,
        multiplier_bits=31 if wide else 16, engine=engine, precision=precision,
        pixels=pixels, banks=banks,
        multiplier_blocks=pixels * rows * lanes // choice(2, 4) if engine == DSP else 0,
        requant_pixels=choice(1, 2) if engine == DSP and not fused else 1, fused_adds=int(fused),
    )  # fmt: skip
    port = (PortKind.WISHBONE, PortKind.AXI4LITE)[choice(0, 1)]
    memory = MEMORIES[seed // 4 % len(MEMORIES)]
    if memory == NO_MEMORY:
        return Style(tile, port)
    least = 4 * burst_weights(word_bits(tile.lanes, tile.rows, engine, tile.precision))
    stream = Stream(
        weight_words=least * choice(1, 2, 8), memory=memory,
        memory_latency=choice(1, 5, 19) if memory == FIXED_MEMORY else 0,
        memory_mhz=choice(20, 50, 80, 133) if memory == SDRAM_MEMORY else 0,
    )  # fmt: skip
    return Style(tile, port, stream)


class Machines:
    """One simulator for each machine that the programs turn out to need.

    With `sources = netlist` those without external memory are simulated as synthesis makes them.
    """

    def __init__(self, folder: Path, sources: Sources = rtl) -> None:
        self._folder, self._sources = folder, sources
        self._programs: dict[tuple[int, PortKind], Path] = {}

    def simulator(self, assembled: Assembled, port: PortKind) -> Path:
        """Of the machine; one with external memory takes its contents from the working folder."""
        machine = assembled.machine
        key = (machine.fingerprint, port)
        if key not in self._programs:
            folder, top = self._folder / str(len(self._programs)), TOPS[port]
            if machine.streams:
                name = SimulatedSystem.module_name
                files = write_simulated_system(machine, folder, words=MEMORY_WORDS, top=top)
            else:
                name = top.module_name
                files = self._sources(top(core=Core(machine=machine)), name, folder)
            self._programs[key] = build_simulator(files, name, port=port, short_run=True)
        return self._programs[key]


@dataclass(frozen=True)
class Outcome:
    """What a machine gave, and what it should.

    Attributes:
        wrong: outputs that differ from the reference.
        predicted, simulated: cycles of each sample.
        late: cycles in which images of a pipeline begin, but neither `interval` cycles after the
            one before, nor when the host gave them.
    """

    wrong: tuple[str, ...]
    predicted: tuple[int, ...]
    simulated: tuple[int, ...]
    late: tuple[int, ...] = ()


def run_overlay(module: ir.Module, inputs: Arrays, style: Style, machines: Machines) -> Outcome:
    """Compile a network for the overlay of `style`, and simulate it on `inputs`."""
    parts = partition(KernelColumns(style.tile.lanes).run(module))
    parts = long_rows(replace(parts, core=Legalize().run(parts.core)))
    program = style.tile.run(parts.core)
    if style.stream is not None:
        program = _streamed(program, style.stream)
    assembled = assemble(style.depths.run(program))
    simulator = machines.simulator(assembled, style.port)
    return _outcome(
        module, inputs, parts, Overlay(assembled), simulator, lambda begins: predict_all(
            assembled.machine, assembled.instructions, begins, bus=BUSES[style.port]
        ),
    )  # fmt: skip


def _streamed(program: ir.Module, stream: Stream) -> ir.Module:
    """`program` with the smallest buffer, from that of `stream` on, that holds its weights."""
    try:
        return stream.run(program)
    except UnsupportedOnOverlay:
        return _streamed(program, replace(stream, weight_words=2 * stream.weight_words))


def random_pipeline(module: ir.Module, seed: int) -> DataflowBuild:
    """A network folded into a random board for the least interval or a random longer one, or with
    random folds.

    Raises:
        UnsupportedInDataflow: a layer that no stage can be.
    """
    random = np.random.default_rng(seed)
    if random.random() < 0.6:
        return build_dataflow(
            module, get_fpga("ulx3s-85f"), folding=_random_folding(module, random)
        )
    target = get_fpga(str(random.choice(["ulx3s-12f", "ulx3s-25f", "ulx3s-85f"])))
    least = build_dataflow(module, target)
    if random.random() < 0.5:
        return least
    longer = int(least.pipeline.interval * 2 ** random.uniform(0.5, 5))
    return build_dataflow(module, target, interval=longer)


def _random_folding(module: ir.Module, random: np.random.Generator) -> FoldingFile:
    """Any folds of at most 64 products a step whose words join; unusual ones more often."""
    pipeline = lower(partition(module).core, "random")
    while True:
        chosen: dict[str, Fold] = {}
        for stage in pipeline.stages:
            joining = [
                fold for fold in folds(stage)
                if fold.lanes * fold.rows <= 64
                and all(fits(chosen[s].out_lanes, fold.lanes) for s in stage.sources if s in chosen)
            ]  # fmt: skip
            unusual = [fold for fold in joining if _unusual(stage, fold)]
            if not joining:
                break
            choices = unusual if unusual and random.random() < 0.6 else joining
            chosen[stage.result.name] = choices[int(random.integers(len(choices)))]
        else:
            made = with_folds(pipeline, list(chosen.values()))
            interval = made.interval + int(random.choice([0, 0, 1, 7, 50]))
            return FoldingFile("random", interval, chosen)


def _unusual(stage: Stage, fold: Fold) -> bool:
    """Several blocks of lanes in several words each; rows that do not divide the channels."""
    if isinstance(stage, MatrixStage):
        return bool(stage.result.channels % fold.rows) or fold.engine == "packed"
    return fold.out_lanes < fold.lanes < stage.result.channels


def run_dataflow(
    module: ir.Module, inputs: Arrays, build: DataflowBuild, folder: Path, sources: Sources = rtl
) -> Outcome:
    """Simulate a pipeline on `inputs`: its RTL or its netlist."""
    accelerator = Dataflow(build.pipeline, graph.outputs(build.parts.core)[0].name)
    top = WishboneTop(core=accelerator.core())
    files = sources(top, top.module_name, folder)
    interval = None
    if sources is rtl:  # a netlist has no source to look at
        files.append(write_monitor(folder, f"{top.module_name}_core"))
        interval = build.pipeline.interval
    simulator = build_simulator(files, top.module_name, port=PortKind.WISHBONE, short_run=True)
    return _outcome(
        module, inputs, build.parts, accelerator, simulator,
        lambda begins: [build.times.latency] * len(begins), interval,
    )  # fmt: skip


def _outcome(
    module: ir.Module, inputs: Arrays, parts: Parts, accelerator: Accelerator, simulator: Path,
    predict: Callable[[Sequence[int]], list[int]], interval: int | None = None,
) -> Outcome:  # fmt: skip
    """`predict`: cycles of the inferences that begin in these cycles. `interval`: of a pipeline
    with a monitor.
    """
    wanted = reference.run(module, inputs)
    entering = reference.run(parts.before, inputs)
    core = {item.name: entering[item.name] for item in graph.inputs(parts.core)}
    with tempfile.TemporaryDirectory() as name:
        if isinstance(accelerator, Overlay) and accelerator.assembled.machine.streams:
            assert write_external(accelerator.assembled.image, Path(name)) <= MEMORY_WORDS
        with VerilatorBus(simulator, folder=Path(name)) as bus:
            bus.reset()
            ran = run_machine(accelerator, core, bus, load=True, progress=silent)
        late: list[int] = []
        if interval is not None:
            begins = read_begins(Path(name), len(ran.cycles))
            times = due(begins, interval)
            late = [a.cycle for a, at in zip(begins[1:], times, strict=True) if a.cycle != at]
    shapes = {name: array.shape for name, array in reference.run(parts.core, core).items()}
    leaving = {name: array.reshape(shapes[name]) for name, array in ran.outputs.items()}
    after_inputs = {item.name for item in graph.inputs(parts.after)}
    given = {n: a for n, a in {**entering, **leaving}.items() if n in after_inputs}
    found = reference.run(parts.after, given)
    wrong = [name for name, array in found.items() if (array != wanted[name]).any()]
    return Outcome(tuple(wrong), tuple(predict(ran.begins)), ran.cycles, tuple(late))
