"""Whole machines with a bus on their pins: what goes into a design or onto a board.

Every member of a top is a pin with the name that the bus standard uses; `clk` and `rst`
(synchronous, active high) are added when the Verilog is written.
"""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.ports.axi4_master import Axi4Master
from bitwright.hwgen.ports.axi4lite import Axi4LiteBridge
from bitwright.hwgen.ports.memory_port import ReadPortSignature
from bitwright.hwgen.ports.uart import UartBridge
from bitwright.hwgen.ports.wishbone import WishboneBridge
from bitwright.hwgen.ports.wishbone_master import WishboneMaster
from bitwright.ir.machine import BURST_WORDS
from bitwright.targets.serial_frames import SILENCE_BYTES


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


class UartTop(wiring.Component):
    """A machine on a serial line, pins `uart_rx` and `uart_tx`.

    Args:
        core: any component with a `host` port.
        divisor: clock cycles per bit.
        silence_bytes: see `UartBridge`.
    """

    module_name = "bitwright_uart"

    def __init__(
        self, *, core: wiring.Component, divisor: int, silence_bytes: int = SILENCE_BYTES
    ) -> None:
        self._core = core
        self._bridge = UartBridge(divisor=divisor, silence_bytes=silence_bytes)
        super().__init__({"uart_rx": In(1, init=1), "uart_tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = self._core
        m.submodules.bridge = self._bridge
        wiring.connect(m, self._bridge.host, self._core.host)
        m.d.comb += [self._bridge.rx.eq(self.uart_rx), self.uart_tx.eq(self._bridge.tx)]
        return m
