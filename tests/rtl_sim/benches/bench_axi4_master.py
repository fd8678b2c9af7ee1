"""AXI4 master: random commands, a slave that answers each channel when it likes, in order."""

import random
from collections import deque

import cocotb
from cocotb.handle import HierarchyObject
from memory_systems import BURST_WORDS
from units import Pins, chance

DEPTH = 4096
OUTSTANDING = 3
INPUTS = (
    "port_command_valid", "port_command_payload", "port_write_data_valid",
    "port_write_data_payload", "port_read_data_ready", "bus_awready", "bus_wready", "bus_bvalid",
    "bus_bresp", "bus_arready", "bus_rvalid", "bus_rdata", "bus_rlast", "bus_rresp",
)  # fmt: skip
OFFERS = {
    "aw": ("awaddr", "awlen", "awsize", "awburst"),
    "ar": ("araddr", "arlen", "arsize", "arburst"),
    "w": ("wdata", "wstrb", "wlast"),
}


class Slave:
    """A memory of words; keeps the rules of AXI and checks those of its master."""

    def __init__(self, pins: Pins) -> None:
        self.pins = pins
        self.words = [random.getrandbits(32) for _ in range(DEPTH)]
        self._bursts: dict[str, deque[tuple[int, int]]] = {"aw": deque(), "ar": deque()}
        self._data: deque[tuple[int, int]] = deque()
        self._answers = 0
        self._read_place = 0
        self._offering = {"b": False, "r": False}
        self._held: dict[str, list[int] | None] = dict.fromkeys(OFFERS)
        self.longest_queue = 0

    def drive(self, willing: int) -> None:
        pins = self.pins
        for channel in OFFERS:
            pins[f"bus_{channel}ready"] = chance(willing)
        offering = self._offering
        offering["b"] = self._answers > 0 and (offering["b"] or chance(willing))
        offering["r"] = bool(self._bursts["ar"]) and (offering["r"] or chance(willing))
        pins["bus_bvalid"], pins["bus_rvalid"] = offering["b"], offering["r"]
        if offering["r"]:
            address, beats = self._bursts["ar"][0]
            pins["bus_rdata"] = self.words[address + self._read_place]
            pins["bus_rlast"] = self._read_place == beats - 1
        else:
            pins["bus_rdata"], pins["bus_rlast"] = random.getrandbits(32), chance(50)

    def observe(self) -> None:
        pins = self.pins
        for channel, names in OFFERS.items():
            offer = [pins[f"bus_{name}"] for name in names]
            held = self._held[channel]
            if held is not None:
                assert pins[f"bus_{channel}valid"], f"{channel} was withdrawn"
                assert offer == held, f"{channel} changed while it waited"
            taken = pins[f"bus_{channel}valid"] and pins[f"bus_{channel}ready"]
            self._held[channel] = offer if pins[f"bus_{channel}valid"] and not taken else None
            if not taken:
                continue
            if channel == "w":
                assert offer[1] == 15
                self._data.append((offer[0], offer[2]))
                continue
            address, beats = offer[0], offer[1] + 1
            assert offer[2:] == [2, 1]
            assert address // 4096 == (address + 4 * beats - 1) // 4096
            self._bursts[channel].append((address // 4, beats))
        if self._offering["r"] and pins["bus_rready"]:
            self._offering["r"] = False
            self._read_place += 1
            if self._read_place == self._bursts["ar"][0][1]:
                self._read_place = 0
                self._bursts["ar"].popleft()
        if self._offering["b"] and pins["bus_bready"]:
            self._offering["b"] = False
            self._answers -= 1
        self.longest_queue = max(self.longest_queue, len(self._bursts["ar"]))
        assert self.longest_queue <= OUTSTANDING
        assert len(self._bursts["aw"]) + self._answers <= OUTSTANDING
        self._store()

    def _store(self) -> None:
        """Write a burst whose address and data are both there."""
        bursts = self._bursts["aw"]
        if not bursts or len(self._data) < bursts[0][1]:
            return
        address, beats = bursts.popleft()
        for beat in range(beats):
            word, last = self._data.popleft()
            assert last == (beat == beats - 1)
            self.words[address + beat] = word
        self._answers += 1


@cocotb.test()
async def transfers(dut: HierarchyObject) -> None:
    pins = Pins(dut, "axi4_master")
    await pins.start(**dict.fromkeys(INPUTS, 0))
    slave = Slave(pins)
    model = list(slave.words)
    waiting: deque[tuple[int, int, bool]] = deque()
    to_write: deque[int] = deque()
    wanted: list[int] = []
    for number in range(60):
        count = random.choice((1, 2, random.randint(3, 5 * BURST_WORDS)))
        # Half of them near a boundary of 4 KiB.
        address = random.randrange(DEPTH - count) if chance(50) else 1024 - random.randrange(9)
        write = chance(50) if number else False
        waiting.append((address, count, write))
        for position in range(address, address + count):
            if write:
                model[position] = random.getrandbits(32)
                to_write.append(model[position])
            else:
                wanted.append(model[position])
    read: list[int] = []
    offered, turn = False, 0
    while len(read) < len(wanted) or waiting or to_write or not pins["port_idle"]:
        turn += 1
        assert turn < 20_000
        willing = (95, 40)[turn // 200 % 2]
        if waiting:
            address, count, write = waiting[0]
            pins["port_command_payload"] = address | count << 26 | int(write) << 46
        pins["port_command_valid"] = bool(waiting)
        offered = bool(to_write) and (offered or chance(willing))
        pins["port_write_data_valid"] = offered
        pins["port_write_data_payload"] = to_write[0] if offered else random.getrandbits(32)
        pins["port_read_data_ready"] = chance(willing)
        slave.drive(willing)
        await pins.settled()
        slave.observe()
        if waiting and pins["port_command_ready"]:
            waiting.popleft()
        if offered and pins["port_write_data_ready"]:
            to_write.popleft()
            offered = False
        if pins["port_read_data_valid"] and pins["port_read_data_ready"]:
            read.append(pins["port_read_data_payload"])
        await pins.edge()
    assert read == wanted
    assert slave.words == model
    assert not pins["port_failed"]
    assert slave.longest_queue == OUTSTANDING
