"""From a step's operands to the groups of a tile, on a machine with the engine `dsp`."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen import operands
from bitwright.hwgen.address import AccOp, Flags, RowFlags
from bitwright.hwgen.delayed import Delayed, delayed, registered
from bitwright.hwgen.engines import dsp, tile_sums, window
from bitwright.hwgen.engines.dsp import Dsp
from bitwright.hwgen.engines.tile_sums import TileSums
from bitwright.hwgen.engines.window import Window
from bitwright.hwgen.isa import MATRIX, address_bits, field_layout
from bitwright.hwgen.structure import Structure
from bitwright.ir.instructions import ChannelOp, Opcode
from bitwright.ir.machine import TAP_BITS, WINDOW_TAPS, Machine

WEIGHTS = operands.LATENCY - 4  # cycles from a step to its weight address
OTHERS = operands.LATENCY + 1


def fields(machine: Machine) -> tuple[str, ...]:
    """Those that hold still while steps are on their way."""
    return ("channel_op", *(["pixels"] if machine.pixels > 2 else []), "w_same_steps")


def term_latency(machine: Machine, opcode: Opcode) -> int:
    """Cycles from a step to the cycle in which the accumulators add its term."""
    engine = dsp.latency(machine) if opcode in MATRIX else window.LATENCY
    return operands.LATENCY + engine


class Datapath(wiring.Component):
    """Multiplies, adds up, and hands a tile's sums to the output stage.

    Members:
        run: 0 forgets all steps on their way.
        fields: hold still while steps are on their way; `matmul`: the instruction is a MATMUL.
        flags, row, acc_op, weight: of `LoopNest`.
        words: of `Operands`.
        weight_address, weight_data: read port of the weight memory.
        tile, tile_row, head: to `OutputStage`.
        other: with `fused_adds`, of `LoopNest`. other_head: the words that such a step reads, pixel
            after pixel, `requant_lanes` codes a cycle, from `OTHERS` cycles after the step on.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        weight = address_bits(machine.weight_words)
        codes = data.ArrayLayout(8, machine.requant_lanes)
        super().__init__(
            {
                **({"other": In(1), "other_head": Out(codes)} if machine.fused_adds else {}),
                "run": In(1),
                "fields": In(field_layout(machine, fields(machine))),
                "matmul": In(1),
                "flags": In(Flags),
                "row": In(RowFlags),
                "acc_op": In(2),
                "weight": In(weight),
                "words": In(data.ArrayLayout(machine.activation_bits, machine.pixels)),
                "weight_address": Out(weight),
                "weight_data": In(machine.weight_bits),
                "tile": Out(Flags),
                "tile_row": Out(RowFlags),
                "head": Out(
                    data.ArrayLayout(
                        machine.acc_bits, machine.requant_lanes * machine.requant_pixels
                    )
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        machine = self.machine
        m.submodules.dsp = array = Dsp(machine=machine)
        m.submodules.window = lanes = Window(machine=machine)
        m.submodules.tile_sums = sums = TileSums(machine=machine)
        # What holds still has a register, so that it drives many from nearby.
        matmul, maximum, is_window = (
            Signal(name=name, reset_less=True) for name in ("is_matmul", "is_maximum", "is_window")
        )
        operation = self.fields.channel_op
        m.d.sync += [
            matmul.eq(self.matmul),
            maximum.eq(~self.matmul & (operation == ChannelOp.MAX)),
            is_window.eq(~self.matmul & (operation >= ChannelOp.WINDOW)),
        ]
        flags, rows, ops = self._follow(m)
        words = Cat(self.words)
        m.d.comb += [
            Cat(array.activations).eq(words),
            Cat(lanes.activations).eq(words),
            array.weights.as_value().eq(self._weights(m, matmul, maximum, is_window)),
            lanes.products.eq(array.products),
        ]
        short = term_latency(machine, Opcode.CHANNELWISE) - 1
        long = term_latency(machine, Opcode.MATMUL) - 1
        peak = operands.LATENCY + 1
        tile, tile_row = Signal(Flags), Signal(RowFlags, reset_less=True)
        m.d.sync += [
            tile.eq(Mux(matmul, flags[long - 1], flags[short - 1])),
            tile_row.eq(Mux(matmul, rows[long - 1], rows[short - 1])),
        ]
        with m.If(~self.run):
            m.d.sync += tile.valid.eq(0)
        m.d.comb += [
            lanes.maximum.eq(maximum),
            lanes.peak_valid.eq(flags[peak].valid),
            lanes.peak_first.eq(ops[peak] == AccOp.LOAD),
            lanes.op.eq(Mux(maximum, AccOp.LOAD, ops[short - 1])),
            lanes.valid.eq(flags[short - 1].valid),
            self.tile.eq(tile),
            self.tile_row.eq(tile_row),
            sums.sums.eq(array.sums),
            sums.lane_sums.eq(lanes.sums),
            sums.use_lanes.eq(~matmul),
            sums.valid.eq(self.tile.valid),
            sums.first.eq(ops[long] == AccOp.LOAD),
            sums.last.eq(self.tile.last),
            sums.offset.eq(~is_window | self.tile_row.first),
            self.head.eq(sums.head),
        ]
        if machine.pixels > 2:
            apart = is_window & (self.fields.pixels != machine.pixels)
            m.d.comb += sums.every_other.eq(registered(m, apart, "every_other"))
        if machine.fused_adds:
            others = Delayed(m, "other", self.other)
            m.d.comb += sums.skip.eq(others[long])
            self._other_words(m, others[operands.LATENCY])
        return m

    def _other_words(self, m: Module, here: Value) -> None:
        held = Signal(len(Cat(self.words)), name="other_words", reset_less=True)
        size = 8 * self.machine.requant_lanes
        m.d.sync += held.eq(Mux(here, Cat(self.words), held[size:]))
        m.d.comb += Cat(self.other_head).eq(held[:size])

    def _follow(self, m: Module) -> tuple[list[data.View], list[data.View], list[Value]]:
        """The flags of each step, delayed by each number of cycles."""
        all_flags, rows, ops = [self.flags], [self.row], [self.acc_op]
        for cycle in range(1, term_latency(self.machine, Opcode.MATMUL)):
            flags = Signal(Flags, name=f"flags{cycle}")
            row = Signal(RowFlags, name=f"row{cycle}", reset_less=True)
            op = Signal(2, name=f"acc_op{cycle}", reset_less=True)
            m.d.sync += [flags.eq(all_flags[-1]), row.eq(rows[-1]), op.eq(ops[-1])]
            with m.If(~self.run):
                m.d.sync += flags.valid.eq(0)
            all_flags.append(flags)
            rows.append(row)
            ops.append(op)
        return all_flags, rows, ops

    def _weights(self, m: Module, matmul: Value, maximum: Value, is_window: Value) -> Value:
        """The weight word beside its activations.

        A window's kernel row goes to the first rows. Otherwise the channelwise engine uses row 0
        alone, and for a maximum none.
        """
        machine = self.machine
        address: Value = self.weight  # one cycle after its step
        for cycle in range(WEIGHTS - 1):
            later = Signal.like(self.weight, name=f"weight_address{cycle}", reset_less=True)
            m.d.sync += later.eq(address)
            address = later
        m.d.comb += self.weight_address.eq(address)
        row_size, bits = TAP_BITS * machine.lanes, machine.precision
        size = WINDOW_TAPS * row_size
        # A block RAM takes half of a cycle: a register before anything else. Synthesis chooses
        # among deep ones before it, which `fpga.choices` turns round; another follows the choice.
        word = registered(m, registered(m, self.weight_data, "weight_read"), "weight_word")
        first = Signal(size, name="first_weights", reset_less=True)
        matrix = WINDOW_TAPS * bits * machine.lanes  # of the first rows in a matrix product
        others = Signal(machine.weight_bits - matrix, name="other_weights", reset_less=True)
        # A sum of products: 4-input tables take two rows each, one level behind another.
        if bits == TAP_BITS:
            chosen, rows = Const(0, size), self._kernel_rows(m, ~maximum, matmul | is_window)
        else:
            here = registered(m, matmul, "keeps_matrix")
            chosen = _wide(word[:matrix], bits) & here.replicate(size)
            rows = self._kernel_rows(m, ~maximum & ~matmul, is_window)
        for number, (first_tap, other_taps) in enumerate(rows):
            keep = Cat(first_tap.replicate(row_size), other_taps.replicate(size - row_size))
            chosen |= word.word_select(number, size) & keep
        m.d.sync += [first.eq(chosen), others.eq(word[matrix:])]
        return Cat(first, _wide(others, bits))

    def _kernel_rows(
        self, m: Module, first_tap: Value, other_taps: Value
    ) -> list[tuple[Value, Value]]:
        """For each kernel row whether it is that of the step, beside its weights: of the first tap,
        and of the others.

        It is the number of a window's step in its tile, if all have one word; otherwise 0, in which
        the first tap or the others may not be wanted.
        """
        counts, f = Signal(), self.fields
        m.d.sync += counts.eq(~self.matmul & (f.channel_op == ChannelOp.WINDOW) & f.w_same_steps)
        row = Signal(range(self.machine.window_rows), name="kernel_row")
        with m.If(self.flags.valid):
            first = (self.acc_op == AccOp.LOAD) | ~counts
            m.d.sync += row.eq(Mux(first, 0, row + 1))
        found = delayed(m, row, WEIGHTS + 1, "kernel_row")
        begins = found == 0
        later = [
            registered(m, found == number, f"is_kernel_row{number}")
            for number in range(1, self.machine.window_rows)
        ]
        return [
            (
                registered(m, begins & first_tap, "keeps_first"),
                registered(m, begins & other_taps, "keeps_others"),
            ),
            *zip(later, later, strict=True),
        ]


def _wide(weights: Value, bits: int) -> Value:
    """Numbers of `bits` as numbers of `TAP_BITS`."""
    count, more = len(weights) // bits, TAP_BITS - bits
    numbers = (weights.word_select(n, bits) for n in range(count))
    return Cat(Cat(number, number[-1].replicate(more)) for number in numbers)


def resources(machine: Machine) -> dict[str, Structure]:
    """The engine, the window, the tile's sums, and the weights' way to the engine."""
    row = WINDOW_TAPS * TAP_BITS * machine.lanes
    others = machine.pixels * machine.activation_bits if machine.fused_adds else 0
    terms = machine.window_rows + (machine.precision < TAP_BITS)
    choice = -(-(2 * terms - 1) // 3)  # 4-input tables of a sum of products
    between = Structure(
        lut={"others": others, "datapaths": 8, "kernel_rows": choice * row},
        ff={
            "others": others,
            "weights": 3 * machine.weight_bits,
            "addresses": (WEIGHTS - 1) * address_bits(machine.weight_words),
            "flags": 6 * term_latency(machine, Opcode.MATMUL),
        },
    )
    return {
        "datapath": between,
        "dsp": dsp.resources(machine),
        "window": window.resources(machine),
        "tile_sums": tile_sums.resources(machine),
    }
