"""The sum of two numbers, each of which a bit switches on: one look-up table a bit on ECP5."""

from amaranth.hdl import Instance, Module, Mux, Shape, Signal, Value

from bitwright.hwgen.ram import RamPlatform

MODULE = "bitwright_gated_add"


def gated_add(
    m: Module, platform: object, name: str, a: Value, a_on: Value, b: Value, b_on: Value,
    shape: Shape, *, invert_b: bool = False,
) -> Signal:  # fmt: skip
    """`Mux(a_on, a, 0) + Mux(b_on, b, 0)` in `shape`, which must hold it or wrap as wanted; with
    `invert_b` it is `-1 - b` that is added."""
    total = Signal(shape, name=name)
    operands = [Signal(shape, name=f"{name}_{which}") for which in "ab"]
    m.d.comb += [operands[0].eq(a), operands[1].eq(b)]
    if not isinstance(platform, RamPlatform):
        second = ~operands[1] if invert_b else operands[1]
        m.d.comb += total.eq(Mux(a_on, operands[0], 0) + Mux(b_on, second, 0))
        return total
    m.submodules[f"add_{name}"] = Instance(
        MODULE,
        p_WIDTH=len(total),
        p_NOT_B=int(invert_b),
        i_a=operands[0],
        i_b=operands[1],
        i_a_on=a_on,
        i_b_on=b_on,
        o_sum=total,
    )
    return total
