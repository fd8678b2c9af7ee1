"""The SDRAM controller: no command breaks the order that a chip asks for, and every beat gets and
gives its own word. Times are checked by the chip of the simulations."""

from itertools import pairwise

from amaranth.hdl import Array, Assert, Assume, Cat, Const, Elaboratable, Module, Mux, Signal
from proof import Proof, refuted
from tokens import free, held

from bitwright.hwgen.memory_model import Sdram
from bitwright.hwgen.ports.wishbone_master import CycleType
from bitwright.hwgen.sdram import ALL_BANKS, Command, SdramController

TIMING = Sdram(
    banks=2, columns=4, columns_per_word=2, cas_latency=2, t_rcd=1, t_rp=1, t_wr=1, t_rfc=2,
    refresh_interval=16,
)  # fmt: skip


class MasterAndChip(Elaboratable):
    """A master that keeps the rules of bursts, and the rows that a chip has open."""

    def __init__(self, controller: SdramController) -> None:
        self._controller = controller

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.controller = controller = self._controller
        bus, chip = controller.bus, controller.chip
        more, again, written = free(m, name="more"), Signal(), Signal()
        following, done = Signal.like(bus.adr), Signal()
        beat = Cat(bus.adr, bus.we, more, bus.dat_w)
        m.d.comb += [
            bus.stb.eq(free(m, name="stb")),
            bus.cyc.eq(bus.stb),
            bus.we.eq(free(m, name="we")),
            bus.adr.eq(free(m, len(bus.adr), name="adr")),
            bus.dat_w.eq(free(m, 32, name="dat_w")),
            bus.sel.eq(~0),
            bus.cti.eq(Mux(more, CycleType.INCREMENTING, CycleType.END)),
            done.eq(bus.ack | bus.err),
            Assume(held(m, valid=bus.stb, ready=done, payload=beat, name="beat")),
            Assume(~again | (bus.stb & (bus.adr == following) & (bus.we == written))),
            Assert(~done | bus.stb),
            Assert(~(bus.ack & bus.err)),
        ]
        m.d.sync += [again.eq(done & more), following.eq(bus.adr + 1), written.eq(bus.we)]

        opened, rows = Signal(2), [Signal(1, name=f"chip_row{bank}") for bank in range(2)]
        now, row_now = Signal(2), [Signal(1, name=f"row{bank}_now") for bank in range(2)]
        given = {command: Signal(name=f"is_{command.name.lower()}") for command in Command}
        levels = Cat(chip.rasn, chip.casn, chip.wen)
        mine = Array(opened)[chip.ba]
        m.d.comb += [
            *(signal.eq(~chip.csn & (levels == command)) for command, signal in given.items()),
            now.eq(opened),
            *(new.eq(old) for new, old in zip(row_now, rows, strict=True)),
            Assert(chip.csn | (Cat(given.values()) != 0)),
            Assert(~given[Command.ACTIVATE] | ~mine),
            Assert(~(given[Command.READ] | given[Command.WRITE]) | mine),
            Assert(~(given[Command.REFRESH] | given[Command.MODE]) | (opened == 0)),
            Assert(now == controller.opened),
            *(Assert(~now[bank] | (row_now[bank] == controller.rows[bank])) for bank in range(2)),
        ]
        m.d.sync += [opened.eq(now), *(old.eq(new) for old, new in zip(rows, row_now, strict=True))]
        for bank in range(2):
            with m.If(given[Command.ACTIVATE] & (chip.ba == bank)):
                m.d.comb += [now[bank].eq(1), row_now[bank].eq(chip.a[0])]
            with m.If(given[Command.PRECHARGE] & ((chip.ba == bank) | chip.a[ALL_BANKS])):
                m.d.comb += now[bank].eq(0)

        # What is read comes back after a fixed time: here its address in place of its data.
        place = Cat(chip.a[1], chip.ba, Array(rows)[chip.ba])
        asked = [Signal(1 + len(place), name=f"asked{n}") for n in range(TIMING.cas_latency + 3)]
        m.d.sync += asked[0].eq(Cat(given[Command.READ], place))
        m.d.sync += [new.eq(old) for old, new in pairwise(asked)]
        was_written, address, word = Signal(), Signal.like(bus.adr), Signal(32)
        m.d.sync += [was_written.eq(bus.ack & bus.we), address.eq(bus.adr), word.eq(bus.dat_w)]
        late, half = Signal(), Signal(16)
        m.d.sync += [late.eq(was_written), half.eq(word[16:])]
        m.d.comb += [
            Assert(~bus.ack | bus.we | (asked[-1] == Cat(Const(1, 1), bus.adr))),
            Assert(given[Command.WRITE] == was_written),
            Assert(~was_written | ((place == address) & chip.d_oe & (chip.d_o == word[:16]))),
            Assert(~late | (chip.d_oe & (chip.d_o == half))),
            Assert(chip.d_oe == (was_written | late)),
        ]
        return m


def spec(unit: type = SdramController) -> MasterAndChip:
    return MasterAndChip(unit(timing=TIMING, address_bits=4, row_bits=1, power_up_intervals=1))


def test_sdram_controller(prove) -> None:
    prove(
        "SdramController",
        Proof(
            claim="commands in the order of the rules; every beat its own word",
            spec=spec,
            depth=18,
        ),
        *refuted(
            spec,
            SdramController,
            60,
            (
                "reads on at the row's end",
                "(~follows | self._pending | self._column.all())",
                "(~follows | self._pending)",
            ),
            ("keeps words that nobody asks for", "Mux(self._stop, 0, Cat(", "Mux(0, 0, Cat("),
            ("refreshes with open rows", 'm.next = "CLOSE ALL"', 'm.next = "REFRESH"'),
        ),
    )
