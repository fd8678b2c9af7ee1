"""The driver against a machine that is a Python object: every result is the input plus one."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bitwright.hwgen.image import Image
from bitwright.ir.machine import Machine
from bitwright.runtime.driver import (
    ExternalMemoryError,
    InputWordsError,
    MachineDriver,
    MachineTimeoutError,
    WrongMachineError,
)
from bitwright.runtime.layout import tensor_to_words, words_to_tensor
from bitwright.targets.host_interface import (
    MACHINE_ID,
    STATUS_MEMORY_FAILED,
    Register,
    Window,
)

MACHINE = Machine(
    lanes=4, rows=8, requant_lanes=4, acc_bits=20, act_words=16, in_words=8, out_words=8,
    weight_words=4, param_words=4, tables=1, program_words=64,
)  # fmt: skip


@dataclass(frozen=True)
class Deep:
    """A machine with up to five inputs on their way."""

    lanes: int = 4
    in_words: int = 8
    out_lanes: int = 4
    out_words: int = 8
    fingerprint: int = MACHINE.fingerprint
    in_flight: int = 5
    streams: bool = False


class PlusOneBus:
    """Runs an inference whenever the status register is polled."""

    def __init__(self, fingerprint: int = MACHINE.fingerprint, identity: int = MACHINE_ID) -> None:
        self.words: dict[int, int] = {Register.ID: identity, Register.MACHINE_HASH: fingerprint}
        self.inputs: list[NDArray[np.int8]] = []
        self.outputs: list[NDArray[np.int8]] = []
        self.most_inputs = 0

    def write(self, address: int, words: NDArray[np.uint32]) -> None:
        for i, word in enumerate(words):
            self.words[address + 4 * i] = int(word)
        if address == Register.INPUT_COMMIT:
            bank = [self.words.get(Window.INPUT.base + 4 * i, 0) for i in range(8)]
            self.inputs.append(np.array(bank, "<u4").view(np.int8).reshape(8, 4))
            self.most_inputs = max(self.most_inputs, len(self.inputs))
        if address == Register.OUTPUT_RELEASE:
            self.outputs.pop(0)

    def read(self, address: int, count: int) -> NDArray[np.uint32]:
        if address == Window.OUTPUT.base:
            return self.outputs[0].view(np.uint32).reshape(-1)[:count]
        return np.array([self.words.get(address + 4 * i, 0) for i in range(count)], np.uint32)

    def poll(self, address: int, mask: int, timeout_cycles: int) -> int | None:
        assert (address, mask) == (Register.STATUS, 0b110000)
        if not self.words.get(Register.CONTROL):
            return None
        self.outputs.append(self.inputs.pop(0) + np.int8(1))
        self.words[Register.CYCLES] = self.words.get(Register.CYCLES, 0) + 10
        return 1 << 4


def test_streams_inputs_with_two_banks() -> None:
    bus = PlusOneBus()
    driver = MachineDriver(bus, MACHINE, output_words=5)
    driver.start()
    inputs = [np.full((8, 4), value, np.int8) for value in range(-3, 4)]
    steps: list[tuple[int, int]] = []
    results = list(driver.run(inputs, progress=lambda done, begun: steps.append((done, begun))))
    assert [int(result.words[0, 0]) for result in results] == list(range(-2, 5))
    assert [result.words.shape for result in results] == [(5, 4)] * 7
    assert [result.cycles for result in results] == [10, 20, 30, 40, 50, 60, 70]
    assert bus.most_inputs == 2
    assert steps == [(1, 3), (2, 4), (3, 5), (4, 6), (5, 7), (6, 7), (7, 7)]


class FreeBus(PlusOneBus):
    """Its machine keeps an input bank only while it reads it."""

    def read(self, address: int, count: int) -> NDArray[np.uint32]:
        if address == Register.STATUS:
            return np.array([min(len(self.inputs), self.full) << 2], np.uint32)
        return super().read(address, count)

    full = 1


@pytest.mark.parametrize(("full", "most"), [(1, 5), (2, 2)])
def test_a_pipeline_takes_more_inputs_than_it_has_banks(full: int, most: int) -> None:
    bus = FreeBus()
    bus.full = full
    driver = MachineDriver(bus, Deep())
    driver.start()
    inputs = [np.full((8, 4), value, np.int8) for value in range(7)]
    results = [int(result.words[0, 0]) for result in driver.run(inputs)]
    assert results == list(range(1, 8))
    assert bus.most_inputs == most


def test_image_is_written_in_slices() -> None:
    bus = PlusOneBus()
    driver = MachineDriver(bus, MACHINE)
    image = Image(MACHINE, program=[1, 2, 0], weights=[7, 8], params=[(1 << 168) - 1], tables=[9])
    steps: list[tuple[int, int]] = []
    driver.load_image(image, progress=lambda done, total: steps.append((done, total)))
    assert bus.read(Window.PROGRAM.base, 3).tolist() == [1, 2, 0]
    assert bus.read(Window.WEIGHTS.base, 2).tolist() == [7, 8]
    assert bus.read(Window.PARAMS.base, 8).tolist() == [0xFFFFFFFF] * 5 + [0xFF, 0, 0]
    assert bus.read(Window.TABLES.base, 1).tolist() == [9]
    assert bus.read(Register.CONTROL, 1).tolist() == [1]
    assert steps[-1] == (14, 14)


STREAMED = replace(MACHINE, weight_words=256, memory="fixed", memory_latency=3)


def test_weights_in_external_memory_are_not_written() -> None:
    bus = PlusOneBus(fingerprint=STREAMED.fingerprint)
    driver = MachineDriver(bus, STREAMED, memory_base=0x4000_0000)
    driver.load_image(Image(STREAMED, program=[1, 2, 0], weights=[7, 8], params=[], tables=[]))
    assert bus.read(Window.PROGRAM.base, 3).tolist() == [1, 2, 0]
    assert bus.read(Window.WEIGHTS.base, 2).tolist() == [0, 0]
    assert bus.read(Register.MEMORY_BASE, 1).tolist() == [0x4000_0000]
    bus.words[Register.ENDED] = 1000
    assert driver.infer(np.zeros((1, 4), np.int8)).began == 990


def test_an_external_memory_that_answers_with_an_error() -> None:
    bus = PlusOneBus(fingerprint=STREAMED.fingerprint)
    driver = MachineDriver(bus, STREAMED, memory_base=0x1000)
    driver.start()
    bus.words[Register.STATUS] = STATUS_MEMORY_FAILED
    with pytest.raises(ExternalMemoryError) as caught:
        driver.infer(np.zeros((1, 4), np.int8))
    assert str(caught.value) == (
        "The external memory has answered a read of weights with an error; expected memory from "
        "byte address 0x1000 on: check memory_base and the memory controller, then reset the "
        "machine"
    )


def test_tensors_and_words() -> None:
    tensor = np.arange(-30, 30, dtype=np.int8).reshape(5, 3, 4)
    words = tensor_to_words(tensor, 4)
    assert words.shape == (24, 4)
    assert words[1 * 4 + 2].tolist() == tensor[:4, 1, 2].tolist()
    assert words[12 + 2 * 4 + 3].tolist() == [tensor[4, 2, 3], 0, 0, 0]
    assert np.array_equal(words_to_tensor(words, (5, 3, 4), 4), tensor)


def test_no_machine_on_the_bus() -> None:
    with pytest.raises(WrongMachineError) as caught:
        MachineDriver(PlusOneBus(identity=0xFFFFFFFF), MACHINE)
    assert str(caught.value) == (
        "Register ID reads 0xffffffff; expected 0x42575231: no Bitwright machine answers on this "
        "bus; check the board, its bitstream and the port"
    )


def test_another_machine_on_the_bus() -> None:
    with pytest.raises(WrongMachineError) as caught:
        MachineDriver(PlusOneBus(fingerprint=0x1234), MACHINE)
    assert str(caught.value) == (
        f"Machine fingerprint reads 0x00001234; expected 0x{MACHINE.fingerprint:08x}: the machine "
        "was built with other parameters than the program; load the bitstream of the same build "
        "folder"
    )


def test_machine_that_does_not_finish() -> None:
    driver = MachineDriver(PlusOneBus(), MACHINE, timeout_cycles=123)
    with pytest.raises(MachineTimeoutError) as caught:
        driver.infer(np.zeros((1, 4), np.int8))
    assert str(caught.value) == (
        f"Machine 0x{MACHINE.fingerprint:08x} has not given the result of sample 0 within 123 "
        "clock cycles after its input was written; expected an output bank to be full, but "
        "register STATUS reads 0x00000000: check that its program was loaded and that its weights "
        "are in memory, then reset it; a waveform (`bitwright simulate --trace FILE`) shows where "
        "it waits"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            np.zeros((1, 4), np.int16),
            "Input words have type int16 and shape [1, 4]; expected int8 and [words, 4]",
        ),
        (
            np.zeros((2, 8), np.int8),
            "Input words have type int8 and shape [2, 8]; expected int8 and [words, 4]",
        ),
        (
            np.zeros((9, 4), np.int8),
            "Input has 9 words; an input bank of this machine holds 8",
        ),
    ],
)
def test_input_that_does_not_fit(words: NDArray[np.int8], message: str) -> None:
    with pytest.raises(InputWordsError) as caught:
        MachineDriver(PlusOneBus(), MACHINE).infer(words)
    assert str(caught.value) == message
