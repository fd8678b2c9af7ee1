"""The one memory of the machine: a read port and a write port, both synchronous."""

from typing import Protocol, runtime_checkable

from amaranth.hdl import ClockSignal, Instance, Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.isa import address_bits
from bitwright.ir.machine import COLUMN_BITS, MachineError

RAM_MODULE = "bitwright_ram"
EXTERNAL = "external"  # the contents of a simulated external memory
COPY_SUFFIX = "_copy"  # ends the name of a register that tools must not merge with its equals


@runtime_checkable
class RamPlatform(Protocol):
    """An Amaranth platform on which `Ram` is an instance of the Verilog module `bitwright_ram`."""

    def ram_init_file(self, contents: str, first: int, width: int) -> str:
        """Path of the `$readmemh` file for `width` bits from bit `first` on of the words of the
        memory called `contents`, or "" for none."""
        ...


def parts(width: int, columns: int) -> list[int]:
    """Widths of a memory's `columns`, and of the rest."""
    found = [min(COLUMN_BITS, width - COLUMN_BITS * number) for number in range(columns)]
    return [*found, width - sum(found)] if sum(found) < width else found


class Ram(wiring.Component):
    """`depth` words of `width` bits.

    `read_data` follows `read_address` by one cycle. What a read returns of a word that is
    written in the same cycle is undefined. Golden function: a list.

    Args:
        contents: name of what it holds; names the power-up file.
        columns: so many columns of bits are memories of their own to synthesis.

    Members:
        read_address, read_data, write_enable, write_address, write_data.
    """

    def __init__(self, *, width: int, depth: int, contents: str = "", columns: int = 0) -> None:
        if width < 1 or depth < 1:
            raise MachineError(
                f"Ram {contents or '(unnamed)'} has width {width} and depth {depth}; expected both "
                f"to be at least 1"
            )
        self.width = width
        self.depth = depth
        self.contents = contents
        self._parts = parts(width, columns)
        bits = address_bits(depth)
        super().__init__(
            {
                "read_address": In(bits),
                "read_data": Out(width),
                "write_enable": In(1),
                "write_address": In(bits),
                "write_data": In(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if isinstance(platform, RamPlatform):
            first = 0
            for number, width in enumerate(self._parts):
                bits = slice(first, first + width)
                m.submodules[f"ram{number or ''}"] = Instance(
                    RAM_MODULE,
                    p_WIDTH=width,
                    p_DEPTH=self.depth,
                    p_ADDRESS=address_bits(self.depth),
                    p_INIT_FILE=platform.ram_init_file(self.contents, first, width),
                    i_clk=ClockSignal(),
                    i_read_address=self.read_address,
                    o_read_data=self.read_data[bits],
                    i_write_enable=self.write_enable,
                    i_write_address=self.write_address,
                    i_write_data=self.write_data[bits],
                )
                first += width
            return m
        m.submodules.ram = ram = memory.Memory(shape=self.width, depth=self.depth, init=[])
        read, write = ram.read_port(), ram.write_port()
        m.d.comb += [
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
        ]
        return m
