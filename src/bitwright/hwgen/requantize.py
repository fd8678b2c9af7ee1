"""One channel of the output stage: accumulator to int8."""

from typing import Protocol

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.hdl._ast import Assign
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.add import add
from bitwright.hwgen.choose import choose
from bitwright.hwgen.delayed import delayed, registered
from bitwright.hwgen.gated_add import gated_add
from bitwright.hwgen.ram import RamPlatform
from bitwright.hwgen.serial_product import SerialProduct
from bitwright.hwgen.structure import Structure
from bitwright.ir.instructions import Rounding
from bitwright.ir.machine import SHIFT_BITS, WIDE_MULTIPLIER_BITS

WINDOW_BITS = 10  # of the shifted product, half bit included: enough to know every int8 clamp
HALF_WORD = 16  # multipliers are 16 x 16, their operands of equal signedness
BLOCK_BITS = 18  # of an unsigned operand of a large multiplier block
MOST_TABLE_BITS = 6  # of an accumulator, beside those that two large blocks multiply
SMALL_BLOCKS = ("ice40",)  # families of 16 x 16
HALF_PLACE = 30  # of the first of two roundings
NEVER = Const(0)


class Widths(Protocol):
    """What a requantizer is built for; a `Machine` has it."""

    @property
    def acc_bits(self) -> int: ...
    @property
    def multiplier_bits(self) -> int: ...
    @property
    def wide(self) -> bool: ...


def latency(multiplier_bits: int, product: type[SerialProduct] | None = None) -> int:
    """Cycles from the operands to the entry."""
    if product is not None:
        return 6 + product.latency(multiplier_bits)
    return 7 + _product_cycles(multiplier_bits)


def _product_cycles(multiplier_bits: int) -> int:
    return 3 if multiplier_bits == WIDE_MULTIPLIER_BITS else 2


def _table_bits(acc_bits: int) -> int:
    """Highest bits of an accumulator that a product of two blocks multiplies in tables."""
    bits = max(acc_bits - BLOCK_BITS, 2)
    return bits + bits % 2 if bits > 3 else bits


def factors(acc_bits: int, multiplier_bits: int, family: str) -> list[tuple[int, int, bool]]:
    """For each multiplier block of a requantizer that takes a channel in every cycle: the bits
    (from, to) of the multiplier that it takes, and whether as a signed number."""
    if multiplier_bits != WIDE_MULTIPLIER_BITS:
        return [(0, multiplier_bits, False), (0, multiplier_bits, True)]
    if family in SMALL_BLOCKS or _table_bits(acc_bits) > MOST_TABLE_BITS:
        halves = ((0, HALF_WORD), (HALF_WORD, 2 * HALF_WORD))
        return [(*half, is_signed) for half in halves for is_signed in (False, True)]
    middle = multiplier_bits - BLOCK_BITS
    return [(0, middle, False), (middle, multiplier_bits, False)]


def blocks(acc_bits: int, multiplier_bits: int, family: str) -> int:
    """Multiplier blocks of such a requantizer."""
    return len(factors(acc_bits, multiplier_bits, family))


class Requantizer(wiring.Component):
    """`entry` follows the operands by `latency` cycles, one channel per cycle.

    With a serial `product` a channel takes that product's cycles instead, and `start` says when its
    operands are there.

    `entry` is the result plus 128, which is the result's place in an activation table. Golden
    function: `golden.requantize`.

    Members:
        acc, bias, multiplier, shift: of one channel; shift is at least 1.
        negate, zero_point, clamp_min, clamp_max: hold still while channels are on their way;
            `negate` takes `-acc`.
        rounding: holds still too, a `Rounding`; a machine without the wide multiplier has none.
    """

    def __init__(self, *, machine: Widths, product: type[SerialProduct] | None = None) -> None:
        self.machine = machine
        self._serial = product
        acc = signed(machine.acc_bits)
        members = {
            "acc": In(acc),
            "bias": In(acc),
            "multiplier": In(machine.multiplier_bits),
            "shift": In(SHIFT_BITS),
            "negate": In(1),
            "zero_point": In(signed(8)),
            "clamp_min": In(signed(8)),
            "clamp_max": In(signed(8)),
            "entry": Out(8),
        }
        if machine.wide:
            members["rounding"] = In(2)
        if product is not None:
            members["start"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits, wide = self.machine.acc_bits, self.machine.wide

        # bias
        total = add(
            m, platform, "bias_adder", self.acc, self.bias, width=bits, a_control=self.negate,
            carry=self.negate,
        )  # fmt: skip

        # product; TFLITE rounds it twice where the shift is 32 or more
        twice = Const(0)
        if self._serial is not None:
            product, shift = self._serial_product(m, self._serial, total)
            if wide:
                twice = self._rounds_twice(shift)
        else:
            multiplier = delayed(m, self.multiplier, 1, "multiplier")
            biased = registered(m, total, "biased")
            shift = delayed(
                m, self.shift, 1 + _product_cycles(self.machine.multiplier_bits), "shift"
            )
            if wide:
                early = delayed(m, self._rounds_twice(self.shift), 2, "twice")
                twice = delayed(m, early, 2, "twice_late")
                product = self._wide_product(m, platform, biased, multiplier, early)
            else:
                product = self._product(m, biased, multiplier)

        # shift in three cycles; a 0 below the product leaves the half bit at the window's bottom
        value: Value = Cat(Const(0, 1), product)
        over: Value = Const(0)
        rest: Value = Const(0)
        up: Value = Const(0)
        for step, high in enumerate((4, 2, 0)):
            amount = delayed(m, shift[high : high + 2], step, f"shift_{high}")
            narrow, outside, lost = _narrow_shift(m, value, amount, 1 << high)
            up = narrow[0]
            if wide:
                # what the first of two roundings drops is no part of the second one's remainder
                if step == 0:
                    lost = [(lost[0] | lost[1]) & ~twice, lost[2]]
                rest = Cat(rest, *lost).any()
                if high:
                    rest = registered(m, rest, f"rest_{high}")
                else:
                    up &= rest | self._tie_up(m, narrow, delayed(m, twice, step, "twice_last"))
            kept = narrow if high else narrow[1:]  # the half bit is in `up`
            value_step = Signal(signed(len(kept)), name=f"window_{high}", reset_less=True)
            over_step = Signal(name=f"window_{high}_over", reset_less=True)
            m.d.sync += [value_step.eq(kept), over_step.eq(outside | over)]
            value, over = value_step, over_step
        window, window_over = value, over

        # saturate, round, zero point
        sign = window[-1]
        place = Signal(signed(WINDOW_BITS))
        placed = Signal(signed(WINDOW_BITS), reset_less=True)
        up = registered(m, up, "up")
        m.d.comb += add_with_carry(place, window, self.zero_point, up)
        m.d.sync += placed.eq(place)

        # clamp
        over, negative = registered(m, window_over, "over"), registered(m, sign, "negative")
        code = clamped(m, placed, self.clamp_min, self.clamp_max, over=over, negative=negative)
        entry = registered(m, flip_sign(code), "entry")
        m.d.comb += self.entry.eq(entry)
        return m

    def _serial_product(
        self, m: Module, unit: type[SerialProduct], total: Value
    ) -> tuple[Value, Value]:
        """The product, and the shift that goes with it."""
        count = self.machine.multiplier_bits
        m.submodules.product = product = unit(acc_bits=self.machine.acc_bits, multiplier_bits=count)
        m.d.comb += [
            product.start.eq(self.start),
            product.acc.eq(total),
            product.multiplier.eq(self.multiplier),
            product.half.eq(self._rounds_twice(self.shift) if self.machine.wide else 0),
        ]
        held = Signal(SHIFT_BITS, name="shift_held", reset_less=True)
        with m.If(self.start):
            m.d.sync += held.eq(self.shift)
        later = unit.latency(count) - unit.cycles(count)
        return product.product, delayed(m, held, later, "shift")

    def _product(self, m: Module, acc: Signal, multiplier: Signal) -> Value:
        """acc * m in two cycles, as two products.

        high * m = high * signed(m) + (m's top bit) * high * 2^16
        """
        bits, count = self.machine.acc_bits, len(multiplier)
        low_bits = min(HALF_WORD, bits - 8)
        high_bits = bits - low_bits
        low = Signal(low_bits + count, reset_less=True)
        high = Signal(signed(high_bits + count), reset_less=True)
        missing = Signal(signed(high_bits), reset_less=True)
        product = Signal(signed(bits + count), reset_less=True)
        top = acc[low_bits:].as_signed()
        m.d.sync += [
            low.eq(acc[:low_bits] * multiplier),
            high.eq(top * multiplier.as_signed()),
            missing.eq(Mux(multiplier[-1], top, 0)),
        ]
        corrected = Signal(signed(high_bits + count))
        upper = Signal(signed(bits + count - low_bits))
        m.d.comb += [
            corrected.eq(Cat(high[:count], high[count:].as_signed() + missing)),
            upper.eq(corrected + low[low_bits:]),
        ]
        m.d.sync += product.eq(Cat(low[:low_bits], upper))
        return product

    def _wide_product(
        self, m: Module, platform: object, acc: Signal, multiplier: Signal, half: Value
    ) -> Value:
        """acc * m + half * 2^30 in three cycles; `half` comes a cycle late."""
        product = Signal(signed(len(acc) + len(multiplier)), reset_less=True)
        if _table_bits(len(acc)) > MOST_TABLE_BITS:
            m.d.comb += product.eq(self._four_blocks(m, acc, multiplier, half))
        elif not isinstance(platform, RamPlatform):
            m.d.comb += product.eq(self._two_blocks(m, platform, acc, multiplier, half))
        else:
            large = self._two_blocks(m, platform, acc, multiplier, half)
            small = self._four_blocks(m, acc, multiplier, half)
            choose(m, "product", product, large, small)
        return product

    def _two_blocks(
        self, m: Module, platform: object, acc: Signal, multiplier: Signal, half: Value
    ) -> Value:
        """As two products of blocks, and the multiples that the highest bits choose, of tables.

        The top bit is negative: -(m << n) is ~(m << n), and 1 that the last adder takes.
        """
        bits, count = len(acc), len(multiplier)
        high_bits = _table_bits(bits)
        low, high = acc[: bits - high_bits], acc[bits - high_bits :]
        m_low, m_high = multiplier[:-BLOCK_BITS], multiplier[-BLOCK_BITS:]
        low_low = Signal(HALF_PLACE + 1, reset_less=True)
        low_high = Signal(len(low) + len(m_high), reset_less=True)
        m.d.sync += [low_low.eq(low * m_low), low_high.eq(low * m_high)]
        top_low = low_low[HALF_PLACE]
        rounded = Cat(low_low[len(m_low) : HALF_PLACE], top_low ^ half, top_low & half)
        bottom = registered(m, low_low[: len(m_low)], "bottom")
        below = Signal(len(low_high), reset_less=True)
        m.d.sync += below.eq(low_high + rounded)

        pair, double = signed(count + 3), multiplier << 1
        lowest = gated_add(
            m, platform, "lowest", multiplier, high[0], double, high[1], pair,
            invert_b=high_bits == 2,
        )  # fmt: skip
        above, top = registered(m, lowest, "multiple"), registered(m, high[-1], "top")
        if high_bits == 3:
            later = registered(m, multiplier, "multiplier_later")
            above = gated_add(
                m, platform, "highest", above, Const(1), later << 2, top, pair, invert_b=True
            )
        for place in range(2, high_bits - 1, 2):
            last = place + 2 == high_bits
            multiple = gated_add(
                m, platform, f"multiple{place}", multiplier, high[place], double, high[place + 1],
                pair, invert_b=last,
            )  # fmt: skip
            ones = top.replicate(place) if last else Const(0, place)
            above += Cat(ones, registered(m, multiple, f"multiple{place}")).as_signed()
            above = above[: count + place + 3 - last].as_signed()
        above, top = registered(m, above, "above"), registered(m, top, "top_later")

        product = Signal(signed(bits + count), reset_less=True)
        upper = Signal(signed(count + high_bits))
        known = len(low) - len(m_low)  # bits of `below` that are as they are in the product
        m.d.comb += add_with_carry(upper, above, Cat(below[known:], Const(0, 1)), top)
        m.d.sync += product.eq(Cat(bottom, below[:known], upper))
        return product

    def _four_blocks(self, m: Module, acc: Signal, multiplier: Signal, half: Value) -> Value:
        """As four products of blocks."""
        bits, count = self.machine.acc_bits, len(multiplier)
        low_bits = min(HALF_WORD, bits - 8)
        high_bits = bits - low_bits
        low, high = acc[:low_bits], acc[low_bits:].as_signed()
        m_low, m_high = multiplier[:HALF_WORD], multiplier[HALF_WORD:]
        low_low = Signal(low_bits + HALF_WORD, reset_less=True)
        low_high = Signal(low_bits + len(m_high), reset_less=True)
        high_low = Signal(signed(high_bits + HALF_WORD), reset_less=True)
        high_high = Signal(signed(high_bits + len(m_high)), reset_less=True)
        missing = Signal(signed(high_bits), reset_less=True)
        # The lowest product is needed a cycle later. Its operands wait, not its result: yosys 0.70
        # loses the product where two registers follow a multiplier of the iCE40.
        later_low, later_m = delayed(m, low, 1, "later_low"), delayed(m, m_low, 1, "later_m")
        m.d.sync += [
            low_low.eq(later_low * later_m),
            low_high.eq(low * m_high),
            high_low.eq(high * m_low.as_signed()),
            high_high.eq(high * Cat(m_high, Const(0, 1)).as_signed()),
            missing.eq(Mux(m_low[-1], high, 0)),
        ]
        middle = Signal(signed(2 * HALF_WORD + 2), reset_less=True)
        top = Signal(signed(high_bits + len(m_high)), reset_less=True)
        m.d.sync += [
            middle.eq((low_high << HALF_WORD - low_bits) + high_low + (half << 30 - low_bits)),
            top.eq(high_high + missing),
        ]
        product = Signal(signed(bits + count), reset_less=True)
        upper = Signal(signed(bits + count - low_bits))
        m.d.comb += upper.eq(Cat(low_low[low_bits:], top).as_signed() + middle)
        m.d.sync += product.eq(Cat(low_low[:low_bits], upper))
        return product

    def _tie_up(self, m: Module, window: Value, twice: Value) -> Value:
        """Whether a half is rounded up, by the bits that are kept and the half below them."""
        tie_up = Signal()
        sign = window[-1]
        with m.Switch(self.rounding):
            with m.Case(Rounding.HALF_UP):
                m.d.comb += tie_up.eq(1)
            with m.Case(Rounding.HALF_EVEN):
                m.d.comb += tie_up.eq(window[1])
            with m.Case(Rounding.HALF_AWAY):
                m.d.comb += tie_up.eq(~sign)
            with m.Case(Rounding.TFLITE):
                m.d.comb += tie_up.eq(~sign | ~twice)
        return tie_up

    def _rounds_twice(self, shift: Value) -> Value:
        return (self.rounding == Rounding.TFLITE) & shift[5]


def flip_sign(value: Value) -> Value:
    """int8 to its table entry, and back: plus 128."""
    return Cat(value[:7], ~value[7])


def clamped(
    m: Module, value: Value, low: Value, high: Value, name: str = "code",
    *, over: Value = NEVER, negative: Value = NEVER,
) -> Value:  # fmt: skip
    """`value` between two int8 bounds, a cycle later: compared in one cycle, chosen in the next.

    With `over` it is beyond one of them whatever `value` says, with `negative` the lower.
    """
    below = registered(m, Mux(over, negative, value < low), f"{name}_below")
    above = registered(m, Mux(over, ~negative, high < value), f"{name}_above")
    inside = registered(m, value[:8].as_signed(), f"{name}_inside")
    code = Signal(signed(8), name=name)
    m.d.comb += code.eq(Mux(below, low, Mux(above, high, inside)))
    return code


def add_with_carry(total: Value, a: Value, b: Value, carry: Value) -> Assign:
    """`total = a + b + carry` of signed numbers in one carry chain: one more bit at its bottom."""
    unused = Signal(name="unused_carry")
    return Cat(unused, total).eq(Cat(carry, a).as_signed() + Cat(carry, b).as_signed())


def _narrow_shift(
    m: Module, value: Value, amount: Value, unit: int
) -> tuple[Value, Value, list[Value]]:
    """Arithmetic right shift by `amount` (two bits) times `unit`, a power of two.

    Keeps only the bits that the shifts by less than `unit` can still bring into the lowest
    `WINDOW_BITS`, and the sign on top; the second result tells that a lost bit differed from the
    sign, so that the value is outside of the window. The third: for each unit at the bottom,
    whether it was shifted out and had a 1.
    """
    body, sign = value[:-1], value[-1]
    kept = WINDOW_BITS + unit - 2
    least = amount.any(), amount[1], amount.all()  # 1, 2, 3
    lost = Const(0)
    for further, place in zip(least, range(kept, len(body), unit), strict=False):
        lost |= ~further & _differs(body[place : place + unit], sign)
    rests = [least[n] & body[n * unit : (n + 1) * unit].any() for n in range(3)]
    for places, chosen in ((2 * unit, amount[1]), (unit, amount[0])):
        keep = min(len(body), kept + places - unit)
        narrow = Signal(keep, name=f"shifted{places}")
        moved = Cat(body[places : places + keep], sign.replicate(max(places + keep - len(body), 0)))
        m.d.comb += narrow.eq(Mux(chosen, moved, body[:keep]))
        body = narrow
    return Cat(body, sign), lost, rests


def _differs(bits: Value, sign: Value) -> Value:
    return (bits ^ sign.replicate(len(bits))).any()


def resources(machine: Widths, channels: int) -> Structure:
    """So many channels, each with its multipliers."""
    bits = machine.acc_bits
    high = channels * (bits - min(HALF_WORD, bits - 8))
    count = blocks(bits, machine.multiplier_bits, "ecp5")
    if machine.wide:
        table_bits = _table_bits(bits)
        tables = channels * (35 * table_bits - 37) if count == 2 else 0
        four = channels if count == 4 else 0
        later = channels * ((table_bits - 1) // 2) if count == 2 else 0
        return Structure(
            lut={
                "wide": 205 * channels, "wide_acc_bits": 4 * channels * bits,
                "wide_tables": tables, "wide_four": 115 * four,
            },
            ff={
                "wide": 310 * channels, "wide_acc_bits": 5 * channels * bits,
                "wide_tables": 30 * later, "wide_high": high if four else 0,
            },
            dsp=channels * count,
            dsp_of={
                family: channels * blocks(bits, machine.multiplier_bits, family)
                for family in SMALL_BLOCKS
            },
        )  # fmt: skip
    return Structure(
        lut={"narrow": 153 * channels, "narrow_acc_bits": 4 * channels * bits},
        ff={"narrow": 167 * channels, "narrow_acc_bits": 3 * channels * bits, "narrow_high": high},
        dsp=channels * count,
    )
