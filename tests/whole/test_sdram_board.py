"""A machine on a serial line with its own SDRAM controller: the host's driver fills the chip, and
values and cycles are those of the reference and of the prediction. The chip ends the simulation
where one of its rules is broken."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from bitwright.flows.accelerators import Overlay
from bitwright.flows.simulate import run_machine
from bitwright.hwgen.assemble import assemble
from bitwright.hwgen.cycles import predict_all
from bitwright.hwgen.memory_model import Sdram, timing
from bitwright.hwgen.sdram import POWER_UP_INTERVALS
from bitwright.hwgen.simulated_system import SimulatedBoard
from bitwright.hwgen.verilog import emit
from bitwright.ir import graph, reference
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import partition
from bitwright.passes.stream import Stream
from bitwright.progress import silent
from bitwright.rtl_sim.bus import VerilatorSerial
from bitwright.rtl_sim.verilate import PortKind, build_simulator
from bitwright.runtime.driver import ExternalMemoryError, MachineDriver
from bitwright.runtime.serial import SerialBus
from bitwright.targets.host_interface import EXTERNAL_BASE, Register

sys.path.insert(0, str(Path(__file__).parent))
from random_networks import random_inputs
from test_streamed import DEPTHS, PRODUCTS, many_weights

DIVISOR = 4
SAMPLES = 2


@pytest.mark.slow
def test_from_the_serial_line_to_the_chip(tmp_path: Path) -> None:
    module = many_weights()
    inputs = random_inputs(module, 1, SAMPLES)
    parts = partition(module)
    stream = Stream(weight_words=64, memory="sdram", memory_mhz=133)
    assembled = assemble(DEPTHS.run(stream.run(PRODUCTS.run(Legalize().run(parts.core)))))
    entering = reference.run(parts.before, inputs)
    core = {item.name: entering[item.name] for item in graph.inputs(parts.core)}
    wanted = reference.run(parts.core, core)
    machine = assembled.machine
    cycles = timing(machine)
    assert isinstance(cycles, Sdram)
    board = SimulatedBoard(machine=machine, divisor=DIVISOR)
    files = emit(board, tmp_path, name=SimulatedBoard.module_name)
    simulator = build_simulator(files, SimulatedBoard.module_name, port=PortKind.UART)
    with VerilatorSerial(simulator, divisor=DIVISOR, read_timeout_cycles=40_000) as line:
        line.reset()
        bus = SerialBus(line, divisor=DIVISOR, retries=0)
        # The first read waits for the end of the chip's initialisation.
        MachineDriver(bus, machine).load_external(assembled.image.external)
        assert line.cycles > POWER_UP_INTERVALS * cycles.refresh_interval
        ran = run_machine(Overlay(assembled), core, bus, load=True, progress=silent)
        for name, found in ran.outputs.items():
            assert (found.ravel() == np.asarray(wanted[name]).ravel()).all()
        predicted = predict_all(machine, assembled.instructions, ran.begins)
        assert list(ran.cycles) == predicted
        # Addresses that the chip does not have answer with an error, and the driver says so.
        beyond = 32 << 20
        assert int(bus.read(Register.STATUS, 1)[0]) & 2 == 0
        bus.read(EXTERNAL_BASE + beyond, 1)
        assert int(bus.read(Register.STATUS, 1)[0]) & 2 == 2
        with pytest.raises(ExternalMemoryError) as caught:
            MachineDriver(bus, machine, memory_base=beyond).load_external(b"\1\2\3\4")
        found = re.sub("reads 0x[0-9a-f]{8}", "reads 0x01234567", str(caught.value))
        assert found == (
            "The external memory reads 0x01234567 at byte address 0x2000000; expected 0x04030201, "
            "which was written: check that the bitstream has a memory controller, its clock and "
            "the memory chip"
        )
