"""Output stage: tiles of random instructions, as close together as they may come."""

import random
from collections import deque

import cocotb
import numpy as np
from units import MACHINES, Pins, chance, pack

from bitwright.hwgen import address, output
from bitwright.hwgen.engines import accumulator
from bitwright.hwgen.golden import requantize, wrap
from bitwright.hwgen.image import pack_params
from bitwright.hwgen.isa import address_bits, field_layout
from bitwright.ir.instructions import FIELDS, Rounding
from bitwright.ir.machine import Machine


def packed(machine: Machine, names: tuple[str, ...], values: dict[str, int]) -> int:
    word = 0
    for name, member in field_layout(machine, names):
        word |= (values[name] & ((1 << member.width) - 1)) << member.offset
    return word


def random_fields(machine: Machine, words: int) -> dict[str, int]:
    low, high = sorted(random.randint(-128, 127) for _ in range(2))
    fields = dict.fromkeys((item.name for item in FIELDS), 0)
    fields.update(
        dst_word_stride=random.randint(1, 20), dst_words=random.randint(1, words),
        clamp_min=min(low, 0), clamp_max=max(high, 0), zero_point=random.randint(-128, 127),
        table_enable=random.getrandbits(1) if machine.tables else 0,
        table=random.randrange(max(machine.tables, 1)),
        rounding=random.choice(list(Rounding)) if machine.wide else 0,
        p_base=random.randrange(4), dst_base=random.randrange(100),
    )  # fmt: skip
    fields["dst_words_last"] = random.randint(1, fields["dst_words"])
    return fields


class Instruction:
    """Random accumulators and parameters, and the words that they make."""

    def __init__(self, machine: Machine, tables: np.ndarray) -> None:
        lanes, limit = machine.lanes, 1 << (machine.acc_bits - 1)
        self.machine = machine
        result_bits = address_bits(max(machine.act_words, machine.out_words))
        shifts = (32, 50) if machine.wide else (14, 30)
        self.matmul = chance(60)
        channels = machine.rows if self.matmul else lanes
        self.groups = channels // machine.requant_lanes
        self.blocks, self.pixels = random.randint(1, 3), random.randint(1, 5)
        self.fields = f = random_fields(machine, channels // lanes)
        self.negate = self.matmul and chance(30)
        params = [
            (
                random.randint(-limit, limit - 1),
                random.randint(1, (1 << machine.multiplier_bits) - 1),
                random.randint(*shifts),
            )
            for _ in range(self.blocks * channels)
        ]
        self.params = [0] * f["p_base"] + pack_params(machine, params)
        shape = (self.blocks, self.pixels, channels)
        self.acc = np.array([random.randint(-limit, limit - 1) for _ in range(np.prod(shape))])
        self.acc = self.acc.reshape(shape)
        bias, multiplier, shift = np.array(params).T.reshape(3, self.blocks, 1, channels)
        y = requantize(
            wrap(self.acc + bias, machine.acc_bits), multiplier, shift,
            zero_point=f["zero_point"], clamp_min=f["clamp_min"], clamp_max=f["clamp_max"],
            rounding=f["rounding"],
        )  # fmt: skip
        if f["table_enable"]:
            y = tables[f["table"], y + 128]
        self.expected: list[tuple[int, int]] = []
        for block, pixel in np.ndindex(self.blocks, self.pixels):
            last = block == self.blocks - 1
            for word in range(f["dst_words_last"] if last else f["dst_words"]):
                place = f["dst_base"] + (block * f["dst_words"] + word) * f["dst_word_stride"]
                data = y[block, pixel, word * lanes : (word + 1) * lanes].tolist()
                self.expected.append(((place + pixel) % (1 << result_bits), pack(data, 8)))


async def run(pins: Pins, instruction: Instruction) -> list[tuple[int, int]]:
    """Feeds all tiles; returns the words that were written."""
    machine = instruction.machine
    parallel = machine.requant_lanes
    tiles = deque(np.ndindex(instruction.blocks, instruction.pixels))
    heads: dict[int, int] = {}
    written: list[tuple[int, int]] = []
    next_tile = 1
    params_data = 0
    for cycle in range(10_000):
        flags = 0
        if tiles and cycle >= next_tile and chance(60):
            block, pixel = tiles.popleft()
            flags = 0b11 | (pixel == instruction.pixels - 1) << 2
            flags |= (block == instruction.blocks - 1) << 3
            next_tile = cycle + instruction.groups
            acc = instruction.acc[block, pixel] * (-1 if instruction.negate else 1)
            for group in range(instruction.groups):
                part = acc[group * parallel : (group + 1) * parallel].tolist()
                heads[cycle + 1 + accumulator.LATENCY + group] = pack(part, machine.acc_bits)
        else:
            flags = random.choice((0, 1, 2))  # a step that ends no tile
        pins["tile"] = flags
        pins["head"] = heads.pop(cycle, random.getrandbits(parallel * machine.acc_bits))
        pins["params_data"] = params_data
        await pins.settled()
        if pins["write_enable"]:
            written.append((pins["write_address"], pins["write_data"]))
        finished = pins["finished"]
        index = pins["params_address"]
        params_data = (
            instruction.params[index] if index < len(instruction.params) else random.getrandbits(40)
        )
        await pins.edge()
        if finished:
            assert not tiles
            return written
    raise AssertionError("the output stage did not finish")


@cocotb.test()
@cocotb.parametrize(unit=["output", "output_wide", "output_widest"])
async def instructions(dut: object, unit: str) -> None:
    assert list(address.Flags.as_shape().members) == ["valid", "last", "block_end", "last_block"]
    pins, machine = Pins(dut, unit), MACHINES[unit]
    names = (
        "start", "bases", "fields", "groups_last", "negate", "tile", "head", "params_data",
        "table_write_enable", "table_write_address", "table_write_data",
    )  # fmt: skip
    await pins.start(**dict.fromkeys(names, 0))
    tables = np.array([random.randint(-128, 127) for _ in range(256 * machine.tables)])
    pins["table_write_enable"] = 1
    for position, value in enumerate(tables):
        pins["table_write_address"], pins["table_write_data"] = position, int(value)
        await pins.edge()
    pins["table_write_enable"] = 0
    for _ in range(60):
        instruction = Instruction(machine, tables.reshape(machine.tables, 256))
        pins["tile"] = 0
        pins["start"], pins["bases"] = 1, packed(machine, output.BASES, instruction.fields)
        await pins.edge()
        pins["start"], pins["bases"] = 0, random.getrandbits(8)
        pins["fields"] = packed(machine, output.FIELDS, instruction.fields)
        pins["groups_last"], pins["negate"] = instruction.groups - 1, instruction.negate
        assert await run(pins, instruction) == instruction.expected
