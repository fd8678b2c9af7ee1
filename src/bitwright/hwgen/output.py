"""The output stage: accumulators of a tile in, requantized words with their addresses out."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen import datapath, fused_add, requantize
from bitwright.hwgen.address import Flags, RowFlags
from bitwright.hwgen.delayed import delayed, registered
from bitwright.hwgen.engines import accumulator
from bitwright.hwgen.fused_add import FusedAdd
from bitwright.hwgen.isa import PIXEL_FIELDS, address_bits, field_layout
from bitwright.hwgen.ram import COPY_SUFFIX, Ram
from bitwright.hwgen.requantize import Requantizer, flip_sign
from bitwright.hwgen.structure import Structure
from bitwright.ir.instructions import Opcode
from bitwright.ir.machine import SHIFT_BITS, TABLE_ENTRIES, Machine

FIELDS = (
    *("dst_word_stride", "dst_words", "dst_words_last"),
    *("clamp_min", "clamp_max", "zero_point", "rounding", "table_enable", "table"),
    *PIXEL_FIELDS,
)
BASES = ("p_base", "dst_base")


def latency(machine: Machine) -> int:
    """Cycles from a tile's flags until its first channels leave, were they a whole word.

    Word j of a tile leaves `latency + (j + 1) * lanes / requant_lanes - 1` cycles after, and is
    written `hop_cycles` later.
    """
    added = fused_add.LATENCY if machine.fused_adds else 0
    return 1 + accumulator.LATENCY + _to_codes(machine) + added + 1


def hop_cycles(machine: Machine) -> int:
    """Registers on a way to another unit: an array of `dsp` is as wide as the device."""
    return 1 if machine.dsp else 0


def _to_codes(machine: Machine) -> int:
    """Cycles from the accumulators to the results, before anything is added to them."""
    looked_up = 2 if machine.tables else 0
    return 2 * hop_cycles(machine) + requantize.latency(machine.multiplier_bits) + looked_up


def _other_wait(machine: Machine) -> int:
    """Cycles that codes wait for the results that they are added to."""
    to_head = datapath.term_latency(machine, Opcode.MATMUL) + accumulator.LATENCY
    return to_head + _to_codes(machine) - datapath.OTHERS


class OutputStage(wiring.Component):
    """Requantizes `requant_lanes` channels per cycle, packs words and addresses them.

    With `requant_pixels = 2` it takes those channels of two neighbouring pixels. Of their words,
    port 0 writes the one of the even address and port 1 that of the odd one.

    Members:
        start: one cycle; `bases` is taken. From the next cycle on `fields` must hold still.
        groups_last: number of the last output group of a pixel.
        negate: the accumulators hold the negative (matrix instruction with a single plane).
        tile, row: one cycle before the last term of a tile is added; not more often than every
            `groups_last + 1` cycles, times the pixels of a tile, or the pairs of pixels.
        head: from the accumulators.
        params_address, params_data: the parameter memory's read port.
        table_*: write port of the activation tables, one entry at a time.
        write_enable, write_address, write_data: a result word on each port, on its way for so many
            `hop_cycles`.
        finished: the last word of the instruction leaves (or is dropped) in this cycle.
        factors, prepare, prepared, taken: with `fused_adds`, of `FusedAdd`. next_adds: with
            `start`, the instruction is a MATMUL_ADD; `adds`: from the next cycle on. other_head: of
            `Datapath`.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        self._result_bits = address_bits(max(machine.act_words, machine.out_words))
        ports = machine.requant_pixels
        head = data.ArrayLayout(signed(machine.acc_bits), machine.requant_lanes * ports)
        members = {"row": In(RowFlags)} if machine.dsp else {}
        if machine.fused_adds:
            members |= {
                "factors": In(field_layout(machine, fused_add.FACTORS)),
                **{name: In(1) for name in ("prepare", "taken", "next_adds", "adds")},
                "prepared": Out(1),
                "other_head": In(data.ArrayLayout(8, machine.requant_lanes)),
            }
        super().__init__(
            {
                **members,
                "start": In(1),
                "bases": In(field_layout(machine, BASES)),
                "fields": In(field_layout(machine, FIELDS)),
                "groups_last": In(range(max(machine.matmul_groups, 2))),
                "negate": In(1),
                "tile": In(Flags),
                "head": In(head),
                "params_address": Out(address_bits(machine.param_words)),
                "params_data": In(machine.param_bits),
                "table_write_enable": In(1),
                "table_write_address": In(address_bits(TABLE_ENTRIES * max(machine.tables, 1))),
                "table_write_data": In(8),
                "write_enable": Out(ports),
                "write_address": Out(data.ArrayLayout(self._result_bits, ports)),
                "write_data": Out(data.ArrayLayout(machine.activation_bits, ports)),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A group: its channels are at `head` accumulator.LATENCY cycles later.
        group = Signal(Flags)  # last: of its tile
        alone: Value = Signal()  # it has one pixel, not two
        self._groups(m, group, alone)
        entries = self._requantize(m)
        cycles = accumulator.LATENCY + _to_codes(self.machine)
        if self.machine.tables:
            results = self._tables(m, entries)
        else:
            results = [flip_sign(entry) for entry in entries]
        if self.machine.fused_adds:
            results = self._add(m, results)
            cycles += fused_add.LATENCY
        for number in range(cycles):
            later = Signal(Flags, name=f"group_{number}")
            m.d.sync += later.eq(group)
            group = later
        if self.machine.requant_pixels == 2:
            alone = delayed(m, alone, cycles + 1, "alone")
        self._pack(m, group, alone, results)
        return m

    def _groups(self, m: Module, group: data.View, alone: Signal) -> None:
        """Counts through the groups of a tile's pixels and through the parameter words."""
        tile = Signal(Flags)
        pixel_last = self._pixels(m, group, alone)
        left = Signal.like(self.groups_last)
        address, begin = (
            Signal.like(self.params_address, name=name) for name in ("address", "begin")
        )
        following = Signal.like(self.params_address)
        last, block_end = Signal(), Signal()
        fewer = Signal.like(left)
        m.d.comb += [
            fewer.eq(left - 1),
            following.eq(address + 1),
            self.params_address.eq(delayed(m, address, hop_cycles(self.machine), "params_way")),
            group.valid.eq(tile.valid),
            group.last.eq(last),
            block_end.eq(tile.block_end & pixel_last),
            group.block_end.eq(block_end),
            group.last_block.eq(tile.last_block),
        ]
        with m.If(self.start):
            m.d.sync += [address.eq(self.bases.p_base), begin.eq(self.bases.p_base)]
        with m.Elif(tile.valid):
            m.d.sync += address.eq(Mux(last & ~block_end, begin, following))
            with m.If(last & block_end):
                m.d.sync += begin.eq(following)
        with m.If(self.tile.valid & self.tile.last):
            m.d.sync += [
                tile.eq(self.tile),
                left.eq(self.groups_last),
                last.eq(self.groups_last == 0),
            ]
        with m.Elif(last & ~pixel_last):
            m.d.sync += [left.eq(self.groups_last), last.eq(self.groups_last == 0)]
        with m.Else():
            m.d.sync += [tile.valid.eq(tile.valid & ~last), left.eq(fewer), last.eq(left == 1)]

    def _pixels(self, m: Module, group: data.View, alone: Signal) -> Value:
        """Counts through the pixels of a tile, or pairs: 1 in the groups of the last one."""
        if not self.machine.dsp:
            return Const(1)
        f, tile, row = self.fields, self.tile, self.row
        count, left, fewer = (
            Signal.like(f.pixels, name=f"pixels_{name}") for name in ("turns", "left", "fewer")
        )
        m.d.comb += fewer.eq(left - 1)
        pixel_last = Signal()
        pixels = Signal.like(f.pixels, name="pixels_of_tile")
        m.d.comb += pixels.eq(
            Mux(row.first, f.pixels_first, Mux(row.last, f.pixels_last, f.pixels))
        )
        pairs = self.machine.requant_pixels == 2
        m.d.comb += count.eq((pixels >> 1) + pixels[0] if pairs else pixels)
        if pairs:
            odd = Signal()
            m.d.comb += alone.eq(pixel_last & odd)
            with m.If(tile.valid & tile.last):
                m.d.sync += odd.eq(pixels[0])
        with m.If(tile.valid & tile.last):
            m.d.sync += [left.eq(count), pixel_last.eq(count == 1)]
        with m.Elif(group.last):
            m.d.sync += [left.eq(fewer), pixel_last.eq(left == 2)]
        return pixel_last

    def _requantize(self, m: Module) -> list[Value]:
        hops = hop_cycles(self.machine)
        params = delayed(m, self.params_data, 1 + hops, "params")  # the first is in the block RAMs
        acc_bits, multiplier_end = (
            self.machine.acc_bits, self.machine.acc_bits + self.machine.multiplier_bits,
        )  # fmt: skip
        fields: dict[str, Value] = {
            name: self.fields[name] for name in ("zero_point", "clamp_min", "clamp_max")
        }
        if self.machine.wide:
            fields["rounding"] = self.fields.rounding
        if self.machine.fused_adds:  # the sum is clamped instead
            fields["clamp_min"] = Mux(self.adds, -128, self.fields.clamp_min)
            fields["clamp_max"] = Mux(self.adds, 127, self.fields.clamp_max)
        entries: list[Value] = []
        channels = self.machine.requant_lanes
        for v in range(channels * self.machine.requant_pixels):
            own = params.word_select(v % channels, self.machine.channel_param_bits)
            head = delayed(m, self.head[v], 2 * hops, f"head{v}")  # an address out, parameters back
            lane = Requantizer(machine=self.machine)
            m.submodules[f"requantizer{v}"] = lane
            m.d.comb += [
                lane.acc.eq(head),
                lane.bias.eq(own[:acc_bits]),
                lane.multiplier.eq(own[acc_bits:multiplier_end]),
                lane.shift.eq(own[multiplier_end:][:SHIFT_BITS]),
                lane.negate.eq(self.negate),
            ]
            # The lanes stand far from each other: each has the fields in registers of its own, the
            # first of which may be on the way.
            for name, value in fields.items():
                for place in ("way", "near"):
                    value = registered(m, value, f"{name}{v}_{place}{COPY_SUFFIX}")
                m.d.comb += getattr(lane, name).eq(value)
            entries.append(lane.entry)
        return entries

    def _tables(self, m: Module, entries: list[Value]) -> list[Value]:
        """Two cycles: look up, choose. Each lane has its own copy of all tables."""
        number = self.fields.table if self.machine.tables > 1 else Const(0, 0)
        results: list[Value] = []
        for v, entry in enumerate(entries):
            ram = Ram(width=8, depth=TABLE_ENTRIES * self.machine.tables, contents="tables")
            m.submodules[f"table{v}"] = ram
            plain = Signal(8, name=f"plain{v}", reset_less=True)
            result = Signal(8, name=f"result{v}", reset_less=True)
            m.d.comb += [
                ram.read_address.eq(Cat(entry, number)),
                ram.write_enable.eq(self.table_write_enable),
                ram.write_address.eq(self.table_write_address),
                ram.write_data.eq(self.table_write_data),
            ]
            m.d.sync += [
                plain.eq(entry),
                result.eq(Mux(self.fields.table_enable, ram.read_data, flip_sign(plain))),
            ]
            results.append(result)
        return results

    def _add(self, m: Module, results: list[Value]) -> list[Value]:
        """Adds the codes that were read with the last step of their tile."""
        machine = self.machine
        m.submodules.fused_add = unit = FusedAdd(machine=machine)
        m.d.comb += [
            unit.factors.eq(self.factors),
            unit.prepare.eq(self.prepare),
            unit.taken.eq(self.taken),
            self.prepared.eq(unit.prepared),
            unit.start.eq(self.start),
            unit.next_adds.eq(self.next_adds),
            unit.adds.eq(self.adds),
            unit.clamp_min.eq(self.fields.clamp_min),
            unit.clamp_max.eq(self.fields.clamp_max),
            Cat(unit.own).eq(Cat(results)),
            Cat(unit.other).eq(delayed(m, Cat(self.other_head), _other_wait(machine), "other")),
        ]
        return list(unit.results)

    def _pack(self, m: Module, group: data.View, alone: Value, results: list[Value]) -> None:
        """Collects a word of each pixel, which leave in the next cycle."""
        machine, bits = self.machine, self._result_bits
        per_word = machine.channelwise_groups
        words: list[Signal] = []
        for pixel in range(machine.requant_pixels):
            word = Signal(machine.activation_bits, name=f"word{pixel}", reset_less=True)
            own = results[pixel * machine.requant_lanes :][: machine.requant_lanes]
            m.d.sync += word.eq(Cat(word, *own)[-machine.activation_bits :])
            words.append(word)
        fills = Signal()  # the group is the last of a word
        m.d.comb += fills.eq(group.valid)
        if per_word > 1:
            count = Signal(range(per_word))
            with m.If(group.valid):
                m.d.sync += count.eq(count + 1)
            m.d.comb += fills.eq(group.valid & count.all())
        arrived = Signal(Flags)
        word_end = arrived.valid
        m.d.sync += [
            arrived.eq(group),
            word_end.eq(fills),
            self.finished.eq(fills & group.last & group.block_end & group.last_block),
        ]

        f = self.fields
        address, tile_begin, block_next = Signal(bits), Signal(bits), Signal(bits)
        words_left, words_left_last = Signal.like(f.dst_words), Signal.like(f.dst_words_last)
        block_first = Signal()
        following, next_tile, next_block = Signal(bits), Signal(bits), Signal(bits)
        block_known = Signal()
        tile_end, wanted = Signal(), Signal()
        m.d.comb += [
            following.eq(address + f.dst_word_stride),
            next_tile.eq(tile_begin + Mux(alone, 1, machine.requant_pixels)),
            block_known.eq(block_first & word_end & (words_left == 1)),
            next_block.eq(Mux(block_known, following, block_next)),
            tile_end.eq(word_end & arrived.last),
            wanted.eq(word_end & Mux(arrived.last_block, words_left_last != 0, words_left != 0)),
        ]
        self._write(m, address, words, wanted, alone)
        with m.If(self.start):
            m.d.sync += [
                address.eq(self.bases.dst_base),
                tile_begin.eq(self.bases.dst_base),
                block_first.eq(1),
            ]
        with m.Elif(word_end):
            m.d.sync += [
                address.eq(following),
                words_left.eq(words_left - (words_left != 0)),
                words_left_last.eq(words_left_last - (words_left_last != 0)),
            ]
            with m.If(tile_end):
                begin = Mux(arrived.block_end, next_block, next_tile)
                m.d.sync += [
                    address.eq(begin),
                    tile_begin.eq(begin),
                    block_first.eq(arrived.block_end),
                ]
            with m.If(block_known):
                m.d.sync += block_next.eq(following)
        # Between instructions the counters follow the fields.
        fresh = Signal()
        m.d.sync += fresh.eq(self.start)
        with m.If(fresh | tile_end):
            m.d.sync += [words_left.eq(f.dst_words), words_left_last.eq(f.dst_words_last)]

    def _write(
        self, m: Module, address: Signal, words: list[Signal], wanted: Signal, alone: Value
    ) -> None:
        if self.machine.requant_pixels == 1:
            m.d.comb += [
                self.write_data[0].eq(words[0]),
                self.write_address[0].eq(address),
                self.write_enable.eq(wanted),
            ]
            return
        odd, both = address[0], wanted & ~alone
        above = Signal(len(address) - 1)
        m.d.comb += [
            above.eq(address[1:] + odd),
            self.write_data[0].eq(Mux(odd, words[1], words[0])),
            self.write_data[1].eq(Mux(odd, words[0], words[1])),
            self.write_address[0].eq(Cat(Const(0, 1), above)),
            self.write_address[1].eq(Cat(Const(1, 1), address[1:])),
            self.write_enable.eq(Cat(Mux(odd, both, wanted), Mux(odd, wanted, both))),
        ]


def resources(machine: Machine) -> Structure:
    """Counters, addresses and the word that is packed; without its requantizers."""
    address = address_bits(max(machine.act_words, machine.out_words))
    params_address = address_bits(machine.param_words)
    side, hops = machine.requant_pixels, hop_cycles(machine)
    tables = machine.requant_lanes * side if machine.tables else 0
    others = 8 * machine.requant_lanes * _other_wait(machine) if machine.fused_adds else 0
    return Structure(
        lut={
            "stages": 40,
            "addresses": 7 * address,
            "params_address": 3 * params_address,
            "tables": 8 * tables,
            "pixels": 15 * (machine.pixels > 1),
            "pairs": (side - 1) * (2 * machine.activation_bits + address),
        },
        ff={
            "others": others,
            "stages": 45,
            "addresses": 3 * address,
            "params_address": (2 + hops) * params_address,
            "heads": 2 * hops * machine.acc_bits * machine.requant_lanes * side,
            "tables": 16 * tables,
            "words": side * machine.activation_bits,
            "params": (1 + hops) * machine.param_bits,
            "near_fields": (52 if machine.wide else 48) * machine.requant_lanes * side,
            "pixels": 4 * (machine.pixels > 1),
        },
        memories=((8, TABLE_ENTRIES * machine.tables),) * tables,
    )
