"""AXI4-Lite bridge: five independent channels with random waits, reads and writes at once."""

import random

import cocotb
from host_memory import DEPTH, HostMemory
from units import Pins, chance

INPUTS = (
    "awaddr", "awvalid", "wdata", "wstrb", "wvalid", "bready", "araddr", "arvalid", "rready",
)  # fmt: skip


async def send(pins: Pins, valid: str, ready: str, items: list[dict[str, int]]) -> None:
    """Drives one channel; `valid` stays until `ready`, as the standard asks."""
    for item in items:
        while chance(40):
            await pins.edge()
        for name, value in item.items():
            pins[f"bus_{name}"] = value
        pins[f"bus_{valid}"] = 1
        while True:
            await pins.settled()
            taken = pins[f"bus_{ready}"]
            await pins.edge()
            if taken:
                break
        pins[f"bus_{valid}"] = 0
        for name in item:
            pins[f"bus_{name}"] = random.getrandbits(3)


async def receive(
    pins: Pins, valid: str, ready: str, names: tuple[str, ...], count: int
) -> list[list[int]]:
    """Takes `count` answers of one channel; they must stand still while they wait."""
    answers: list[list[int]] = []
    waiting: list[int] | None = None
    while len(answers) < count:
        pins[f"bus_{ready}"] = willing = chance(50)
        await pins.settled()
        if pins[f"bus_{valid}"]:
            answer = [pins[f"bus_{name}"] for name in names]
            assert waiting is None or answer == waiting
            waiting = answer
            if willing:
                answers.append(answer)
                waiting = None
        else:
            assert waiting is None, "valid was withdrawn"
        await pins.edge()
    pins[f"bus_{ready}"] = 0
    return answers


@cocotb.test()
async def reads_and_writes(dut: object) -> None:
    """Writes to the upper half while the lower half is read, then the other way round."""
    pins = Pins(dut, "axi4lite")
    await pins.start(**{f"bus_{name}": 0 for name in INPUTS}, host_ack=0, host_rdata=0)
    memory = HostMemory(pins)
    cocotb.start_soon(memory.run(5))
    model = memory.words.copy()
    half = DEPTH // 2
    for turn in range(16):
        write_base, read_base = (half, 0) if turn % 2 else (0, half)
        count = random.randint(5, 30)
        writes = [
            (
                write_base + random.randrange(half),
                random.getrandbits(32),
                15 if chance(85) else random.randrange(15),
                0 if chance(90) else random.randint(1, 3),
            )
            for _ in range(count)
        ]
        reads = [
            (read_base + random.randrange(half), 0 if chance(90) else random.randint(1, 3))
            for _ in range(count)
        ]
        tasks = [
            cocotb.start_soon(task)
            for task in (
                send(pins, "awvalid", "awready", [{"awaddr": 4 * a + o} for a, _, _, o in writes]),
                send(pins, "wvalid", "wready", [{"wdata": d, "wstrb": s} for _, d, s, _ in writes]),
                receive(pins, "bvalid", "bready", ("bresp",), count),
                send(pins, "arvalid", "arready", [{"araddr": 4 * a + o} for a, o in reads]),
                receive(pins, "rvalid", "rready", ("rdata", "rresp"), count),
            )
        ]
        results = [await task for task in tasks]
        for (address, data, strobe, offset), (response,) in zip(writes, results[2], strict=True):
            whole = strobe == 15 and offset == 0
            assert response == (0 if whole else 2)
            if whole:
                model[address] = data
        for (address, offset), (word, response) in zip(reads, results[4], strict=True):
            assert response == (2 if offset else 0)
            assert offset or word == model[address]
    assert memory.words == model
