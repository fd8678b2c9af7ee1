"""Networks whose weights come from external memory: reference = functional model = RTL, with the
cycles that are predicted for that memory, on both buses.

With BITWRIGHT_ACCEPTANCE set all machines and more networks, else two.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.flows.accelerators import Overlay
from bitwright.flows.overlay import write_external, write_simulated_system
from bitwright.flows.simulate import run_machine
from bitwright.hwgen import golden
from bitwright.hwgen.assemble import Assembled, assemble
from bitwright.hwgen.cycles import Bus, predict, predict_all
from bitwright.hwgen.simulated_system import SimulatedSystem
from bitwright.hwgen.tops import Axi4LiteTop, WishboneTop
from bitwright.ir import graph, reference
from bitwright.ir.builder import Builder
from bitwright.ir.instructions import Opcode
from bitwright.ir.machine import DSP
from bitwright.ir.types import QuantParams
from bitwright.passes.allocate import Allocate
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import partition
from bitwright.passes.stream import Stream
from bitwright.passes.tile import Tile
from bitwright.progress import silent
from bitwright.rtl_sim.bus import VerilatorBus
from bitwright.rtl_sim.verilate import PortKind, build_simulator

sys.path.insert(0, str(Path(__file__).parent))
from random_networks import random_inputs, random_network

SAMPLES = 2
MEMORY_WORDS = 1 << 14
DEPTHS = Allocate(
    act_words=4096, in_words=512, out_words=1024, param_words=1024, program_words=4096, tables=8
)
PLANES = Tile(8, 16, 2, acc_bits=32, multiplier_bits=31)
ADDS = Tile(8, 8, 2, acc_bits=32, multiplier_bits=31, engine=DSP, pixels=2, banks=4,
            multiplier_blocks=32, fused_adds=1)  # fmt: skip
PRODUCTS = Tile(4, 8, 2, acc_bits=32, multiplier_bits=31, engine=DSP, pixels=2, banks=4,
                multiplier_blocks=24)  # fmt: skip
MACHINES: dict[str, tuple[Tile, Stream, Bus]] = {
    "planes, fixed, wishbone": (
        PLANES, Stream(weight_words=256, memory="fixed", memory_latency=5), "wishbone"
    ),
    "planes, sdram, axi4": (
        PLANES, Stream(weight_words=256, memory="sdram", memory_mhz=80), "axi4"
    ),
    "adds, sdram, wishbone": (
        ADDS, Stream(weight_words=64, memory="sdram", memory_mhz=133), "wishbone"
    ),
    "adds, fixed, axi4": (
        ADDS, Stream(weight_words=64, memory="fixed", memory_latency=5), "axi4"
    ),
    "products, sdram, wishbone": (
        PRODUCTS, Stream(weight_words=64, memory="sdram", memory_mhz=133), "wishbone"
    ),
    "products, fixed, axi4": (
        PRODUCTS, Stream(weight_words=64, memory="fixed", memory_latency=1), "axi4"
    ),
}  # fmt: skip
ACCEPTANCE = bool(os.environ.get("BITWRIGHT_ACCEPTANCE"))
NAMES = tuple(MACHINES) if ACCEPTANCE else tuple(MACHINES)[1:3]
SEEDS = (0, 9, 11, 13, 14, 15, 16, 17, 19, 34) if ACCEPTANCE else (11, 13, 16)


def many_weights() -> ir.Module:
    """A network of three convolutions and a depthwise one."""
    rng = np.random.default_rng(1)
    x = QuantParams((0.1,), 3, 8, -128, 127)
    builder = Builder([("x", (1, 12, 5, 6), x)])
    value = builder.inputs[0]
    for channels, source, groups in ((40, 12, 1), (40, 40, 40), (72, 40, 1), (20, 72, 1)):
        shape = (channels, source // groups, 3, 3) if groups > 1 else (channels, source, 1, 2)
        weight = rng.integers(-127, 128, shape)
        scales = QuantParams((0.01,) * channels, 0, 8, -127, 127, axis=0)
        acc = builder.conv2d(
            value, builder.constant(weight, scales),
            builder.constant(rng.integers(-999, 999, channels)), groups=groups,
            padding=[1, 1, 1, 1] if groups > 1 else [0, 0, 0, 1],
        )  # fmt: skip
        value = builder.requantize(
            acc, x, multiplier=rng.integers(99, 255, channels).tolist(), shift=[16] * channels,
            axis=1,
        )  # fmt: skip
    return builder.finish([("y", value)])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_networks(name: str, tmp_path: Path) -> None:
    tile, stream, bus = MACHINES[name]
    top, port = (
        (WishboneTop, PortKind.WISHBONE) if bus == "wishbone" else (Axi4LiteTop, PortKind.AXI4LITE)
    )
    networks = [(seed, random_network(seed)) for seed in SEEDS]
    waited, fused, simulator = 0, 0, None
    for number, module in [(-1, many_weights()), *networks]:
        inputs = random_inputs(module, 1, SAMPLES)
        parts = partition(module)
        program = tile.run(Legalize().run(parts.core))
        assembled = assemble(DEPTHS.run(stream.run(program)))
        entering = reference.run(parts.before, inputs)
        core = {item.name: entering[item.name] for item in graph.inputs(parts.core)}
        wanted = reference.run(parts.core, core)
        overlay = Overlay(assembled)
        for sample in range(SAMPLES):
            words = golden.run(assembled.image, overlay.input_words(core, sample))
            for output, found in overlay.outputs(words).items():
                assert (found.ravel() == np.asarray(wanted[output][sample]).ravel()).all()
        folder = tmp_path / str(number)
        assert write_external(assembled.image, folder) <= MEMORY_WORDS
        if simulator is None:
            machine = assembled.machine
            files = write_simulated_system(machine, folder, words=MEMORY_WORDS, top=top)
            simulator = build_simulator(files, SimulatedSystem.module_name, port=port)
        with VerilatorBus(simulator, folder=folder) as host:
            host.reset()
            ran = run_machine(overlay, core, host, load=True, progress=silent)
        for output, found in ran.outputs.items():
            assert (found.ravel() == np.asarray(wanted[output]).ravel()).all(), number
        assert list(ran.cycles) == predict_all(
            assembled.machine, assembled.instructions, ran.begins, bus=bus
        )
        waited += _waits(assembled, DEPTHS.run(program), bus)
        fused += sum(item.opcode == Opcode.MATMUL_ADD for item in assembled.instructions)
        if number < 0:
            assert len(assembled.image.weights) > 2 * assembled.machine.weight_words
    assert waited > 0
    assert bool(fused) == bool(tile.fused_adds)


def _waits(assembled: Assembled, on_chip: ir.Module, bus: Bus) -> int:
    """Cycles that the memory costs a program."""
    other = assemble(on_chip)
    streamed = predict(assembled.machine, assembled.instructions, bus=bus).total
    return streamed - predict(other.machine, other.instructions).total
