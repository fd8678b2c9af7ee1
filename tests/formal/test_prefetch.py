"""The weight streamer: every word at its place, none into the half that is being read."""

from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, Signal
from proof import Proof, refuted
from tokens import free

from bitwright.hwgen.prefetch import WeightStreamer

DEPTH = 4
SLICES = 2
SLICE_BITS = 8


class Streamed(Elaboratable):
    """Any layers, a master of any speed that gives exactly the words that it was asked for."""

    def __init__(self, streamer: WeightStreamer) -> None:
        self._streamer = streamer

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.streamer = streamer = self._streamer
        layer, port = streamer.layer, streamer.port
        payload = layer.payload
        m.d.comb += [
            layer.valid.eq(free(m, name="layer_valid")),
            payload.eq(free(m, len(payload.as_value()), name="layer_payload")),
            port.command.ready.eq(free(m, name="command_ready")),
            port.read_data.valid.eq(free(m, name="data_valid")),
            port.read_data.payload.eq(free(m, SLICE_BITS, name="data")),
            streamer.release.eq(free(m, name="release") & streamer.loaded),
            Assume(~layer.valid | (payload.words != 0) & (payload.words <= DEPTH)),
        ]
        taken, gives, writes = Signal(), Signal(), streamer.write_enable
        m.d.comb += [
            taken.eq(layer.valid & layer.ready),
            gives.eq(port.read_data.valid),
            Assert(taken == (port.command.valid & port.command.ready)),
            Assert(~taken | (port.command.payload.address == payload.address)),
            Assert(~taken | (port.command.payload.words == SLICES * payload.words)),
            Assert(~port.command.valid | ~port.command.payload.write),
            Assert(port.read_data.ready),
        ]

        owed = Signal(range(SLICES * DEPTH + 1))  # port words that the master has not given
        words = Signal(range(DEPTH + 1))  # of the layer at hand; 0: none
        written = Signal.like(words)
        full = Signal(2)
        parts = Signal(SLICES * SLICE_BITS)  # the last port words
        m.d.comb += Assume((owed != 0) | ~gives)
        m.d.sync += owed.eq(Mux(taken, SLICES * payload.words, owed - gives))
        with m.If(gives):
            m.d.sync += parts.eq(Cat(parts, port.read_data.payload)[SLICE_BITS:])
        ends = Signal()
        m.d.comb += ends.eq(writes & (written + 1 == words))
        with m.If(taken):
            m.d.sync += [words.eq(payload.words), written.eq(0)]
        with m.Elif(ends):
            m.d.sync += [words.eq(0), written.eq(0)]
        with m.Elif(writes):
            m.d.sync += written.eq(written + 1)
        m.d.sync += full.eq(full + ends - streamer.release)
        half, read_half = Signal(), Signal()
        m.d.sync += [half.eq(half ^ ends), read_half.eq(read_half ^ streamer.release)]
        m.d.comb += [
            Assert(~taken | (words == 0) & (owed == 0) & (full != 2)),
            Assert(~writes | (words != 0) & (full != 2)),
            Assert(~writes | (streamer.write_address == written)),
            Assert(~writes | (streamer.write_data == parts)),
            Assert(~writes | (full == 0) | (streamer.write_half != streamer.read_half)),
            Assert(streamer.write_half == half),
            Assert(streamer.read_half == read_half),
            Assert((full != 0) == streamer.loaded),
            Assert(words <= DEPTH),
            Assert((full <= 2) & ((words == 0) | (full != 2))),
            Assert((half != read_half) == (full == 1)),
            # The words that are written and those that are owed make the layer.
            Assert(written + writes + (owed + 1)[1:] == words),
            # Never stuck: a layer is asked for as soon as a half is free and the last one is there.
            Assert(port.command.valid == (layer.valid & (words == 0) & (full != 2))),
        ]
        return m


def streamed(unit: type = WeightStreamer) -> Streamed:
    return Streamed(
        unit(
            width=SLICES * SLICE_BITS, depth=DEPTH, data_bits=SLICE_BITS, port_address_bits=5,
            words_bits=4,
        )
    )  # fmt: skip


def test_weight_streamer(prove) -> None:
    prove(
        "WeightStreamer",
        Proof(
            claim="every word of every layer once, at its place, in the half that is not read",
            spec=streamed,
            depth=3,
            invariants=(
                "(= [spec.streamer.loading] (not (= [spec.words] #b000)))",
                "(=> [spec.streamer.loading] (= [spec.streamer.left] "
                "(bvsub [spec.words] [spec.written])))",
                "(=> [spec.streamer.loading] (= [spec.streamer.word] [spec.written]))",
                "(= [spec.streamer.part] (= ((_ extract 0 0) [spec.owed]) #b1))",
                "(= [spec.streamer.parts] [spec.parts])",
                "(= [spec.streamer.halves.full] [spec.full])",
            ),
        ),
        *refuted(
            streamed,
            WeightStreamer,
            16,
            ("loads over a half that is read", "~loading & ~halves.full[1]", "~loading"),
            ("takes a layer too early", "layer.valid & ~loading &", "layer.valid &"),
            ("writes the wrong half", "self.write_half.eq(halves.write_bank)",
             "self.write_half.eq(halves.read_bank)"),
        ),
    )  # fmt: skip
