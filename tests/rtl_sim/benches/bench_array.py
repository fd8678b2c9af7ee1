"""Whole array machines through their host port: every result, and the cycles of every product."""

import random

import cocotb
import numpy as np
from units import SETTINGS, Pins, signed

from bitwright.hwgen.array import bit_machine, machine
from bitwright.hwgen.array.job import Job, bit_job, table_job
from bitwright.hwgen.array.shape import ArrayRegister, ArrayShape
from bitwright.hwgen.engines import acttable, bitserial, weighttable

SHAPES = {unit: ArrayShape(**values) for unit, values in SETTINGS["shapes"].items()}


async def access(pins: Pins, address: int, data: int | None = None) -> int:
    pins["host_addr"], pins["host_we"], pins["host_stb"] = address, data is not None, 1
    pins["host_wdata"] = data or 0
    await pins.settled()
    for _ in range(12):
        if pins["host_ack"]:
            break
        await pins.edge()
        await pins.settled()
    else:
        raise AssertionError("no answer within 12 cycles")
    value = pins["host_rdata"]
    await pins.edge()
    pins["host_stb"] = 0
    return value


async def run(pins: Pins, job: Job) -> tuple[np.ndarray, int]:
    """Results, and the cycles that they took."""
    for address, value in job.writes():
        await access(pins, address, value)
    for _ in range(job.cycles):
        if not await access(pins, ArrayRegister.BUSY):
            break
    cycles = await access(pins, ArrayRegister.CYCLES)
    values = [signed(await access(pins, address), 32) for address in job.reads()]
    return np.array(values).reshape(job.results.shape[:2]), cycles


def predicted(
    shape: ArrayShape, rows: int, length: int, columns: int, weight_bits: int, activation_bits: int
) -> int:
    """What the engine's `cycles()` makes of a product, and the time to its last result."""
    blocks, tiles = -(-rows // shape.rows), -(-length // shape.lanes)
    if shape.engine == "acttable":
        own = acttable.cycles(tables=columns * tiles, uses=blocks * weight_bits)
        return own + machine.drain(shape)
    if shape.engine == "weighttable":
        tables, uses = blocks * tiles, columns * activation_bits
        return weighttable.cycles(tables=tables, uses=uses, rows=shape.rows) + machine.drain(shape)
    own = bitserial.cycles(weight_bits=weight_bits, activation_bits=activation_bits, tiles=tiles)
    return blocks * -(-columns // shape.columns) * own + bit_machine.drain(shape)


def matrix(
    shape: tuple[int, int], bits: int, is_signed: bool, *, bipolar: bool, ternary: bool = False
) -> np.ndarray:
    """Integers, some of them the corners, the first row and the first column nothing else."""
    rng = np.random.default_rng(random.getrandbits(32))
    if bipolar:
        return rng.choice([-1, 1], shape)
    low = -(1 << bits - 1) if is_signed else 0
    high = low + (1 << bits) - 1
    if ternary:
        low = -1
    values = rng.integers(low, high + 1, shape)
    values = np.where(rng.random(shape) < 0.2, rng.choice([low, high], shape), values)
    values[0] = values[:, 0] = low if is_signed else high
    return values


TERNARY = "ternary"  # -1, 0 and 1, in two bits
Case = tuple[int, int, int, int | str, int, bool]
# rows, k, columns, weight bits, activation bits, activations signed
TABLE: tuple[Case, ...] = (
    (5, 20, 3, 4, 8, True), (3, 16, 1, 1, 8, True), (7, 40, 2, 2, 8, True),
    (13, 33, 2, 3, 5, True),
)  # fmt: skip
WEIGHT_TABLE: tuple[Case, ...] = (
    (5, 20, 3, 4, 8, True), (8, 16, 1, 4, 1, True), (12, 40, 2, 2, 8, False),
    (9, 17, 5, 3, 7, False), (4, 16, 2, 1, 1, False),
)  # fmt: skip
BITS: tuple[Case, ...] = (
    (5, 20, 4, 4, 8, True), (3, 16, 1, 2, 2, True), (4, 40, 7, 3, 1, False), (2, 16, 3, 8, 3, False)
)  # fmt: skip
BINARY: tuple[Case, ...] = ((5, 20, 3, 1, 1, True), (2, 8, 2, 1, 1, True))
# Each width of both operands, the narrow ones on machines of wide ones.
WIDTHS: tuple[Case, ...] = (
    (5, 12, 2, 1, 1, False), (3, 8, 3, 1, 8, True), (9, 20, 2, TERNARY, 2, True),
    (4, 16, 3, TERNARY, 8, False), (7, 8, 2, 2, 7, False), (3, 24, 1, 3, 6, True),
    (8, 9, 3, 4, 5, False), (5, 16, 2, 5, 4, True), (2, 17, 3, 6, 3, False), (7, 8, 1, 6, 1, True),
    (6, 20, 2, 7, 2, False), (5, 8, 4, 8, 1, False), (4, 16, 2, 8, 8, True),
    (5, 20, 2, 8, 16, True), (3, 8, 2, TERNARY, 16, True),
)  # fmt: skip


async def products(dut: object, unit: str, cases: tuple[Case, ...]) -> None:
    pins, shape = Pins(dut, unit), SHAPES[unit]
    await pins.start(host_addr=0, host_wdata=0, host_we=0, host_stb=0)
    make = bit_job if shape.engine == "bitserial" else table_job
    of_one_bit = make is table_job or shape.binary
    for case in cases:
        rows, length, columns, weights_of, activation_bits, is_signed = case
        weight_bits = weights_of if isinstance(weights_of, int) else 2
        weights = matrix(
            (rows, length), weight_bits, True, bipolar=of_one_bit and weight_bits == 1,
            ternary=weights_of == TERNARY,
        )  # fmt: skip
        activations = matrix(
            (length, columns), activation_bits, is_signed,
            bipolar=of_one_bit and activation_bits == 1 and is_signed,
        )  # fmt: skip
        job = make(
            shape, weights, activations, weight_bits=weight_bits,
            activation_bits=activation_bits, activation_signed=is_signed,
        )  # fmt: skip
        got, cycles = await run(pins, job)
        assert np.array_equal(got, weights @ activations), case
        assert cycles == job.cycles, case
        wanted = predicted(shape, rows, length, columns, weight_bits, activation_bits)
        assert cycles == wanted, case


@cocotb.test()
async def acttable_array(dut: object) -> None:
    await products(dut, "array_acttable", TABLE)


@cocotb.test()
@cocotb.parametrize(engine=["acttable", "weighttable"])
async def widths(dut: object, engine: str) -> None:
    await products(dut, f"array_{engine}_wide", WIDTHS)


@cocotb.test()
async def weighttable_array(dut: object) -> None:
    await products(dut, "array_weighttable", WEIGHT_TABLE)


@cocotb.test()
async def bitserial_array(dut: object) -> None:
    await products(dut, "array_bitserial", BITS + WIDTHS)


@cocotb.test()
async def binary_array(dut: object) -> None:
    await products(dut, "array_binary", BINARY)
