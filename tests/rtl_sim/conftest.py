"""What the tests of this folder share: a memory as a core, and random programs."""

import os
from collections.abc import Callable

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In
from numpy.random import Generator
from numpy.typing import NDArray

from bitwright.hwgen import golden
from bitwright.hwgen.cycles import predict
from bitwright.hwgen.host import HostSignature
from bitwright.hwgen.image import Image, pack_params
from bitwright.hwgen.isa import Instruction, encode, groups
from bitwright.hwgen.overlap import hand_over
from bitwright.ir.instructions import Opcode, Space
from bitwright.ir.machine import Machine
from bitwright.runtime.driver import Bus, MachineDriver, time_limit

SEED = int(os.environ.get("BITWRIGHT_SEED", "1"))


class MemoryCore(wiring.Component):
    """A memory behind the host port; answers after a number of cycles that walks from 1 up."""

    def __init__(self, *, depth: int = 1024, slowest: int = 5) -> None:
        self._depth = depth
        self._slowest = slowest
        super().__init__({"host": In(HostSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        host = self.host
        m.submodules.memory = memory = Memory(shape=32, depth=self._depth, init=[])
        read = memory.read_port()
        write = memory.write_port()
        wait = Signal(range(self._slowest))
        left = Signal.like(wait)
        m.d.comb += [
            read.addr.eq(host.addr[2:]),
            write.addr.eq(host.addr[2:]),
            write.data.eq(host.wdata),
            host.rdata.eq(read.data),
        ]
        with m.If(host.ack):
            m.d.sync += host.ack.eq(0)
            m.d.sync += wait.eq(wait + 1)
            m.d.sync += left.eq(wait)
        with m.Elif(host.stb & (left == 0)):
            m.d.comb += write.en.eq(host.we)
            m.d.sync += host.ack.eq(1)
        with m.Elif(host.stb):
            m.d.sync += left.eq(left - 1)
        return m


@pytest.fixture(scope="session")
def memory_core() -> type[MemoryCore]:
    """The class `MemoryCore`."""
    return MemoryCore


class RandomProgram:
    """A chain of random instructions that fills a machine's memories as far as it goes.

    Attributes:
        image: the program with its constants.
        input_words: words of an input.
        written: which words of the output bank the program writes.
    """

    def __init__(self, machine: Machine, rng: Generator, length: int) -> None:
        self.machine = machine
        self._rng = rng
        self._weights: list[int] = []
        self._params: list[int] = []
        self._used = {Space.MAIN: 0, Space.OUTPUT: 0}
        self.written = np.zeros(machine.out_words, bool)
        height, width = (int(size) for size in rng.integers(2, 6, 2))
        blocks = max(1, min(3, machine.in_words // (height * width)))
        self.input_words = blocks * height * width
        self._tensors = [(Space.INPUT, 0, blocks, height, width)]
        instructions = [Instruction(Opcode.LOAD)]
        for number in range(length):
            space = Space.OUTPUT if number == length - 1 else Space.MAIN
            instructions += self._instruction(space)
        instructions += [Instruction(Opcode.STORE), Instruction(Opcode.END)]
        tables = rng.integers(0, 256, 256 * machine.tables).tolist()
        program = encode(machine, hand_over(machine, instructions))
        self.image = Image(machine, program, self._weights, self._params, tables)

    def random_input(self) -> NDArray[np.int8]:
        """Words for one inference."""
        shape = (self.input_words, self.machine.lanes)
        return self._rng.integers(-128, 128, shape).astype(np.int8)

    def _instruction(self, space: Space) -> list[Instruction]:
        """One instruction that fits into what is left, or none."""
        for _ in range(100):
            opcode = Opcode.MATMUL if self._rng.random() < 0.6 else Opcode.CHANNELWISE
            made = self._try(opcode, space)
            if made is not None:
                return [made]
        return []

    def _try(self, opcode: Opcode, space: Space) -> Instruction | None:
        rng, machine = self._rng, self.machine

        def pick(low: int, high: int) -> int:
            return int(rng.integers(low, high + 1))

        source, base, blocks, height, width = self._tensors[pick(0, len(self._tensors) - 1)]
        kernel_y, kernel_x, stride, dilation = pick(1, 3), pick(1, 3), pick(1, 2), pick(1, 2)
        top, left = pick(0, 2), pick(0, 2)
        reach_y = height + top + pick(0, 2) - dilation * (kernel_y - 1) - 1
        reach_x = width + left + pick(0, 2) - dilation * (kernel_x - 1) - 1
        if reach_y < 0 or reach_x < 0:
            return None
        rows, columns = reach_y // stride + 1, reach_x // stride + 1
        pixels = rows * columns
        matmul = opcode == Opcode.MATMUL
        n_block = pick(1, 3) if matmul else blocks
        n_cb = pick(1, blocks) if matmul else 1
        planes = pick(1, 8) if matmul else 1
        words = pick(1, machine.rows // machine.lanes) if matmul else 1
        words_last = pick(1, words)
        stride_words = pixels + pick(0, 2)
        size = ((n_block - 1) * words + words_last) * stride_words
        depth = machine.act_words if space == Space.MAIN else machine.out_words
        steps = n_block * planes * n_cb * kernel_y * kernel_x
        group_count = n_block * groups(machine, opcode)
        if (
            self._used[space] + size > depth
            or len(self._weights) + steps > machine.weight_words
            or len(self._params) + group_count > machine.param_words
        ):
            return None
        low, high = sorted(int(bound) for bound in rng.integers(-128, 128, 2))
        fields = {
            "src_space": source, "dst_space": space,
            "n_block": n_block, "n_oy": rows, "n_ox": columns, "n_plane": planes, "n_cb": n_cb,
            "n_ky": kernel_y, "n_kx": kernel_x,
            "src_base": base - top * width - left,
            "s_block": 0 if matmul else height * width, "s_cb": height * width,
            "s_oy": stride * width, "s_ox": stride,
            "s_ky": dilation * width, "s_kx": dilation,
            "y0": -top, "x0": -left, "y_oy": stride, "x_ox": stride,
            "y_ky": dilation, "x_kx": dilation, "height": height, "width": width,
            "pad_value": pick(-128, 127), "w_base": len(self._weights),
            "w_same_steps": 0, "w_same_blocks": 0,
            "s_pixel": 0, "x_pixel": 0, "pixels": 1, "pixels_first": 1, "pixels_last": 1,
            "channel_op": 0 if matmul else pick(0, 1), "p_base": len(self._params),
            "dst_base": self._used[space], "dst_word_stride": stride_words,
            "dst_words": words, "dst_words_last": words_last,
            "clamp_min": min(low, 0), "clamp_max": max(high, 0), "zero_point": pick(-128, 127),
            "rounding": pick(0, 3) if machine.wide else 0,
            "table_enable": pick(0, 1) if machine.tables else 0,
            "table": pick(0, machine.tables - 1) if machine.tables else 0, "handover": 0,
        }  # fmt: skip
        self._weights += [
            int.from_bytes(rng.bytes(machine.weight_bits // 8), "little") for _ in range(steps)
        ]
        limit, most = 1 << (machine.acc_bits - 4), (1 << machine.multiplier_bits) - 1
        shift = machine.multiplier_bits - 2
        self._params += pack_params(
            machine,
            [
                (pick(-limit, limit - 1), pick(1, most), pick(shift, shift + 10))
                for _ in range(group_count * machine.requant_lanes)
            ],
        )
        start = self._used[space]
        self._used[space] += size
        for word in range((n_block - 1) * words + words_last):
            first = start + word * stride_words
            if space == Space.OUTPUT:
                self.written[first : first + pixels] = True
            elif stride_words == pixels and word == 0:
                self._tensors.append((space, start, size // pixels, rows, columns))
        return Instruction(opcode, {name: int(value) for name, value in fields.items()})


@pytest.fixture(scope="session")
def random_program() -> Callable[[Machine, Generator, int], RandomProgram]:
    """Makes a random program for a machine, of some compute instructions."""
    return RandomProgram


@pytest.fixture(scope="session")
def check_programs() -> Callable[[Bus, Machine, int, int], None]:
    """Runs random programs of some compute instructions on the machine behind a bus: results equal
    the functional machine's, cycles the predicted ones."""

    def check(bus: Bus, machine: Machine, programs: int, length: int) -> None:
        for number in range(programs):
            seed = SEED * 1000 + number
            program = RandomProgram(machine, np.random.default_rng(seed), length)
            predicted = predict(machine, program.image.instructions).total
            driver = MachineDriver(bus, machine, timeout_cycles=time_limit(predicted))
            driver.load_image(program.image)
            inputs = [program.random_input() for _ in range(3)]
            results = list(driver.run(inputs))
            assert len(results) == 3
            for words, result in zip(inputs, results, strict=True):
                expected = golden.run(program.image, words)
                wrong = np.flatnonzero((result.words != expected).any(axis=1) & program.written)
                assert not wrong.size, f"seed {seed}: output words {wrong[:10]} differ"
                assert result.cycles == predicted, f"seed {seed}"

    return check
