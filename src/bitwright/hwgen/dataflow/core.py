"""A whole pipeline behind the host port: input banks, stages, output banks."""

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitwright.hwgen.banks import PingPong
from bitwright.hwgen.dataflow import host_words
from bitwright.hwgen.dataflow.fingerprint import fingerprint
from bitwright.hwgen.dataflow.memories import Buffer
from bitwright.hwgen.dataflow.ring import Banks
from bitwright.hwgen.dataflow.schedule import Schedule, schedule
from bitwright.hwgen.dataflow.source import Source
from bitwright.hwgen.dataflow.unit import StageUnit
from bitwright.hwgen.delayed import registered
from bitwright.hwgen.host import HostMemory, HostPort, HostSignature
from bitwright.ir.dataflow import Pipeline
from bitwright.targets.host_interface import Window


def host_memories(pipeline: Pipeline) -> dict[Window, HostMemory]:
    """The windows that a pipeline has: its input and its output."""
    lanes = {
        Window.INPUT: (pipeline.input, pipeline.input_lanes),
        Window.OUTPUT: (pipeline.output, pipeline.stages[-1].fold.out_lanes),
    }
    return {
        window: HostMemory(
            window, count * host_words.field_bits(tensor), host_words.words(tensor, count)
        )
        for window, (tensor, count) in lanes.items()
    }


class DataflowCore(wiring.Component):
    """One pipeline. Golden function: `golden.run`; times: `schedule.schedule`.

    Members:
        host: `In(HostSignature())`; the input window, the output window and the registers.
    """

    def __init__(self, *, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.schedule: Schedule = schedule(pipeline)
        super().__init__({"host": In(HostSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipeline, times = self.pipeline, self.schedule
        memories = host_memories(pipeline)
        m.submodules.port = port = HostPort(memories=memories, fingerprint=fingerprint(pipeline))
        wiring.connect(m, wiring.flipped(self.host), port.host)
        running = ResetInserter(~port.run)
        m.submodules.input_banks = input_banks = PingPong()
        depth = memories[Window.INPUT].depth
        source = Source(words=depth, pace=pipeline.pace, interval=times.interval)
        m.submodules.source = running(source)

        streams: dict[str, tuple[Value, Value]] = {
            pipeline.input.name: (source.valid, self._input(m, port, input_banks, source))
        }
        for number, (stage, stage_times) in enumerate(
            zip(pipeline.stages, times.stages, strict=True)
        ):
            unit = StageUnit(pipeline=pipeline, stage=stage, times=stage_times)
            m.submodules[f"stage{number}"] = running(unit)
            for position, name in enumerate(stage.sources):
                valid, word = streams[name]
                m.d.comb += [
                    getattr(unit, f"valid{position}").eq(valid),
                    getattr(unit, f"word{position}").eq(word),
                ]
            streams[stage.result.name] = unit.valid, unit.word
        self._output(m, port, source, streams[pipeline.output.name])
        m.d.comb += [
            source.input_ready.eq(port.run & (input_banks.full != 0)),
            input_banks.fill.eq(port.commit),
            input_banks.drain.eq(source.done),
            port.input_full.eq(input_banks.full),
        ]
        return m

    def _input(self, m: Module, port: HostPort, banks: PingPong, source: Source) -> Value:
        """The input memory; a word follows its address by two cycles."""
        tensor = self.pipeline.input
        depth = host_words.words(tensor, self.pipeline.input_lanes)
        data = host_words.from_host(tensor, port.data(Window.INPUT))
        m.submodules.input = ram = Buffer(width=len(data), depth=2 * depth)
        word = Signal(len(data), name="input_word", reset_less=True)
        m.d.comb += [
            ram.read_address.eq(Cat(banks.read_bank, source.address)),
            ram.write_enable.eq(port.write_input),
            ram.write_address.eq(Cat(banks.write_bank, port.word_address(Window.INPUT))),
            ram.write_data.eq(data),
        ]
        m.d.sync += word.eq(ram.read_data)
        return word

    def _output(
        self, m: Module, port: HostPort, source: Source, stream: tuple[Value, Value]
    ) -> None:
        """The output memory, who owns which bank, and what the registers show."""
        tensor, banks = self.pipeline.output, self.schedule.banks
        valid, word = stream
        depth = host_words.words(tensor, self.pipeline.stages[-1].fold.out_lanes)
        m.submodules.output_banks = ring = Banks(banks=banks)
        m.submodules.output = ram = Buffer(width=len(word), depth=banks * depth)
        address = Signal(range(max(depth, 2)), name="output_address")
        last = Signal(name="output_last")
        m.d.comb += last.eq(valid & (address == depth - 1))
        with m.If(~port.run):
            m.d.sync += address.eq(0)
        with m.Elif(valid):
            m.d.sync += address.eq(Mux(last, 0, address + 1))
        read = registered(m, ram.read_data, "output_word")
        m.d.comb += [
            ring.run.eq(port.run),
            ring.start.eq(source.start),
            ring.publish.eq(last & port.run),
            ring.release.eq(port.release),
            source.output_free.eq(ring.free),
            ram.write_enable.eq(valid & port.run),
            ram.write_address.eq(Cat(ring.write_bank, address)),
            ram.write_data.eq(word),
            ram.read_address.eq(Cat(ring.read_bank, port.output_address)),
            port.output_data.eq(host_words.to_host(tensor, read)),
            port.output_full.eq(ring.shown),
            port.busy.eq(ring.busy),
            port.cycles.eq(ring.cycles),
            port.inferences.eq(ring.inferences),
        ]
