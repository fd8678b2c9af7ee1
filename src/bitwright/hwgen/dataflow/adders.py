"""Sums with a register after every adder."""

from collections.abc import Sequence

from amaranth.hdl import Module, Signal, Value


def registered(m: Module, value: Value, name: str) -> Signal:
    """`value` a cycle later."""
    register = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


def delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
    """`value` some cycles later."""
    for number in range(cycles):
        value = registered(m, value, f"{name}_{number}")
    return value


def tree(m: Module, terms: Sequence[Value], name: str) -> Value:
    """The sum of `terms`, (len(terms) - 1).bit_length() cycles later."""
    level = 0
    while len(terms) > 1:
        pairs = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)]
        rest = terms[len(pairs) * 2 :]
        terms = [
            registered(m, value, f"{name}_level{level}_{number}")
            for number, value in enumerate([*pairs, *rest])
        ]
        level += 1
    return terms[0]
