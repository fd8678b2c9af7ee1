"""Random pipelines, and their run on a simulated core."""

import random
from collections.abc import Callable, Sequence
from math import gcd
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import bitwright
from bitwright.hwgen import gated_add
from bitwright.hwgen.dataflow import golden, host_words
from bitwright.hwgen.dataflow.core import DataflowCore, host_memories
from bitwright.hwgen.dataflow.fingerprint import fingerprint
from bitwright.hwgen.dataflow.schedule import least_interval, schedule
from bitwright.hwgen.tops import WishboneTop
from bitwright.hwgen.verilog import emit
from bitwright.ir.dataflow import (
    AddStage,
    ChannelwiseStage,
    Engine,
    Fold,
    MatrixStage,
    Output,
    Pipeline,
    Requantize,
    Stage,
    Sums,
    Tensor,
    Thresholds,
    Window,
)
from bitwright.rtl_sim import begins
from bitwright.rtl_sim.bus import VerilatorBus, open_bus
from bitwright.runtime.driver import time_limit
from bitwright.targets.host_interface import (
    BANKS,
    STATUS_COUNT_MASK,
    STATUS_INPUT_FULL_SHIFT,
    STATUS_OUTPUT_FULL_SHIFT,
    Register,
    slice_stride,
)
from bitwright.targets.host_interface import Window as HostWindow

Ints = NDArray[np.int64]
CARRY_CELL = Path(bitwright.__file__).parent / "fpga" / "models" / "ccu2c.v"


def _divisors(number: int, most: int = 1 << 30) -> list[int]:
    return [part for part in range(1, min(number, most) + 1) if number % part == 0]


def _limits(tensor: Tensor) -> tuple[int, int]:
    if tensor.signed:
        return -(1 << tensor.bits - 1), (1 << tensor.bits - 1) - 1
    return 0, (1 << tensor.bits) - 1


class _Random:
    """Makes one random pipeline, stage by stage."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.stages: list[Stage] = []

    def pipeline(self, length: int) -> Pipeline:
        rng = self.rng
        image = rng.random() < 0.7
        height, width = (rng.randint(1, 6), rng.randint(1, 6)) if image else (1, 1)
        channels = rng.choice([1, 3, 4, 5, 6, 8, 9, 12] if image else [4, 7, 8, 12, 24])
        signed = rng.random() < 0.6
        self.input = Tensor(
            name="input", channels=channels, height=height, width=width,
            bits=rng.randint(1 + signed, 8 - (not signed)), signed=signed,
        )  # fmt: skip
        self.input_lanes = rng.choice(_divisors(channels))
        tensors = [self.input]
        for number in range(length):
            last = number == length - 1
            stage = None
            while stage is None:
                stage = self._stage(rng.choice(tensors[-2:]), tensors, number, last)
            self.stages.append(stage)
            tensors.append(stage.result)
        pipeline = Pipeline(
            name=f"random{self.seed}", input=self.input, input_lanes=self.input_lanes,
            stages=tuple(self.stages), interval=0, pace=rng.randint(1, 3),
        )  # fmt: skip
        interval = least_interval(pipeline) + rng.choice([0, 0, 1, 7, 50])
        return Pipeline(
            name=pipeline.name, input=pipeline.input, input_lanes=pipeline.input_lanes,
            stages=pipeline.stages, interval=interval, pace=pipeline.pace,
        )  # fmt: skip

    def _lanes(self, tensor: Tensor) -> int:
        if tensor is self.input:
            return self.input_lanes
        return next(s.fold.out_lanes for s in self.stages if s.result is tensor)

    def _compatible(self, tensor: Tensor, length: int) -> list[int]:
        """Lanes that divide the length, and divide or are divided by those of the stream."""
        own = self._lanes(tensor)
        return [
            n for n in _divisors(length) if n <= 16 and (n % own == 0 or own % n == 0)
        ] or [own]  # fmt: skip

    def _stage(
        self, source: Tensor, tensors: list[Tensor], number: int, last: bool
    ) -> Stage | None:
        rng = self.rng
        kind = rng.choice(["matrix", "matrix", "channelwise", "channelwise", "add"])
        if kind == "add":
            shape = (source.channels, source.height, source.width)
            others = [t for t in tensors if (t.channels, t.height, t.width) == shape]
            return self._add(source, rng.choice(others), number, last)
        if kind == "channelwise":
            return self._channelwise(source, number, last)
        return self._matrix(source, number, last)

    def _window(self, source: Tensor) -> tuple[Window, int, int]:
        rng = self.rng
        if source.height * source.width == 1 or rng.random() < 0.25:
            return Window(), source.height, source.width
        while True:
            kernel = rng.randint(1, 3), rng.randint(1, 3)
            stride = rng.randint(1, 3), rng.randint(1, 3)
            dilation = rng.randint(1, 2), rng.randint(1, 2)
            padding = tuple(rng.randint(0, size - 1) for size in kernel)
            after = [rng.randint(0, size - 1) for size in kernel]
            sizes = [
                (size + p + q - ((k - 1) * d + 1)) // s + 1
                for size, p, q, k, d, s in zip(
                    (source.height, source.width), padding, after, kernel, dilation, stride,
                    strict=True,
                )
            ]  # fmt: skip
            if min(sizes) > 0:
                window = Window(kernel=kernel, stride=stride, padding=padding, dilation=dilation)
                return window, *sizes

    def _matrix(self, source: Tensor, number: int, last: bool) -> Stage | None:
        rng = self.rng
        window, height, width = self._window(source)
        channels = source.channels
        if source.height * source.width > 1 and rng.random() < 0.25:
            window, height, width = Window(), 1, 1
            channels *= source.height * source.width
        outs = rng.choice([1, 4, 5, 6, 8, 9, 12])
        lanes = rng.choice(self._compatible(source, channels))
        bits = rng.randint(1, 8)
        shape = (outs, *window.kernel, channels)
        most = (1 << bits - 1) - 1
        draw = np.random.default_rng(rng.getrandbits(32))
        weights = (
            draw.integers(0, 2, shape) * 2 - 1
            if bits == 1
            else draw.integers(-most - 1, most + 1, shape)
        )
        steps = window.kernel[0] * window.kernel[1] * (channels // lanes)
        choices = [
            (rows, n) for rows in range(1, outs + 1) for n in _divisors(gcd(rows, outs))
            if rows // n <= steps
        ]  # fmt: skip
        uneven = [choice for choice in choices if outs % choice[0]]
        rows, out_lanes = rng.choice(uneven if uneven and rng.random() < 0.3 else choices)
        engines: list[Engine] = ["lut", "dsp"]
        if bits > 1 and rows % 2 == 0:
            engines.append("packed")
        reach = int(np.abs(weights).sum(axis=(1, 2, 3)).max()) * max(map(abs, _limits(source)))
        name = f"t{number}"
        acc_bits, output, tensor = self._output(name, outs, height, width, reach, last)
        return MatrixStage(
            sources=(source.name,), result=tensor, window=window, weights=weights,
            weight_bits=bits, acc_bits=acc_bits, output=output,
            fold=Fold(
                lanes=lanes, rows=rows, out_lanes=out_lanes,
                engine=rng.choice(engines),
            ),
        )  # fmt: skip

    def _channelwise(self, source: Tensor, number: int, last: bool) -> Stage | None:
        rng = self.rng
        window, height, width = self._window(source)
        op = rng.choice(["mac", "sum", "max"])
        bits = rng.randint(1, 8)
        shape = (*window.kernel, source.channels)
        draw = np.random.default_rng(rng.getrandbits(32))
        weights = draw.integers(-(1 << bits - 1), 1 << bits - 1, shape)
        if bits == 1:
            weights = weights * 2 + 1
        taps = window.kernel[0] * window.kernel[1]
        choices = [
            (lanes, n) for lanes in self._compatible(source, source.channels)
            for n in _divisors(lanes) if lanes // n <= taps
        ]  # fmt: skip
        # Several blocks of lanes, each of them several words.
        parted = [choice for choice in choices if choice[1] < choice[0] < source.channels]
        lanes, out_lanes = rng.choice(parted if parted and rng.random() < 0.8 else choices)
        size = 1 << bits if op == "mac" else 1
        reach = taps * size * max(map(abs, _limits(source)))
        acc_bits, output, tensor = self._output(
            f"t{number}", source.channels, height, width, reach, last
        )
        return ChannelwiseStage(
            sources=(source.name,), result=tensor, window=window, op=op,
            weights=weights if op == "mac" else None, weight_bits=bits,
            pad_value=_limits(source)[0] if op == "max" else source.zero_point,
            acc_bits=acc_bits, output=output,
            fold=Fold(lanes=lanes, out_lanes=out_lanes, engine=rng.choice(["lut", "dsp"])),
        )  # fmt: skip

    def _add(self, a: Tensor, b: Tensor, number: int, last: bool) -> Stage | None:
        rng = self.rng
        choices = [
            n for n in _divisors(a.channels)
            if all(n % own == 0 or own % n == 0 for own in (self._lanes(a), self._lanes(b)))
        ]  # fmt: skip
        if not choices:
            return None
        lanes = rng.choice(choices)
        factors = rng.randint(-127, 127), rng.randint(-127, 127)
        acc_bits, output, tensor = self._output(
            f"t{number}", a.channels, a.height, a.width, 256 * 256, last
        )
        return AddStage(
            sources=(a.name, b.name), result=tensor, factors=factors, acc_bits=acc_bits,
            output=output, fold=Fold(lanes=lanes, out_lanes=lanes),
        )  # fmt: skip

    def _output(
        self, name: str, channels: int, height: int, width: int, reach: int, last: bool
    ) -> tuple[int, Output, Tensor]:
        rng, draw = self.rng, np.random.default_rng(self.rng.getrandbits(32))
        kind = rng.choice(["requantize", "thresholds", "sums" if last else "thresholds"])
        bias = draw.integers(-reach - 1, reach + 2, channels)
        acc_bits = max((2 * reach + 2).bit_length() + 1, 16 if kind == "requantize" else 2)
        if kind == "sums":
            return acc_bits, Sums(bias=bias), Tensor(
                name=name, channels=channels, height=height, width=width, bits=acc_bits, signed=True
            )  # fmt: skip
        if kind == "thresholds":
            count = rng.choice([1, 2, 3, 5, 7, 12])
            levels = np.sort(draw.integers(-reach - 2, reach + 3, (channels, count)), axis=1)
            signed = rng.random() < 0.5
            bits = count.bit_length() + signed
            tensor = Tensor(
                name=name, channels=channels, height=height, width=width, bits=bits, signed=signed
            )
            return (
                acc_bits,
                Thresholds(bias=bias, levels=levels, least=-(count // 2) if signed else 0),
                tensor,
            )
        rounding = rng.choice(["half_up", "half_up", "half_away", "half_even", "tflite"])
        wide = rounding != "half_up" or rng.random() < 0.3
        if rng.random() < 0.3:
            channels_of_scale = 1
        else:
            channels_of_scale = channels
        low = 1 << 30 if wide else 1 << 10
        multiplier = draw.integers(low, low * 2 - 1, channels_of_scale) + np.zeros(
            channels, np.int64
        )
        bits = rng.randint(2, 8)
        shift = np.maximum(
            1, np.round(np.log2(multiplier * (2 * reach + 2) / 200)).astype(int)
        ) + draw.integers(0, 2, channels)
        if rounding == "tflite":
            shift = np.maximum(shift, 31)
        signed = bits == 8 or rng.random() < 0.6
        tensor = Tensor(
            name=name, channels=channels, height=height, width=width, bits=bits, signed=signed,
            zero_point=rng.randint(-1, 1) if signed else 0,
        )  # fmt: skip
        table = None
        if signed and rng.random() < 0.3:
            table = draw.integers(*_limits(tensor), 1 << bits)
        output = Requantize(
            bias=bias, multiplier=multiplier, shift=shift, zero_point=rng.randint(-1, 1),
            clamp=_limits(tensor), rounding=rounding, table=table,
        )  # fmt: skip
        return acc_bits, output, tensor


def _random_image(tensor: Tensor, draw: np.random.Generator) -> Ints:
    least, most = _limits(tensor)
    return draw.integers(least, most + 1, (tensor.height, tensor.width, tensor.channels))


def _to_slices(tensor: Tensor, lanes: int, image: Ints) -> NDArray[np.uint32]:
    field = host_words.field_bits(tensor) // 8
    words = image.reshape(-1, lanes).astype(f"<i{field}").view(np.uint8)
    padded = np.zeros((len(words), 4 * slice_stride(8 * field * lanes)), np.uint8)
    padded[:, : words.shape[1]] = words
    return padded.view("<u4").reshape(-1)


def _from_slices(tensor: Tensor, lanes: int, slices: NDArray[np.uint32]) -> Ints:
    field = host_words.field_bits(tensor) // 8
    stride = 4 * slice_stride(8 * field * lanes)
    rows = slices.astype("<u4").view(np.uint8).reshape(-1, stride)[:, : field * lanes]
    kind = "i" if tensor.signed else "u"
    values = np.ascontiguousarray(rows).view(f"<{kind}{field}").astype(np.int64)
    return values.reshape(tensor.height, tensor.width, tensor.channels)


def _run(
    bus: VerilatorBus, pipeline: Pipeline, images: Sequence[Ints], rng: random.Random
) -> tuple[list[Ints], list[int]]:
    """Results and cycles of images, with a host that dawdles at random."""
    output, lanes = pipeline.output, pipeline.stages[-1].fold.out_lanes
    shown = host_memories(pipeline)[HostWindow.OUTPUT]
    assert bus.read(Register.MACHINE_HASH, 1)[0] == fingerprint(pipeline)
    times = schedule(pipeline)
    moved = sum(memory.depth * memory.stride for memory in host_memories(pipeline).values())
    limit = time_limit(times.latency + 6 * times.interval + 10 * moved)  # of an image
    results, cycles, sent = [], [], 0

    def send() -> None:
        nonlocal sent
        slices = _to_slices(pipeline.input, pipeline.input_lanes, images[sent])
        bus.write(HostWindow.INPUT.base, slices)
        bus.write(Register.INPUT_COMMIT, np.array([1], np.uint32))
        sent += 1

    for _ in range(BANKS):  # these two start as close together as can be
        send()
    bus.write(Register.CONTROL, np.array([1], np.uint32))
    lazy = rng.random() < 0.5
    while len(results) < len(images):
        status = int(bus.read(Register.STATUS, 1)[0])
        full = status >> STATUS_INPUT_FULL_SHIFT & STATUS_COUNT_MASK
        if full < BANKS and sent < len(images):
            send()
        if lazy and rng.random() < 0.3:
            bus.step(rng.randint(1, 4 * pipeline.interval))
        if status >> STATUS_OUTPUT_FULL_SHIFT & STATUS_COUNT_MASK:
            cycles.append(int(bus.read(Register.CYCLES, 1)[0]))
            slices = bus.read(HostWindow.OUTPUT.base, shown.depth * shown.stride)
            results.append(_from_slices(output, lanes, slices))
            bus.write(Register.OUTPUT_RELEASE, np.array([1], np.uint32))
        assert bus.cycles < limit * (1 + len(results)), f"{len(results)} images, then silence"
    return results, cycles


def _check(
    pipeline: Pipeline, folder: Path, seed: int, *, images: int = 6, cells: bool = False
) -> None:
    """Simulates some images: results as golden says, cycles as the schedule says, one image after
    the other as soon as the interval and the host allow.

    With `cells` the adders are carry cells of an ECP5, as they are in its synthesis.
    """
    core = DataflowCore(pipeline=pipeline)
    top = WishboneTop(core=core)
    files = emit(top, folder, name=top.module_name)
    files.append(begins.write_monitor(folder, f"{top.module_name}_core"))
    adder = folder / f"{gated_add.MODULE}.v"
    if cells and adder in files:
        adder.write_text("`define BITWRIGHT_ECP5\n" + adder.read_text())
        files.append(CARRY_CELL)
    draw = np.random.default_rng(seed)
    inputs = [_random_image(pipeline.input, draw) for _ in range(images)]
    with open_bus(files, top.module_name, folder=folder) as bus:
        results, cycles = _run(bus, pipeline, inputs, random.Random(seed))
    for image, result in zip(inputs, results, strict=True):
        expected = golden.run(pipeline, image)[pipeline.output.name]
        np.testing.assert_array_equal(result, expected)
    assert cycles == [core.schedule.latency] * images
    began = begins.read_begins(folder, images)
    assert len(began) == images
    interval = core.schedule.interval
    times = begins.due(began, interval)
    assert [one.cycle for one in began[1:]] == times, f"not every {interval} cycles: {began}"
    assert began[1].since < began[1].cycle  # the first two are there before the start


@pytest.fixture
def random_pipeline() -> Callable[[int, int], Pipeline]:
    """A random pipeline by seed and number of stages."""
    return lambda seed, length: _Random(seed).pipeline(length)


@pytest.fixture
def check_pipeline() -> Callable[..., None]:
    """Simulates a pipeline and compares; takes the pipeline, a folder and a seed."""
    return _check
