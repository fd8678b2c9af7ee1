"""Whole machines with a bus on their pins: what goes into a design or onto a board.

Every member of a top is a pin with the name that the bus standard uses; `clk` and `rst`
(synchronous, active high) are added when the Verilog is written.
"""

import shutil
from pathlib import Path
from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.memory_model import Sdram
from bitwright.hwgen.ports.axi4_master import Axi4Master
from bitwright.hwgen.ports.axi4lite import Axi4LiteBridge
from bitwright.hwgen.ports.memory_port import ReadPortSignature
from bitwright.hwgen.ports.memory_window import MemoryWindow
from bitwright.hwgen.ports.uart import UartBridge
from bitwright.hwgen.ports.wishbone import WishboneBridge
from bitwright.hwgen.ports.wishbone_master import WishboneMaster
from bitwright.hwgen.sdram import SdramController
from bitwright.hwgen.verilog import emit
from bitwright.ir.machine import BURST_WORDS
from bitwright.targets.serial_frames import SILENCE_BYTES

SDRAM_PREFIX = "sdram_"
CORE = "bitwright_core"


class _BusTop(wiring.Component):
    """A core, a bridge and, where the core has external memory, its master: with the members of
    both buses as pins."""

    def __init__(
        self, core: wiring.Component, bridge: WishboneBridge | Axi4LiteBridge, prefix: str,
        master: type[WishboneMaster] | type[Axi4Master], master_prefix: str,
    ) -> None:  # fmt: skip
        self._core = core
        self._bridge = bridge
        self._master = _master(core, master)
        buses: list[tuple[str, Any]] = [(prefix, bridge.bus)]
        if self._master is not None:
            buses.append((master_prefix, self._master.bus))
        self._buses = buses
        super().__init__(
            {
                f"{start}_{name}": member
                for start, bus in buses
                for name, member in bus.signature.members.items()
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = self._core
        m.submodules.bridge = self._bridge
        wiring.connect(m, self._bridge.host, self._core.host)
        if self._master is not None:
            m.submodules.master = self._master
            memory, port = self._core.memory, self._master.port
            wiring.connect(m, memory.command, port.command)
            wiring.connect(m, port.read_data, memory.read_data)
            m.d.comb += memory.failed.eq(port.failed)
        for start, bus in self._buses:
            for name, member in bus.signature.members.items():
                pin, inner = getattr(self, f"{start}_{name}"), getattr(bus, name)
                m.d.comb += inner.eq(pin) if member.flow == In else pin.eq(inner)
        return m


def _master(core: wiring.Component, kind: type[Any]) -> Any:
    """The master for the memory port of `core`, if it has one."""
    if "memory" not in core.signature.members:
        return None
    port = core.signature.members["memory"].signature
    assert isinstance(port, ReadPortSignature), "the core's memory is one"
    return kind(burst_words=BURST_WORDS, **port.parameters)


class WishboneTop(_BusTop):
    """A machine on Wishbone B4, pins `wb_*`; `core` is any component with a `host` port.

    Its external memory is on another Wishbone B4 bus with bursts, pins `wbm_*`.
    """

    module_name = "bitwright_wb"

    def __init__(self, *, core: wiring.Component) -> None:
        super().__init__(core, WishboneBridge(), "wb", WishboneMaster, "wbm")


class Axi4LiteTop(_BusTop):
    """A machine on AXI4-Lite, pins `s_axil_*`; `core` is any component with a `host` port.

    Its external memory is on AXI4, pins `m_axi_*`.
    """

    module_name = "bitwright_axil"

    def __init__(self, *, core: wiring.Component) -> None:
        super().__init__(core, Axi4LiteBridge(), "s_axil", Axi4Master, "m_axi")


class _WrittenCore(wiring.Component):
    """A core whose Verilog is written already, as the module `CORE`."""

    def __init__(self, core: wiring.Component) -> None:
        super().__init__(core.signature)

    def elaborate(self, platform: object) -> Instance:
        ports = {
            f"{'i' if member.flow == In else 'o'}_{'__'.join(map(str, path))}": value
            for path, member, value in self.signature.flatten(self)
        }
        return Instance(CORE, i_clk=ClockSignal(), i_rst=ResetSignal(), **ports)


def emit_buses(core: wiring.Component, folder: Path) -> None:
    """Write `core` on each bus that a design may have: on Wishbone into `folder/wb`, on AXI4-Lite
    into `folder/axil`, with all modules that they need.

    The core, nearly all of it, is made once and copied.
    """
    shared: list[Path] = []
    for top in (WishboneTop, Axi4LiteTop):
        place = folder / top.module_name.removeprefix("bitwright_")
        emit(top(core=_WrittenCore(core)), place, name=top.module_name)
        for file in shared:
            shutil.copyfile(file, place / file.name)
        shared = shared or emit(core, place, name=CORE)


class UartTop(wiring.Component):
    """A machine on a serial line, pins `uart_rx` and `uart_tx`.

    Where it has external memory, there are the pins `sdram_*` of a chip, too (see
    `SdramController`), which the host reads and writes from `EXTERNAL_BASE` on.

    Args:
        core: any component with a `host` port.
        divisor: clock cycles per bit.
        silence_bytes: see `UartBridge`.
        sdram: the cycles of that chip.
    """

    module_name = "bitwright_uart"

    def __init__(
        self, *, core: wiring.Component, divisor: int, silence_bytes: int = SILENCE_BYTES,
        sdram: Sdram | None = None,
    ) -> None:  # fmt: skip
        self._core = core
        self._bridge = UartBridge(divisor=divisor, silence_bytes=silence_bytes)
        self._master = _master(core, WishboneMaster)
        pins: dict[str, wiring.Member] = {}
        if self._master is not None:
            assert sdram is not None, "the cycles of its external memory are known"
            sizes = core.signature.members["memory"].signature.parameters
            bits = sizes["address_bits"]
            self._window = MemoryWindow(address_bits=bits, words_bits=sizes["words_bits"])
            self._controller = SdramController(timing=sdram, address_bits=bits)
            chip = self._controller.chip.signature.members
            pins = {f"{SDRAM_PREFIX}{name}": member for name, member in chip.items()}
        super().__init__({"uart_rx": In(1, init=1), "uart_tx": Out(1, init=1), **pins})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = self._core
        m.submodules.bridge = self._bridge
        m.d.comb += [self._bridge.rx.eq(self.uart_rx), self.uart_tx.eq(self._bridge.tx)]
        if self._master is None:
            wiring.connect(m, self._bridge.host, self._core.host)
            return m
        m.submodules.window = window = self._window
        m.submodules.master = master = self._master
        m.submodules.controller = controller = self._controller
        wiring.connect(m, self._bridge.host, window.host)
        wiring.connect(m, window.core, self._core.host)
        wiring.connect(m, self._core.memory, window.weights)
        wiring.connect(m, window.port, master.port)
        wiring.connect(m, master.bus, controller.bus)
        for name, member in controller.chip.signature.members.items():
            pin, inner = getattr(self, f"{SDRAM_PREFIX}{name}"), getattr(controller.chip, name)
            m.d.comb += inner.eq(pin) if member.flow == In else pin.eq(inner)
        return m
