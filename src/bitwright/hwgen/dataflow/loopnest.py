"""Runs through the loops of a stage: which word of its source the next step reads."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.dataflow.loops import Loop, Reads


class LoopNest(wiring.Component):
    """Registers that describe the next step; they move on where `go` is 1. Golden: `Reads`.

    Args:
        own: the loops.
        index_bits: width of `index`.

    Members:
        go: the step runs in this cycle.
        index: buffer word that it reads, counted over all images.
        part: which part of that word.
        pad: it is outside of the image.
        begins: it is the first one of an image.
    """

    def __init__(self, *, own: Reads, index_bits: int) -> None:
        self.own = own
        self._loops = own.merged()
        super().__init__(
            {
                "go": In(1),
                "index": Out(index_bits, init=own.first_word % (1 << index_bits)),
                "part": Out(range(max(own.parts, 2))),
                "pad": Out(1),
                "begins": Out(1, init=1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        own, loops = self.own, self._loops
        lasts = [self._counter(m, number, loop) for number, loop in enumerate(loops)]
        m.d.comb += self._enables[0].eq(self.go)
        for inner in range(1, len(loops)):
            m.d.comb += self._enables[inner].eq(
                self._enables[inner - 1] & lasts[len(loops) - inner]
            )
        row_bits, column_bits = (_signed_bits(own, name) for name in ("rows", "columns"))
        row = Signal(row_bits, init=own.first_row % (1 << row_bits))
        column = Signal(column_bits, init=own.first_column % (1 << column_bits))
        moves = [(self.index, "words", own.words)]
        if own.parts > 1:
            moves.append((self.part, "part", 0))
        if own.pads:
            moves += [(row, "rows", 0), (column, "columns", 0)]
            m.d.comb += self.pad.eq((row >= own.height) | (column >= own.width))
        for register, name, image in moves:
            self._move(m, lasts, register, name, image)
        with m.If(self.go):
            m.d.sync += self.begins.eq(_all(lasts))
        return m

    def _counter(self, m: Module, number: int, loop: Loop) -> Value:
        """Counts one loop; returns whether it is at its last."""
        if not number:
            self._enables = [Signal(name=f"enable{i}") for i in range(len(self._loops))]
        enable = self._enables[len(self._loops) - 1 - number]
        last = Signal(name=f"last{number}", init=loop.count == 1)
        count = Signal(range(loop.count), name=f"count{number}")
        if loop.count > 1:
            with m.If(enable):
                m.d.sync += [count.eq(count + 1), last.eq(count == loop.count - 2)]
                with m.If(last):
                    m.d.sync += count.eq(0)
        return last

    def _move(self, m: Module, lasts: list[Value], register: Signal, name: str, image: int) -> None:
        """Adds what the step that follows is away: of the innermost loop that goes on."""
        away = Signal(len(register), name=f"{name}_away")
        inner = 0  # how far the loops inside have moved
        chain = m.If
        for loop, last in zip(reversed(self._loops), reversed(lasts), strict=True):
            with chain(~last):
                m.d.comb += away.eq(getattr(loop, name) - inner)
            inner += (loop.count - 1) * getattr(loop, name)
            chain = m.Elif
        with m.Else():
            m.d.comb += away.eq(image - inner)
        with m.If(self.go):
            m.d.sync += register.eq(register + away)


def _all(lasts: list[Value]) -> Value:
    result = lasts[0]
    for last in lasts[1:]:
        result &= last
    return result


def _signed_bits(own: Reads, name: str) -> int:
    """Bits of a row (column) counter that tells negative ones from those of the image."""
    first = own.first_row if name == "rows" else own.first_column
    size = own.height if name == "rows" else own.width
    last = first + sum((loop.count - 1) * getattr(loop, name) for loop in own.loops)
    return max(max(last, size) - min(first, 0), 1).bit_length()
