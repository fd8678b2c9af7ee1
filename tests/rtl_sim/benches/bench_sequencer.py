"""Fetch and sequencer: random programs, random waits on every handshake."""

import random

import cocotb
from units import MACHINE, Pins, chance

from bitwright.hwgen import sequencer
from bitwright.hwgen.isa import field_bits, field_layout, kept_bits, program_bits
from bitwright.ir.instructions import FIELDS, Opcode

COMPUTE = (Opcode.MATMUL, Opcode.CHANNELWISE)


def random_program() -> list[tuple[Opcode, dict[str, int]]]:
    """LOAD, compute instructions, STORE, END; fields are any numbers of their width."""
    bits = field_bits(MACHINE)
    middle = [random.choice(COMPUTE) for _ in range(random.randint(0, 4))]
    return [
        (
            opcode,
            {item.name: random.getrandbits(bits[item.name]) for item in FIELDS}
            if opcode in COMPUTE
            else {},
        )
        for opcode in (Opcode.LOAD, *middle, Opcode.STORE, Opcode.END)
    ]


def words(program: list[tuple[Opcode, dict[str, int]]]) -> list[int]:
    """Program words."""
    mask = (1 << program_bits(MACHINE)) - 1
    result: list[int] = []
    for opcode, fields in program:
        result.append(int(opcode))
        result += [fields[item.name] & mask for item in FIELDS if fields]
    return result


def kept(fields: dict[str, int]) -> int:
    """The fields as `Fetch` gives them."""
    parts = kept_bits(MACHINE)
    word = 0
    for name, member in field_layout(MACHINE, [name for name, (_, bits) in parts.items() if bits]):
        offset, bits = parts[name]
        word |= ((fields[name] >> offset) & ((1 << bits) - 1)) << member.offset
    return word


@cocotb.test()
async def fetch(dut: object) -> None:
    """Instructions come in order, round and round, whole, and as early as stated."""
    pins = Pins(dut, "fetch")
    await pins.start(take=0, data=0)
    for _ in range(12):
        program = random_program()
        memory = words(program)
        dut.rst.value = 1
        await pins.edge()
        dut.rst.value = 0
        # END starts the program over and is never handed on.
        steps = [step for step in program if step[0] != Opcode.END] * 3
        data = 0
        for number, (opcode, fields) in enumerate(steps):
            waited = 0
            while True:
                pins["data"] = data
                await pins.settled()
                waited += 1
                if pins["ready"]:
                    break
                data = memory[pins["address"] % len(memory)]
                await pins.edge()
            if number:
                expected = (
                    sequencer.FETCH_CYCLES_COMPUTE if opcode in COMPUTE else sequencer.FETCH_CYCLES
                )
                if opcode == Opcode.LOAD:
                    expected += sequencer.FETCH_CYCLES_END
                assert waited == expected, opcode
            while True:
                assert pins["opcode"] == opcode
                if fields:
                    assert pins["fields"] == kept(fields)
                pins["take"] = taken = chance(40)
                data = memory[pins["address"] % len(memory)]
                await pins.edge()
                pins["take"] = 0
                pins["data"] = data
                if taken:
                    break
                await pins.settled()
                assert pins["ready"]


@cocotb.test()
async def sequence(dut: object) -> None:
    """LOAD waits for both banks and the next instruction; a compute instruction for the last."""
    pins = Pins(dut, "sequencer")
    names = ("fetched", "opcode", "input_ready", "output_free", "finished")
    await pins.start(**dict.fromkeys(names, 0))
    opcodes = [opcode for _ in range(60) for opcode, _ in random_program()[:-1]]
    position = 0
    running: Opcode | None = None  # compute instruction under way
    loading = False
    begun = cycle = 0
    while position < len(opcodes):
        cycle += 1
        fetched = chance(60)
        inputs, outputs = chance(30), chance(30)
        finished = running is not None and chance(20)
        pins["fetched"] = fetched
        pins["opcode"] = opcodes[position] if fetched else random.getrandbits(3)
        pins["input_ready"], pins["output_free"], pins["finished"] = inputs, outputs, finished
        await pins.settled()
        opcode = opcodes[position]
        may_take = fetched and running is None and not loading
        assert pins["take"] == may_take
        assert pins["start"] == (may_take and opcode in COMPUTE)
        assert pins["store"] == (may_take and opcode == Opcode.STORE)
        if pins["store"]:
            assert pins["busy"]
            assert pins["cycles"] == cycle - begun
        if running is not None:
            assert pins["matmul"] == (running == Opcode.MATMUL)
        if loading:
            assert not pins["busy"]
            if fetched and inputs and outputs:
                loading = False
                begun = cycle
        if finished:
            running = None
        if may_take:
            position += 1
            loading = opcode == Opcode.LOAD
            running = opcode if opcode in COMPUTE else None
        await pins.edge()
