"""Every hardware unit is in a design whose Verilog Verilator has nothing to say against."""

import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import unsigned
from amaranth.lib import wiring

from bitwright import hwgen
from bitwright.hwgen.array.bit_machine import BitArray
from bitwright.hwgen.array.machine import TableArray
from bitwright.hwgen.array.shape import ArrayShape
from bitwright.hwgen.core import Core
from bitwright.hwgen.engines.constant import full_range, unroll
from bitwright.hwgen.memory_model import FixedLatency, mt48lc16m16
from bitwright.hwgen.ports.axi4_master import Axi4Master
from bitwright.hwgen.ports.wishbone_master import WishboneMaster
from bitwright.hwgen.simulated_memory import SimulatedMemory
from bitwright.hwgen.simulated_system import SimulatedBoard, SimulatedSystem
from bitwright.hwgen.tops import Axi4LiteTop, UartTop, WishboneTop, emit_buses
from bitwright.hwgen.unrolled import Unrolled
from bitwright.hwgen.verilog import VerilogPlatform, emit, lint_arguments
from bitwright.ir.dataflow import Tensor, Thresholds
from bitwright.ir.machine import Machine
from bitwright.rtl_sim import toolchain

MACHINE = Machine(
    lanes=4, rows=8, requant_lanes=2, acc_bits=24, act_words=300, in_words=80,
    out_words=50, weight_words=400, param_words=128, tables=2, program_words=256,
)  # fmt: skip
STREAMED = replace(MACHINE, weight_words=256, memory="sdram", memory_mhz=80)
FIXED = replace(STREAMED, memory="fixed", memory_latency=3, memory_mhz=0)
PRODUCTS = replace(MACHINE, engine="dsp", pixels=4, banks=8, multiplier_blocks=37)
ADDS = replace(
    MACHINE, lanes=8, engine="dsp", pixels=2, banks=4, multiplier_blocks=20, fused_adds=1
)  # fmt: skip
PAIRS = replace(PRODUCTS, requant_pixels=2, out_words=51, multiplier_bits=31, acc_bits=21)
DESIGNS: dict[str, Callable[[], wiring.Component]] = {
    "bitwright_wb": lambda: WishboneTop(core=Core(machine=MACHINE)),
    **{
        f"array_{engine}": partial(
            array, shape=ArrayShape(engine=engine, rows=4, lanes=32, depth=64)
        )
        for engine, array in (
            ("acttable", TableArray),
            ("weighttable", TableArray),
            ("bitserial", BitArray),
        )
    },
    "bitwright_axil": lambda: Axi4LiteTop(core=Core(machine=MACHINE)),
    "bitwright_products": lambda: WishboneTop(core=Core(machine=PRODUCTS)),
    "bitwright_streamed_board": lambda: SimulatedBoard(machine=STREAMED, divisor=12),
    "bitwright_adds": lambda: WishboneTop(core=Core(machine=ADDS)),
    "bitwright_pairs": lambda: WishboneTop(core=Core(machine=PAIRS)),
    "bitwright_uart": lambda: UartTop(core=Core(machine=MACHINE), divisor=12),
}
# Those of pipelines are in the designs of `dataflow/`.
PIPELINES = ("bitwright.hwgen.dataflow.", "bitwright.hwgen.serial_product")
# Units that stand alone, without what a standard bus has and they do not need.
UNITS: dict[str, Callable[[], wiring.Component]] = {
    "wishbone_master": lambda: WishboneMaster(),
    "axi4_master": lambda: Axi4Master(data_bits=64),
    "fixed_memory": lambda: SimulatedMemory(timing=FixedLatency(first=3), depth=256),
    "fixed_system": lambda: SimulatedSystem(
        top=Axi4LiteTop(core=Core(machine=FIXED)), machine=FIXED, words=512
    ),
    "unrolled": lambda: _unrolled(),
    "sdram": lambda: SimulatedMemory(timing=mt48lc16m16(100), depth=256),
}


def _unrolled() -> Unrolled:
    weights = np.random.default_rng(0).integers(-1, 2, (6, 8))
    result = Tensor(name="y", channels=6, height=1, width=1, bits=2, signed=False)
    levels = np.tile([0, 2, 4], (6, 1))
    output = Thresholds(bias=np.zeros(6, np.int64), levels=levels, least=0)
    layer = unroll(weights, [full_range(2, False)] * 8, output, result)
    return Unrolled(layers=[layer], activation_shape=unsigned(2))


def _lint(top: str, files: list[Path], *, memory: bool, unit: bool = False) -> None:
    command = [*toolchain.verilator(), "--lint-only", *lint_arguments(memory=memory)]
    command += ["-Wno-UNUSEDSIGNAL"] if unit else []
    command += ["--top-module", top, *map(str, files)]
    toolchain.call("Verilator", command, files[0].parent, toolchain.verilator_environment())


def _units() -> set[type[wiring.Component]]:
    """All components of the room `hwgen`, without the bases of others."""
    found: set[type[wiring.Component]] = set()
    for module in pkgutil.walk_packages(hwgen.__path__, f"{hwgen.__name__}."):
        if module.name.startswith(PIPELINES):
            continue
        for _, value in inspect.getmembers(import_module(module.name), inspect.isclass):
            if issubclass(value, wiring.Component) and value.__module__ == module.name:
                found.add(value)
    return {unit for unit in found if not unit.__subclasses__()}


@pytest.mark.parametrize("name", [*DESIGNS, *UNITS])
def test_lint(name: str, tmp_path: Path) -> None:
    files = emit((DESIGNS | UNITS)[name](), tmp_path, name=name)
    _lint(name, files, memory="streamed" in name, unit=name in UNITS)


@pytest.mark.parametrize("machine", [MACHINE, STREAMED], ids=["plain", "streamed"])
def test_lint_of_both_buses(machine: Machine, tmp_path: Path) -> None:
    emit_buses(Core(machine=machine), tmp_path)
    for bus in ("wb", "axil"):
        _lint(f"bitwright_{bus}", sorted((tmp_path / bus).glob("*.v")), memory=machine.streams)


def test_every_unit_is_in_a_design(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: set[type] = set()
    construct = wiring.Component.__init__

    def noted(self: wiring.Component, *arguments: object, **options: object) -> None:
        made.add(type(self))
        construct(self, *arguments, **options)

    monkeypatch.setattr(wiring.Component, "__init__", noted)
    emit_buses(Core(machine=MACHINE), tmp_path)
    for make in (DESIGNS | UNITS).values():
        rtlil.convert(make(), platform=VerilogPlatform())
    missing = sorted(f"{unit.__module__}.{unit.__name__}" for unit in _units() - made)
    assert not missing, f"in no design of this test, so its Verilog is not checked: {missing}"
