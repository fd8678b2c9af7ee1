"""Whole array machines through their host port: every result, and the cycles of every product."""

import random

import cocotb
import numpy as np
from units import SETTINGS, Pins, signed

from bitwright.hwgen.array.job import Job, bit_job, table_job
from bitwright.hwgen.array.shape import ArrayRegister, ArrayShape

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


async def run(pins: Pins, job: Job) -> np.ndarray:
    for address, value in job.writes():
        await access(pins, address, value)
    for _ in range(job.cycles):
        if not await access(pins, ArrayRegister.BUSY):
            break
    assert await access(pins, ArrayRegister.CYCLES) == job.cycles
    values = [signed(await access(pins, address), 32) for address in job.reads()]
    return np.array(values).reshape(job.results.shape[:2])


def matrix(shape: tuple[int, int], bits: int, is_signed: bool) -> np.ndarray:
    """Integers, some of them the corners; of one signed bit +1 and -1."""
    rng = np.random.default_rng(random.getrandbits(32))
    if bits == 1 and is_signed:
        return rng.choice([-1, 1], shape)
    low = -(1 << bits - 1) if is_signed else 0
    values = rng.integers(low, low + (1 << bits), shape)
    return np.where(rng.random(shape) < 0.2, low, values)


# rows, k, columns, weight bits, activation bits, activations signed
TABLE = ((5, 20, 3, 4, 8, True), (3, 16, 1, 1, 8, True), (7, 40, 2, 2, 8, True),
         (13, 33, 2, 3, 5, True))  # fmt: skip
WEIGHT_TABLE = ((5, 20, 3, 4, 8, True), (8, 16, 1, 4, 1, True), (12, 40, 2, 2, 8, False),
                (9, 17, 5, 3, 7, False),
                (4, 16, 2, 1, 1, False))  # fmt: skip
BITS = ((5, 20, 4, 4, 8, True), (3, 16, 1, 2, 2, True), (4, 40, 7, 3, 1, False),
        (2, 16, 3, 8, 3, False))  # fmt: skip
BINARY = ((5, 20, 3, 1, 1, True), (2, 8, 2, 1, 1, True))


async def products(
    dut: object, unit: str, cases: tuple[tuple[int, int, int, int, int, bool], ...]
) -> None:
    pins, shape = Pins(dut, unit), SHAPES[unit]
    await pins.start(host_addr=0, host_wdata=0, host_we=0, host_stb=0)
    make = bit_job if shape.engine == "bitserial" else table_job
    for rows, length, columns, weight_bits, activation_bits, is_signed in cases:
        weights = matrix((rows, length), weight_bits, True)
        activations = matrix((length, columns), activation_bits, is_signed)
        job = make(
            shape, weights, activations, weight_bits=weight_bits,
            activation_bits=activation_bits, activation_signed=is_signed,
        )  # fmt: skip
        got = await run(pins, job)
        assert np.array_equal(got, weights @ activations), (rows, length, columns, weight_bits)


@cocotb.test()
async def acttable(dut: object) -> None:
    await products(dut, "array_acttable", TABLE)


@cocotb.test()
async def weighttable(dut: object) -> None:
    await products(dut, "array_weighttable", WEIGHT_TABLE)


@cocotb.test()
async def bitserial(dut: object) -> None:
    await products(dut, "array_bitserial", BITS)


@cocotb.test()
async def binary(dut: object) -> None:
    await products(dut, "array_binary", BINARY)
