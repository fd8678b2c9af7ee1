"""Products of an accumulator and a multiplier that are not wanted in every cycle.

One product takes several cycles and a fraction of the multiplier blocks. Golden function:
`golden`.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.gated_add import gated_add

HALF_PLACE = 30
_PART = 17  # bits of an unsigned operand of an 18x18 multiplier block
_DIGIT = 2


def golden(acc: int, multiplier: int, half: int) -> int:
    """acc * multiplier + half * 2^30."""
    return acc * multiplier + (half << HALF_PLACE)


class SerialProduct(wiring.Component):
    """What both have in common.

    Members:
        start: the operands are there; not more often than every `cycles` cycles.
        acc, multiplier, half: operands.
        product: `latency` cycles after `start`, for one cycle.
    """

    @staticmethod
    def cycles(multiplier_bits: int) -> int:
        """From one start to the next, at least."""
        raise NotImplementedError

    @staticmethod
    def latency(multiplier_bits: int) -> int:
        """From the start to the product."""
        raise NotImplementedError

    def __init__(self, *, acc_bits: int, multiplier_bits: int) -> None:
        self.acc_bits, self.multiplier_bits = acc_bits, multiplier_bits
        super().__init__(
            {
                "start": In(1),
                "acc": In(signed(acc_bits)),
                "multiplier": In(multiplier_bits),
                "half": In(1),
                "product": Out(signed(acc_bits + multiplier_bits)),
            }
        )


class DigitSerial(SerialProduct):
    """In look-up tables, two bits of the multiplier a cycle, the lowest first."""

    @staticmethod
    def cycles(multiplier_bits: int) -> int:
        return -(-multiplier_bits // _DIGIT)

    @staticmethod
    def latency(multiplier_bits: int) -> int:
        return DigitSerial.cycles(multiplier_bits) + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cycles = self.cycles(self.multiplier_bits)
        acc = Signal(signed(self.acc_bits), name="kept_acc", reset_less=True)
        digits = Signal(_DIGIT * cycles, reset_less=True)
        low = Signal(_DIGIT * cycles, reset_less=True)
        high = Signal(signed(self.acc_bits + 1), reset_less=True)
        first, carry = Signal(), Signal()
        with m.If(self.start):
            m.d.sync += [acc.eq(self.acc), digits.eq(self.multiplier)]
        with m.Else():
            m.d.sync += digits.eq(digits[_DIGIT:])
        m.d.sync += first.eq(self.start)
        m.d.comb += carry.eq(self._carry(m))
        # The carry is one more bit at the bottom, of both terms.
        wide = signed(self.acc_bits + _DIGIT + 1)
        multiple = gated_add(m, platform, "multiple", acc, digits[0], acc << 1, digits[1], wide)
        with_carry = signed(wide.width + 1)
        total = gated_add(
            m, platform, "total", Cat(carry, high).as_signed(), ~first,
            Cat(carry, multiple).as_signed(), Const(1), with_carry,
        )[1:].as_signed()  # fmt: skip
        m.d.sync += [low.eq(Cat(low[_DIGIT:], total[:_DIGIT])), high.eq(total >> _DIGIT)]
        m.d.comb += self.product.eq(Cat(low, high))
        return m

    def _carry(self, m: Module) -> Value:
        """`half`, when the digit of its place is at hand."""
        if self.multiplier_bits <= HALF_PLACE:
            return Const(0)
        flag: Value = self.start & self.half
        for number in range(HALF_PLACE // _DIGIT + 1):
            later = Signal(name=f"half{number}")
            m.d.sync += later.eq(flag)
            flag = later
        return flag


class SharedBlock(SerialProduct):
    """In one multiplier block of 18x18: two or four partial products one after the other."""

    @staticmethod
    def cycles(multiplier_bits: int) -> int:
        return 4 if multiplier_bits > _PART else 2

    @staticmethod
    def latency(multiplier_bits: int) -> int:
        return SharedBlock.cycles(multiplier_bits) + 3

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wide = self.multiplier_bits > _PART
        cycles = self.cycles(self.multiplier_bits)
        acc_bits = max(self.acc_bits, _PART + 1)
        acc = Signal(signed(acc_bits), name="kept_acc", reset_less=True)
        multiplier = Signal(self.multiplier_bits, name="kept_multiplier", reset_less=True)
        half = Signal(name="kept_half", reset_less=True)
        with m.If(self.start):
            m.d.sync += [acc.eq(self.acc), multiplier.eq(self.multiplier), half.eq(self.half)]
        # steps[n]: partial product n is chosen, two cycles later made, three later added
        steps = [Signal(name=f"step{n}") for n in range(cycles + 2)]
        m.d.sync += [
            later.eq(step) for step, later in zip([self.start, *steps], steps, strict=False)
        ]
        a = Signal(signed(_PART + 1), reset_less=True)
        b = Signal(signed(_PART + 1), reset_less=True)
        low, high = acc[:_PART], acc[_PART:].as_signed()
        upper = steps[1] | steps[cycles - 1]  # of the accumulator: the second and the last
        m.d.sync += a.eq(Mux(upper, high, Cat(low, Const(0, 1)).as_signed()))
        if wide:
            later = steps[2] | steps[3]
            m.d.sync += b.eq(Mux(later, multiplier[_PART:], multiplier[:_PART]))
        else:
            m.d.sync += b.eq(multiplier)
        partial = Signal(signed(2 * _PART + 2), reset_less=True)
        m.d.sync += partial.eq(a * b)

        total = Signal(signed(2 * _PART + 3), reset_less=True)
        below = Signal(_PART * (cycles // 2), reset_less=True)
        base = Signal(signed(2 * _PART + 3))
        moves = steps[3] | steps[5] if wide else steps[3]
        with m.If(steps[2]):
            m.d.comb += base.eq(half << HALF_PLACE if wide else 0)
        with m.Elif(moves):
            m.d.comb += base.eq(total >> _PART)
            m.d.sync += below.eq(Cat(below, total[:_PART])[_PART:])
        with m.Else():
            m.d.comb += base.eq(total)
        m.d.sync += total.eq(base + partial)
        m.d.comb += self.product.eq(Cat(below, total))
        return m
