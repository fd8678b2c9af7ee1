"""Loads the weights of the next layer while the machine computes this one."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.banks import PingPong
from bitwright.hwgen.isa import address_bits
from bitwright.hwgen.memory_model import MemoryState, MemoryTiming, wishbone_transfer
from bitwright.hwgen.ports.memory_port import MemoryPortSignature
from bitwright.ir.machine import MachineError

FILL_CYCLES = 3  # from the acknowledgement of a layer's last word to `loaded`


class WeightStreamer(wiring.Component):
    """Fills one half of a weight memory of two halves while the other one is read.

    A memory word of `width` bits lies in external memory as consecutive words of the port, the
    lowest bits first. Golden function of its time: `predict`.

    Args:
        width: of a word of the weight memory.
        depth: words of one half.
        data_bits, port_address_bits, words_bits: of the memory port.

    Members:
        layer: stream of layers: the first port word, and the number of words of the weight memory
            (1 to `depth`) that go to word 0 of a half and following.
        port: for a master of external memory; it only reads, and takes every word at once.
        write_enable, write_half, write_address, write_data: write port of the weight memory.
        loaded: `read_half` holds the weights of the oldest layer that has not been released.
        release: one cycle: they are no longer needed.
    """

    def __init__(
        self, *, width: int, depth: int, data_bits: int = 32, port_address_bits: int = 26,
        words_bits: int = 20,
    ) -> None:  # fmt: skip
        self._slices = -(-width // data_bits)
        if width < 1 or depth < 1:
            raise MachineError(
                f"WeightStreamer has width {width} and depth {depth}; expected both to be at "
                f"least 1"
            )
        if depth * self._slices >> words_bits:
            raise MachineError(
                f"WeightStreamer fills {depth} words of {self._slices} port words each; expected "
                f"fewer than {1 << words_bits} port words, as many as a command can ask for"
            )
        self._width = width
        self._depth = depth
        self._data_bits = data_bits
        super().__init__(
            {
                "layer": In(
                    stream.Signature(
                        data.StructLayout({"address": port_address_bits, "words": range(depth + 1)})
                    )
                ),
                "port": Out(
                    MemoryPortSignature(
                        data_bits=data_bits, address_bits=port_address_bits, words_bits=words_bits
                    )
                ),
                "write_enable": Out(1),
                "write_half": Out(1),
                "write_address": Out(address_bits(depth)),
                "write_data": Out(width),
                "loaded": Out(1),
                "read_half": Out(1),
                "release": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layer, port = self.layer, self.port
        m.submodules.halves = halves = PingPong()
        loading = Signal()
        asks = Signal()
        word = Signal(range(self._depth + 1))
        left = Signal.like(word)  # words of the layer that have not been written
        part = Signal(range(self._slices))
        parts = Signal(self._slices * self._data_bits, reset_less=True)
        last = Signal()
        m.d.comb += [
            asks.eq(layer.valid & ~loading & ~halves.full[1]),
            port.command.valid.eq(asks),
            port.command.payload.address.eq(layer.payload.address),
            port.command.payload.words.eq(layer.payload.words * self._slices),
            port.command.payload.write.eq(0),
            layer.ready.eq(asks & port.command.ready),
            port.read_data.ready.eq(1),
            self.write_half.eq(halves.write_bank),
            self.write_address.eq(word),
            self.write_data.eq(parts),
            last.eq(self.write_enable & (left == 1)),
            halves.fill.eq(last),
            halves.drain.eq(self.release),
            self.loaded.eq(halves.full != 0),
            self.read_half.eq(halves.read_bank),
        ]
        with m.If(layer.valid & layer.ready):
            m.d.sync += [loading.eq(1), left.eq(layer.payload.words), word.eq(0)]
        m.d.sync += self.write_enable.eq(port.read_data.valid & (part == self._slices - 1))
        with m.If(port.read_data.valid):
            m.d.sync += [
                parts.eq(Cat(parts, port.read_data.payload)[self._data_bits :]),
                part.eq(part + 1),
            ]
            with m.If(part == self._slices - 1):
                m.d.sync += part.eq(0)
        with m.If(self.write_enable):
            m.d.sync += [word.eq(word + 1), left.eq(left - 1)]
        with m.If(last):
            m.d.sync += loading.eq(0)
        return m


@dataclass(frozen=True)
class Layer:
    """A layer whose weights are streamed.

    Attributes:
        address: first word of its weights in external memory.
        words: words of the weight memory.
        compute_cycles: how long it reads them, `release` in the last of these cycles.
    """

    address: int
    words: int
    compute_cycles: int


@dataclass(frozen=True)
class Span:
    """Cycles of a layer: its command is taken, its weights are there, it begins, it has ended.

    In cycle `end` the next layer may begin; `release` is in the cycle before.
    """

    load: int
    loaded: int
    begin: int
    end: int


def predict(
    layers: Sequence[Layer], timing: MemoryTiming, *, width: int, data_bits: int = 32,
    burst_words: int = 64,
) -> list[Span]:  # fmt: skip
    """When each layer is loaded and computed, behind a `WishboneMaster`, from cycle 0 on.

    A layer begins in the first cycle in which its weights are loaded and the one before it has
    ended.
    """
    memory = MemoryState(timing)
    slices = -(-width // data_bits)
    spans: list[Span] = []
    for number, layer in enumerate(layers):
        load = spans[-1].loaded if spans else 0
        if number >= 2:
            load = max(load, spans[-2].end)
        words = layer.words * slices
        end = wishbone_transfer(
            memory, load, layer.address, words, write=False, burst_words=burst_words
        )
        loaded = end + FILL_CYCLES
        begin = max(loaded, spans[-1].end) if spans else loaded
        spans.append(Span(load, loaded, begin, begin + layer.compute_cycles))
    return spans
