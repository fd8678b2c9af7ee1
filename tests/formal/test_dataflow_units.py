"""Pipelines: every image that starts gives its result, word by word, in exactly the stated cycles.

The units treat all values alike, so one channel of one image is marked 1 among zeros, any one:
a word that is lost, doubled, overwritten, read too early or taken for another gives another
result. The proofs are bounded: two images go through, 0 to 3 cycles more apart than the
least interval.
"""

from typing import Any

import numpy as np
from amaranth.asserts import AnyConst
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Cover, Elaboratable, Module, Mux, Signal
from proof import Proof, broken

from bitwright.hwgen.dataflow import golden, unit
from bitwright.hwgen.dataflow.latencies import SOURCE
from bitwright.hwgen.dataflow.schedule import least_interval, schedule
from bitwright.hwgen.dataflow.source import Source
from bitwright.hwgen.dataflow.sums import TileSums
from bitwright.hwgen.dataflow.unit import StageUnit
from bitwright.hwgen.dataflow.window import Window as WindowUnit
from bitwright.ir.dataflow import (
    ChannelwiseStage,
    Fold,
    Pipeline,
    Stage,
    Sums,
    Tensor,
    Window,
)

IMAGES = 2
MOST_GAP = 3  # cycles


def _tensor(name: str, channels: int, height: int, width: int, bits: int) -> Tensor:
    return Tensor(name=name, channels=channels, height=height, width=width, bits=bits, signed=False)


def _sums(channels: int) -> Sums:
    """Biases that tell the channels apart."""
    return Sums(bias=np.arange(channels))


def _whole(name: str, source: Tensor, lanes: int, *stages: Stage, pace: int = 1) -> Pipeline:
    flat = Pipeline(
        name=name, input=source, input_lanes=lanes, stages=stages, interval=0, pace=pace
    )
    interval = least_interval(flat)
    return Pipeline(
        name=name, input=source, input_lanes=lanes, stages=stages, interval=interval, pace=pace
    )


def lane_blocks() -> Pipeline:
    """Two blocks of two lanes, each two words of the result; a window over the edge."""
    source = _tensor("x", 4, 1, 2, 1)
    pool = ChannelwiseStage(
        sources=("x",), result=_tensor("y", 4, 1, 2, 4), op="sum", weights=None, weight_bits=1,
        window=Window(kernel=(1, 2), padding=(0, 1)), pad_value=0, acc_bits=5, output=_sums(4),
        fold=Fold(lanes=2, out_lanes=1),
    )  # fmt: skip
    return _whole("lane blocks", source, 1, pool)


class _Stage(StageUnit):
    """A stage with other units in the place of its own."""

    units: dict[str, Any]

    def elaborate(self, platform: object) -> Module:
        own = vars(unit)
        kept = {name: own[name] for name in self.units}
        own.update(self.units)
        try:
            return super().elaborate(platform)
        finally:
            own.update(kept)


class Streams(Elaboratable):
    """Source and stages wired as in a pipeline's core; inputs and output banks come at any time."""

    def __init__(self, pipeline: Pipeline, units: dict[str, Any]) -> None:
        """
        Args:
            units: what stands for `Source`, and for names that the module of `StageUnit` uses.
        """
        self._pipeline, self._units = pipeline, units

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipeline, times = self._pipeline, schedule(self._pipeline)
        source_words = pipeline.input.height * pipeline.input.width * (
            pipeline.input.channels // pipeline.input_lanes
        )  # fmt: skip
        source = self._units.get("Source", Source)(
            words=source_words, pace=pipeline.pace, interval=pipeline.interval
        )
        m.submodules.source = source
        mark, marked = self._mark(m, source, self._starts(m, source))
        streams = {pipeline.input.name: (source.valid, self._word(m, source, mark, marked))}
        stages = zip(pipeline.stages, times.stages, strict=True)
        for number, (stage, stage_times) in enumerate(stages):
            one = _Stage(pipeline=pipeline, stage=stage, times=stage_times)
            one.units = {name: made for name, made in self._units.items() if name != "Source"}
            for position, name in enumerate(stage.sources):
                valid, word = streams[name]
                m.d.comb += [
                    getattr(one, f"valid{position}").eq(valid),
                    getattr(one, f"word{position}").eq(word),
                ]
            m.submodules[f"stage{number}"] = one
            streams[stage.result.name] = one.valid, one.word
        self._results(m, source.start, mark, marked, streams[pipeline.output.name])
        return m

    def _mark(self, m: Module, source: Source, number: Signal) -> tuple[Signal, Signal]:
        """Which channel is marked, and whether the image that starts, or is under way, has it."""
        tensor = self._pipeline.input
        channels = tensor.height * tensor.width * tensor.channels
        mark = Signal(range(channels))
        image = Signal.like(number, name="image")
        marked, under_way = Signal(name="marked"), Signal()
        m.d.comb += [
            mark.eq(AnyConst(len(mark))),
            Assume(mark < channels),
            image.eq(AnyConst(len(image))),
            marked.eq(Mux(source.start, number == image, under_way)),
        ]
        with m.If(source.start):
            m.d.sync += under_way.eq(marked)
        return mark, marked

    def _word(self, m: Module, source: Source, mark: Signal, marked: Signal) -> Signal:
        """The input's word, `SOURCE` cycles after its address."""
        lanes = self._pipeline.input_lanes
        place, has = source.address, marked
        for cycle in range(SOURCE):
            later, later_has = Signal.like(place, name=f"place{cycle}"), Signal(name=f"has{cycle}")
            m.d.sync += [later.eq(place), later_has.eq(has)]
            place, has = later, later_has
        word = Signal(lanes, name="input_word")
        m.d.comb += word.eq(Cat(has & (mark == place * lanes + lane) for lane in range(lanes)))
        return word

    def _starts(self, m: Module, source: Source) -> Signal:
        """The inputs, each of which is there any few cycles after the interval; returns the
        number of those that have started."""
        interval = self._pipeline.interval
        number = Signal(range(IMAGES + 1))
        since = Signal(range(interval + MOST_GAP + 1), init=interval + MOST_GAP)
        gaps = [Const(0), *(Signal(range(MOST_GAP + 1), name=f"gap{n}") for n in range(1, IMAGES))]
        m.d.comb += [gap.eq(AnyConst(len(gap))) for gap in gaps[1:]]
        m.d.sync += [
            since.eq(Mux(source.start, 1, Mux(since == interval + MOST_GAP, since, since + 1))),
            number.eq(number + source.start),
        ]
        m.d.comb += [
            source.input_ready.eq((number != IMAGES) & (since >= interval + Array(gaps)[number])),
            source.output_free.eq(1),
        ]
        return number

    def _results(
        self, m: Module, start: Signal, mark: Signal, marked: Signal, stream: tuple[Any, Any]
    ) -> None:
        pipeline, arrivals = self._pipeline, schedule(self._pipeline).stages[-1].arrivals
        started = Signal(int(arrivals[-1]) + 1)  # so many cycles ago
        had = Signal.like(started)
        m.d.sync += [
            started.eq(Cat(start, started[:-1])),
            had.eq(Cat(start & marked, had[:-1])),
        ]
        valid, word = stream
        due = [started[int(arrival) - 1] for arrival in arrivals]
        wanted = Signal(len(word))
        for number, arrival in enumerate(arrivals):
            with m.If(due[number]):
                of_marks = Array(Const(value, len(word)) for value in _words(pipeline, number))
                m.d.comb += wanted.eq(
                    Mux(had[int(arrival) - 1], of_marks[mark], Const(_plain(pipeline, number)))
                )
        m.d.comb += [
            Assert(valid == Cat(due).any()),
            Assert(~valid | (word == wanted)),
            Cover(due[-1] & had[-1] if len(arrivals) else 0),
            Cover(due[-1] & ~had[int(arrivals[-1]) - 1] & (had != 0)),
        ]


def _packed(pipeline: Pipeline, image: np.ndarray, number: int) -> int:
    """Word `number` of the result of an image."""
    lanes, bits = pipeline.stages[-1].fold.out_lanes, pipeline.output.bits
    found = golden.run(pipeline, image)[pipeline.output.name].reshape(-1, lanes)[number]
    return sum((int(value) % (1 << bits)) << bits * lane for lane, value in enumerate(found))


def _plain(pipeline: Pipeline, number: int) -> int:
    tensor = pipeline.input
    return _packed(pipeline, np.zeros((tensor.height, tensor.width, tensor.channels), int), number)


def _words(pipeline: Pipeline, number: int) -> list[int]:
    """Word `number` of the result, for each channel that is marked."""
    tensor = pipeline.input
    shape = tensor.height, tensor.width, tensor.channels
    marks = np.eye(int(np.prod(shape)), dtype=int)
    return [_packed(pipeline, image.reshape(shape), number) for image in marks]


def _cycles(pipeline: Pipeline) -> int:
    """All images, with their gaps."""
    between = (IMAGES - 1) * (pipeline.interval + MOST_GAP)
    return schedule(pipeline).latency + between + 2


def _refuted(
    given: Pipeline, name: str, made: Any, *mutations: tuple[str, str, str]
) -> list[Proof]:
    """Broken variants of `name`, one of the units or functions that a stage is made of."""
    return [
        Proof(
            claim=f"{given.name}: {claim}",
            spec=lambda old=old, new=new: Streams(given, {name: broken(made, old, new)}),
            depth=_cycles(given), method="refuted", sat=True,
        )
        for claim, old, new in mutations
    ]  # fmt: skip


def test_pipelines(prove) -> None:
    lanes = lane_blocks()
    prove(
        "Dataflow streams",
        Proof(
            claim=f"{lanes.name}: every word of every image, in its cycle",
            spec=lambda: Streams(lanes, {}),
            depth=_cycles(lanes), method="bounded", sat=True,
        ),
        *_refuted(
            lanes, "Window", WindowUnit,
            ("a word that is not the next", "buffer.read_address.eq(loops.index)",
             "buffer.read_address.eq(loops.index + 1)"),
        ),
        *_refuted(
            lanes, "_announced", getattr(unit, "_announced"),  # noqa: B009
            ("a word is left out", "Value = Const(words - 1)", "Value = Const(words - 2)"),
        ),
        *_refuted(
            lanes, "TileSums", TileSums,
            ("a sum comes twice", "with m.If(full | self.taken):", "with m.If(full):"),
        ),
    )  # fmt: skip
