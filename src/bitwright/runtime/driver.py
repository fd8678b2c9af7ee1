"""The host's side of a machine: loads a program, feeds inputs, fetches outputs.

The driver knows only a `Bus`, so the same code runs a simulated machine and a board.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import BitwrightError
from bitwright.runtime.layout import (
    activations_to_slices,
    memory_to_slices,
    slices_to_activations,
)
from bitwright.targets.host_interface import (
    BANKS,
    CONTROL_RUN,
    EXTERNAL_BASE,
    MACHINE_ID,
    STATUS_COUNT_MASK,
    STATUS_INPUT_FULL_SHIFT,
    STATUS_MEMORY_FAILED,
    STATUS_OUTPUT_FULL_SHIFT,
    Register,
    Window,
    slice_stride,
)

_CHUNK_WORDS = 4096
_HOST_CYCLES = 10_000

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is in all."""


class Bus(Protocol):
    """A bus master; addresses are byte addresses, words have 32 bits."""

    def write(self, address: int, words: NDArray[np.uint32]) -> None:
        """Writes words to consecutive addresses."""
        ...

    def read(self, address: int, count: int) -> NDArray[np.uint32]:
        """Reads `count` words from consecutive addresses."""
        ...

    def poll(self, address: int, mask: int, timeout_cycles: int) -> int | None:
        """Reads a word until one of the mask's bits is set, and returns it.

        Returns None if that does not happen within `timeout_cycles` of the machine's clock.
        """
        ...


class MachineParameters(Protocol):
    """What the driver has to know of a machine; `bitwright.ir.machine.Machine` has it.

    A word has `lanes` bytes in the input banks and `out_lanes` in the output banks. `in_flight`
    is how many inputs the machine takes before it gives the first result; `streams` says whether
    its weights are in external memory.
    """

    @property
    def lanes(self) -> int: ...
    @property
    def in_words(self) -> int: ...
    @property
    def out_lanes(self) -> int: ...
    @property
    def out_words(self) -> int: ...
    @property
    def fingerprint(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def streams(self) -> bool: ...


class MemoryWidths(Protocol):
    """Bits of the words of the memories that the host loads."""

    @property
    def streams(self) -> bool: ...
    @property
    def weight_bits(self) -> int: ...
    @property
    def param_bits(self) -> int: ...


class ImageContents(Protocol):
    """Contents of a machine's memories; `bitwright.hwgen.image.Image` has them."""

    @property
    def machine(self) -> MemoryWidths: ...
    @property
    def program(self) -> Sequence[int]: ...
    @property
    def weights(self) -> Sequence[int]: ...
    @property
    def params(self) -> Sequence[int]: ...
    @property
    def tables(self) -> Sequence[int]: ...


class WrongMachineError(BitwrightError):
    """What answers on the bus is not the machine that the program was made for."""

    exit_code = 5


class MachineTimeoutError(BitwrightError):
    """The machine did not finish an inference within its limit of clock cycles."""

    exit_code = 7


class ExternalMemoryError(BitwrightError):
    """The external memory has answered a read with an error, or does not keep what is written."""

    exit_code = 7


class InputWordsError(BitwrightError):
    """Input words that do not fit the machine."""

    exit_code = 4


@dataclass(frozen=True)
class Inference:
    """Result of one inference.

    Attributes:
        words: int8 [output words, out_lanes], the output bank.
        cycles: clock cycles from the LOAD to the STORE of the program.
        began: with external memory, the clock cycle of that LOAD, counted from reset.
    """

    words: NDArray[np.int8]
    cycles: int
    began: int = 0


def time_limit(predicted_cycles: int) -> int:
    """Clock cycles after which a result that should take `predicted_cycles` will not come.

    Twice as many, for refreshes of an external memory and for images that are under way, and
    some thousands for what the host reads and writes meanwhile.
    """
    return 2 * predicted_cycles + _HOST_CYCLES


class MachineDriver:
    """Drives one machine.

    Args:
        bus: the way to the machine.
        machine: what it should be; checked against what answers.
        output_words: how many words of an output bank are fetched; all if None.
        timeout_cycles: how many clock cycles one result is waited for, once its input is written.
            `time_limit` makes them of a prediction.
        memory_base: byte address in the external memory, if the machine has one, from which on
            the program's `external.bin` lies there; a multiple of 4096.

    Raises:
        WrongMachineError: another machine, or none, answers on the bus.
    """

    def __init__(
        self,
        bus: Bus,
        machine: MachineParameters,
        *,
        output_words: int | None = None,
        timeout_cycles: int = 1_000_000_000,
        memory_base: int = 0,
    ) -> None:
        self._memory_base = memory_base
        self._bus = bus
        self._machine = machine
        self._output_words = machine.out_words if output_words is None else output_words
        self._timeout_cycles = timeout_cycles
        identity, fingerprint = (int(word) for word in bus.read(Register.ID, 2))
        if identity != MACHINE_ID:
            raise WrongMachineError(
                f"Register ID reads 0x{identity:08x}; expected 0x{MACHINE_ID:08x}: no Bitwright "
                f"machine answers on this bus; check the board, its bitstream and the port"
            )
        if fingerprint != machine.fingerprint:
            raise WrongMachineError(
                f"Machine fingerprint reads 0x{fingerprint:08x}; expected "
                f"0x{machine.fingerprint:08x}: the machine was built with other parameters than "
                f"the program; load the bitstream of the same build folder"
            )

    def load_image(self, image: ImageContents, progress: Progress | None = None) -> None:
        """Stops the machine, writes its memories and starts it.

        Weights in external memory must be there already; see `load_external`.

        `progress` is called with the number of 32-bit words.
        """
        self.stop()
        weights = [] if image.machine.streams else image.weights
        memories = [
            (Window.PROGRAM, memory_to_slices(image.program, 32)),
            (Window.WEIGHTS, memory_to_slices(weights, image.machine.weight_bits)),
            (Window.PARAMS, memory_to_slices(image.params, image.machine.param_bits)),
            (Window.TABLES, memory_to_slices(image.tables, 8)),
        ]
        total = sum(slices.size for _, slices in memories)
        done = 0
        for window, slices in memories:
            words = slices.reshape(-1)
            for start in range(0, len(words), _CHUNK_WORDS):
                part = words[start : start + _CHUNK_WORDS]
                self._bus.write(window.base + 4 * start, part)
                done += len(part)
                if progress is not None:
                    progress(done, total)
        self.start()

    def load_external(self, data: bytes, progress: Progress | None = None) -> None:
        """Stops the machine and writes `data`, whole words, into the external memory behind its own
        controller, at `memory_base`; reads it back and compares.

        `progress` is called with the number of 32-bit words, written and read.

        Raises:
            ExternalMemoryError: the memory does not keep what is written.
        """
        self.stop()
        words, base = np.frombuffer(data, "<u4"), EXTERNAL_BASE + self._memory_base
        self._bus.read(base, 1)  # is answered when the memory is ready
        chunks = range(0, len(words), _CHUNK_WORDS)
        for start in chunks:
            self._bus.write(base + 4 * start, words[start : start + _CHUNK_WORDS])
            if progress is not None:
                progress(start, 2 * len(words))
        for start in chunks:
            wanted = words[start : start + _CHUNK_WORDS]
            found = self._bus.read(base + 4 * start, len(wanted))
            if (found != wanted).any():
                at = int(np.argmax(found != wanted))
                raise ExternalMemoryError(
                    f"The external memory reads 0x{found[at]:08x} at byte address "
                    f"{self._memory_base + 4 * (start + at):#x}; expected 0x{wanted[at]:08x}, "
                    f"which was written: check that the bitstream has a memory controller, its "
                    f"clock and the memory chip"
                )
            if progress is not None:
                progress(len(words) + start + len(wanted), 2 * len(words))

    def start(self) -> None:
        """Lets the machine run its program; it waits for the first input."""
        if self._machine.streams:
            self._write_register(Register.MEMORY_BASE, self._memory_base)
        self._write_register(Register.CONTROL, CONTROL_RUN)

    def stop(self) -> None:
        """Holds the machine at the start of its program; the banks stay as they are."""
        self._write_register(Register.CONTROL, 0)

    def infer(self, words: NDArray[np.int8]) -> Inference:
        """Runs one input: int8 [at most in_words, lanes].

        Raises:
            InputWordsError: the input has the wrong shape or type.
            MachineTimeoutError: the machine did not finish.
        """
        return next(self.run([words]))

    def run(
        self, inputs: Iterable[NDArray[np.int8]], progress: Progress | None = None, *,
        held: bool = False,
    ) -> Iterator[Inference]:  # fmt: skip
        """Runs many inputs, each like `infer`, and yields their results in order.

        The machine works on one input while the next is written and the result before is
        fetched. `progress` is called with the inferences that are done, and those begun. With
        `held` it stands still until its input banks are full, so that the first inputs begin as
        close together as they can.
        """
        source = iter(inputs)
        pending: deque[None] = deque()
        done = 0

        def feed() -> None:
            while len(pending) < self._machine.in_flight:
                if len(pending) >= BANKS and not self._input_free():
                    return
                words = next(source, None)
                if words is None:
                    return
                self._write_input(words)
                pending.append(None)

        if held:
            self.stop()
        feed()
        if held:
            self.start()
        while pending:
            self._wait_for_output(done)
            pending.popleft()
            feed()
            result = self._fetch_output()
            done += 1
            if progress is not None:
                progress(done, done + len(pending))
            yield result

    def _write_input(self, words: NDArray[np.int8]) -> None:
        lanes, depth = self._machine.lanes, self._machine.in_words
        if words.dtype != np.int8 or words.ndim != 2 or words.shape[1] != lanes:
            raise InputWordsError(
                f"Input words have type {words.dtype} and shape {list(words.shape)}; expected "
                f"int8 and [words, {lanes}]"
            )
        if len(words) > depth:
            raise InputWordsError(
                f"Input has {len(words)} words; an input bank of this machine holds {depth}"
            )
        self._bus.write(Window.INPUT.base, activations_to_slices(words))
        self._write_register(Register.INPUT_COMMIT, 1)

    def _input_free(self) -> bool:
        status = int(self._bus.read(Register.STATUS, 1)[0])
        return status >> STATUS_INPUT_FULL_SHIFT & STATUS_COUNT_MASK < BANKS

    def _wait_for_output(self, number: int) -> None:
        mask = STATUS_COUNT_MASK << STATUS_OUTPUT_FULL_SHIFT
        if self._bus.poll(Register.STATUS, mask, self._timeout_cycles) is None:
            status = int(self._bus.read(Register.STATUS, 1)[0])
            raise MachineTimeoutError(
                f"Machine 0x{self._machine.fingerprint:08x} has not given the result of sample "
                f"{number} within {self._timeout_cycles:,} clock cycles after its input was "
                f"written; expected an output bank to be full, but register STATUS reads "
                f"0x{status:08x}: check that its program was loaded and that its weights are in "
                f"memory, then reset it; a waveform (`bitwright simulate --trace FILE`) shows "
                f"where it waits"
            )

    def _fetch_output(self) -> Inference:
        lanes = self._machine.out_lanes
        cycles, began = int(self._bus.read(Register.CYCLES, 1)[0]), 0
        if self._machine.streams:
            began = int(self._bus.read(Register.ENDED, 1)[0]) - cycles
            self._check_memory()
        slices = self._bus.read(Window.OUTPUT.base, self._output_words * slice_stride(8 * lanes))
        self._write_register(Register.OUTPUT_RELEASE, 1)
        return Inference(slices_to_activations(slices, lanes), cycles, began)

    def _check_memory(self) -> None:
        if int(self._bus.read(Register.STATUS, 1)[0]) & STATUS_MEMORY_FAILED:
            raise ExternalMemoryError(
                f"The external memory has answered a read of weights with an error; expected "
                f"memory from byte address {self._memory_base:#x} on: check memory_base and the "
                f"memory controller, then reset the machine"
            )

    def _write_register(self, register: Register, value: int) -> None:
        self._bus.write(register, np.array([value], np.uint32))
