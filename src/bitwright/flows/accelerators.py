"""The machine of a build, of either style, as its host and its simulators see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from amaranth.lib import wiring
from numpy.typing import NDArray

from bitwright.hwgen.assemble import Assembled
from bitwright.hwgen.core import Core
from bitwright.hwgen.cycles import predict, predict_all
from bitwright.hwgen.dataflow import host_words
from bitwright.hwgen.dataflow.core import DataflowCore
from bitwright.hwgen.dataflow.fingerprint import fingerprint
from bitwright.hwgen.dataflow.schedule import schedule
from bitwright.ir.dataflow import Pipeline
from bitwright.runtime.driver import Bus, MachineDriver, Progress, time_limit
from bitwright.runtime.layout import tensor_to_words, words_to_tensor

Arrays = Mapping[str, NDArray[Any]]
Integers = NDArray[Any]


class Accelerator(Protocol):
    """A machine with its program or its constants."""

    def driver(self, bus: Bus, *, load: bool, progress: Progress) -> MachineDriver:
        """The driver of the machine behind `bus`, which runs from here on, and waits for no result
        for longer than the machine's predicted cycles allow.

        Args:
            load: write the memories first; else they hold their contents already.
        """
        ...

    def input_words(self, inputs: Arrays, sample: int) -> NDArray[np.int8]:
        """What the host writes for one sample."""
        ...

    def outputs(self, words: NDArray[np.int8]) -> dict[str, Integers]:
        """The core's outputs [channels, height, width] from what the host read."""
        ...

    def core(self) -> wiring.Component:
        """The hardware, with a `host` port."""
        ...

    def predicted(self, begins: Sequence[int]) -> list[int] | None:
        """Cycles of inferences that begin in these cycles; None where they all take the same."""
        ...


@dataclass(frozen=True)
class Overlay:
    """An overlay machine with its program."""

    assembled: Assembled

    def driver(self, bus: Bus, *, load: bool, progress: Progress) -> MachineDriver:
        """See `Accelerator`."""
        machine = self.assembled.machine
        predicted = predict(machine, self.assembled.instructions).interval
        driver = MachineDriver(bus, machine, timeout_cycles=time_limit(predicted))
        if load:
            driver.load_image(self.assembled.image, progress)
        else:
            driver.start()
        return driver

    def input_words(self, inputs: Arrays, sample: int) -> NDArray[np.int8]:
        """See `Accelerator`."""
        lanes = self.assembled.machine.lanes
        parts = [
            tensor_to_words(inputs[item.name][sample].reshape(item.shape), lanes)
            for item in self.assembled.inputs
        ]
        return np.concatenate(parts)

    def outputs(self, words: NDArray[np.int8]) -> dict[str, Integers]:
        """See `Accelerator`."""
        lanes = self.assembled.machine.lanes
        return {
            item.name: words_to_tensor(words[item.base :], item.shape, lanes)
            for item in self.assembled.outputs
        }

    def core(self) -> wiring.Component:
        """See `Accelerator`."""
        return Core(machine=self.assembled.machine)

    def predicted(self, begins: Sequence[int]) -> list[int] | None:
        """See `Accelerator`."""
        machine = self.assembled.machine
        if not machine.streams:
            return None
        return predict_all(machine, self.assembled.instructions, begins)


@dataclass(frozen=True)
class HostView:
    """What the driver has to know of a pipeline; a word's lanes are its bytes."""

    lanes: int
    in_words: int
    out_lanes: int
    out_words: int
    fingerprint: int
    in_flight: int
    streams: bool = False


@dataclass(frozen=True)
class Dataflow:
    """A pipeline; `output` is the core's name of its result."""

    pipeline: Pipeline
    output: str

    def driver(self, bus: Bus, *, load: bool, progress: Progress) -> MachineDriver:
        """See `Accelerator`; there is nothing to load."""
        pipeline, lanes = self.pipeline, self.pipeline.stages[-1].fold.out_lanes
        times = schedule(pipeline)
        view = HostView(
            lanes=pipeline.input_lanes * host_words.field_bits(pipeline.input) // 8,
            in_words=host_words.words(pipeline.input, pipeline.input_lanes),
            out_lanes=lanes * host_words.field_bits(pipeline.output) // 8,
            out_words=host_words.words(pipeline.output, lanes),
            fingerprint=fingerprint(pipeline), in_flight=times.banks,
        )  # fmt: skip
        limit = time_limit(times.latency + times.interval)
        driver = MachineDriver(bus, view, timeout_cycles=limit)
        driver.start()
        return driver

    def input_words(self, inputs: Arrays, sample: int) -> NDArray[np.int8]:
        """See `Accelerator`."""
        source = self.pipeline.input
        image = inputs[source.name][sample]
        image = image.reshape(source.channels, source.height, source.width)
        return np.ascontiguousarray(image.transpose(1, 2, 0)).reshape(-1, self.pipeline.input_lanes)

    def outputs(self, words: NDArray[np.int8]) -> dict[str, Integers]:
        """See `Accelerator`."""
        result = self.pipeline.output
        values = np.ascontiguousarray(words).view(f"<i{host_words.field_bits(result) // 8}")
        image = values.reshape(result.height, result.width, result.channels)
        return {self.output: image.transpose(2, 0, 1)}

    def core(self) -> wiring.Component:
        """See `Accelerator`."""
        return DataflowCore(pipeline=self.pipeline)

    def predicted(self, begins: Sequence[int]) -> list[int] | None:
        """See `Accelerator`."""
        return None
