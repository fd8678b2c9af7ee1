"""UART bridge: frames at the pins against the frames of `serial_frames`, with damage on the way."""

import random

import cocotb
from host_memory import DEPTH, HostMemory
from units import SETTINGS, Pins, chance

from bitwright.targets import serial_frames

DIVISOR = SETTINGS["uart_divisor"]
SILENCE = 10 * DIVISOR * (SETTINGS["uart_silence_bytes"] + 1)


async def send(pins: Pins, data: bytes) -> None:
    for value in data:
        for bit in (0, *((value >> position) & 1 for position in range(8)), 1):
            pins["rx"] = bit
            for _ in range(DIVISOR):
                await pins.edge()
        if chance(10):
            for _ in range(random.randrange(3 * DIVISOR)):
                await pins.edge()


async def listen(pins: Pins, received: list[int]) -> None:
    while True:
        await pins.settled()
        if pins["tx"]:
            continue
        for _ in range(DIVISOR // 2):
            await pins.settled()
        assert not pins["tx"]
        value = 0
        for position in range(9):
            for _ in range(DIVISOR):
                await pins.settled()
            value |= pins["tx"] << position
        assert value >> 8, "no stop bit"
        received.append(value & 0xFF)


async def wait_for(pins: Pins, received: list[int], count: int) -> bytes:
    for _ in range(10 * DIVISOR * (count + 4)):
        if len(received) >= count:
            break
        await pins.settled()
    reply = bytes(received)
    received.clear()
    return reply


@cocotb.test()
async def frames(dut: object) -> None:
    pins = Pins(dut, "uart")
    await pins.start(rx=1, host_ack=0, host_rdata=0)
    memory = HostMemory(pins)
    cocotb.start_soon(memory.run(6))
    received: list[int] = []
    cocotb.start_soon(listen(pins, received))
    model = [0] * DEPTH
    for _ in range(40):
        count = random.randint(1, 6)
        start = random.randrange(DEPTH - count + 1)
        data = random.randbytes(4 * count)
        write = chance(50)
        frame = (
            serial_frames.write_request(4 * start, data)
            if write
            else serial_frames.read_request(4 * start, count)
        )
        if chance(30):
            position = random.randrange(len(frame))
            damaged = bytearray(frame)
            damaged[position] ^= 1 << random.randrange(8)
            await send(pins, bytes(damaged))
            assert await wait_for(pins, received, 1) == bytes([serial_frames.NAK])
            for _ in range(SILENCE):
                await pins.edge()
            if position >= 8:  # all words but the last may have been written
                for index in range(start, start + count - 1):
                    model[index] = memory.words[index]
            assert memory.words == model
        elif chance(20):
            await send(pins, frame[: random.randrange(1, 8)])
            for _ in range(SILENCE):
                await pins.edge()
            assert received == []
        await send(pins, frame)
        if write:
            assert await wait_for(pins, received, 1) == bytes([serial_frames.ACK])
            for index in range(count):
                model[start + index] = int.from_bytes(data[4 * index :][:4], "little")
            assert memory.words == model
        else:
            words = b"".join(word.to_bytes(4, "little") for word in model[start : start + count])
            reply = await wait_for(pins, received, 4 * count + 2)
            assert reply == bytes([serial_frames.ACK]) + serial_frames.with_crc(words)
