"""Matrix engine with two rows' products in one 18x18 multiplier block.

Two weights of one lane, of neighbouring rows, meet the same activation. With u the lower row's
weight plus half of its range, so that it is not negative, one operand is w * 2^S + u, S as far as
18 bits allow, and the product is

    P = w a 2^S + u a        so that P >> S = w a + h   and   P mod 2^S = u a - h 2^S

where h = (u a) >> S is what of the lower product lies above bit S. Where the products overlap, its
few bits follow from the lowest bits of w a, which are made in look-up tables:
h = (P >> S) - w a modulo 2^overlap. All three parts are added up over the lanes, and

    sum of w a = U - H,   sum of (weights of the lower row) a = H 2^S + L - A 2^(bits - 1)

with A the sum of the activations, made once for all rows.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from numpy.typing import NDArray

from bitwright.hwgen.dataflow.adders import tree
from bitwright.hwgen.dataflow.products import Products, pack
from bitwright.hwgen.delayed import delayed, registered
from bitwright.hwgen.gated_add import gated_add

_BLOCK_BITS = 18
_SPLIT = 1  # cycles from the operands to the three parts of the product
_JOIN = 2  # from their sums to the rows'


class PackedProducts(Products):
    """`Products` in half of a multiplier block each; an even number of rows."""

    @staticmethod
    def latency(lanes: int, weight_bits: int) -> int:
        return _SPLIT + (lanes - 1).bit_length() + _JOIN

    @staticmethod
    def pack(weights: NDArray, weight_bits: int) -> int:
        """Like `products.pack`; the even rows' weights plus half of their range."""
        moved = weights.copy()
        moved[::2] += 1 << weight_bits - 1
        return pack(moved, weight_bits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.weight_bits
        activations = [self.activations[lane] for lane in range(self.lanes)]
        whole = tree(m, activations, "activations")
        whole = delayed(m, whole, _SPLIT + 1, "activations_sum")
        for pair in range(self.rows // 2):
            name = f"pair{pair}"
            parts = [
                self._parts(m, platform, activations[lane], pair, lane)
                for lane in range(self.lanes)
            ]
            upper, carried, lower = (
                tree(m, [part[n] for part in parts], f"{name}_{which}")
                for n, which in enumerate(("upper", "carried", "lower"))
            )
            rows = [
                Signal(signed(self.sum_bits), name=f"{name}_{row}", reset_less=True)
                for row in ("low", "high", "low_row", "high_row")
            ]
            low, high, low_row, high_row = rows
            m.d.sync += [
                low.eq((carried << self.shift) + lower),
                high.eq(upper - carried),
                low_row.eq(low - (whole << bits - 1)),
                high_row.eq(high),
            ]
            m.d.comb += [self.sums[2 * pair].eq(low_row), self.sums[2 * pair + 1].eq(high_row)]
        return m

    @property
    def shift(self) -> int:
        return _BLOCK_BITS - self.weight_bits

    @property
    def overlap(self) -> int:
        """Bits of a product of the lower row that lie above `shift`."""
        return max(0, self.weight_bits + self.activation.width - self.shift)

    def _parts(
        self, m: Module, platform: object, activation: Value, pair: int, lane: int
    ) -> tuple[Value, Value, Value]:
        """U, h, L of one lane."""
        name = f"pair{pair}_{lane}"
        u, w = self.weight(2 * pair, lane), self.weight(2 * pair + 1, lane)
        operand = Cat(u, Const(0, self.shift - self.weight_bits), w).as_signed()
        width = _BLOCK_BITS + self.activation.width
        product = registered(m, (operand * activation)[:width].as_signed(), f"{name}_product")
        upper, lower = product[self.shift :].as_signed(), product[: self.shift]
        if self.overlap:
            least = self._least_bits(m, platform, activation, w, name)
            carried = Signal(self.overlap, name=f"{name}_carried")
            m.d.comb += carried.eq(upper[: self.overlap] - least)
        else:  # the lower product ends below; its sign is borrowed from the upper one
            carried = product[self.shift - 1 : self.shift]
        if self.activation.signed:
            carried = carried.as_signed()
        elif not self.overlap:
            carried = Const(0, 1)
        return upper, carried, lower

    def _least_bits(
        self, m: Module, platform: object, activation: Value, w: Value, name: str
    ) -> Value:
        """The lowest `overlap` bits of w * activation, a cycle later."""
        terms: list[Value] = []
        for bit in range(0, self.overlap, 2):
            width = self.overlap - bit
            a = Cat(activation[:width], Const(0, max(0, width - self.activation.width)))
            doubled, on = Cat(Const(0, 1), a)[:width], w[bit : bit + 2]
            if self.constant:
                total = Mux(on[0], a, 0) + Mux(on[1], doubled, 0)
            else:
                total = gated_add(
                    m, platform, f"{name}_bits{bit}", a, on[0], doubled, on[1], unsigned(width)
                )
            terms.append(total)
        total: Value = Const(0)
        for value in reversed(terms):
            total = value + (total << 2)
        return registered(m, total[: self.overlap], f"{name}_least")
