"""Whole machines with a bus on their pins: what goes into a design or onto a board.

Every member of a top is a pin with the name that the bus standard uses; `clk` and `rst`
(synchronous, active high) are added when the Verilog is written.
"""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.ports.axi4lite import Axi4LiteBridge
from bitwright.hwgen.ports.uart import UartBridge
from bitwright.hwgen.ports.wishbone import WishboneBridge
from bitwright.targets.serial_frames import SILENCE_BYTES


class _BusTop(wiring.Component):
    """A core and a bridge, with the members of the bridge's bus as pins."""

    def __init__(
        self, core: wiring.Component, bridge: WishboneBridge | Axi4LiteBridge, prefix: str
    ) -> None:
        self._core = core
        self._bridge = bridge
        members = bridge.bus.signature.members
        self._pins = {name: f"{prefix}_{name}" for name in members}
        super().__init__({self._pins[name]: member for name, member in members.items()})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = self._core
        m.submodules.bridge = self._bridge
        wiring.connect(m, self._bridge.host, self._core.host)
        for name, member in self._bridge.bus.signature.members.items():
            pin = getattr(self, self._pins[name])
            inner = getattr(self._bridge.bus, name)
            m.d.comb += inner.eq(pin) if member.flow == In else pin.eq(inner)
        return m


class WishboneTop(_BusTop):
    """A machine on Wishbone B4, pins `wb_*`; `core` is any component with a `host` port."""

    module_name = "bitwright_wb"

    def __init__(self, *, core: wiring.Component) -> None:
        super().__init__(core, WishboneBridge(), "wb")


class Axi4LiteTop(_BusTop):
    """A machine on AXI4-Lite, pins `s_axil_*`; `core` is any component with a `host` port."""

    module_name = "bitwright_axil"

    def __init__(self, *, core: wiring.Component) -> None:
        super().__init__(core, Axi4LiteBridge(), "s_axil")


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
