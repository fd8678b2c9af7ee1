"""Loop nest: every step of random instructions against nested Python loops."""

import random
from itertools import product

import cocotb
from units import MACHINE, Pins, chance

from bitwright.hwgen import address
from bitwright.hwgen.isa import Instruction, address_bits, field_layout
from bitwright.ir.instructions import FIELDS, Opcode

SOURCE_BITS = address_bits(max(MACHINE.act_words, MACHINE.in_words))
WEIGHT_BITS = address_bits(MACHINE.weight_words)


def random_instruction() -> dict[str, int]:
    values = {item.name: 0 for item in FIELDS}
    values |= {"pixels": 1, "pixels_first": 1, "pixels_last": 1}
    for loop in address.LOOPS:
        values[f"n_{loop}"] = random.choice((1, 1, 2, 3))
    for name in ("src_base", "s_block", "s_oy", "s_ox", "s_cb", "s_ky", "s_kx"):
        values[name] = random.randrange(-(1 << SOURCE_BITS) + 1, 1 << SOURCE_BITS)
    for axis, outer, kernel in (("y", "oy", "ky"), ("x", "ox", "kx")):
        values[f"{axis}0"] = random.randint(-4, 3)
        values[f"{axis}_{outer}"] = random.randint(0, 4)
        values[f"{axis}_{kernel}"] = random.randint(0, 4)
        values["height" if axis == "y" else "width"] = random.randint(1, 8)
    values["w_base"] = random.randrange(MACHINE.weight_words)
    return values


def acc_op(plane: int, position: int) -> int:
    if position == 0:
        return (address.AccOp.LOAD, address.AccOp.NEGATE, address.AccOp.DOUBLE)[min(plane, 2)]
    return address.AccOp.ADD


def golden(f: dict[str, int]) -> list[tuple[int, ...]]:
    """(source, padding, weight, acc_op, last, block_end, last_block, finished) of each step."""
    counts = [f[f"n_{loop}"] for loop in address.LOOPS]
    inside = counts[4] * counts[5] * counts[6]
    tile = counts[3] * inside
    steps: list[tuple[int, ...]] = []
    for block, oy, ox, plane, cb, ky, kx in product(*map(range, counts)):
        source = f["src_base"] + sum(
            index * f[f"s_{loop}"]
            for loop, index in zip(
                ("block", "oy", "ox", "cb", "ky", "kx"), (block, oy, ox, cb, ky, kx), strict=True
            )
        )
        y = f["y0"] + oy * f["y_oy"] + ky * f["y_ky"]
        x = f["x0"] + ox * f["x_ox"] + kx * f["x_kx"]
        padding = not (0 <= y < f["height"] and 0 <= x < f["width"])
        position = (cb * counts[5] + ky) * counts[6] + kx
        weight = f["w_base"] + block * tile + plane * inside + position
        last = plane == counts[3] - 1 and position == inside - 1
        pixel_last = (oy, ox) == (counts[1] - 1, counts[2] - 1)
        block_last = block == counts[0] - 1
        steps.append(
            (
                source % (1 << SOURCE_BITS), padding, weight % (1 << WEIGHT_BITS),
                acc_op(plane, position), last, pixel_last and last, block_last,
                block_last and pixel_last and last,
            )
        )  # fmt: skip
    return steps


def packed(names: tuple[str, ...], values: dict[str, int]) -> int:
    layout = field_layout(MACHINE, names)
    word = 0
    for name, member in layout:
        word |= (values[name] & ((1 << member.width) - 1)) << member.offset
    return word


@cocotb.test()
async def steps(dut: object) -> None:
    pins = Pins(dut, "address")
    await pins.start(start=0, bases=0, fields=0, gap=0)
    for _ in range(60):
        f = random_instruction()
        opcode = random.choice((Opcode.MATMUL, Opcode.CHANNELWISE))
        groups = MACHINE.matmul_groups if opcode == Opcode.MATMUL else MACHINE.channelwise_groups
        expected = golden(f)
        pins["start"], pins["bases"] = 1, packed(address.BASES, f)
        pins["fields"], pins["gap"] = packed(address.FIELDS, f), groups - 1
        await pins.edge()
        pins["start"], pins["bases"] = 0, random.getrandbits(8)
        got: list[tuple[int, ...]] = []
        cycles: list[int] = []
        step: tuple[int, ...] | None = None
        flags = address.Flags
        for cycle in range(1, 20 * len(expected) + 20):
            await pins.settled()
            if step is not None:
                got.append((step[0], pins["padding"], pins["weight"], *step[1:]))
            word = flags.as_shape().from_bits(pins["flags"])
            step = None
            if word.valid:
                cycles.append(cycle)
                step = (
                    pins["source"], pins["acc_op"], word.last, word.block_end & word.last,
                    word.last_block, pins["finished"],
                )  # fmt: skip
            elif cycles:
                assert not pins["finished"]
            await pins.edge()
            if step is None and len(got) == len(expected) and chance(30):
                break
        assert got == expected
        assert cycles[0] == 2
        instruction = Instruction(opcode, f)
        assert cycles[-1] - cycles[0] + 1 == address.issue_cycles(instruction, groups)
        for _ in range(groups + random.randrange(3)):
            await pins.edge()
