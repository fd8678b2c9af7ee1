"""The cocotb benches of `benches/`: each hardware unit against its golden function.

Units stand side by side in two designs, each built once: a cycle of a bench costs its whole design.
Engines of all widths and array machines are as they are emitted for synthesis. BITWRIGHT_SEED
chooses other random stimuli; the seed of a run is printed when it fails.
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
from bitwright.hwgen.dataflow.engines import ENGINES
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
from bitwright.hwgen.verilog import emit
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
WIDE_OPERANDS = {"weight_bits": 8, "activation_bits": 16, "acc_bits": 32, "depth": 128}
SHAPES = {
    "array_acttable": ArrayShape(engine="acttable", rows=3, lanes=16, depth=128),
    "array_acttable_wide": ArrayShape(engine="acttable", rows=3, lanes=8, **WIDE_OPERANDS),
    "array_weighttable": ArrayShape(engine="weighttable", rows=8, lanes=16, depth=128),
    "array_weighttable_wide": ArrayShape(engine="weighttable", rows=4, lanes=8, **WIDE_OPERANDS),
    "array_bitserial": ArrayShape(
        engine="bitserial", rows=2, columns=3, lanes=16, acc_bits=32, depth=128
    ),
    "array_binary": ArrayShape(
        engine="bitserial", rows=2, columns=2, lanes=8, binary=True, depth=128
    ),
}
ACTTABLES = {
    "acttable_all_1": {
        "rows": 2, "lanes": 8, "activation_bits": 1, "activation_signed": False,
    },
    "acttable_all_2": {
        "rows": 2, "lanes": 8, "activation_bits": 2, "activation_signed": True,
    },
} | {
    f"acttable_{bits}": {
        "rows": 3, "lanes": 16 if bits == 8 else 8, "activation_bits": bits,
        "activation_signed": is_signed,
    }
    for bits, is_signed in (
        (1, False), (2, True), (3, True), (4, False), (5, True), (6, False), (7, True), (8, False),
        (16, True),
    )
}  # fmt: skip
WEIGHTTABLES = {
    f"weighttable_{bits}": {"rows": 4, "lanes": 8, "weight_bits": bits} for bits in range(1, 9)
}
CONSTANTS = {
    f"weighttable_constant_{bits}": {
        "rows": 4, "lanes": 16, "weight_bits": bits,
        "constant": 5 * np.arange(64).reshape(4, 16) % (1 << bits) - (1 << bits - 1),
    }
    for bits in range(1, 9)
}  # fmt: skip
# Weight bits, activation bits, activations signed, lanes.
PIPELINE_WIDTHS = (
    (1, 1, False, 4), (1, 2, False, 3), (1, 8, True, 1), (2, 2, True, 1), (2, 5, True, 3),
    (2, 8, True, 4), (3, 3, False, 1), (3, 6, True, 4), (4, 8, True, 4), (5, 1, True, 3),
    (5, 4, False, 1), (6, 5, False, 4), (7, 6, True, 3), (8, 7, False, 3), (8, 8, True, 1),
    (8, 8, False, 4),
)  # fmt: skip
PIPELINE = {
    f"products_{engine}_{weight_bits}_{bits}_{lanes}": {
        "rows": 2, "lanes": lanes, "weight_bits": weight_bits, "activation_bits": bits,
        "activation_signed": is_signed, "constant": number % 2 == 1,
    }
    for engine in ENGINES
    for number, (weight_bits, bits, is_signed, lanes) in enumerate(PIPELINE_WIDTHS)
    if engine != "packed" or weight_bits > 1
}  # fmt: skip
PARAMETERS = {**ACTTABLES, **WEIGHTTABLES, **CONSTANTS, **PIPELINE}
BENCHES = Path(__file__).parent / "benches"
EMITTED = {
    **{unit: ActTable(**values) for unit, values in ACTTABLES.items()},
    **{unit: WeightTable(**values) for unit, values in (WEIGHTTABLES | CONSTANTS).items()},
    "bitserial": BitSerial(rows=1, columns=1, lanes=8),
    "bitserial_binary": BitSerial(rows=2, columns=3, lanes=64, binary=True),
    **{
        unit: (BitArray if shape.engine == "bitserial" else TableArray)(shape=shape)
        for unit, shape in SHAPES.items()
    },
    **{unit: ENGINES[unit.split("_")[1]](**values) for unit, values in PIPELINE.items()},
}
EMITTED_BENCHES = ("acttable", "weighttable", "bitserial", "array", "products")
UNITS = {
    "address": LoopNest(machine=MACHINE),
    "weightserial": WeightSerial(machine=MACHINE),
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
def bench_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benches")
    if request.param == "emitted":
        sources = emit(Units(EMITTED), folder, name="units")
    else:
        source = folder / "units.v"
        source.write_text(verilog.convert(Units(UNITS), name="units", emit_src=False))
        sources = [source, handwritten.source(CHIP_MODULE)]
    environment = toolchain.verilator_environment()
    variables = [f"{name}={value}" for name, value in toolchain.make_variables().items()]
    environment["MAKEFLAGS"] = " -- " + " ".join(
        [*variables, "OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0"]
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        get_runner("verilator").build(
            sources=[Verilog(source) for source in sources],
            hdl_toplevel="units",
            build_dir=folder,
            build_args=["-Wno-fatal", "--no-timing", "--output-split", "0"],
            log_file=folder / "build.log",
        )
    return folder


@pytest.mark.parametrize(
    ("bench_folder", "bench"),
    [
        ("emitted" if path.stem.removeprefix("bench_") in EMITTED_BENCHES else "units", path.stem)
        for path in sorted(BENCHES.glob("bench_*.py"))
    ],
    indirect=["bench_folder"],
    scope="module",
)
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
        "parameters": PARAMETERS,
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
                extra_env={"BITWRIGHT_BENCH": json.dumps(settings, default=np.ndarray.tolist)},
                log_file=log,
            )
        except SystemExit:
            pytest.fail(f"{bench} failed; repeat it with BITWRIGHT_SEED={seed}\n{log.read_text()}")
