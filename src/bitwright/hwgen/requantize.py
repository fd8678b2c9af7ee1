"""One channel of the output stage: accumulator to int8."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.hdl._ast import Assign
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.ir.machine import MULTIPLIER_BITS, SHIFT_BITS, Machine

LATENCY = 7
WINDOW_BITS = 10  # of the shifted product, half bit included: enough to know every int8 clamp


def golden(
    acc: int, *, bias: int, multiplier: int, shift: int, zero_point: int, low: int, high: int
) -> int:
    """`clamp((((acc + bias) * m + 2^(s-1)) >> s) + zero_point, low, high)`."""
    value = ((acc + bias) * multiplier + (1 << shift >> 1)) >> shift
    return min(max(value + zero_point, low), high)


class Requantizer(wiring.Component):
    """`entry` follows the operands by `LATENCY` cycles, one channel per cycle.

    `entry` is the result plus 128, which is the result's place in an activation table.

    Members:
        acc, bias, multiplier, shift: of one channel; shift is at least 1.
        negate, zero_point, clamp_min, clamp_max: hold still while channels are on their way;
            `negate` takes `-acc`.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        acc = signed(machine.acc_bits)
        super().__init__(
            {
                "acc": In(acc),
                "bias": In(acc),
                "multiplier": In(MULTIPLIER_BITS),
                "shift": In(SHIFT_BITS),
                "negate": In(1),
                "zero_point": In(signed(8)),
                "clamp_min": In(signed(8)),
                "clamp_max": In(signed(8)),
                "entry": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.machine.acc_bits

        # 1: bias
        biased = Signal(signed(bits), reset_less=True)
        multiplier = Signal(MULTIPLIER_BITS, reset_less=True)
        inverted = Signal(signed(bits))
        total = Signal(bits)
        m.d.comb += [
            inverted.eq(self.acc ^ self.negate.replicate(bits)),
            add_with_carry(total, inverted, self.bias, self.negate),
        ]
        m.d.sync += [biased.eq(total), multiplier.eq(self.multiplier)]

        # 2, 3: product of bits x 16, as two that fit 16 x 16 multipliers of equal signedness:
        # high * m = high * signed(m) + (m's top bit) * high * 2^16
        low_bits = min(16, bits - 8)
        high_bits = bits - low_bits
        low = Signal(low_bits + MULTIPLIER_BITS, reset_less=True)
        high = Signal(signed(high_bits + MULTIPLIER_BITS), reset_less=True)
        missing = Signal(signed(high_bits), reset_less=True)
        product = Signal(signed(bits + MULTIPLIER_BITS), reset_less=True)
        top = biased[low_bits:].as_signed()
        m.d.sync += [
            low.eq(biased[:low_bits] * multiplier),
            high.eq(top * multiplier.as_signed()),
            missing.eq(Mux(multiplier[-1], top, 0)),
        ]
        corrected = Signal(signed(high_bits + MULTIPLIER_BITS))
        upper = Signal(signed(bits + MULTIPLIER_BITS - low_bits))
        m.d.comb += [
            corrected.eq(Cat(high[:MULTIPLIER_BITS], high[MULTIPLIER_BITS:].as_signed() + missing)),
            upper.eq(corrected + low[low_bits:]),
        ]
        m.d.sync += product.eq(Cat(low[:low_bits], upper))

        # 4, 5: shift; a 0 below the product leaves the half bit at the bottom of the window
        shift = _delayed(m, self.shift, 3, "shift")
        fine_shift = _delayed(m, shift[:3], 1, "shift_fine")
        doubled = Cat(Const(0, 1), product)
        value, over = _narrow_shift(m, doubled, ((32, shift[5]), (16, shift[4]), (8, shift[3])))
        coarse = Signal(len(value), name="coarse", reset_less=True)
        coarse_over = Signal(reset_less=True)
        m.d.sync += [coarse.eq(value), coarse_over.eq(over)]
        value, over = _narrow_shift(
            m, coarse, ((4, fine_shift[2]), (2, fine_shift[1]), (1, fine_shift[0]))
        )
        window = Signal(signed(WINDOW_BITS), reset_less=True)
        window_over = Signal(reset_less=True)
        m.d.sync += [window.eq(value), window_over.eq(over | coarse_over)]

        # 6: saturate, round half up, zero point
        body, sign = Signal(WINDOW_BITS - 1), window[-1]
        extreme = Cat(Const(0, 1), (~sign).replicate(WINDOW_BITS - 2))
        place = Signal(signed(WINDOW_BITS))
        placed = Signal(signed(WINDOW_BITS), reset_less=True)
        m.d.comb += [
            body.eq(Mux(window_over, extreme, window[:-1])),
            add_with_carry(place, Cat(body[1:], sign).as_signed(), self.zero_point, body[0]),
        ]
        m.d.sync += placed.eq(place)

        # 7: clamp
        clamped = Signal(signed(8))
        entry = Signal(8, reset_less=True)
        with m.If(placed < self.clamp_min):
            m.d.comb += clamped.eq(self.clamp_min)
        with m.Elif(placed > self.clamp_max):
            m.d.comb += clamped.eq(self.clamp_max)
        with m.Else():
            m.d.comb += clamped.eq(placed)
        m.d.sync += entry.eq(flip_sign(clamped))
        m.d.comb += self.entry.eq(entry)
        return m


def flip_sign(value: Value) -> Value:
    """int8 to its table entry, and back: plus 128."""
    return Cat(value[:7], ~value[7])


def add_with_carry(total: Value, a: Value, b: Value, carry: Value) -> Assign:
    """`total = a + b + carry` of signed numbers in one carry chain: one more bit at its bottom."""
    unused = Signal(name="unused_carry")
    return Cat(unused, total).eq(Cat(carry, a).as_signed() + Cat(carry, b).as_signed())


def _delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
    for number in range(cycles):
        later = Signal.like(value, name=f"{name}_{number}", reset_less=True)
        m.d.sync += later.eq(value)
        value = later
    return value


def _narrow_shift(
    m: Module, value: Value, stages: tuple[tuple[int, Value], ...]
) -> tuple[Value, Value]:
    """Arithmetic right shift by the sum of the chosen stages (descending powers of two).

    Each stage keeps only the bits that can still end in the lowest `WINDOW_BITS`, and the sign on
    top; the second result tells that a lost bit differed from the sign, so that the value is
    outside of the window.
    """
    body, sign = value[:-1], value[-1]
    lost = Const(0)
    for amount, chosen in stages:
        keep = min(len(body), WINDOW_BITS + amount - 2)
        narrow = Signal(keep, name=f"shifted{amount}")
        moved = Cat(body[amount : amount + keep], sign.replicate(max(amount + keep - len(body), 0)))
        m.d.comb += narrow.eq(Mux(chosen, moved, body[:keep]))
        lost |= Mux(chosen, _differs(body[amount + keep :], sign), _differs(body[keep:], sign))
        body = narrow
    return Cat(body, sign), lost


def _differs(bits: Value, sign: Value) -> Value:
    return (bits ^ sign.replicate(len(bits))).any() if len(bits) else Const(0)
