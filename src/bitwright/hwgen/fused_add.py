"""Adds another tensor to the results of an instruction, while they are made.

    y = clamp((own * add_own + other * add_other + add_offset) >> 23)

`own` is what the output stage has made, `other` the code that is added, both int8. Each product is
looked up: two tables a lane, of 256 products, in one block RAM each, whose contents an adder makes
from the two factors before the instruction starts. A block RAM has room for two such tables, so
that those of the next instruction are made while this one runs.
"""

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from bitwright.hwgen.delayed import delayed, registered
from bitwright.hwgen.isa import field_layout
from bitwright.hwgen.ram import COPY_SUFFIX, Ram
from bitwright.hwgen.requantize import clamped
from bitwright.hwgen.structure import Structure
from bitwright.ir.instructions import ADD_SHIFT
from bitwright.ir.machine import TABLE_ENTRIES, Machine

FACTORS = ("add_own", "add_other", "add_offset")
LATENCY = 5  # look up, a register behind the memory, add, compare, clamp
PREPARE_CYCLES = 3 + TABLE_ENTRIES
FIRST_CODE = 128  # -128, the place of the first product that is made
PRODUCT_BITS = 36  # a word of a block RAM: 25 bits times 8, and the offset


def golden(own: NDArray, other: NDArray, *, add_own: int, add_other: int, add_offset: int,
           clamp_min: int, clamp_max: int) -> NDArray:  # fmt: skip
    """What becomes of int8 results and the codes that are added to them."""
    total = own.astype(np.int64) * add_own + other.astype(np.int64) * add_other + add_offset
    return np.clip(total >> ADD_SHIFT, clamp_min, clamp_max)


class FusedAdd(wiring.Component):
    """`results` follow `own` and `other` by `LATENCY` cycles.

    Members:
        factors: of the instruction that is fetched. `prepare`: it is a MATMUL_ADD, and `factors`
            hold still until `taken`, the cycle in which it starts. `prepared`: its tables are
            there, `PREPARE_CYCLES` after the first cycle of `prepare`.
        start: the output stage goes over to another instruction in this cycle; `next_adds`: that
            one is a MATMUL_ADD. From the next cycle on `adds`: the one that it has gone over to is
            one; otherwise `results` are `own`. `clamp_min`, `clamp_max` are its fields.
        own, other: int8 of each lane.
        results: int8 of each lane.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        codes = data.ArrayLayout(8, machine.requant_lanes)
        super().__init__(
            {
                "factors": In(field_layout(machine, FACTORS)),
                "prepare": In(1),
                "taken": In(1),
                "prepared": Out(1),
                "start": In(1),
                "next_adds": In(1),
                "adds": In(1),
                "clamp_min": In(signed(8)),
                "clamp_max": In(signed(8)),
                "own": In(codes),
                "other": In(codes),
                "results": Out(codes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        written, place, products = self._prepare(m)
        used = Signal(init=1)  # which of the two tables the output stage looks up in
        with m.If(self.start & self.next_adds):
            m.d.sync += used.eq(~used)
        adds = registered(m, self.adds, "adds_now")
        for v in range(self.machine.requant_lanes):
            codes = {"own": self.own[v], "other": self.other[v]}
            found: list[Value] = []
            for name, product in products.items():
                ram = Ram(width=PRODUCT_BITS, depth=2 * TABLE_ENTRIES)
                m.submodules[f"{name}{v}"] = ram
                m.d.comb += [
                    ram.read_address.eq(Cat(codes[name], used)),
                    ram.write_enable.eq(written),
                    ram.write_address.eq(place),
                    ram.write_data.eq(product),
                ]
                found.append(registered(m, ram.read_data, f"{name}_product{v}").as_signed())
            bits = PRODUCT_BITS - ADD_SHIFT
            fraction, whole = Signal(ADD_SHIFT, name=f"unused_fraction{v}"), Signal(signed(bits))
            m.d.comb += Cat(fraction, whole).eq(found[0] + found[1])
            total = registered(m, whole, f"total{v}")
            plain = delayed(m, codes["own"], LATENCY - 1, f"plain{v}")
            low, high = (
                registered(m, value, f"{value.name}{v}{COPY_SUFFIX}")
                for value in (self.clamp_min, self.clamp_max)
            )
            code = clamped(m, total, low, high, f"sum{v}_code")
            chosen = Mux(adds, code, plain)[:8]
            m.d.comb += self.results[v].eq(registered(m, chosen, f"result{v}"))
        return m

    def _prepare(self, m: Module) -> tuple[Signal, Value, dict[str, Signal]]:
        """Write enable, address and contents of the tables that are made, of the code -128 first.

        The product of a code is that of the code before, plus the factor.
        """
        f = self.factors
        code = Signal(range(TABLE_ENTRIES), init=FIRST_CODE)
        making, made, side, waits = Signal(), Signal(), Signal(), Signal()
        products = {
            name: Signal(signed(PRODUCT_BITS), name=f"{name}_product", reset_less=True)
            for name in ("own", "other")
        }
        factors = {name: registered(m, f[f"add_{name}"], f"{name}_factor") for name in products}
        lowest = {
            "own": registered(m, f.add_offset - (f.add_own << 7), "own_lowest"),
            "other": registered(m, -(f.add_other << 7), "other_lowest"),
        }
        taken = registered(m, self.taken, "was_taken")
        m.d.sync += [
            self.prepared.eq(made & ~self.taken & ~taken),
            waits.eq(self.prepare & ~self.taken),
        ]
        with m.If(making):
            last = code == FIRST_CODE - 1
            m.d.sync += [code.eq(code + 1), making.eq(~last), made.eq(last)]
            m.d.sync += [
                products[name].eq(products[name] + factors[name].as_unsigned()) for name in products
            ]
        with m.Elif(waits & ~made):
            m.d.sync += [making.eq(1), *(products[name].eq(lowest[name]) for name in products)]
        with m.If(taken):  # no instruction that adds is, before its tables are made
            m.d.sync += [made.eq(0), side.eq(side ^ made)]
        return making, Cat(code, side), products


def resources(machine: Machine) -> Structure:
    """Two tables a lane, their sum and its clamp; the two adders that make their contents."""
    lanes = machine.requant_lanes
    return Structure(
        lut={"fillers": 6 * PRODUCT_BITS + 20, "sums": lanes * (PRODUCT_BITS + 56)},
        ff={
            "fillers": 4 * PRODUCT_BITS + 62,
            "sums": lanes * (3 * PRODUCT_BITS - ADD_SHIFT + 66),
        },
        memories=((PRODUCT_BITS, 2 * TABLE_ENTRIES),) * 2 * lanes,
    )
