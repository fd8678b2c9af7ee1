"""The cocotb benches of `benches/`: each hardware unit against its golden function.

All units stand side by side in one design, which is built once. BITWRIGHT_SEED chooses other
random stimuli; the seed of a run is printed when it fails.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import verilog
from amaranth.hdl import Module, Shape, Value, ValueCastable
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb_tools.runner import Verilog, get_runner

from bitwright.hwgen import handwritten
from bitwright.hwgen.address import LoopNest
from bitwright.hwgen.array.bit_machine import BitArray
from bitwright.hwgen.array.machine import TableArray
from bitwright.hwgen.array.shape import ArrayShape
from bitwright.hwgen.banks import PingPong
from bitwright.hwgen.engines.accumulator import Accumulators
from bitwright.hwgen.engines.acttable import ActTable
from bitwright.hwgen.engines.bitserial import BitSerial
from bitwright.hwgen.engines.channelwise import Channelwise
from bitwright.hwgen.engines.dsp import Dsp
from bitwright.hwgen.engines.weightserial import WeightSerial
from bitwright.hwgen.engines.weighttable import WeightTable
from bitwright.hwgen.engines.window import Window
from bitwright.hwgen.host import HostPort, memories
from bitwright.hwgen.output import OutputStage
from bitwright.hwgen.ports.axi4_master import Axi4Master
from bitwright.hwgen.ports.axi4lite import Axi4LiteBridge
from bitwright.hwgen.ports.uart import UartBridge
from bitwright.hwgen.ports.wishbone import WishboneBridge
from bitwright.hwgen.ports.wishbone_master import WishboneMaster
from bitwright.hwgen.ram import Ram
from bitwright.hwgen.requantize import Requantizer
from bitwright.hwgen.sequencer import Fetch, Sequencer
from bitwright.hwgen.simulated_sdram import CHIP_MODULE
from bitwright.ir.machine import Machine
from bitwright.rtl_sim import toolchain

sys.path.insert(0, str(Path(__file__).parent / "benches"))
from memory_systems import BURST_WORDS, CHIPS, TIMINGS, MasterAndChip, MasterAndMemory

MACHINE = Machine(
    lanes=4, rows=16, requant_lanes=2, acc_bits=20, act_words=200, in_words=64, out_words=48,
    weight_words=64, param_words=40, tables=2, program_words=256,
)  # fmt: skip
WIDE = dataclasses.replace(MACHINE, multiplier_bits=31, acc_bits=24)
WIDEST = dataclasses.replace(MACHINE, multiplier_bits=31, acc_bits=32, tables=0)
PRODUCTS = dataclasses.replace(
    MACHINE, rows=8, engine="dsp", pixels=4, banks=8, multiplier_blocks=37
)
UART_DIVISOR = 4
UART_SILENCE_BYTES = 8
SHAPES = {
    "array_acttable": ArrayShape(engine="acttable", rows=3, lanes=16, depth=128),
    "array_weighttable": ArrayShape(engine="weighttable", rows=8, lanes=16, depth=128),
    "array_bitserial": ArrayShape(engine="bitserial", rows=2, columns=3, lanes=16, depth=128),
    "array_binary": ArrayShape(
        engine="bitserial", rows=2, columns=2, lanes=8, binary=True, depth=128
    ),
}
CONSTANT = np.arange(-32, 32).reshape(4, 16) % 16 - 8
BENCHES = Path(__file__).parent / "benches"
UNITS = {
    "address": LoopNest(machine=MACHINE),
    "weightserial": WeightSerial(machine=MACHINE),
    "acttable": ActTable(rows=2, lanes=8, activation_bits=2),
    "acttable_unsigned": ActTable(rows=3, lanes=16, activation_bits=8, activation_signed=False),
    "weighttable": WeightTable(rows=4, lanes=8, weight_bits=2),
    "weighttable_constant": WeightTable(rows=4, lanes=16, weight_bits=4, constant=CONSTANT),
    "bitserial": BitSerial(rows=1, columns=1, lanes=8),
    "bitserial_binary": BitSerial(rows=2, columns=3, lanes=64, binary=True),
    "array_acttable": TableArray(shape=SHAPES["array_acttable"]),
    "array_weighttable": TableArray(shape=SHAPES["array_weighttable"]),
    "array_bitserial": BitArray(shape=SHAPES["array_bitserial"]),
    "array_binary": BitArray(shape=SHAPES["array_binary"]),
    "channelwise": Channelwise(machine=MACHINE),
    "accumulators": Accumulators(machine=MACHINE),
    "dsp": Dsp(machine=PRODUCTS),
    "window": Window(machine=PRODUCTS),
    "requantizer": Requantizer(machine=MACHINE),
    **{
        f"requantizer_{bits}": Requantizer(machine=dataclasses.replace(WIDE, acc_bits=bits))
        for bits in (20, 21, 22, 23, 24, 32)  # 2, 3, 4 and 6 bits in tables; four blocks
    },
    "output": OutputStage(machine=MACHINE),
    "output_wide": OutputStage(machine=WIDE),
    "output_widest": OutputStage(machine=WIDEST),
    "fetch": Fetch(machine=MACHINE),
    "sequencer": Sequencer(),
    "banks": PingPong(),
    "ram": Ram(width=8, depth=20),
    "host": HostPort(memories=memories(MACHINE), fingerprint=MACHINE.fingerprint),
    "wishbone": WishboneBridge(),
    "axi4lite": Axi4LiteBridge(),
    "uart": UartBridge(divisor=UART_DIVISOR, silence_bytes=UART_SILENCE_BYTES),
    "wishbone_master": WishboneMaster(burst_words=BURST_WORDS),
    "axi4_master": Axi4Master(burst_words=BURST_WORDS, outstanding=3),
    **{f"memory_{name}": MasterAndMemory(timing) for name, timing in TIMINGS.items()},
    **{f"chip_{name}": MasterAndChip(TIMINGS[name], mhz) for name, mhz in CHIPS.items()},
}


class Units(wiring.Component):
    """Units side by side; member `a.b` of unit `u` is the pin `u_a_b`."""

    def __init__(self, units: Mapping[str, wiring.Component]) -> None:
        self._units = units
        self._pins: list[tuple[str, wiring.Flow, Value | ValueCastable]] = []
        members: dict[str, wiring.Member] = {}
        for unit, component in units.items():
            for path, member, value in component.signature.flatten(component):
                name = "_".join((unit, *map(str, path)))
                members[name] = member.flow(Shape.cast(member.shape).width)
                self._pins.append((name, member.flow, value))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for unit, component in self._units.items():
            m.submodules[unit] = component
        for name, flow, value in self._pins:
            inner = Value.cast(value)
            pin = getattr(self, name)
            m.d.comb += inner.eq(pin) if flow == In else pin.eq(inner)
        return m


@pytest.fixture(scope="module")
def bench_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benches")
    source = folder / "units.v"
    source.write_text(verilog.convert(Units(UNITS), name="units", emit_src=False))
    environment = toolchain.verilator_environment()
    variables = [f"{name}={value}" for name, value in toolchain.make_variables().items()]
    environment["MAKEFLAGS"] = " -- " + " ".join(
        [*variables, "OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0"]
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        get_runner("verilator").build(
            sources=[Verilog(source), Verilog(handwritten.source(CHIP_MODULE))],
            hdl_toplevel="units",
            build_dir=folder,
            build_args=["-Wno-fatal", "--no-timing", "--output-split", "0"],
            log_file=folder / "build.log",
        )
    return folder


@pytest.mark.parametrize("bench", sorted(path.stem for path in BENCHES.glob("bench_*.py")))
def test_bench(bench: str, bench_folder: Path) -> None:
    seed = os.environ.get("BITWRIGHT_SEED", "1")
    log = bench_folder / f"{bench}.log"
    settings = {
        "machines": {
            unit: dataclasses.asdict(getattr(component, "machine", MACHINE))
            for unit, component in UNITS.items()
        }
        | {"core": dataclasses.asdict(MACHINE)},
        "shapes": {unit: dataclasses.asdict(shape) for unit, shape in SHAPES.items()},
        "constant": CONSTANT.tolist(),
        "uart_divisor": UART_DIVISOR,
        "uart_silence_bytes": UART_SILENCE_BYTES,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHES)
        try:
            get_runner("verilator").test(
                test_module=bench,
                hdl_toplevel="units",
                hdl_toplevel_lang="verilog",
                build_dir=bench_folder,
                seed=seed,
                extra_env={"BITWRIGHT_BENCH": json.dumps(settings)},
                log_file=log,
            )
        except SystemExit:
            pytest.fail(f"{bench} failed; repeat it with BITWRIGHT_SEED={seed}\n{log.read_text()}")
