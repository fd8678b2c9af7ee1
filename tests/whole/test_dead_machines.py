"""A machine that never gives a result: an error in seconds, by its predicted cycles."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bitwright.flows.accelerators import Accelerator, Dataflow, Overlay
from bitwright.flows.simulate import run_machine
from bitwright.hwgen.assemble import assemble
from bitwright.hwgen.cycles import predict
from bitwright.hwgen.tops import WishboneTop
from bitwright.hwgen.verilog import emit
from bitwright.ir import graph, reference
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import partition
from bitwright.passes.tile import Tile
from bitwright.progress import silent
from bitwright.rtl_sim.bus import VerilatorBus
from bitwright.rtl_sim.verilate import PortKind, build_simulator
from bitwright.runtime.driver import MachineTimeoutError, time_limit
from bitwright.targets.host_interface import Register

sys.path.insert(0, str(Path(__file__).parent))
from random_machines import DEPTHS, random_pipeline
from random_networks import random_inputs, random_network

SEED = 18  # of a network that both styles have


class Stopped(VerilatorBus):
    """The way to a machine that is never started."""

    def write(self, address: int, words: NDArray[np.uint32]) -> None:
        if address != Register.CONTROL:
            super().write(address, words)


def _overlay() -> tuple[Accelerator, int]:
    core = Legalize().run(partition(random_network(SEED)).core)
    assembled = assemble(DEPTHS.run(Tile(4, 8, 1, acc_bits=32).run(core)))
    predicted = predict(assembled.machine, assembled.instructions)
    return Overlay(assembled), predicted.interval


def _dataflow() -> tuple[Accelerator, int]:
    build = random_pipeline(random_network(SEED), SEED)
    name = graph.outputs(build.parts.core)[0].name
    return Dataflow(build.pipeline, name), build.times.latency + build.times.interval


@pytest.mark.parametrize("make", [_overlay, _dataflow])
def test_dead_machine(make, tmp_path: Path) -> None:
    accelerator, predicted = make()
    top = WishboneTop(core=accelerator.core())
    files = emit(top, tmp_path, name=top.module_name)
    simulator = build_simulator(files, top.module_name, port=PortKind.WISHBONE, short_run=True)
    parts = partition(random_network(SEED))
    entering = reference.run(parts.before, random_inputs(random_network(SEED), SEED))
    core = {item.name: entering[item.name] for item in graph.inputs(parts.core)}
    with Stopped(simulator) as bus:
        bus.reset()
        fingerprint = int(bus.read(Register.MACHINE_HASH, 1)[0])
        with pytest.raises(MachineTimeoutError) as caught:
            run_machine(accelerator, core, bus, load=True, progress=silent)
        waited = bus.cycles
        status = int(bus.read(Register.STATUS, 1)[0])
    limit = time_limit(predicted)
    assert waited < 2 * limit
    assert str(caught.value) == (
        f"Machine 0x{fingerprint:08x} has not given the result of sample 0 within {limit:,} clock "
        f"cycles after its input was written; expected an output bank to be full, but register "
        f"STATUS reads 0x{status:08x}: check that its program was loaded and that its weights are "
        f"in memory, then reset it; a waveform (`bitwright simulate --trace FILE`) shows where it "
        f"waits"
    )
