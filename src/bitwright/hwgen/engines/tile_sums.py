"""The accumulators of the `dsp` engine, and the copy of a tile that the output stage empties."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.engines import dsp
from bitwright.hwgen.engines.window import CARRIED
from bitwright.hwgen.ram import COPY_SUFFIX
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import Machine

LATENCY = 2  # from the cycle of the last term of a tile to its first group at `head`
ROWS_PER_COPY = 2  # rows that share one copy of the control registers


class TileSums(wiring.Component):
    """One accumulator per pixel and row; a tile's sums, its own or the window's, leave in groups.

    Members:
        sums: of the engine, [pixel][row]: the terms.
        valid, first, last: of the step whose term comes in the next cycle; `first` takes the term
            as it is, `last` also with tiles of the window. `skip`, with `fused_adds`: it has none.
        lane_sums: of `Window`, two cycles after `last`.
        use_lanes: the tile is a channelwise one; `offset`: its pixel 0 is sum 2, not 0;
            `every_other`, where there are more than 2: its pixels are two sums apart, not one.
        head: `requant_lanes` sums of each of `requant_pixels` pixels, group g of a tile
            `LATENCY + 1 + g` cycles after `last`; pixel after pixel, or pair after pair.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        acc = signed(machine.acc_bits)
        rows, lanes, pixels = machine.rows, machine.lanes, machine.pixels
        sums = data.ArrayLayout(signed(dsp.sum_bits(machine)), rows)
        super().__init__(
            {
                **({"skip": In(1)} if machine.fused_adds else {}),
                "sums": In(data.ArrayLayout(sums, pixels)),
                "lane_sums": In(
                    data.ArrayLayout(data.ArrayLayout(acc, lanes), pixels + CARRIED)
                ),
                "use_lanes": In(1),
                "offset": In(1),
                **({"every_other": In(1)} if pixels > 2 else {}),
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "head": Out(
                    data.ArrayLayout(acc, machine.requant_lanes * machine.requant_pixels)
                ),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        machine = self.machine
        bits, rows, step = machine.acc_bits, machine.rows, machine.requant_lanes
        groups = range(machine.pixels * rows // ROWS_PER_COPY)
        controls = [self._control(m, group) for group in groups]
        side = machine.requant_pixels
        chains = [
            [
                Signal(signed(bits), name=f"held{first}_{place}", reset_less=True)
                for place in range(len(range(first, machine.pixels, side)) * rows)
            ]
            for first in range(side)
        ]
        for number in range(machine.pixels * rows):
            pixel, row = divmod(number, rows)
            turn, first = divmod(pixel, side)
            held, place = chains[first], turn * rows + row
            control = controls[number // ROWS_PER_COPY]
            acc = Signal(signed(bits), name=f"row{pixel}_{row}", reset_less=True)
            with m.If(control.valid):
                m.d.sync += acc.eq(Mux(control.first, 0, acc) + self.sums[pixel][row])
            loaded: Value = acc
            turn, lane = divmod(place, machine.lanes)  # of a channelwise tile
            if turn * side + first < machine.pixels:
                of_lanes = self._of_lanes(turn * side + first, lane, control)
                loaded = Mux(control.use_lanes, of_lanes, acc)
            with m.If(control.full):
                m.d.sync += held[place].eq(loaded)
            if place + step < len(held):
                with m.Else():
                    m.d.sync += held[place].eq(held[place + step])
        for first, held in enumerate(chains):
            for v in range(step):
                m.d.comb += self.head[first * step + v].eq(held[v])
        return m

    def _control(self, m: Module, group: int) -> "_Control":
        """Registers of the same contents for each few rows, so that none drives too many."""
        control = _Control(group)
        m.d.sync += [
            control.valid.eq(self.valid & ~self.skip if self.machine.fused_adds else self.valid),
            control.first.eq(self.first),
            control.last.eq(self.valid & self.last),
            control.full.eq(control.last),
            control.use_lanes.eq(self.use_lanes),
            *([control.every_other.eq(self.every_other)] if self.machine.pixels > 2 else []),
            control.offset_early.eq(self.offset),
            control.offset.eq(control.offset_early),
        ]
        return control

    def _of_lanes(self, pixel: int, lane: int, control: "_Control") -> Value:
        """The sum of a pixel of a channelwise tile."""
        sums = [column[lane] for column in self.lane_sums]
        near = Mux(control.offset, sums[pixel + CARRIED], sums[pixel])
        if 2 * pixel + CARRIED >= len(sums) or not pixel:
            return near
        apart = Mux(control.offset, sums[2 * pixel + CARRIED], sums[2 * pixel])
        return Mux(control.every_other, apart, near)


class _Control:
    """Copies of the control registers."""

    def __init__(self, group: int) -> None:
        names = ("valid", "first", "last", "full", "use_lanes", "every_other", "offset",
                 "offset_early")  # fmt: skip
        for name in names:
            setattr(self, name, Signal(name=f"{name}{group}{COPY_SUFFIX}", reset_less=True))


def resources(machine: Machine) -> Structure:
    """Per pixel and row an accumulator, and a copy that is loaded or shifted."""
    bits, sums = machine.acc_bits, machine.pixels * machine.rows
    copies = -(-sums // ROWS_PER_COPY)
    apart = (machine.pixels - 1) // 2  # pixels whose sums may be one or two apart
    return Structure(
        lut={
            "adders": 2 * sums * bits,
            "copies": (sums - machine.requant_lanes * machine.requant_pixels) * bits,
            "lanes": (2 * machine.pixels + apart) * machine.lanes * bits,
            "controls": 2 * copies,
        },
        ff={"sums": 2 * sums * bits, "controls": 7 * copies},
    )
