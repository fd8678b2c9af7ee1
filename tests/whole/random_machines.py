"""Random machines for random networks, and one pair of them through the whole way."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.flows.accelerators import Overlay
from bitwright.flows.simulate import run_machine
from bitwright.hwgen.assemble import Assembled, assemble
from bitwright.hwgen.core import Core
from bitwright.hwgen.cycles import predict
from bitwright.hwgen.tops import Axi4LiteTop, WishboneTop
from bitwright.hwgen.verilog import emit
from bitwright.ir import graph, reference
from bitwright.ir.machine import DSP, ENGINES, WEIGHT_SERIAL
from bitwright.passes.allocate import Allocate
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import partition
from bitwright.passes.tile import Tile
from bitwright.progress import silent
from bitwright.rtl_sim.bus import VerilatorBus
from bitwright.rtl_sim.verilate import PortKind, build_simulator

Arrays = Mapping[str, NDArray[np.integer]]

# Enough for every random network, so that all networks share a machine.
DEPTHS = Allocate(
    act_words=4096, in_words=512, out_words=1024, weight_words=16384, param_words=1024,
    program_words=2048, tables=8,
)  # fmt: skip


@dataclass(frozen=True)
class Style:
    """A machine that several networks share, and the port that the host takes."""

    tile: Tile
    port: PortKind

    def __str__(self) -> str:
        pixels = f" x {self.tile.pixels}" if self.tile.pixels > 1 else ""
        return f"{self.tile.engine} {self.tile.lanes} x {self.tile.rows}{pixels}"


def random_style(seed: int, wide: bool) -> Style:
    """A small machine; `wide` for networks with the operations of models that came quantized."""
    random = np.random.default_rng(seed)

    def choice(*values: int) -> int:
        return int(random.choice(values))

    engine = ENGINES[seed % len(ENGINES)]
    lanes = choice(2, 4, 4, 8, 8, 16) if engine == WEIGHT_SERIAL else choice(2, 4, 4, 8)
    rows = choice(*(rows for rows in (8, 16, 32) if not rows % lanes and rows * lanes <= 256))
    pixels = banks = 1
    if engine == DSP:
        rows = min(rows, max(64 // lanes, 8))
        pixels = choice(1, 2, 4)
        banks = pixels * choice(1, 2, 4) if pixels > 1 else 1
    tile = Tile(
        lanes, rows, choice(*(v for v in (1, 2, 4, 8) if v <= lanes)), acc_bits=32,
        multiplier_bits=31 if wide else 16, engine=engine, pixels=pixels, banks=banks,
        multiplier_blocks=pixels * rows * lanes // choice(2, 4) if engine == DSP else 0,
    )  # fmt: skip
    return Style(tile, (PortKind.WISHBONE, PortKind.AXI4LITE)[choice(0, 1)])


class Machines:
    """One simulator for each machine that the programs turn out to need."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs: dict[tuple[int, PortKind], Path] = {}

    def simulator(self, assembled: Assembled, port: PortKind) -> Path:
        key = (assembled.machine.fingerprint, port)
        if key not in self._programs:
            top = WishboneTop if port is PortKind.WISHBONE else Axi4LiteTop
            core = Core(machine=assembled.machine)
            files = emit(top(core=core), self._folder / str(len(self._programs)),
                         name=top.module_name)  # fmt: skip
            self._programs[key] = build_simulator(files, top.module_name, port=port)
        return self._programs[key]


@dataclass(frozen=True)
class Outcome:
    """What a machine gave, and what it should.

    Attributes:
        wrong: outputs that differ from the reference.
        simulated: cycles of each sample.
    """

    wrong: tuple[str, ...]
    predicted: int
    simulated: tuple[int, ...]


def run_overlay(module: ir.Module, inputs: Arrays, style: Style, machines: Machines) -> Outcome:
    """Compile a network for the overlay of `style`, and simulate its RTL on `inputs`."""
    wanted = reference.run(module, inputs)
    parts = partition(module)
    entering = reference.run(parts.before, inputs)
    core = {item.name: entering[item.name] for item in graph.inputs(parts.core)}
    assembled = assemble(DEPTHS.run(style.tile.run(Legalize().run(parts.core))))
    with VerilatorBus(machines.simulator(assembled, style.port)) as bus:
        bus.reset()
        ran = run_machine(Overlay(assembled), core, bus, load=True, progress=silent)
    shapes = {name: array.shape for name, array in reference.run(parts.core, core).items()}
    leaving = {name: array.reshape(shapes[name]) for name, array in ran.outputs.items()}
    after_inputs = {item.name for item in graph.inputs(parts.after)}
    given = {n: a for n, a in {**entering, **leaving}.items() if n in after_inputs}
    found = reference.run(parts.after, given)
    wrong = [name for name, array in found.items() if (array != wanted[name]).any()]
    predicted = predict(assembled.machine, assembled.instructions).total
    return Outcome(tuple(wrong), predicted, ran.cycles)
