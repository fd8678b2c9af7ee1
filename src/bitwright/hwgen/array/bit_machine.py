"""The bit-serial engine with its memories and its control: the product of two matrices."""

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitwright.hwgen.array import weighted_sum
from bitwright.hwgen.array.host import READ_LATENCY, ArrayHost, connect_memory
from bitwright.hwgen.array.results import connect_results
from bitwright.hwgen.array.shape import ArrayRegister, ArrayShape, ArrayWindow, pair_layout
from bitwright.hwgen.array.weighted_sum import WeightedSum
from bitwright.hwgen.delayed import Delayed
from bitwright.hwgen.engines import bitserial
from bitwright.hwgen.engines.bitserial import BitSerial
from bitwright.hwgen.host import HostSignature
from bitwright.hwgen.isa import address_bits
from bitwright.hwgen.ram import Ram

PAIR = 2  # cycles from a step to its pair of planes
OPERANDS = PAIR + 1 + READ_LATENCY  # from a step to its bits: the pair, the address, the bits


def drain(shape: ArrayShape) -> int:
    """Cycles from the last step until its results are in their memory."""
    last = shape.delay(shape.rows - 1)
    return OPERANDS + bitserial.latency(shape.lanes) + weighted_sum.LATENCY + last


def cycles(*, blocks: int, columns: int, pairs: int, tiles: int, drain: int) -> int:
    """Cycles of a job of `blocks` blocks of rows and `columns` blocks of columns."""
    return blocks * columns * pairs * tiles + drain


class BitArray(wiring.Component):
    """C = W x A on `bitserial`. Golden function: NumPy's `W @ A`; see `bit_job`.

    For each block of rows, each block of columns, each pair of planes (in the order of their
    weight, from the highest down), each tile of lanes: a step, every cycle one.

    Members:
        host: `In(HostSignature())`; memories and registers as in `shape`.
    """

    def __init__(self, *, shape: ArrayShape) -> None:
        self.shape = shape
        super().__init__({"host": In(HostSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = self.shape
        bits = address_bits(shape.depth)
        names = ("OUTER", "TILES", "INNER", "PLANES", "WEIGHT_STRIDE", "ACTIVATION_STRIDE")
        registers = {ArrayRegister[name]: bits for name in names}
        if shape.binary:
            registers[ArrayRegister.OFFSET] = bits + bitserial.count_bits(shape.lanes) + 1
        m.submodules.port = port = ArrayHost(shape=shape, registers=registers)
        wiring.connect(m, wiring.flipped(self.host), port.host)
        m.submodules.engine = engine = BitSerial(
            rows=shape.rows, columns=shape.columns, lanes=shape.lanes, binary=shape.binary
        )
        running, left = Signal(), Signal(range(drain(shape) + 1))
        m.d.comb += port.busy.eq(running | (left != 0))
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        begin = Signal()
        m.d.sync += begin.eq(port.start & ~port.busy)
        with m.If(begin):
            m.d.sync += port.cycles.eq(0)
        with m.Elif(port.busy):
            m.d.sync += port.cycles.eq(port.cycles + 1)
        flags = self._steps(m, port, engine, begin, running, left)
        self._sums(m, port, engine, flags)
        return m

    def _steps(
        self,
        m: Module,
        port: ArrayHost,
        engine: BitSerial,
        begin: Signal,
        running: Signal,
        left: Signal,
    ) -> dict[str, Delayed]:
        """The loops, and the words that they read; returns what goes with a step's count."""
        shape = self.shape
        bits = address_bits(shape.depth)
        layout = pair_layout(shape.depth)
        pair, tile, place = Signal(bits), Signal(bits), Signal(bits)
        bases = [Signal(bits, name=f"{name}_base") for name in ("weights", "activations")]
        loops = [
            ("tile", port.register_tiles, tile, 1),
            ("pair", port.register_planes, pair, 1),
            ("column", port.register_inner, bases[1], port.register_activation_stride),
            ("block", port.register_outer, bases[0], port.register_weight_stride),
        ]
        more: Value = running
        last: dict[str, Value] = {}
        for name, trips, counter, step in loops:
            # Counts down to -1, whose sign says at once that the trip is the last.
            least, remaining = (
                Signal(signed(bits + 1), name=f"{name}_{what}", reset_less=True)
                for what in ("trips", "left")
            )
            last[name] = remaining[-1]
            end = Signal(name=f"{name}_end")
            m.d.comb += end.eq(more & remaining[-1])
            m.d.sync += least.eq(trips - 1)
            with m.If(more):
                m.d.sync += [remaining.eq(remaining - 1), counter.eq(counter + step)]
            with m.If(end | begin):
                m.d.sync += [remaining.eq(least), counter.eq(0)]
            if name == "pair":
                with m.If(end):
                    m.d.sync += place.eq(place + 1)
            more = end
        with m.If(more):
            m.d.sync += [running.eq(0), left.eq(drain(shape))]
        with m.If(begin):
            m.d.sync += [running.eq(1), place.eq(0)]

        m.submodules.pairs = pairs = Ram(width=layout.size, depth=shape.depth)
        entry = Signal(layout, reset_less=True)
        m.d.sync += entry.eq(pairs.read_data)
        m.d.comb += [
            pairs.read_address.eq(pair),
            pairs.write_enable.eq(port.write_corrections),
            pairs.write_address.eq(port.address),
            pairs.write_data.eq(port.word),
        ]
        lanes = shape.lanes
        weights = [engine.weights[lanes * row : lanes * (row + 1)] for row in range(shape.rows)]
        for window, base, words in (
            (ArrayWindow.WEIGHTS, bases[0], weights),
            (ArrayWindow.ACTIVATIONS, bases[1], [engine.activations]),
        ):
            name = window.name.lower()
            start = Delayed(m, f"{name}_start", (base + tile)[:bits])
            address = Delayed(m, f"{name}_address", (start[2] + entry[name])[:bits])
            width = shape.word_bits[window]
            memories = connect_memory(m, port, name, words, shape.depth, width=width)
            for stage, memory in enumerate(memories):
                m.d.comb += memory.address.eq(address[1 + stage])
        count = OPERANDS + bitserial.latency(shape.lanes)
        first_tile = Delayed(m, "first_tile", tile == 0)
        last_tile = Delayed(m, "last_tile", last["tile"])
        last_pair = Delayed(m, "last_pair", running & last["pair"])
        of_pair = {
            name: Delayed(m, name, entry[name]) for name in ("negate", "first", "last", "opens")
        }
        return {
            "negate": Delayed(m, "negates", of_pair["negate"][count - 1 - PAIR]),
            "first": Delayed(
                m, "firsts", first_tile[count - 1] & of_pair["first"][count - 1 - PAIR]
            ),
            "last": Delayed(m, "lasts", last_tile[count] & of_pair["last"][count - PAIR]),
            "opens": Delayed(m, "opening", of_pair["opens"][count - PAIR]),
            "write": Delayed(m, "write", last_tile[count] & last_pair[count]),
            "place": Delayed(m, "written", Delayed(m, "place", place)[count]),
        }

    def _sums(
        self, m: Module, port: ArrayHost, engine: BitSerial, flags: dict[str, Delayed]
    ) -> None:
        shape = self.shape
        bits = shape.acc_bits
        if shape.binary:
            m.d.comb += port.correction.eq(port.register_offset.as_signed())
        for row, memory in enumerate(connect_results(m, port, port.result_word)):
            m.d.comb += [
                memory.write_enable.eq(flags["write"][weighted_sum.LATENCY + row]),
                memory.write_address.eq(flags["place"][weighted_sum.LATENCY + row]),
            ]
            for column in range(shape.columns):
                number = row * shape.columns + column
                m.submodules[f"sum{number}"] = own = WeightedSum(
                    count_bits=bitserial.count_bits(shape.lanes), depth=shape.depth, acc_bits=bits
                )
                m.d.comb += [
                    own.count.eq(engine.counts[number]),
                    own.one.eq(engine.ones[number]),
                    *(
                        getattr(own, name).eq(flags[name][row])
                        for name in ("negate", "first", "last", "opens")
                    ),
                    memory.write.word_select(column, bits).eq(own.result),
                ]
