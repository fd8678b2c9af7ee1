"""Adders, counters and small memories that fill the tables of an ECP5: Verilog modules.

What synthesis makes of their plain description is half as large again: it puts gates and inverters
in front of a carry chain, and spends tables on speed that nothing needs. For other platforms
each is plain Amaranth.
"""

from collections.abc import Sequence

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, Value, ValueLike, signed
from amaranth.lib import memory

from bitwright.hwgen.ram import RamPlatform

ADD_MODULE = "bitwright_add"
COUNT_MODULE = "bitwright_count7"
RAM16_MODULE = "bitwright_lutram"
RAM16_DEPTH = 16
COUNT_LANES = 7
COUNT_LUTS = 12


def chain_luts(width: int) -> int:
    """ECP5 look-up tables of one adder: a bit each and one to start the carry, two a cell."""
    return 2 * (width // 2 + 1)


def add(
    m: Module,
    platform: object,
    name: str,
    a: Value,
    b: Value,
    *,
    width: int,
    a_control: ValueLike = 0,
    b_control: ValueLike = 0,
    a_and: bool = False,
    b_and: bool = False,
    carry: ValueLike = 0,
) -> Signal:
    """`(a op a_control) + (b op b_control) + carry` of `width` bits, signed, without a register.

    `op` inverts the operand where its control is 1; with `a_and`, `b_and` it clears the operand
    where its control is 0. For the platforms that write Verilog it is an instance of the module
    `bitwright_add`; operands are extended by their own signs.
    """
    total = Signal(signed(width), name=f"{name}_sum")
    left, right = (Signal(signed(width), name=f"{name}_{side}") for side in "ab")
    m.d.comb += [left.eq(a), right.eq(b)]
    if isinstance(platform, RamPlatform):
        m.submodules[name] = Instance(
            ADD_MODULE,
            p_WIDTH=width,
            p_AND_A=int(a_and),
            p_AND_B=int(b_and),
            i_a=left,
            i_a_control=Value.cast(a_control),
            i_b=right,
            i_b_control=Value.cast(b_control),
            i_carry=Value.cast(carry),
            o_sum=total,
        )
        return total
    operands: list[Value] = []
    for value, control, gate in ((left, a_control, a_and), (right, b_control, b_and)):
        bits = Value.cast(control)[0].replicate(width)
        operands.append(((value & bits) if gate else (value ^ bits)).as_signed())
    m.d.comb += total.eq(operands[0] + operands[1] + Value.cast(carry)[0])
    return total


def tree_levels(count: int) -> int:
    """Levels, and registers, of `adder_tree` over `count` values."""
    return (count - 1).bit_length()


def tree_luts(count: int, bits: int) -> int:
    """ECP5 look-up tables of `adder_tree` over `count` values of `bits` bits."""
    return sum(
        (count >> level) * chain_luts(bits + level) for level in range(1, tree_levels(count) + 1)
    )


def adder_tree(
    m: Module, platform: object, name: str, values: Sequence[Value], negate: Sequence[Value] = ()
) -> tuple[Value, Value]:
    """The sum of `values`, each negated where its bit of `negate` is 1, a register a level.

    A negated value is inverted and one too small. Each adder's carry makes up for one of them, so
    that a single one is left: the sum is the first result plus the second, a bit.

    Args:
        values: signed, of one width; a power of two of them, at least 2.
    """
    pending: list[Value] = list(negate) or [Const(0)] * len(values)
    level, terms = 0, list(values)
    while len(terms) > 1:
        width = len(terms[0]) + 1
        sums: list[Value] = []
        left: list[Value] = []
        for pair in range(len(terms) // 2):
            low, high = 2 * pair, 2 * pair + 1
            inverted = {"a_control": pending[low], "b_control": pending[high]} if not level else {}
            full = add(
                m, platform, f"{name}_level{level}_{pair}", terms[low], terms[high], width=width,
                carry=pending[low], **inverted,
            )  # fmt: skip
            total = Signal(signed(width), name=f"{name}_{level}_{pair}", reset_less=True)
            m.d.sync += total.eq(full)
            sums.append(total)
            rest = pending[high]
            if negate:
                rest = Signal(name=f"{name}_rest{level}_{pair}", reset_less=True)
                m.d.sync += rest.eq(pending[high])
            left.append(rest)
        terms, pending, level = sums, left, level + 1
    return terms[0], pending[0]


def count7(m: Module, platform: object, name: str, a: Value, b: Value, *, equal: bool) -> Signal:
    """Three bits: how many of seven lanes have both bits set, or with `equal` equal bits."""
    count = Signal(COUNT_LANES.bit_length(), name=f"{name}_count")
    if isinstance(platform, RamPlatform):
        m.submodules[name] = Instance(COUNT_MODULE, p_EQUAL=int(equal), i_a=a, i_b=b, o_count=count)
    else:
        products = ~(a ^ b) if equal else a & b
        m.d.comb += count.eq(sum(products[lane] for lane in range(COUNT_LANES)))
    return count


def ram16(
    m: Module, platform: object, name: str, *, write: Value, address: Value, value: Value,
    read: Value,
) -> Signal:  # fmt: skip
    """What stands at address `read` of sixteen words, at once; `value` is written to `address`.

    A word that is read and written in the same cycle reads as it was.
    """
    width = len(value)
    word = Signal(width, name=f"{name}_word")
    if isinstance(platform, RamPlatform):
        m.submodules[name] = Instance(
            RAM16_MODULE, p_WIDTH=width, i_clk=ClockSignal(), i_write_enable=write,
            i_write_address=address, i_write_data=value, i_read_address=read, o_read_data=word,
        )  # fmt: skip
        return word
    m.submodules[name] = ram = memory.Memory(shape=width, depth=RAM16_DEPTH, init=[])
    writer, reader = ram.write_port(), ram.read_port(domain="comb")
    m.d.comb += [
        writer.en.eq(write),
        writer.addr.eq(address),
        writer.data.eq(value),
        reader.addr.eq(read),
        word.eq(reader.data),
    ]
    return word


def ram16_luts(width: int) -> int:
    """ECP5 look-up tables of `ram16`: a 16x4 RAM is four, and two carry its write port."""
    return 6 * -(-width // 4)
