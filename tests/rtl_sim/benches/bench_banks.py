"""Ping-pong banks: random filling and draining against a queue; and the memory against a list."""

import random
from collections import deque

import cocotb
from units import Pins, chance


@cocotb.test()
async def ping_pong(dut: object) -> None:
    pins = Pins(dut, "banks")
    await pins.start(fill=0, drain=0)
    queue: deque[int] = deque()
    writer = 0
    for turn in range(1500):
        willing = 20 + 60 * (turn // 100 % 2)
        fill, drain = chance(willing), chance(100 - willing)
        pins["fill"], pins["drain"] = fill, drain
        await pins.settled()
        assert pins["full"] == len(queue)
        assert pins["write_bank"] == writer
        if queue:
            assert pins["read_bank"] == queue[0]
        filled, drained = fill and len(queue) < 2, drain and len(queue) > 0
        if drained:
            queue.popleft()
        if filled:
            queue.append(writer)
            writer ^= 1
        await pins.edge()


@cocotb.test()
async def memory(dut: object) -> None:
    pins = Pins(dut, "ram")
    await pins.start(read_address=0, write_enable=0, write_address=0, write_data=0)
    model: list[int | None] = [None] * 20
    expected: int | None = None
    for _ in range(1500):
        read, write, data = random.randrange(20), random.randrange(20), random.getrandbits(8)
        enable = chance(50)
        pins["read_address"], pins["write_address"] = read, write
        pins["write_enable"], pins["write_data"] = enable, data
        await pins.settled()
        if expected is not None:
            assert pins["read_data"] == expected
        expected = None if enable and read == write else model[read]
        if enable:
            model[write] = data
        await pins.edge()
