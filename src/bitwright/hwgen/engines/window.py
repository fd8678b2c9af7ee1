"""Channelwise engine beside the `dsp` array: it adds up the array's products lane by lane.

A step reads the words of `P` neighbouring columns; rows 0 to 2 of the array multiply them by the
kernel's columns. Sum `i` of a tile is that of the window that begins at column `i - 2`:

    word:   0    1    2    3          sum 0: w2·a0                     (began a tile ago)
    sum 2:  w0   w1   w2              sum 1: w1·a0 + w2·a1             (began a tile ago)
    sum 3:       w0   w1   w2         sum 4: w0·a2 + w1·a3             (goes on a tile later)
                                      sum 5: w0·a3                     (goes on a tile later)

In a window (depthwise convolution, stride 1 or 2) the sums 0 and 1 go on from the last two of the
tile before, and sums 0 to P - 1 are complete. Sum 2 of a first tile is that of its first three
columns, which pools of a whole image use. Otherwise row 0 alone has weights: sum `p + 2` is pixel
p's.
"""

from collections.abc import Mapping

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.address import AccOp
from bitwright.hwgen.delayed import registered
from bitwright.hwgen.engines import dsp
from bitwright.hwgen.ram import COPY_SUFFIX
from bitwright.hwgen.requantize import add_with_carry
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import WINDOW_TAPS, Machine, plane_bits

LATENCY = dsp.PRODUCTS + 1  # from the operands to what the sums add
CARRIED = WINDOW_TAPS - 1


def golden(columns: NDArray, weights: NDArray) -> NDArray:
    """Window sums [column - 2, lane] of int8 [kernel row, column, lane], weights [row, 3, lane]."""
    count = columns.shape[1] - CARRIED
    parts = [
        (columns[:, k : k + count].astype(int) * weights[:, k, None].astype(int)).sum(axis=0)
        for k in range(WINDOW_TAPS)
    ]
    return sum(parts[1:], parts[0])


class Window(wiring.Component):
    """Sums, or maxima, of the steps of a tile.

    Members:
        products: of the array, [pixel][row][lane]; `activations`: the operands, `dsp.PRODUCTS`
            cycles before their products.
        peak_valid, peak_first: with the operands of a maximum, a cycle later.
        maximum: what is done; holds still while steps are on their way. The products of a maximum
            are 0, and but for a window those of rows 1 and 2.
        op, valid: of the step whose products are there in the next cycle; an `AccOp`.
        sums: [sum][lane], two cycles after the last `op` of a tile.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        lanes, pixels = machine.lanes, machine.pixels
        product = data.ArrayLayout(signed(dsp.PRODUCT_BITS), lanes)
        sums = data.ArrayLayout(signed(machine.acc_bits), lanes)
        super().__init__(
            {
                "products": In(data.ArrayLayout(data.ArrayLayout(product, WINDOW_TAPS), pixels)),
                "activations": In(data.ArrayLayout(data.ArrayLayout(signed(8), lanes), pixels)),
                "peak_valid": In(1),
                "peak_first": In(1),
                "maximum": In(1),
                "op": In(2),
                "valid": In(1),
                "sums": Out(data.ArrayLayout(sums, pixels + CARRIED)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        machine = self.machine
        controls = {
            name: registered(m, value, name)
            for name, value in (
                ("loads", self.op == AccOp.LOAD),
                ("adds", self.op == AccOp.ADD),
                ("moves", (self.op == AccOp.DOUBLE) | (self.op == AccOp.NEGATE)),
                ("negates", self.op == AccOp.NEGATE),
                ("valid", self.valid),
            )
        }
        for lane in range(machine.lanes):
            control = _Control(m, controls, lane)
            keeps, valid, first = (
                registered(m, value, f"{name}{lane}{COPY_SUFFIX}")
                for name, value in (
                    ("keeps", self.maximum), ("peak_valid", self.peak_valid),
                    ("peak_first", self.peak_first),
                )
            )  # fmt: skip
            peaks = [
                self._peak(m, pixel, lane, keeps, valid, first) for pixel in range(machine.pixels)
            ]
            for number in range(machine.pixels + CARRIED):
                taps = [
                    self.products[pixel][tap][lane]
                    for pixel in range(machine.pixels)
                    if 0 <= (tap := pixel - number + CARRIED) < WINDOW_TAPS
                ]
                total = sum(taps[1:], taps[0])
                term = Signal(total.shape(), name=f"term{number}_{lane}", reset_less=True)
                m.d.sync += term.eq(total)
                peak = peaks[number - CARRIED] if number >= CARRIED else Const(0, signed(1))
                self._add(m, number, lane, term | peak, control)
        return m

    def _peak(
        self, m: Module, pixel: int, lane: int, keeps: Value, valid: Value, first: Value
    ) -> Value:
        """The largest activation since the first; 0 without `keeps`; beside the term."""
        early = registered(m, self.activations[pixel][lane], f"early{pixel}_{lane}")
        a = registered(m, early, f"activation{pixel}_{lane}{COPY_SUFFIX}")
        largest = Signal(signed(8), name=f"largest{pixel}_{lane}", reset_less=True)
        unused, less = Signal(8, name=f"unused{pixel}_{lane}"), Signal(name=f"less{pixel}_{lane}")
        m.d.comb += Cat(unused, less).eq(largest - a)  # the sign: one carry chain
        with m.If(~keeps):
            m.d.sync += largest.eq(0)
        with m.Elif(valid & (first | less)):
            m.d.sync += largest.eq(a)
        value: Signal = largest
        for cycle in range(dsp.PRODUCTS + 1 - 3):
            value = registered(m, value, f"largest{pixel}_{lane}_{cycle}")
        return value

    def _add(self, m: Module, number: int, lane: int, term: Value, control: "_Control") -> None:
        bits = self.machine.acc_bits
        acc = Signal(signed(bits), name=f"sum{number}_{lane}", reset_less=True)
        base = Signal(signed(bits), name=f"sum{number}_{lane}_base")
        total = Signal(bits, name=f"sum{number}_{lane}_total")
        m.d.comb += self.sums[number][lane].eq(acc)
        if number < CARRIED:
            carried = self.sums[number + self.machine.pixels][lane]
            m.d.comb += base.eq(Mux(control.loads, carried, acc))
            m.d.comb += total.eq(base + term)
        else:
            shift = plane_bits(self.machine.engine)
            moved = Cat(Const(0, shift), acc[:-shift])
            kept = acc & control.adds.replicate(bits) | moved & control.moves.replicate(bits)
            m.d.comb += base.eq(kept ^ control.negates.replicate(bits))
            m.d.comb += add_with_carry(total, base, term, control.negates)
        with m.If(control.valid):
            m.d.sync += acc.eq(total)


class _Control:
    """A lane's own registers of what its sums do, so that none drives too many."""

    def __init__(self, m: Module, controls: Mapping[str, Value], lane: int) -> None:
        self.loads, self.adds, self.moves, self.negates, self.valid = (
            registered(m, controls[name], f"{name}{lane}{COPY_SUFFIX}")
            for name in ("loads", "adds", "moves", "negates", "valid")
        )


def resources(machine: Machine) -> Structure:
    """Per lane the taps' adders, the sums and the maxima."""
    lanes, pixels = machine.lanes, machine.pixels
    sums = (pixels + CARRIED) * lanes
    taps = (WINDOW_TAPS * pixels - (pixels + CARRIED)) * lanes
    return Structure(
        lut={
            "sums": 2 * sums * machine.acc_bits, "taps": 17 * taps, "peaks": 22 * pixels * lanes,
        },
        ff={
            "sums": sums * machine.acc_bits, "terms": 16 * sums, "peaks": 40 * pixels * lanes,
        },
    )  # fmt: skip
