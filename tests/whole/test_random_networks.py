"""Random networks through the whole way: reference = native library = RTL, cycles as predicted.

More of them, from another seed on:
    pytest tests/whole/test_random_networks.py --networks 1000 --first-seed 51
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bitwright.codegen.cpu.library import build_library
from bitwright.flows.accelerators import Overlay
from bitwright.flows.simulate import run_machine
from bitwright.hwgen.assemble import Assembled, assemble
from bitwright.hwgen.core import Core
from bitwright.hwgen.cycles import predict
from bitwright.hwgen.tops import Axi4LiteTop, WishboneTop
from bitwright.hwgen.verilog import emit
from bitwright.ir import graph, reference
from bitwright.passes.allocate import Allocate
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import partition
from bitwright.passes.tile import Tile
from bitwright.progress import silent
from bitwright.rtl_sim.bus import VerilatorBus
from bitwright.rtl_sim.verilate import PortKind, build_simulator
from bitwright.runtime.library import load_library

sys.path.insert(0, str(Path(__file__).parent))
from random_networks import random_inputs, random_network

DEPTHS = Allocate(
    act_words=4096, in_words=512, out_words=1024, weight_words=8192, param_words=1024,
    program_words=2048, tables=8,
)  # fmt: skip


@dataclass(frozen=True)
class Style:
    """A machine that all networks of a kind share, and the port that the host takes."""

    tile: Tile
    port: PortKind


# The first one for the networks that need no wide machine.
STYLES = (
    Style(Tile(8, 8, 2, acc_bits=32, multiplier_bits=16), PortKind.WISHBONE),
    Style(Tile(4, 16, 1, acc_bits=32, multiplier_bits=31), PortKind.AXI4LITE),
    Style(Tile(16, 16, 8, acc_bits=32, multiplier_bits=31), PortKind.WISHBONE),
)


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


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Machines:
    return Machines(tmp_path_factory.mktemp("machines"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    count = int(str(metafunc.config.getoption("--networks")))
    first = int(str(metafunc.config.getoption("--first-seed")))
    metafunc.parametrize("seed", range(first, first + count))


def test_network(seed: int, machines: Machines, tmp_path: Path) -> None:
    module = random_network(seed)
    inputs = random_inputs(module, seed)
    wanted = reference.run(module, inputs)

    library = load_library(build_library(module, tmp_path).library)
    for name, array in library.run(inputs).items():
        assert (array == wanted[name]).all(), f"CPU differs in {name}, network {seed}"

    parts = partition(module)
    entering = reference.run(parts.before, inputs)
    core = {item.name: entering[item.name] for item in graph.inputs(parts.core)}
    style = STYLES[seed % len(STYLES)]
    assembled = assemble(DEPTHS.run(style.tile.run(Legalize().run(parts.core))))
    with VerilatorBus(machines.simulator(assembled, style.port)) as bus:
        bus.reset()
        ran = run_machine(Overlay(assembled), core, bus, load=True, progress=silent)
    shapes = {name: array.shape for name, array in reference.run(parts.core, core).items()}
    leaving = {name: array.reshape(shapes[name]) for name, array in ran.outputs.items()}
    after_inputs = {item.name for item in graph.inputs(parts.after)}
    given = {n: a for n, a in {**entering, **leaving}.items() if n in after_inputs}
    for name, array in reference.run(parts.after, given).items():
        assert (array == wanted[name]).all(), f"RTL differs in {name}, network {seed}"
    predicted = predict(assembled.machine, assembled.instructions).total
    assert set(ran.cycles) == {predicted}, f"cycles of network {seed}"
    assert all(np.asarray(array).size for array in wanted.values())
