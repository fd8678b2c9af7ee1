"""A table engine with its memories and its control: the product of two matrices."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitwright.hwgen.array import row_sum
from bitwright.hwgen.array.control import PERIOD_BITS, PLANE_BITS, TableControl
from bitwright.hwgen.array.host import READ_LATENCY, ArrayHost, connect_memory
from bitwright.hwgen.array.results import connect_results
from bitwright.hwgen.array.row_sum import RowSum
from bitwright.hwgen.array.shape import INNER_BITS, ArrayRegister, ArrayShape, ArrayWindow
from bitwright.hwgen.delayed import Delayed
from bitwright.hwgen.engines import acttable, weighttable
from bitwright.hwgen.engines.acttable import ActTable
from bitwright.hwgen.engines.weighttable import WeightTable
from bitwright.hwgen.host import HostSignature
from bitwright.hwgen.isa import address_bits
from bitwright.hwgen.ram import Ram


def fill_words(shape: ArrayShape) -> int:
    """Cycles that write the tables of one tile."""
    if shape.engine == "acttable":
        return acttable.ENTRIES
    return weighttable.fill_cycles(shape.rows)


def shortest_period(shape: ArrayShape) -> int:
    """Cycles from the first word of a tile's tables until they can be used."""
    return acttable.FILL if shape.engine == "acttable" else fill_words(shape)


def drain(shape: ArrayShape) -> int:
    """Cycles from the last period until its results are in their memory."""
    last = shape.delay(shape.rows - 1)
    return READ_LATENCY + acttable.latency(shape.lanes) + row_sum.LATENCY + 1 + last


class TableArray(wiring.Component):
    """C = W x A on `acttable` or `weighttable`. Golden function: NumPy's `W @ A`; see `job`.

    Members:
        host: `In(HostSignature())`; memories and registers as in `shape`.
    """

    def __init__(self, *, shape: ArrayShape) -> None:
        self.shape = shape
        super().__init__({"host": In(HostSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = self.shape
        on_activations = shape.engine == "acttable"
        bits = address_bits(shape.depth)
        registers = {
            ArrayRegister.OUTER: bits - INNER_BITS,
            ArrayRegister.TILES: bits,
            ArrayRegister.INNER: INNER_BITS,
            ArrayRegister.PLANES: PLANE_BITS,
            ArrayRegister.PERIOD: PERIOD_BITS,
            ArrayRegister.SIGNED: 1,
        }
        m.submodules.port = port = ArrayHost(shape=shape, registers=registers)
        wiring.connect(m, wiring.flipped(self.host), port.host)
        m.submodules.control = control = TableControl(
            fill=fill_words(shape), bits=bits, drain=drain(shape)
        )
        if on_activations:
            engine = ActTable(
                rows=shape.rows, lanes=shape.lanes, activation_bits=shape.activation_bits
            )
            tables, planes = Value.cast(engine.activations), shape.weight_bits
        else:
            engine = WeightTable(rows=shape.rows, lanes=shape.lanes, weight_bits=shape.weight_bits)
            tables, planes = engine.tables, shape.activation_bits
        m.submodules.engine = engine
        if on_activations:
            bits = shape.lanes
            digits = [engine.digits[bits * own.start : bits * own.stop] for own in shape.stages]
        else:
            digits = [Value.cast(engine.digits)]
        weights, activations = (
            connect_memory(m, port, window.name.lower(), words, shape.depth,
                           width=shape.word_bits[window])
            for window, words in (
                (ArrayWindow.WEIGHTS, digits if on_activations else [tables]),
                (ArrayWindow.ACTIVATIONS, [tables] if on_activations else digits),
            )
        )  # fmt: skip
        fills, uses = (activations, weights) if on_activations else (weights, activations)
        index = Delayed(m, "index", control.index)
        begin = Signal()
        m.d.sync += begin.eq(port.start & ~control.busy)
        m.d.comb += [
            control.start.eq(begin),
            *(
                getattr(control, name).eq(getattr(port, f"register_{name}"))
                for name in ("outer", "tiles", "inner", "planes", "period")
            ),
            port.busy.eq(control.busy),
            fills[0].address.eq(control.table if on_activations else control.word),
            *(memory.address.eq(index[stage]) for stage, memory in enumerate(uses)),
            engine.fill.eq(Delayed(m, "fill", control.write)[READ_LATENCY]),
            engine.entry.eq(Delayed(m, "entry", control.count)[READ_LATENCY]),
            engine.fill_bank.eq(Delayed(m, "fill_bank", control.write_bank)[READ_LATENCY]),
            engine.bank.eq(Delayed(m, "bank", control.bank)[READ_LATENCY]),
        ]
        with m.If(begin):
            m.d.sync += port.cycles.eq(0)
        with m.Elif(control.busy):
            m.d.sync += port.cycles.eq(port.cycles + 1)
        self._results(m, port, control, engine, planes)
        self._corrections(m, port, control, engine)
        return m

    def _results(
        self, m: Module, port: ArrayHost, control: TableControl,
        engine: ActTable | WeightTable, planes: int,
    ) -> None:  # fmt: skip
        shape = self.shape
        plane_bits = engine.sums[0].shape().width
        done = READ_LATENCY + acttable.latency(shape.lanes)  # from a step to its plane's sum
        first = Delayed(m, "first", control.first_plane)
        negate = Delayed(m, "negate", control.first_plane & port.register_signed)
        first_tile = Delayed(m, "first_tile", control.first_tile)
        result = Delayed(m, "result", control.result)
        finished = Delayed(m, "finished", control.step & control.last_plane)
        read_address = Mux(control.busy, result[done - 2], port.result_word)
        bits = shape.acc_bits
        for stage, memory in enumerate(connect_results(m, port, read_address)):
            m.d.comb += [
                memory.write_enable.eq(finished[done + row_sum.LATENCY + stage]),
                memory.write_address.eq(result[done + row_sum.LATENCY + stage]),
            ]
            for place, number in enumerate(shape.stages[stage]):
                row = RowSum(plane_bits=plane_bits, term_bits=plane_bits + planes, acc_bits=bits)
                m.submodules[f"row_sum{number}"] = row
                m.d.comb += [
                    row.first.eq(first[done - 1 + stage]),
                    row.negate.eq(negate[done - 1 + stage]),
                    row.first_tile.eq(first_tile[done + stage]),
                    row.plane.eq(engine.sums[number]),
                    row.carry.eq(engine.carries[number]),
                    row.old.eq(memory.read.word_select(place, bits).as_signed()),
                    memory.write.word_select(place, bits).eq(row.new),
                ]

    def _corrections(
        self, m: Module, port: ArrayHost, control: TableControl, engine: ActTable | WeightTable
    ) -> None:
        """What the digits of a result have too much: of the host, or the activations' sums."""
        shape = self.shape
        m.submodules.corrections = ram = Ram(width=shape.acc_bits, depth=shape.depth)
        correction = Signal(shape.acc_bits, reset_less=True)
        m.d.sync += correction.eq(ram.read_data)
        m.d.comb += port.correction.eq(correction.as_signed())
        outer = port.result_word[INNER_BITS:]
        if isinstance(engine, WeightTable):
            m.d.comb += [
                ram.read_address.eq(Cat(port.result_number, outer)),
                ram.write_enable.eq(port.write_corrections),
                ram.write_address.eq(port.address),
                ram.write_data.eq(port.word),
            ]
            return
        delay = READ_LATENCY + acttable.total_latency(shape.lanes)
        last_entry = control.write & (control.count == acttable.ENTRIES - 1)
        ready = Delayed(m, "total_ready", last_entry)
        begins = Delayed(m, "total_first", control.write_first)[delay]
        last = Delayed(m, "total_last", control.write_last)
        place = Delayed(m, "total_outer", control.write_outer)
        total = Signal(signed(shape.acc_bits), reset_less=True)
        m.d.comb += [
            ram.read_address.eq(outer),
            ram.write_enable.eq(ready[delay + 1] & last[delay + 1]),
            ram.write_address.eq(place[delay + 1]),
            ram.write_data.eq(total),
        ]
        with m.If(ready[delay]):
            m.d.sync += total.eq(Mux(begins, 0, total) - engine.total)
