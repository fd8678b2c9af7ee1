"""Host port: random accesses of all windows against memories and registers in Python."""

import random
from dataclasses import dataclass, field

import cocotb
from units import MACHINE, Pins, chance

from bitwright.hwgen.host import memories
from bitwright.hwgen.isa import address_bits
from bitwright.targets.host_interface import MACHINE_ID, Register, Window

MEMORIES = memories(MACHINE)
WRITABLE = [window for window in MEMORIES if window != Window.OUTPUT]
EARLY = max(memory.slices for memory in MEMORIES.values()) - 1
INPUTS = (
    "host_addr", "host_wdata", "host_we", "host_stb", "output_data", "busy", "input_full",
    "output_full", "cycles", "inferences",
)  # fmt: skip


@dataclass
class Model:
    """What the port has written, and the pulses it gave."""

    words: dict[Window, dict[int, int]] = field(
        default_factory=lambda: {window: {} for window in WRITABLE}
    )
    commits: int = 0
    releases: int = 0
    run: int = 0


async def watch(pins: Pins, seen: Model, output: list[int]) -> None:
    """Keeps what the write ports carry; is the output memory."""
    read, taken = 0, 0
    while True:
        pins["output_data"] = taken
        await pins.settled()
        for window in WRITABLE:
            if pins[f"write_{window.name.lower()}"]:
                memory = MEMORIES[window]
                early = pins["early"] >> 32 * (EARLY - (memory.slices - 1))
                word = early | pins["word"] << 32 * (memory.slices - 1)
                row = pins["offset"] // memory.stride % (1 << address_bits(memory.depth))
                seen.words[window][row] = word & ((1 << memory.width) - 1)
        seen.commits += pins["commit"]
        seen.releases += pins["release"]
        seen.run = pins["run"]
        row = pins["output_address"]
        read, taken = output[row] if row < len(output) else random.getrandbits(8), read
        await pins.edge()


async def access(pins: Pins, address: int, data: int | None) -> int:
    pins["host_addr"], pins["host_we"], pins["host_stb"] = address, data is not None, 1
    pins["host_wdata"] = random.getrandbits(32) if data is None else data
    cycles = 0
    while True:
        await pins.settled()
        cycles += 1
        done, word = pins["host_ack"], pins["host_rdata"]
        await pins.edge()
        if done:
            break
    assert cycles == (6 if data is None else 2)
    if chance(50):
        pins["host_stb"] = 0
        pins["host_we"] = random.getrandbits(1)
        for _ in range(random.randint(1, 3)):
            await pins.settled()
            assert not pins["host_ack"]
            await pins.edge()
    return word


@cocotb.test()
async def accesses(dut: object) -> None:
    pins = Pins(dut, "host")
    await pins.start(**dict.fromkeys(INPUTS, 0))
    seen, expected = Model(), Model()
    width, depth = MEMORIES[Window.OUTPUT].width, MEMORIES[Window.OUTPUT].depth
    output = [random.getrandbits(width) for _ in range(depth)]
    cocotb.start_soon(watch(pins, seen, output))
    for _ in range(600):
        choice = random.randrange(4)
        if choice == 0:
            window = random.choice(WRITABLE)
            memory = MEMORIES[window]
            row, value = random.randrange(memory.depth), random.getrandbits(memory.width)
            for part in range(memory.slices):
                await access(pins, memory.address(row, part), value >> (32 * part) & 0xFFFFFFFF)
            for part in range(memory.slices, memory.stride):  # beyond the word: ignored
                await access(pins, memory.address(row, part), random.getrandbits(32))
            expected.words[window][row] = value
        elif choice == 1:
            memory = MEMORIES[Window.OUTPUT]
            row, part = random.randrange(depth), random.randrange(memory.slices)
            word = await access(pins, memory.address(row, part), None)
            assert word == output[row] >> (32 * part) & 0xFFFFFFFF
        elif choice == 2:
            register, data = random.choice(list(Register)), random.getrandbits(32)
            await access(pins, register, data)
            expected.commits += register == Register.INPUT_COMMIT
            expected.releases += register == Register.OUTPUT_RELEASE
            if register == Register.CONTROL:
                expected.run = data & 1
        else:
            state = {name: random.getrandbits(32) for name in ("cycles", "inferences")}
            state |= {"busy": random.getrandbits(1)}
            state |= {"input_full": random.randrange(3), "output_full": random.randrange(3)}
            for name, value in state.items():
                pins[name] = value
            status = state["busy"] | state["input_full"] << 2 | state["output_full"] << 4
            values = {
                Register.ID: MACHINE_ID, Register.MACHINE_HASH: MACHINE.fingerprint,
                Register.CONTROL: expected.run,
                Register.STATUS: status, Register.CYCLES: state["cycles"],
                Register.INFERENCES: state["inferences"],
            }  # fmt: skip
            register = random.choice(list(Register))
            assert await access(pins, register, None) == values.get(register, 0)
        pins["host_stb"] = 0
        for _ in range(4):
            await pins.edge()
        assert seen == expected
    for window in (Window.PROGRAM, Window.WEIGHTS, Window.INPUT):
        assert await access(pins, MEMORIES[window].address(0), None) == 0
