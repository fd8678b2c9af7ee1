"""Sums with a register after every adder."""

from collections.abc import Sequence

from amaranth.hdl import Module, Value

from bitwright.hwgen.delayed import registered


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
