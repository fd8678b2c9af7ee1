"""Matrix engine: whole weights, two rows' products in one multiplier block.

A block multiplies `w1 * 2^9 + w2` by an activation; the 16 bits of the lower product reach 7 bits
into the upper one. Those 7 bits of the upper product are made once more, of look-up tables, and
taken off. 2^9 and not 2^10, so that the operand of 18 bits holds weights of -128 too.

Each block has registers of its own in front of its operands, so that the wires to it and from it
are short: it takes a third of a cycle itself.

Pairs of rows beyond `multiplier_blocks` have both of their products made of look-up tables, of the
pairs of a weight's bits: a pair's two multiples of the activation are added while each bit switches
its own on.

Weights of matrix products have the machine's `precision`. The first two pairs of rows take 8 bits
even so, since channelwise weights go there; of fewer bits, two products do not reach into each
other in a block, and take less than half or a quarter of the tables outside of one.
"""

from collections.abc import Callable
from copy import copy

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.delayed import registered
from bitwright.hwgen.gated_add import gated_add
from bitwright.hwgen.ram import COPY_SUFFIX
from bitwright.hwgen.requantize import add_with_carry
from bitwright.hwgen.structure import Structure, adder_tree_bits
from bitwright.ir.machine import TAP_BITS, WINDOW_TAPS, Machine

PRODUCT_BITS = 16
PRODUCTS = 5  # cycles from the operands to the products
SHIFT = 9  # of the upper weight of 8 bits in a block's operand
TAP_PAIRS = 2  # pairs of rows that channelwise weights reach
OVERLAP = PRODUCT_BITS - SHIFT
ACTIVATION_BITS = 8
HALF_BITS = 12  # of the product of half a weight


def latency(machine: Machine) -> int:
    """Cycles from the operands to the sums: products, then one cycle per adder level."""
    return PRODUCTS + machine.lanes.bit_length() - 1


def sum_bits(machine: Machine) -> int:
    """Width of the signed sum of `lanes` products."""
    return PRODUCT_BITS + machine.lanes.bit_length() - 1


def golden(activations: NDArray, weights: NDArray) -> NDArray:
    """Sums [pixel, row] of int8 activations [pixel, lane] and weights [row, lane]."""
    return activations.astype(int) @ weights.astype(int).T


def _wide_pairs(machine: Machine) -> int:
    """How many pairs of rows, from the first one on, have weights of `TAP_BITS`."""
    return machine.rows // 2 if machine.precision == TAP_BITS else TAP_PAIRS


def _wide_products(machine: Machine) -> int:
    """Pairs of products of such weights."""
    return _wide_pairs(machine) * machine.lanes * machine.pixels


def pair_bits(machine: Machine, pair: int) -> int:
    """Bits of the weights of a pair of rows."""
    return TAP_BITS if pair < _wide_pairs(machine) else machine.precision


def _rank(machine: Machine, pixel: int, pair: int, lane: int) -> int:
    """Place of a pair of products in the order in which they get multiplier blocks.

    Those of the widest weights come first, then pixel by pixel.
    """
    wide, before = _wide_pairs(machine), 0
    pairs = wide
    if pair >= wide:
        pairs, pair, before = machine.rows // 2 - wide, pair - wide, _wide_products(machine)
    return before + (pixel * pairs + pair) * machine.lanes + lane


def table_delay(bits: int) -> int:
    """Cycles that a product of tables takes less than one in a block, by the weight's bits."""
    return 1 if bits == TAP_BITS else 3


class Dsp(wiring.Component):
    """`sums[p][r]` is the sum over lanes of activation times weight, `latency` cycles later.

    Members:
        activations: int8 per pixel and lane.
        weights: int8 per row and lane.
        products: of the first rows, those that the channelwise engine uses, `PRODUCTS` cycles
            after the operands; [pixel][row][lane].
        sums: [pixel][row].
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        pixels, rows, lanes = machine.pixels, machine.rows, machine.lanes
        product = data.ArrayLayout(signed(PRODUCT_BITS), lanes)
        super().__init__(
            {
                "activations": In(data.ArrayLayout(data.ArrayLayout(signed(8), lanes), pixels)),
                "weights": In(data.ArrayLayout(data.ArrayLayout(signed(8), lanes), rows)),
                "products": Out(data.ArrayLayout(data.ArrayLayout(product, WINDOW_TAPS), pixels)),
                "sums": Out(
                    data.ArrayLayout(data.ArrayLayout(signed(sum_bits(machine)), rows), pixels)
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        machine = self.machine
        pairs = range(machine.rows // 2)

        def in_block(pixel: int, pair: int, lane: int) -> bool:
            return _rank(machine, pixel, pair, lane) < machine.multiplier_blocks

        every = range(machine.pixels)
        packed = self._packed(m, in_block)
        weights = [
            [
                self._weight(m, row, lane, {in_block(p, row // 2, lane) for p in every})
                for lane in range(machine.lanes)
            ]
            for row in range(machine.rows)
        ]
        later = [
            [self._later(m, weight, row // 2) for weight in of_row]
            for row, of_row in enumerate(weights)
        ]
        for p in every:
            operands: list[_Factor] = []
            for lane, value in enumerate(self.activations[p]):
                tables = (pair for pair in pairs if not in_block(p, pair, lane))
                delay = max((table_delay(pair_bits(machine, pair)) for pair in tables), default=0)
                operands.append(_Factor(m, value, f"pixel{p}_lane{lane}", delay))
            products: list[list[Value]] = [[] for _ in range(machine.rows)]
            for pair in pairs:
                upper, lower = 2 * pair, 2 * pair + 1
                for lane, a in enumerate(operands):
                    name = f"product{p}_{pair}_{lane}"
                    if in_block(p, pair, lane):
                        product = packed[pair][lane]
                        both = (
                            _in_block(m, platform, a, weights[upper][lane], product, name)
                            if pair_bits(machine, pair) == TAP_BITS
                            else _apart_in_block(m, a, product, pair_bits(machine, pair), name)
                        )
                    else:
                        both = tuple(
                            _of_tables(m, platform, a, later[row][lane], f"{name}_{row % 2}")
                            for row in (upper, lower)
                        )
                    for row, value in zip((upper, lower), both, strict=True):
                        products[row].append(value)
            for row in range(machine.rows):
                m.d.comb += self.sums[p][row].eq(_tree(m, products[row], f"sum{p}_{row}"))
                if row < WINDOW_TAPS:
                    for lane, value in enumerate(products[row]):
                        m.d.comb += self.products[p][row][lane].eq(value)
        return m

    def _packed(self, m: Module, in_block: Callable[[int, int, int], bool]) -> list[list[Signal]]:
        """Both weights of each pair of rows in one operand, for all pixels."""
        packed: list[list[Signal]] = []
        for pair in range(self.machine.rows // 2):
            packed.append([])
            for lane in range(self.machine.lanes):
                upper, lower = self.weights[2 * pair][lane], self.weights[2 * pair + 1][lane]
                operand = Signal(signed(18), name=f"packed{pair}_{lane}", reset_less=True)
                bits = pair_bits(self.machine, pair)
                shift = SHIFT if bits == TAP_BITS else ACTIVATION_BITS + bits
                if in_block(0, pair, lane):
                    m.d.sync += operand.eq(Cat(Const(0, shift), upper[:bits]).as_signed() + lower)
                packed[-1].append(operand)
        return packed

    def _later(self, m: Module, weight: Signal, pair: int) -> Signal:
        """As late as the factors that products of tables take."""
        for _ in range(table_delay(pair_bits(self.machine, pair))):
            weight = registered(m, weight, f"{weight.name}_later")
        return weight

    def _weight(self, m: Module, row: int, lane: int, blocks: set[bool]) -> Signal:
        """The bits of a weight that are used beside the operands of blocks."""
        whole = pair_bits(self.machine, row // 2)
        overlap = OVERLAP if row % 2 == 0 and whole == TAP_BITS else 0
        bits = whole if False in blocks else overlap
        weight = Signal(bits, name=f"weight{row}_{lane}", reset_less=True)
        m.d.sync += weight.eq(self.weights[row][lane])
        return weight


class _Factor:
    """An activation, one cycle after the operands; for products of tables also up to `delay` cycles
    later, with its negative."""

    def __init__(self, m: Module, value: Value, name: str, delay: int) -> None:
        self.once = registered(m, value, name)
        self.negative = -self.once
        self.after = [self]
        for cycle in range(1, delay + 1):
            before, later = self.after[-1], copy(self)
            later.once = registered(m, before.once, f"{name}_{cycle}{COPY_SUFFIX}")
            later.negative = _narrowed(m, before.negative, 9, f"{name}_negative_{cycle}")
            self.after.append(later)

    def times(
        self, m: Module, platform: object, name: str, digit: Value, bits: int = 10,
        *, signed_digit: bool = False,
    ) -> Value:  # fmt: skip
        """The low `bits` bits of `digit` (two bits) times the value."""
        upper = self.negative if signed_digit else self.once
        above = gated_add(
            m, platform, name, self.once >> 1, digit[0], upper, digit[1], signed(bits - 1)
        )
        return Cat(self.once[0] & digit[0], above).as_signed()


def _in_block(
    m: Module, platform: object, a: _Factor, upper: Signal, packed: Signal, name: str
) -> tuple[Value, Value]:
    """Products of the upper and the lower weight of a pair, four cycles after the factor."""
    near = registered(m, a.once, f"{name}_activation{COPY_SUFFIX}")
    weights = registered(m, packed, f"{name}_weights{COPY_SUFFIX}")
    both = Signal(signed(PRODUCT_BITS + SHIFT), name=f"{name}_both", reset_less=True)
    m.d.sync += both.eq(weights * near)
    # The lowest bits of upper * a, in two parts.
    terms = [
        a.times(m, platform, f"{name}_digit{bit}", upper[bit : bit + 2], OVERLAP - bit)
        for bit in (0, 2, 4)
    ]
    low = _narrowed(m, terms[0] + (terms[1] << 2), OVERLAP, f"{name}_low")
    top = upper[6] & a.once[0]
    high = _narrowed(m, terms[2] ^ (top << 2), OVERLAP - 4, f"{name}_high")
    known = _narrowed(m, low + (high << 4), OVERLAP, f"{name}_known")
    # What reaches up, and whether the bits that it reaches into carried.
    reach = Signal(signed(OVERLAP + 1), name=f"{name}_reach", reset_less=True)
    m.d.sync += reach.eq(both[SHIFT:PRODUCT_BITS] - known.as_unsigned())
    bottom = registered(m, both[:SHIFT], f"{name}_bottom")
    rest = registered(m, both[PRODUCT_BITS:], f"{name}_rest")
    mine = registered(m, known, f"{name}_mine")
    negative, borrowed = reach[OVERLAP - 1], reach[OVERLAP]
    above = Signal(signed(len(rest)), name=f"{name}_above")
    less = (borrowed & ~negative).replicate(len(rest))
    m.d.comb += add_with_carry(above, rest, less, negative & ~borrowed)
    first = _narrowed(m, Cat(mine, above), PRODUCT_BITS, f"{name}_upper").as_signed()
    second = _narrowed(m, Cat(bottom, reach[:OVERLAP]), PRODUCT_BITS, f"{name}_lower")
    return first, second.as_signed()


def _apart_in_block(
    m: Module, a: _Factor, packed: Signal, bits: int, name: str
) -> tuple[Value, Value]:
    """As `_in_block` of weights whose products do not overlap."""
    near = registered(m, a.once, f"{name}_activation{COPY_SUFFIX}")
    weights = registered(m, packed, f"{name}_weights{COPY_SUFFIX}")
    size = ACTIVATION_BITS + bits
    both = Signal(signed(2 * size), name=f"{name}_both", reset_less=True)
    m.d.sync += both.eq(weights * near)
    read = registered(m, both, f"{name}_read")
    borrowed = read[size - 1]  # the lower product is negative
    first = _narrowed(m, read[size:] + borrowed, size, f"{name}_upper")
    second = _narrowed(m, read[:size], size, f"{name}_lower")
    return first, second


def _of_tables(m: Module, platform: object, a: _Factor, weight: Signal, name: str) -> Value:
    """The product of one weight, four cycles after the factor `a`, from what comes later."""
    bits, last = len(weight), len(weight) - 2
    later = a.after[table_delay(bits)]
    digits = [
        later.times(
            m, platform, f"{name}_digit{bit}", weight[bit : bit + 2], signed_digit=bit == last
        )
        for bit in range(0, bits, 2)
    ]
    if bits < TAP_BITS:
        total = digits[0] if bits == 2 else digits[0] + (digits[1] << 2)
        return _narrowed(m, total, ACTIVATION_BITS + bits, name)
    first, second, third, last = (
        registered(m, digit, f"{name}_{number}") for number, digit in enumerate(digits)
    )
    low = _narrowed(m, first + (second << 2), HALF_BITS, f"{name}_low")
    high = _narrowed(m, third + (last << 2), HALF_BITS, f"{name}_high")
    return _narrowed(m, low + (high << 4), PRODUCT_BITS, name)


def _tree(m: Module, terms: list[Value], name: str) -> Value:
    """The sum of a power of two of terms, a register after each level."""
    level = 0
    while len(terms) > 1:
        level += 1
        sums: list[Value] = []
        for number, (a, b) in enumerate(zip(terms[::2], terms[1::2], strict=True)):
            total = a + b
            register = Signal(total.shape(), name=f"{name}_{level}_{number}", reset_less=True)
            m.d.sync += register.eq(total)
            sums.append(register)
        terms = sums
    return terms[0]


def _narrowed(m: Module, value: Value, bits: int, name: str) -> Signal:
    """The low `bits` bits, a cycle later; signed."""
    later = Signal(signed(bits), name=name, reset_less=True)
    m.d.sync += later.eq(value)
    return later


def block_registers(machine: Machine) -> int:
    """Flip-flops around multiplier blocks that go into them after synthesis: the operands' of 18
    and 8 bits and the products'."""
    wide = min(machine.multiplier_blocks, _wide_products(machine))
    narrow = machine.multiplier_blocks - wide
    return (26 + PRODUCT_BITS + SHIFT) * wide + (
        26 + 2 * (ACTIVATION_BITS + machine.precision)
    ) * narrow


def resources(machine: Machine) -> Structure:
    """Products in blocks and of tables, the factors of tables, and each row's tree."""
    lanes, pixels, bits = machine.lanes, machine.pixels, machine.precision
    whole, tap_rows = _wide_products(machine), 2 * _wide_pairs(machine)
    narrow, narrow_rows = machine.product_pairs - whole, machine.rows - tap_rows
    blocks = min(machine.multiplier_blocks, whole)
    narrow_blocks = machine.multiplier_blocks - blocks
    tables, narrow_tables = 2 * (whole - blocks), 2 * (narrow - narrow_blocks)
    size, of_tables = ACTIVATION_BITS + bits, tables + narrow_tables > 0
    trees = pixels * (
        tap_rows * adder_tree_bits(lanes, PRODUCT_BITS) + narrow_rows * adder_tree_bits(lanes, size)
    )
    return Structure(
        lut={
            "block_pairs": 50 * blocks,
            "narrow_block_pairs": size * narrow_blocks,
            "table_products": 75 * tables,
            "narrow_table_products": (10 if bits == 2 else 32) * narrow_tables,
            "factors": (10 if of_tables else 0) * pixels * lanes,
            "packed": lanes * (10 * tap_rows + bits * narrow_rows) // 2,
            "trees": trees,
        },
        ff={
            "block_pairs": 72 * blocks,
            "narrow_block_pairs": 4 * size * narrow_blocks,
            "table_products": 80 * tables,
            "narrow_table_products": size * narrow_tables,
            "factors": (25 if of_tables else 8) * pixels * lanes,
            "narrow_factors": 34 * pixels * lanes if narrow_tables else 0,
            "packed": 34 * lanes * tap_rows // 2,
            "narrow_packed": (18 + 8 * bits) * lanes * narrow_rows // 2,
            "trees": trees,
        },
        dsp=machine.multiplier_blocks,
    )
