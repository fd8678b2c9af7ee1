"""Wishbone master: random commands, a slave of random speed, streams that come and go."""

import random
from collections import deque

import cocotb
from cocotb.handle import HierarchyObject
from memory_systems import BURST_WORDS
from units import Pins, chance

DEPTH = 256
INCREMENTING, END = 2, 7


@cocotb.test()
async def transfers(dut: HierarchyObject) -> None:
    pins = Pins(dut, "wishbone_master")
    idle = dict.fromkeys(
        ("port_command_valid", "port_command_payload", "port_write_data_valid", "bus_ack",
         "port_write_data_payload", "port_read_data_ready", "bus_dat_r", "bus_err"), 0,
    )  # fmt: skip
    await pins.start(**idle)
    words = [random.getrandbits(32) for _ in range(DEPTH)]
    model = list(words)
    commands: list[tuple[int, int, bool]] = []
    to_write: deque[int] = deque()
    wanted: list[int] = []
    for _ in range(50):
        count = random.choice((1, 2, random.randint(3, 3 * BURST_WORDS)))
        address, write = random.randrange(DEPTH - count), chance(50)
        commands.append((address, count, write))
        for position in range(address, address + count):
            if write:
                model[position] = random.getrandbits(32)
                to_write.append(model[position])
            else:
                wanted.append(model[position])
    waiting = deque(commands)
    read: list[int] = []
    offered, beats, longest, turn = False, 0, 0, 0
    expected: int | None = None
    while len(read) < len(wanted) or waiting or to_write or not pins["port_idle"]:
        turn += 1
        assert turn < 20_000
        willing = (95, 40)[turn // 200 % 2]
        if waiting:
            address, count, write = waiting[0]
            pins["port_command_payload"] = address | count << 26 | int(write) << 46
        pins["port_command_valid"] = bool(waiting)
        # A stream keeps offering what it has begun to offer.
        offered = bool(to_write) and (offered or chance(willing))
        pins["port_write_data_valid"] = offered
        pins["port_write_data_payload"] = to_write[0] if offered else random.getrandbits(32)
        pins["port_read_data_ready"] = chance(willing)
        pins["bus_ack"], pins["bus_dat_r"] = 0, random.getrandbits(32)
        await pins.settled()
        cyc, stb, address = pins["bus_cyc"], pins["bus_stb"], pins["bus_adr"]
        assert cyc == stb, "a burst has no wait states of the master"
        if expected is not None:
            assert stb, "a beat stays until it is answered, and an announced one follows at once"
            assert address == expected
        expected = address if stb else None
        if stb and chance(willing):
            pins["bus_ack"], pins["bus_dat_r"] = 1, words[address]
            if pins["bus_we"]:
                assert pins["bus_sel"] == 15
                words[address] = pins["bus_dat_w"]
            assert pins["bus_cti"] in (INCREMENTING, END)
            assert pins["bus_bte"] == 0
            beats += 1
            longest = max(longest, beats)
            expected = address + 1
            if pins["bus_cti"] == END:
                expected, beats = None, 0
        if pins["port_command_valid"] and pins["port_command_ready"]:
            waiting.popleft()
        if offered and pins["port_write_data_ready"]:
            to_write.popleft()
            offered = False
        if pins["port_read_data_valid"] and pins["port_read_data_ready"]:
            read.append(pins["port_read_data_payload"])
        await pins.edge()
    assert read == wanted
    assert words == model
    assert longest == BURST_WORDS
