"""The core's side of the host port, for benches of the bridges."""

import random

from units import Pins

DEPTH = 64


class HostMemory:
    """A memory behind the pins `host_*`; answers after random waits."""

    def __init__(self, pins: Pins) -> None:
        self.pins = pins
        self.words = [0] * DEPTH
        self.transfers = 0
        self._wait = 0

    async def run(self, slowest: int) -> None:
        pins = self.pins
        pins["host_ack"] = 0
        while True:
            pins["host_rdata"] = random.getrandbits(32)
            await pins.edge()
            await pins.settled()
            if not pins["host_stb"]:
                continue
            request = [pins[f"host_{name}"] for name in ("addr", "we", "wdata")]
            for _ in range(random.randrange(slowest)):
                await pins.edge()
                await pins.settled()
                assert pins["host_stb"], "a request was withdrawn"
                held = [pins[f"host_{name}"] for name in ("addr", "we", "wdata")]
                assert held == request, "a request changed while it waited"
            await pins.edge()
            address, write, data = request
            index = address // 4 % DEPTH
            assert address % 4 == 0
            if write:
                self.words[index] = data
            pins["host_rdata"] = self.words[index]
            pins["host_ack"] = 1
            self.transfers += 1
            await pins.edge()
            pins["host_ack"] = 0
