"""One stage of a pipeline as hardware: windows, engine, accumulators, output stage."""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.dataflow import latencies
from bitwright.hwgen.dataflow.engines import ENGINES
from bitwright.hwgen.dataflow.finish import PARAMETERS, Finish
from bitwright.hwgen.dataflow.lanes import LaneTerms, pack_weights
from bitwright.hwgen.dataflow.loops import reads
from bitwright.hwgen.dataflow.memories import rom
from bitwright.hwgen.dataflow.schedule import StageTimes
from bitwright.hwgen.dataflow.sums import TileSums
from bitwright.hwgen.dataflow.weights import weight_words
from bitwright.hwgen.dataflow.window import Window
from bitwright.ir.dataflow import ChannelwiseStage, MatrixStage, Pipeline, Stage


class StageUnit(wiring.Component):
    """Runs a stage's steps as soon as their operands are there.

    Golden functions: `golden.accumulate` and `golden.finish`; times: `schedule.StageTimes`.

    Members:
        valid0, word0 (valid1, word1): streams of its sources.
        valid, word: stream of its result.
    """

    def __init__(self, *, pipeline: Pipeline, stage: Stage, times: StageTimes) -> None:
        self.stage, self.times = stage, times
        self._reads = reads(pipeline, stage)
        self._sources = [pipeline.tensor(name) for name in stage.sources]
        members = {"valid": Out(1), "word": Out(stage.fold.out_lanes * stage.result.bits)}
        for number, (own, source) in enumerate(zip(self._reads, self._sources, strict=True)):
            members[f"valid{number}"] = In(1)
            members[f"word{number}"] = In(own.source_lanes * source.bits)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stage = self.stage
        go = Signal()
        windows = self._windows(m, go)
        m.d.comb += go.eq(Cat(window.ready for window in windows).all())
        first, last = self._tile(m, go)
        terms = self._terms(m, go, [window.operands for window in windows])
        flags = data.StructLayout({"valid": 1, "first": 1, "last": 1})
        # Of the step whose terms are made in this cycle, and of those after it.
        cycles = latencies.OPERANDS + latencies.terms(stage)
        steps = [Signal(flags, name=f"step{n}") for n in range(cycles + 1)]
        m.d.comb += [steps[0].valid.eq(go), steps[0].first.eq(first), steps[0].last.eq(go & last)]
        m.d.sync += [later.eq(step) for step, later in pairwise(steps)]

        m.submodules.accumulators = sums = TileSums(
            rows=len(terms), term=terms[0].shape(), acc_bits=stage.acc_bits,
            lanes=stage.fold.out_lanes, steps=stage.tile_steps,
            maximum=isinstance(stage, ChannelwiseStage) and stage.op == "max",
        )  # fmt: skip
        m.submodules.finish = finish = Finish(
            output=stage.output, result=stage.result, lanes=stage.fold.out_lanes,
            acc_bits=stage.acc_bits, pace=latencies.pace(stage),
        )  # fmt: skip
        m.d.comb += [sums.terms[number].eq(term) for number, term in enumerate(terms)]
        # The first word of a tile is announced before its sums are there.
        early = len(steps) - 1 + latencies.keep(stage) - PARAMETERS
        announced = _announced(m, steps[early].last, stage)
        taken = announced
        for cycle in range(PARAMETERS):
            taken = _flag(m, taken, f"taken{cycle}")
        m.d.comb += [
            sums.first.eq(steps[-2].first),
            sums.valid.eq(steps[-2].valid),
            sums.last.eq(steps[-2].last),
            sums.taken.eq(taken),
            finish.announced.eq(announced),
            finish.sums.eq(sums.sums),
            self.valid.eq(finish.valid),
            self.word.eq(finish.word),
        ]
        return m

    def _windows(self, m: Module, go: Signal) -> list[Window]:
        stage = self.stage
        windows: list[Window] = []
        for number, (own, source) in enumerate(zip(self._reads, self._sources, strict=True)):
            pad = stage.pad_value if isinstance(stage, ChannelwiseStage) else source.zero_point
            window = Window(
                own=own, times=self.times.buffers[number], bits=source.bits, pad_value=pad,
                gate=None if number else self.times.gate,
            )  # fmt: skip
            m.submodules[f"window{number}"] = window
            m.d.comb += [
                window.valid.eq(getattr(self, f"valid{number}")),
                window.word.eq(getattr(self, f"word{number}")),
                window.go.eq(go),
            ]
            windows.append(window)
        return windows

    def _tile(self, m: Module, go: Signal) -> tuple[Value, Value]:
        """Whether the next step is the first, and the last, of its tile."""
        steps = self.stage.tile_steps
        if steps == 1:
            return Signal(init=1, name="always"), Signal(init=1, name="always")
        first, last = Signal(init=1, name="first"), Signal(name="last")
        count = Signal(range(steps), name="step_of_tile")
        with m.If(go):
            m.d.sync += [
                count.eq(Mux(last, 0, count + 1)),
                first.eq(last),
                last.eq(count == steps - 2),
            ]
        return first, last

    def _terms(self, m: Module, go: Signal, operands: list[Value]) -> list[Value]:
        """What each step adds, in `latencies.terms` cycles after its operands."""
        stage = self.stage
        if isinstance(stage, MatrixStage):
            return self._matrix(m, stage, go, operands[0])
        m.submodules.lanes = lanes = LaneTerms(
            stage=stage, sources=[Shape(s.bits, s.signed) for s in self._sources]
        )
        m.d.comb += [
            getattr(lanes, f"operands{n}").eq(operand) for n, operand in enumerate(operands)
        ]
        if isinstance(stage, ChannelwiseStage) and stage.weights is not None:
            words = [pack_weights(stage, word) for word in weight_words(stage)]
            m.d.comb += lanes.weights.eq(self._weights(m, go, words))
        return [lanes.terms[lane] for lane in range(stage.fold.lanes)]

    def _matrix(self, m: Module, stage: MatrixStage, go: Signal, operands: Value) -> list[Value]:
        fold, source = stage.fold, self._sources[0]
        kind = ENGINES[fold.engine]
        words = [kind.pack(word, stage.weight_bits) for word in weight_words(stage)]
        m.submodules.products = engine = kind(
            rows=fold.rows, lanes=fold.lanes, weight_bits=stage.weight_bits,
            activation_bits=source.bits, activation_signed=source.signed,
            constant=len(words) == 1,
        )  # fmt: skip
        m.d.comb += [
            engine.activations.eq(operands),
            engine.weights.eq(self._weights(m, go, words)),
        ]
        return [engine.sums[row] for row in range(fold.rows)]

    def _weights(self, m: Module, go: Signal, words: list[int]) -> Value:
        """The weights of each step, with its operands."""
        address = Signal(range(max(len(words), 2)), name="weight_address")
        if len(words) > 1:
            with m.If(go):
                m.d.sync += address.eq(Mux(address == len(words) - 1, 0, address + 1))
        fold = self.stage.fold
        return rom(m, "weights", words, fold.rows * fold.lanes * self.stage.weight_bits, address)


def _flag(m: Module, value: Value, name: str) -> Signal:
    later = Signal(name=name)
    m.d.sync += later.eq(value)
    return later


def _announced(m: Module, start: Value, stage: Stage) -> Value:
    """1 for each word of the tile that begins with `start`, as often as the output stage can."""
    words, pace = latencies.groups(stage), latencies.pace(stage)
    if words == 1:
        return start
    left, wait = Signal(range(words), name="words_left"), Signal(range(pace), name="word_wait")
    more = Signal(name="word_due")
    m.d.comb += more.eq((left != 0) & (wait == 0))
    following: Value = Const(words - 1)
    made = stage.result.channels // stage.fold.out_lanes
    if isinstance(stage, MatrixStage) and (unread := stage.blocks * words - made):
        block = Signal(range(stage.blocks), name="row_block")
        last = block == stage.blocks - 1
        with m.If(start):
            m.d.sync += block.eq(Mux(last, 0, block + 1))
        following = Mux(last, words - 1 - unread, words - 1)
    with m.If(start):
        m.d.sync += [left.eq(following), wait.eq(pace - 1)]
    with m.Elif(more):
        m.d.sync += [left.eq(left - 1), wait.eq(pace - 1)]
    with m.Elif(wait != 0):
        m.d.sync += wait.eq(wait - 1)
    return start | more
