"""The overlay machine without a bus: everything behind the host port."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitwright.hwgen.host import HostSignature
from bitwright.ir.machine import Machine


class Core(wiring.Component):
    """One overlay machine.

    Members:
        host: `In(HostSignature())`; memories and registers as in `host.py`.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        super().__init__({"host": In(HostSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        return m
