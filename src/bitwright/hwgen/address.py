"""The loop nest of a compute instruction: one step per cycle, with its addresses and flags."""

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.isa import Instruction, address_bits, coordinate_bits, field_layout, kept_bits
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import Machine

LOOPS = ("block", "oy", "ox", "plane", "cb", "ky", "kx")
FIELDS = (
    *(f"n_{loop}" for loop in LOOPS),
    *("s_block", "s_oy", "s_ox", "s_cb", "s_ky", "s_kx"),
    *("y0", "x0", "y_oy", "x_ox", "y_ky", "x_kx", "height", "width"),
    *("w_same_steps", "w_same_blocks", "pixels_first"),
)
BASES = ("src_base", "w_base", "add_base")


def fields(machine: Machine) -> tuple[str, ...]:
    """Those that the loops of a machine need: `dsp` has its columns compared elsewhere."""
    added = ("pixels_last",) if machine.fused_adds else ()
    return tuple(name for name in FIELDS if name != "width" or not machine.dsp) + added


def bases(machine: Machine) -> data.StructLayout:
    """Addresses that an instruction begins with; with external memory not all are its fields."""
    layout = field_layout(machine, BASES)
    if machine.streams:
        members = {
            "src_base": layout["src_base"].shape,
            "w_base": address_bits(machine.weight_words),
        }
        if machine.fused_adds:
            members["add_base"] = layout["add_base"].shape
        return data.StructLayout(members)
    return layout


class AccOp:
    """What the accumulators do with the term of a step."""

    LOAD = 0  # acc = term
    ADD = 1  # acc += term
    DOUBLE = 2  # acc = 2 * acc + term
    NEGATE = 3  # acc = -2 * acc + term: first step after the sign plane


class Flags(data.Struct):
    """What travels with a step through the engines to the output stage."""

    valid: 1  # pyright: ignore
    last: 1  # last step of its tile  # pyright: ignore
    block_end: 1  # its tile is the last of a block  # pyright: ignore
    last_block: 1  # its block is the last of the instruction  # pyright: ignore


class RowFlags(data.Struct):
    """What travels too on a machine of several pixels."""

    first: 1  # its tile is the first of a row  # pyright: ignore
    last: 1  # its tile is the last of a row  # pyright: ignore


def issue_cycles(instruction: Instruction, groups: int, side_by_side: int = 1) -> int:
    """Golden: cycles from the first to the last step, both included, stalls counted.

    `groups`: cycles that the output stage needs for a pixel of a tile; `side_by_side`: pixels for
    which it needs them together.
    """
    i, steps = instruction, instruction.tile_steps
    first, inner, last = (
        max(steps, groups * -(-pixels // side_by_side))
        for pixels in (i["pixels_first"], i["pixels"], i.last_pixels)
    )
    row = last if i["n_ox"] == 1 else first + (i["n_ox"] - 2) * inner + last
    return steps + i["n_block"] * i["n_oy"] * row - last


class LoopNest(wiring.Component):
    """Walks the seven loops, outer to inner block, oy, ox, plane, cb, ky, kx.

    The last step of a tile waits until the `gap` of the tile before has passed since that one's
    last step, so that the output stage never gets a tile early: golden `issue_cycles`. The first
    step is two cycles after `start`. The loops count a cycle before the step that they choose:
    between the two stand registers, which the addresses follow.

    With `fused_adds` a tile of a MATMUL_ADD has one more step, its last one, which reads what is
    added to its pixels: word after word of a tensor that is as large as the result.

    Members:
        start: one cycle; `bases` is taken. From this cycle on `fields` must hold still.
        gap: output groups of the tile of the next cycle's step, minus one; 0 for none.
        flags, acc_op: of the step in this cycle; `last` only of a tile that gives pixels.
        source: activation word of the step. `padding` (one cycle later): outside of the source.
        row, column, row_outside: with the engine `dsp` instead of padding, in the step's cycle.
        next_row: with `dsp`, of the step in the next cycle.
        weight (one cycle later): weight word of the step.
        adds: with `fused_adds`, from `start` on: the instruction is a MATMUL_ADD. `other`: the step
            in this cycle reads the words from `other_source` on instead.
        finished: the last step of the instruction is in this cycle.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        self._source_bits = address_bits(max(machine.act_words, machine.in_words))
        place: dict[str, wiring.Member] = {"padding": Out(1)}
        if machine.dsp:
            place = {
                "row": Out(RowFlags),
                "next_row": Out(RowFlags),
                "column": Out(signed(coordinate_bits(machine))),
                "row_outside": Out(1),
            }
        if machine.fused_adds:
            place |= {"adds": In(1), "other": Out(1), "other_source": Out(self._source_bits)}
        super().__init__(
            {
                "start": In(1),
                "bases": In(bases(machine)),
                "fields": In(field_layout(machine, fields(machine))),
                "gap": In(range(max(machine.matmul_groups * machine.pixels, 2))),
                "flags": Out(Flags),
                "acc_op": Out(2),
                "source": Out(self._source_bits),
                **place,
                "weight": Out(address_bits(machine.weight_words)),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        f = self.fields
        running = Signal()
        step = Signal()

        # A tile may end only when the output stage is ready for it.
        gap_left = Signal.like(self.gap)
        waiting = Signal()
        last = Signal(len(LOOPS))
        tile_last = last[3:].all()
        tile_end = Signal()
        finished = Signal()
        more: Value = Const(0)  # after the loops' last step of a tile comes another one
        blocked, moves_on = tile_last & waiting, step
        if self.machine.fused_adds:
            more, moves_on = Signal(name="more"), Signal(name="moves_on")
            blocked = tile_last & (waiting | more)
            m.d.comb += [step.eq(running & ~(tile_last & waiting & ~more)),
                         moves_on.eq(running & ~blocked)]  # fmt: skip
            with m.If(~running | (moves_on & tile_last)):
                m.d.sync += more.eq(self.adds)
            with m.Elif(tile_last):
                m.d.sync += more.eq(0)
        else:
            m.d.comb += step.eq(running & ~blocked)
        m.d.comb += [
            tile_end.eq(moves_on & tile_last),
            finished.eq(moves_on & last.all()),
        ]
        m.d.sync += self.finished.eq(finished)
        with m.If(tile_end):
            m.d.sync += [gap_left.eq(self.gap), waiting.eq(self.gap != 0)]
        with m.Elif(waiting):
            m.d.sync += [gap_left.eq(gap_left - 1), waiting.eq(gap_left != 1)]
        with m.If(self.start):
            m.d.sync += running.eq(1)
        with m.Elif(finished):
            m.d.sync += running.eq(0)

        # One-hot: the loop that goes on after this step; all loops inside of it start over.
        # `moves[loop]`: it or a loop outside of it goes on, or the instruction ends.
        advance = Signal(len(LOOPS))
        moves = {loop: Signal(name=f"{loop}_moves") for loop in LOOPS if loop != "plane"}
        for i, loop in enumerate(LOOPS):
            inner = last[i + 1 :].all()
            m.d.sync += advance[i].eq(moves_on & inner & ~last[i])
            if loop in moves:
                m.d.sync += moves[loop].eq(moves_on & inner)
            self._counter(m, f[f"n_{loop}"], running, last[i], ~blocked & inner, loop)

        self._source_address(m, advance, moves, running, last)
        self._coordinates(m, advance, moves)
        self._weight_address(m, advance, moves)
        self._flags(m, step, moves_on, last, more)
        if self.machine.fused_adds:
            m.d.sync += self.other.eq(step & tile_last & ~more & self.adds)
            self._other_source(m)
        return m

    def _other_source(self, m: Module) -> None:
        f, row = self.fields, self.row
        with m.If(self.start):
            m.d.sync += self.other_source.eq(self.bases.add_base)
        with m.Elif(self.other):
            pixels = Mux(row.last & ~row.first, f.pixels_last, f.pixels_first)
            m.d.sync += self.other_source.eq(self.other_source + pixels)

    def _counter(
        self,
        m: Module,
        count: Value,
        running: Value,
        last: Value,
        goes_on: Value,
        name: str,
    ) -> None:
        """Counts down from `count` to 1; `last` is a register that is 1 together with 1."""
        left = Signal(len(count), name=f"{name}_left")
        one = Signal(name=f"{name}_once")
        m.d.sync += one.eq(count == 1)
        with m.If(~running):
            m.d.sync += [left.eq(count), last.eq(count == 1)]
        with m.Elif(goes_on):
            m.d.sync += [left.eq(Mux(last, count, left - 1)), last.eq(Mux(last, one, left == 2))]

    def _source_address(
        self, m: Module, advance: Value, moves: dict[str, Signal], running: Value, last: Value
    ) -> None:
        """Each loop keeps the address at which its current round began; one adder for all. What
        that one adds is chosen while the loops count: without them going on it is not taken."""
        f, bits = self.fields, self._source_bits
        loops = ("block", "oy", "ox", "cb", "ky", "kx")
        begin = {loop: Signal(bits, name=f"source_{loop}") for loop in loops}
        on = {loop: advance[i] for i, loop in enumerate(LOOPS)}
        base, stride, moved = Signal(bits), Signal(bits), Signal(bits)
        first = self.start, self.bases.src_base.as_unsigned()
        begins = [(on[loop], begin[loop]) for loop in loops]
        m.d.comb += [
            base.eq(_select(first, *begins, (on["plane"], begin["ox"]))),
            moved.eq(base + stride),
            self.source.eq(begin["kx"]),
        ]
        ends = {loop: last[i + 1 :].all() & ~last[i] for i, loop in enumerate(LOOPS)}
        m.d.sync += stride.eq(
            _select(*((running & ends[loop], f[f"s_{loop}"].as_unsigned()) for loop in loops))
        )
        for loop in loops:
            with m.If(self.start | moves[loop]):
                m.d.sync += begin[loop].eq(moved)

    def _coordinates(self, m: Module, advance: Value, moves: dict[str, Signal]) -> None:
        f, bits = self.fields, coordinate_bits(self.machine)
        on = {loop: advance[i] for i, loop in enumerate(LOOPS)}
        outside = Signal()
        for axis, outer, kernel in (("y", "oy", "ky"), ("x", "ox", "kx")):
            begin = Signal(bits, name=f"{axis}_begin")
            now = Signal(bits, name=axis)
            moved = Signal(bits, name=f"{axis}_next")
            # Loops between the two restart the kernel; loops outside of `outer` restart it all.
            restart = self.start | moves[LOOPS[LOOPS.index(outer) - 1]]
            rewind = moves[LOOPS[LOOPS.index(kernel) - 1]]
            base = Mux(restart, f[f"{axis}0"], Mux(rewind, begin, now))
            steps = ((on[loop], f[f"{axis}_{loop}"]) for loop in (outer, kernel))
            m.d.comb += moved.eq(base + _select(*steps))
            with m.If(self.start | moves[outer]):
                m.d.sync += begin.eq(moved)
            with m.If(self.start | moves[kernel]):
                m.d.sync += now.eq(moved)
            if axis == "x" and self.machine.dsp:
                m.d.comb += [self.column.eq(now), self.row_outside.eq(outside)]
                return
            limit = f["height" if axis == "y" else "width"]
            over = Signal(name=f"{axis}_outside")  # negative is large
            m.d.comb += over.eq(now >= limit)
            outside = outside | over
        m.d.sync += self.padding.eq(outside)

    def _weight_address(self, m: Module, advance: Value, moves: dict[str, Signal]) -> None:
        """Runs on inside of a tile, starts over with each tile, runs on into the next block."""
        f = self.fields
        now, begin = Signal.like(self.weight), Signal.like(self.weight)
        following = Signal.like(self.weight)
        m.d.comb += following.eq(now + 1)
        m.d.sync += self.weight.eq(now)
        again = advance[1] | advance[2] | (advance[0] & f.w_same_blocks)
        with m.If(self.start):
            m.d.sync += [now.eq(self.bases.w_base), begin.eq(self.bases.w_base)]
        with m.Elif(again):
            m.d.sync += now.eq(begin)
        with m.Elif(advance[0] | (moves["kx"] & ~f.w_same_steps)):
            m.d.sync += now.eq(following)
        with m.If(~self.start & advance[0] & ~f.w_same_blocks):
            m.d.sync += begin.eq(following)

    def _flags(self, m: Module, step: Value, moves_on: Value, last: Value, more: Value) -> None:
        tile_first, plane_first, sign, after_sign = Signal(), Signal(), Signal(), Signal()
        with m.If(self.start):
            m.d.sync += [tile_first.eq(1), sign.eq(1), after_sign.eq(0)]
        with m.Elif(step):
            m.d.sync += [
                tile_first.eq(last[3:].all()),
                plane_first.eq(last[4:].all()),
            ]
            with m.If(last[4:].all()):
                m.d.sync += [sign.eq(last[3]), after_sign.eq(sign & ~last[3])]
        with m.If(tile_first):
            m.d.sync += self.acc_op.eq(AccOp.LOAD)
        with m.Elif(~plane_first):
            m.d.sync += self.acc_op.eq(AccOp.ADD)
        with m.Else():
            m.d.sync += self.acc_op.eq(Mux(after_sign, AccOp.NEGATE, AccOp.DOUBLE))
        silent: Value = Const(0)
        if self.machine.dsp:
            row_first = Signal()
            with m.If(self.start):
                m.d.sync += row_first.eq(1)
            with m.Elif(moves_on & last[3:].all()):
                m.d.sync += row_first.eq(last[2])
            silent = row_first & (self.fields.pixels_first == 0)
            m.d.comb += [self.next_row.first.eq(row_first), self.next_row.last.eq(last[2])]
            m.d.sync += self.row.eq(self.next_row)
        m.d.sync += [
            self.flags.valid.eq(step),
            self.flags.last.eq(last[3:].all() & ~silent & ~more),
            self.flags.block_end.eq(last[1:].all()),
            self.flags.last_block.eq(last[0]),
        ]


def _select(*choices: tuple[Value, Value]) -> Value:
    """The value whose condition is 1 (at most one is), else 0: AND-OR, no priority."""
    total: Value | None = None
    for condition, value in choices:
        gated = value & condition.replicate(len(value))
        total = gated if total is None else total | gated
    assert total is not None
    return total


def resources(machine: Machine) -> Structure:
    """Counters, the source address with its six beginnings, coordinates and the weight address."""
    bits = kept_bits(machine)
    counters = sum(bits[f"n_{loop}"][1] for loop in LOOPS)
    source = address_bits(max(machine.act_words, machine.in_words))
    coordinates, weight = coordinate_bits(machine), address_bits(machine.weight_words)
    other = source if machine.fused_adds else 0
    return Structure(
        lut={
            "others": 2 * other,
            "nests": 60,
            "counters": 3 * counters,
            "sources": 8 * source,
            "coordinates": 12 * coordinates,
            "weights": 4 * weight,
        },
        ff={
            "others": other,
            "nests": 47,
            "counters": counters,
            "sources": 6 * source,
            "coordinates": 4 * coordinates,
            "weights": 3 * weight,
        },
    )
