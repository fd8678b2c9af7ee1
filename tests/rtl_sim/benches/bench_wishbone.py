"""Wishbone bridge: pipelined and classic masters, slow cores, broken cycles, partial writes."""

import random

import cocotb
from host_memory import DEPTH, HostMemory
from units import Pins, chance

IDLE = {"bus_cyc": 0, "bus_stb": 0, "bus_we": 0, "bus_sel": 15, "bus_adr": 0, "bus_dat_w": 0}


async def begin(dut: object, slowest: int) -> tuple[Pins, HostMemory]:
    pins = Pins(dut, "wishbone")
    await pins.start(**IDLE, host_ack=0, host_rdata=0)
    memory = HostMemory(pins)
    cocotb.start_soon(memory.run(slowest))
    return pins, memory


async def pipelined(pins: Pins, requests: list[tuple[bool, int, int, int]]) -> list[int | None]:
    """One cycle of (write, address, data, sel) requests; what each read, None for an error."""
    answers: list[int | None] = []
    asked = 0
    asking = False
    pins["bus_cyc"] = 1
    while len(answers) < len(requests):
        asking = asking or (asked < len(requests) and chance(70))
        pins["bus_stb"] = asking
        if asking:
            write, address, data, sel = requests[asked]
            pins["bus_we"], pins["bus_adr"], pins["bus_sel"] = write, address, sel
            pins["bus_dat_w"] = data
        else:
            pins["bus_dat_w"] = random.getrandbits(32)
        await pins.settled()
        if asking and not pins["bus_stall"]:
            asked += 1
            asking = False
        assert not (pins["bus_ack"] and pins["bus_err"])
        if pins["bus_ack"]:
            answers.append(pins["bus_dat_r"])
        if pins["bus_err"]:
            answers.append(None)
        assert len(answers) <= asked
        await pins.edge()
    pins["bus_cyc"] = pins["bus_stb"] = 0
    return answers


async def classic(pins: Pins, write: bool, address: int, data: int) -> int:
    """One transfer of a master that does not look at `stall`."""
    pins["bus_cyc"] = pins["bus_stb"] = 1
    pins["bus_we"], pins["bus_adr"], pins["bus_dat_w"], pins["bus_sel"] = write, address, data, 15
    while True:
        await pins.settled()
        done, word = pins["bus_ack"], pins["bus_dat_r"]
        await pins.edge()
        if done:
            break
    if chance(50):
        pins["bus_stb"] = 0
        if chance(50):
            pins["bus_cyc"] = 0
        for _ in range(random.randrange(3)):
            await pins.edge()
    return word


@cocotb.test()
async def pipelined_bursts(dut: object) -> None:
    pins, memory = await begin(dut, 6)
    model = [0] * DEPTH
    for _ in range(40):
        requests = [
            (
                chance(50),
                random.randrange(DEPTH),
                random.getrandbits(32),
                15 if chance(90) else random.randrange(15),
            )
            for _ in range(random.randint(1, 12))
        ]
        answers = await pipelined(pins, requests)
        for (write, address, data, sel), answer in zip(requests, answers, strict=True):
            if write and sel != 15:
                assert answer is None
            elif write:
                assert answer is not None
                model[address] = data
            else:
                assert answer == model[address]
        for _ in range(random.randrange(3)):
            await pins.edge()
    assert memory.words == model


@cocotb.test()
async def classic_transfers(dut: object) -> None:
    pins, memory = await begin(dut, 4)
    model = [0] * DEPTH
    for count in range(1, 200):
        write, address, data = chance(50), random.randrange(DEPTH), random.getrandbits(32)
        word = await classic(pins, write, address, data)
        if write:
            model[address] = data
        else:
            assert word == model[address]
        assert memory.transfers == count
    assert memory.words == model


@cocotb.test()
async def broken_cycles(dut: object) -> None:
    """The answer to a request whose cycle was ended must not reach the next cycle."""
    pins, memory = await begin(dut, 8)
    memory.words = list(range(100, 100 + DEPTH))
    for _ in range(60):
        pins["bus_cyc"] = pins["bus_stb"] = 1
        pins["bus_we"], pins["bus_adr"] = 0, random.randrange(DEPTH)
        for _ in range(random.randint(1, 5)):
            await pins.edge()
        pins["bus_cyc"] = pins["bus_stb"] = 0
        await pins.settled()
        assert not pins["bus_ack"]
        await pins.edge()
        address = random.randrange(DEPTH)
        assert await pipelined(pins, [(False, address, 0, 15)]) == [memory.words[address]]
