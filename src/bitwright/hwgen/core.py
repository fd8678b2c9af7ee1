"""The overlay machine without a bus: everything behind the host port."""

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.hdl._ast import Assign
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen import (
    address,
    datapath,
    fused_add,
    handover,
    host,
    operands,
    output,
    prefetch,
    requantize,
    sequencer,
)
from bitwright.hwgen.address import AccOp, Flags, LoopNest
from bitwright.hwgen.banks import PingPong
from bitwright.hwgen.datapath import Datapath
from bitwright.hwgen.delayed import delayed, registered
from bitwright.hwgen.engines import accumulator, channelwise, weightserial
from bitwright.hwgen.engines.accumulator import Accumulators
from bitwright.hwgen.engines.channelwise import Channelwise
from bitwright.hwgen.engines.weightserial import WeightSerial
from bitwright.hwgen.handover import Ending, Handover
from bitwright.hwgen.host import HostPort, HostSignature, memories
from bitwright.hwgen.isa import MATRIX, PIXEL_FIELDS, address_bits, field_layout, program_bits
from bitwright.hwgen.operands import Operands
from bitwright.hwgen.output import OutputStage, hop_cycles
from bitwright.hwgen.prefetch import WeightStreamer
from bitwright.hwgen.ram import Ram, parts
from bitwright.hwgen.sequencer import Fetch, Sequencer
from bitwright.hwgen.structure import Structure
from bitwright.ir.instructions import ChannelOp, Opcode
from bitwright.ir.machine import Machine
from bitwright.targets.host_interface import Window

CONTROL_FIELDS = ("src_space", "pad_value", "channel_op", "handover")
OPERANDS = 2  # cycles from a step to its operands: memory, then choice of the space or padding


def term_latency(machine: Machine, opcode: Opcode) -> int:
    """Cycles from a step to the cycle in which the accumulators add its term."""
    if machine.dsp:
        return datapath.term_latency(machine, opcode)
    if opcode in MATRIX:
        return OPERANDS + weightserial.latency(machine)
    return OPERANDS + channelwise.LATENCY


def control_layout(machine: Machine) -> data.StructLayout:
    """Fields that steps need on their way through the engines."""
    names = CONTROL_FIELDS
    if machine.dsp:
        names = ("handover", *operands.FIELDS, *datapath.fields(machine), *PIXEL_FIELDS)
    return field_layout(machine, names)


def result_depth(machine: Machine) -> int:
    """Words of an output bank in each of its memories."""
    return -(-machine.out_words // machine.requant_pixels)


def bank_words(words: int) -> int:
    """Depth of a memory of two banks of `words`: the bank is the lowest address bit."""
    return 2 * words


class Core(wiring.Component):
    """One overlay machine. Golden functions: `golden.run`, `cycles.predict`.

    Members:
        host: `In(HostSignature())`; memories and registers as in `host.py`.
        memory: for a master of the external memory, on a machine that has one.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        memory = {"memory": Out(prefetch.memory_signature(machine))} if machine.streams else {}
        super().__init__({"host": In(HostSignature()), **memory})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        machine = self.machine
        m.submodules.port = port = HostPort(
            memories=memories(machine), fingerprint=machine.fingerprint, external=machine.streams
        )
        wiring.connect(m, wiring.flipped(self.host), port.host)
        m.submodules.input_banks = input_banks = PingPong()
        m.submodules.output_banks = output_banks = PingPong()
        fetch, sequencer, over = (
            Fetch(machine=machine),
            Sequencer(adds=bool(machine.fused_adds)),
            Handover(),
        )
        loops, stage = LoopNest(machine=machine), OutputStage(machine=machine)
        halted = Signal(init=1)
        m.d.sync += halted.eq(~port.run)
        reset = ResetInserter(halted)
        m.submodules.fetch = reset(fetch)
        m.submodules.sequencer = reset(sequencer)
        m.submodules.next_instruction = reset(over)
        m.submodules.loops = reset(loops)
        way = registered(m, halted, "halted_way")  # the output stage is large and somewhere else
        m.submodules.output = ResetInserter(way)(stage)

        running = Signal(control_layout(machine))
        ending = Ending(machine)
        ready: Value = fetch.ready
        if machine.fused_adds:
            ready = self._prepare_add(m, fetch, sequencer, loops, stage)
        start = self._start(m, fetch, ready, sequencer, loops, running)
        self._hand_over(m, fetch, sequencer, start, over, loops, stage, running, ending)
        self._program(m, port, fetch)
        banks = (input_banks, output_banks)
        weights = self._operate(m, port, sequencer, loops, stage, running, ending, banks)
        if machine.streams:
            self._stream(m, port, fetch, ready, sequencer, loops, output_banks, weights)
        self._account(m, port, sequencer, input_banks, output_banks)
        return m

    def _program(self, m: Module, port: HostPort, fetch: Fetch) -> None:
        m.submodules.program = ram = Ram(
            width=program_bits(self.machine), depth=self.machine.program_words, contents="program"
        )
        _connect_write(m, ram, port, Window.PROGRAM)
        m.d.comb += [ram.read_address.eq(fetch.address), fetch.data.eq(ram.read_data)]

    def _stream(
        self, m: Module, port: HostPort, fetch: Fetch, ready: Value, sequencer: Sequencer,
        loops: LoopNest, output_banks: PingPong, weights: Ram,
    ) -> None:  # fmt: skip
        """Weights from external memory: an instruction starts when its own are there."""
        machine = self.machine
        m.submodules.streamer = streamer = WeightStreamer(machine=machine)
        assert datapath.WEIGHTS < prefetch.OVERWRITE_CYCLES, "weights are read before that"
        was_busy = Signal()
        bursts = Signal.like(streamer.bursts)
        m.d.sync += was_busy.eq(sequencer.busy)
        with m.If(sequencer.take & ~sequencer.busy):  # a LOAD
            m.d.sync += bursts.eq(fetch.count)
        m.d.comb += [
            sequencer.fetched.eq(ready & (streamer.there | ~sequencer.busy)),
            streamer.run.eq(port.run),
            streamer.begin.eq(sequencer.busy & ~was_busy),
            streamer.bursts.eq(bursts),
            streamer.base.eq(port.memory_base),
            streamer.need.eq(fetch.count),
            streamer.start.eq(loops.start),
            streamer.release.eq(loops.finished),
            loops.bases.w_base.eq(streamer.head),
            weights.write_enable.eq(streamer.write_enable),
            weights.write_address.eq(streamer.write_address),
            weights.write_data.eq(streamer.write_data),
            port.failed.eq(self.memory.failed),
        ]
        wiring.connect(m, wiring.flipped(self.memory), streamer.port)
        time = Signal(32)
        m.d.sync += time.eq(time + 1)
        ended = [Signal(32, name=f"ended_bank{bank}") for bank in range(2)]
        with m.If(sequencer.store):
            for bank, latched in enumerate(ended):
                with m.If(output_banks.write_bank == bank):
                    m.d.sync += latched.eq(time)
        m.d.comb += port.ended.eq(Mux(output_banks.read_bank, ended[1], ended[0]))

    def _prepare_add(
        self, m: Module, fetch: Fetch, sequencer: Sequencer, loops: LoopNest, stage: OutputStage
    ) -> Value:
        """Makes the tables of a fetched MATMUL_ADD; returns whether the instruction is ready."""
        adds = fetch.opcode == Opcode.MATMUL_ADD
        with m.If(sequencer.idle):
            m.d.sync += loops.adds.eq(adds)
        m.d.comb += [
            *(stage.factors[name].eq(fetch.fields[name]) for name, _ in stage.factors.shape()),
            stage.prepare.eq(fetch.ready & adds),
            stage.taken.eq(sequencer.take),
        ]
        return fetch.ready & (~adds | stage.prepared)

    def _start(
        self,
        m: Module,
        fetch: Fetch,
        ready: Value,
        sequencer: Sequencer,
        loops: LoopNest,
        running: Signal,
    ) -> None:
        """Hands the fetched fields to the units; fields used later are kept."""
        machine = self.machine
        layout = field_layout(machine, address.fields(machine))
        held = Signal(layout, name="loop_fields")
        start = Signal()  # a cycle after the sequencer's: by then the kept fields are there
        m.d.sync += start.eq(sequencer.start)
        there = [] if machine.streams else [sequencer.fetched.eq(ready)]
        m.d.comb += [
            fetch.take.eq(sequencer.take),
            *there,
            sequencer.opcode.eq(fetch.opcode),
            loops.start.eq(start),
            loops.fields.eq(held),
            *(
                loops.bases[name].eq(fetch.fields[name])
                for name, _ in loops.bases.shape()
                if name in fetch.fields.shape().members
            ),
        ]
        # They follow the fetched ones until the instruction starts: a short way to their enable.
        with m.If(sequencer.idle):
            m.d.sync += [
                fields[name].eq(fetch.fields[name])
                for fields in (running, held) for name, _ in fields.shape()
            ]  # fmt: skip
        return start

    def _hand_over(
        self, m: Module, fetch: Fetch, sequencer: Sequencer, start: Signal, over: Handover,
        loops: LoopNest, stage: OutputStage, running: data.View, ending: Ending,
    ) -> None:  # fmt: skip
        """From one instruction to the next; the output stage goes over after all other units."""
        m.d.comb += [
            over.start.eq(start),
            over.handover.eq(running.handover),
            over.issued.eq(loops.finished),
            over.written.eq(stage.finished),
            sequencer.finished.eq(over.finished),
            stage.start.eq(over.output_start),
            *(stage.fields[name].eq(ending.fields[name]) for name, _ in stage.fields.shape()),
            *(stage.bases[name].eq(ending.next_fields[name]) for name, _ in stage.bases.shape()),
        ]
        if self.machine.fused_adds:
            with m.If(start):
                m.d.sync += stage.next_adds.eq(fetch.opcode == Opcode.MATMUL_ADD)
            with m.If(over.output_start):
                m.d.sync += stage.adds.eq(stage.next_adds)
        with m.If(start):
            m.d.sync += ending.next_matmul.eq(sequencer.matmul)
            m.d.sync += [
                value.eq(fetch.fields[name]) for name, value in ending.each(ending.next_fields)
            ]
        with m.If(over.output_start):
            m.d.sync += ending.matmul.eq(ending.next_matmul)
            m.d.sync += [
                value.eq(ending.next_fields[name]) for name, value in ending.each(ending.fields)
            ]

    def _operate(
        self,
        m: Module,
        port: HostPort,
        sequencer: Sequencer,
        loops: LoopNest,
        stage: OutputStage,
        running: Signal,
        ending: Ending,
        banks: tuple[PingPong, PingPong],
    ) -> Ram:
        """From a step to its operands, through the engines, to the result words.

        Returns the weight memory.
        """
        machine = self.machine
        m.submodules.weights = weights = Ram(
            width=machine.weight_bits, depth=machine.weight_words,
            contents="" if machine.streams else "weights", columns=machine.weight_columns,
        )  # fmt: skip
        m.submodules.params = params = Ram(
            width=machine.param_bits, depth=machine.param_words, contents="params"
        )
        if not machine.streams:
            _connect_write(m, weights, port, Window.WEIGHTS)
        _connect_write(m, params, port, Window.PARAMS)
        matmul = sequencer.matmul
        m.d.comb += [
            params.read_address.eq(stage.params_address),
            stage.params_data.eq(params.read_data),
            stage.groups_last.eq(_groups_last(machine, ending.matmul)),
        ]
        if machine.tables:
            m.d.comb += [
                stage.table_write_enable.eq(port.write_tables),
                stage.table_write_address.eq(port.word_address(Window.TABLES)),
                stage.table_write_data.eq(port.data(Window.TABLES)),
            ]
        if machine.dsp:
            self._multiply(m, port, loops, stage, running, ending, banks, weights, matmul)
        else:
            self._add_planes(m, port, loops, stage, running, ending, banks, weights, matmul)
        return weights

    def _multiply(
        self, m: Module, port: HostPort, loops: LoopNest, stage: OutputStage, running: Signal,
        ending: Ending, banks: tuple[PingPong, PingPong], weights: Ram, matmul: Value,
    ) -> None:  # fmt: skip
        """The engines of a machine with whole weights."""
        machine = self.machine
        m.submodules.operands = reads = Operands(machine=machine)
        m.submodules.datapath = path = Datapath(machine=machine)
        self._banked_activations(m, port, reads, stage, ending, banks)
        for unit, names in ((reads, operands.FIELDS), (path, datapath.fields(machine))):
            layout = field_layout(machine, names)
            m.d.comb += [unit.fields[name].eq(running[name]) for name, _ in layout]
        m.d.comb += [
            reads.source.eq(loops.source),
            reads.column.eq(loops.column),
            reads.row_outside.eq(loops.row_outside),
            path.run.eq(port.run),
            path.matmul.eq(registered(m, matmul, "matmul_way")),
            path.flags.eq(loops.flags),
            path.row.eq(loops.row),
            path.acc_op.eq(loops.acc_op),
            path.weight.eq(loops.weight),
            *self._others(reads, loops, path, stage),
            Cat(path.words).eq(Cat(reads.words)),
            weights.read_address.eq(path.weight_address),
            path.weight_data.eq(weights.read_data),
            stage.tile.eq(path.tile),
            stage.head.eq(path.head),
        ]
        gaps = {name: self._gap(m, running[name], matmul, name) for name in PIXEL_FIELDS}
        inner = Mux(loops.next_row.last, gaps["pixels_last"], gaps["pixels"])
        m.d.comb += [
            loops.gap.eq(Mux(loops.next_row.first, gaps["pixels_first"], inner)),
            stage.row.eq(path.tile_row),
        ]

    def _others(
        self, reads: Operands, loops: LoopNest, path: Datapath, stage: OutputStage
    ) -> list[Assign]:
        """The way of what is added."""
        if not self.machine.fused_adds:
            return []
        return [
            reads.other.eq(loops.other),
            reads.other_source.eq(loops.other_source),
            path.other.eq(loops.other),
            stage.other_head.eq(path.other_head),
        ]

    def _gap(self, m: Module, pixels: Value, matmul: Value, name: str) -> Signal:
        """Groups of so many pixels, minus one; 0 for no pixels."""
        machine = self.machine
        turns = pixels if machine.requant_pixels == 1 else (pixels >> 1) + pixels[0]
        groups = Mux(matmul, turns * machine.matmul_groups, turns * machine.channelwise_groups)
        gap = Signal(range(machine.pixels * machine.matmul_groups), name=f"gap_{name}")
        m.d.sync += gap.eq(Mux(pixels == 0, 0, groups - 1))
        return gap

    def _add_planes(
        self, m: Module, port: HostPort, loops: LoopNest, stage: OutputStage, running: Signal,
        ending: Ending, banks: tuple[PingPong, PingPong], weights: Ram, matmul: Value,
    ) -> None:  # fmt: skip
        """The engines of a machine whose weights come bit by bit."""
        machine = self.machine
        m.submodules.weightserial = matrix = WeightSerial(machine=machine)
        m.submodules.channelwise = lanes = Channelwise(machine=machine)
        m.submodules.accumulators = accumulators = Accumulators(machine=machine)
        words = self._activations(m, port, loops, stage, running, ending, banks)
        m.d.comb += [
            weights.read_address.eq(loops.weight),
            matrix.activations.eq(words),
            matrix.weights.eq(weights.read_data),
            lanes.activations.eq(words),
            lanes.weights.eq(weights.read_data[: machine.activation_bits]),
            lanes.maximum.eq(running.channel_op == ChannelOp.MAX),
            stage.negate.eq(ending.matmul & (ending.fields.n_plane == 1)),
            accumulators.sums.eq(matrix.sums),
            accumulators.terms.eq(lanes.terms),
            accumulators.use_terms.eq(~matmul),
            stage.head.eq(accumulators.head),
            loops.gap.eq(_groups_last(machine, matmul)),
        ]
        self._follow(m, port.run, loops, lanes, accumulators, stage, matmul)

    def _follow(
        self,
        m: Module,
        run: Value,
        loops: LoopNest,
        lanes: Channelwise,
        accumulators: Accumulators,
        stage: OutputStage,
        matmul: Value,
    ) -> None:
        """Delays the flags of each step until its term is at the accumulators."""
        flags: list[data.View] = [loops.flags]
        ops: list[Value] = [loops.acc_op]
        for cycle in range(1, term_latency(self.machine, Opcode.MATMUL)):
            later = Signal(Flags, name=f"flags{cycle}")
            op = Signal(2, name=f"acc_op{cycle}", reset_less=True)
            m.d.sync += [later.eq(flags[-1]), op.eq(ops[-1])]
            with m.If(~run):
                m.d.sync += later.valid.eq(0)
            flags.append(later)
            ops.append(op)
        short = term_latency(self.machine, Opcode.CHANNELWISE) - 1
        m.d.comb += [
            lanes.valid.eq(flags[short].valid),
            lanes.first.eq(ops[short] == AccOp.LOAD),
            stage.tile.eq(Mux(matmul, flags[-1], flags[short])),
        ]
        op = Mux(matmul, ops[-1], Mux(lanes.maximum, AccOp.LOAD, ops[short]))
        m.d.comb += [
            accumulators.valid.eq(stage.tile.valid),
            accumulators.last.eq(stage.tile.last),
            accumulators.op.eq(op),
        ]

    def _activations(
        self,
        m: Module,
        port: HostPort,
        loops: LoopNest,
        stage: OutputStage,
        running: data.View,
        ending: Ending,
        banks: tuple[PingPong, PingPong],
    ) -> Signal:
        """The activation memories; returns the operand word, two cycles after its step."""
        machine = self.machine
        width = machine.activation_bits
        input_banks, output_banks = banks
        rows, words = self._result(m, port, stage, ending, output_banks)
        m.submodules.main = main = Ram(width=width, depth=machine.act_words, contents="main")
        m.submodules.input = first = Ram(
            width=width, depth=bank_words(machine.in_words), contents="input"
        )
        in_bits = address_bits(machine.in_words)
        m.d.comb += [
            main.read_address.eq(loops.source),
            main.write_enable.eq(stage.write_enable & ~ending.fields.dst_space),
            main.write_address.eq(rows[0]),
            main.write_data.eq(words[0]),
            first.read_address.eq(Cat(input_banks.read_bank, _resized(loops.source, in_bits))),
            first.write_enable.eq(port.write_input),
            first.write_address.eq(Cat(input_banks.write_bank, port.word_address(Window.INPUT))),
            first.write_data.eq(port.data(Window.INPUT)),
        ]
        word = Signal(width, name="operands", reset_less=True)
        chosen = Mux(running.src_space, first.read_data, main.read_data)
        pad = running.pad_value.as_unsigned().replicate(machine.lanes)
        m.d.sync += word.eq(Mux(loops.padding, pad, chosen))
        return word

    def _result(
        self, m: Module, port: HostPort, stage: OutputStage, ending: Ending, banks: PingPong
    ) -> tuple[list[Value], list[Value]]:
        """The output banks: for each port a memory of every other word.

        Returns the row of such a memory that each port writes, and its word, when they are there.
        """
        hops = hop_cycles(self.machine)
        ports, read = self.machine.requant_pixels, port.output_address
        bits, depth = ports - 1, result_depth(self.machine)
        rows = [
            delayed(m, stage.write_address[number][bits:], hops, f"row{number}")
            for number in range(ports)
        ]
        words = [
            delayed(m, stage.write_data[number], hops, f"word{number}") for number in range(ports)
        ]
        found: list[Value] = []
        for number in range(ports):
            result = Ram(
                width=self.machine.activation_bits, depth=bank_words(depth), contents="output"
            )
            m.submodules[f"result{number}"] = result
            wanted = stage.write_enable[number] & ending.fields.dst_space
            place = _resized(rows[number], address_bits(depth))
            m.d.comb += [
                result.write_enable.eq(delayed(m, wanted, hops, f"result_enable{number}")),
                result.write_address.eq(Cat(banks.write_bank, place)),
                result.write_data.eq(words[number]),
                result.read_address.eq(
                    Cat(banks.read_bank, _resized(read[bits:], address_bits(depth)))
                ),
            ]
            found.append(registered(m, result.read_data, f"result_word{number}"))
        odd = registered(m, registered(m, read[:bits], "reads_odd"), "found_odd")
        m.d.comb += port.output_data.eq(Mux(odd, found[-1], found[0]))
        return rows, words

    def _banked_activations(
        self, m: Module, port: HostPort, reads: Operands, stage: OutputStage, ending: Ending,
        banks: tuple[PingPong, PingPong],
    ) -> None:  # fmt: skip
        """The activation memories, each in banks of neighbouring words."""
        machine = self.machine
        width, bits = machine.activation_bits, (machine.banks - 1).bit_length()
        input_banks, output_banks = banks
        rows, words = self._result(m, port, stage, ending, output_banks)
        hops = hop_cycles(machine)
        main_depth = operands.bank_depth(machine, machine.act_words)
        first_depth = operands.bank_depth(machine, machine.in_words)
        written, ports = port.word_address(Window.INPUT), machine.requant_pixels
        for bank in range(machine.banks):
            main = Ram(width=width, depth=main_depth, contents="main")
            first = Ram(width=width, depth=bank_words(first_depth), contents="input")
            m.submodules[f"main{bank}"], m.submodules[f"input{bank}"] = main, first
            first_bits = address_bits(first_depth)
            row = _resized(reads.address[bank], first_bits)
            wanted = (
                stage.write_enable[bank % ports]
                & ~ending.fields.dst_space
                & (stage.write_address[bank % ports][:bits] == bank)
            )
            m.d.comb += [
                main.read_address.eq(reads.address[bank]),
                main.write_enable.eq(delayed(m, wanted, hops, f"main_enable{bank}")),
                main.write_address.eq(rows[bank % ports][bits - ports + 1 :]),
                main.write_data.eq(words[bank % ports]),
                first.read_address.eq(Cat(input_banks.read_bank, row)),
                first.write_enable.eq(port.write_input & (written[:bits] == bank)),
                first.write_address.eq(
                    Cat(input_banks.write_bank, _resized(written[bits:], first_bits))
                ),
                first.write_data.eq(port.data(Window.INPUT)),
                reads.main[bank].eq(main.read_data),
                reads.first[bank].eq(first.read_data),
            ]

    def _account(
        self,
        m: Module,
        port: HostPort,
        sequencer: Sequencer,
        input_banks: PingPong,
        output_banks: PingPong,
    ) -> None:
        """Who owns which bank, and the counters of each inference."""
        cycles = [Signal(32, name=f"cycles_bank{bank}") for bank in range(2)]
        inferences = Signal(32)
        store = Signal()  # a cycle after the sequencer's, and what it had counted
        counted = Signal(32, reset_less=True)
        m.d.sync += [store.eq(sequencer.store), counted.eq(sequencer.cycles)]
        m.d.comb += [
            input_banks.fill.eq(port.commit),
            input_banks.drain.eq(store),
            output_banks.fill.eq(store),
            output_banks.drain.eq(port.release),
            sequencer.input_ready.eq(input_banks.full != 0),
            sequencer.output_free.eq(~output_banks.full[1]),
            port.busy.eq(sequencer.busy),
            port.input_full.eq(input_banks.full),
            port.output_full.eq(output_banks.full),
            port.cycles.eq(Mux(output_banks.read_bank, cycles[1], cycles[0])),
            port.inferences.eq(inferences),
        ]
        with m.If(store):
            m.d.sync += inferences.eq(inferences + 1)
            for bank, latched in enumerate(cycles):
                with m.If(output_banks.write_bank == bank):
                    m.d.sync += latched.eq(counted)


def _groups_last(machine: Machine, matmul: Value) -> Value:
    return Mux(matmul, machine.matmul_groups - 1, machine.channelwise_groups - 1)


def _connect_write(m: Module, ram: Ram, port: HostPort, window: Window) -> None:
    m.d.comb += [
        ram.write_enable.eq(getattr(port, f"write_{window.name.lower()}")),
        ram.write_address.eq(port.word_address(window)),
        ram.write_data.eq(port.data(window)),
    ]


def _resized(value: Value, bits: int) -> Value:
    """The low `bits` bits, zero-extended where there are fewer: bits of an address."""
    return Cat(value, Const(0, max(bits - len(value), 0) or 0))[:bits]


def resources(machine: Machine) -> dict[str, Structure]:
    """Each unit of a machine, and what lies between them."""
    layouts = [control_layout(machine), field_layout(machine, address.fields(machine)),
               field_layout(machine, output.FIELDS), handover.output_layout(machine)]  # fmt: skip
    fields = sum(layout.size for layout in layouts)
    word, banks = machine.activation_bits, machine.banks
    weights = parts(machine.weight_bits, machine.weight_columns)
    memories = (
        *((word, operands.bank_depth(machine, machine.act_words)),) * banks,
        *((word, bank_words(operands.bank_depth(machine, machine.in_words))),) * banks,
        *((word, bank_words(result_depth(machine))),) * machine.requant_pixels,
        *((bits, machine.weight_words) for bits in weights),
        (machine.param_bits, machine.param_words),
        (program_bits(machine), machine.program_words),
    )
    units = {
        "loops": address.resources(machine),
        "fetch": sequencer.resources(machine),
        "handover": handover.resources(),
        "port": host.resources(host.memories(machine)),
        "output": output.resources(machine),
        "requantizer": requantize.resources(
            machine, machine.requant_lanes * machine.requant_pixels
        ),
    }
    written = word + address_bits(max(machine.act_words, machine.out_words))
    registers = {
        "cores": 105,
        "fields": fields,
        "results": word * machine.requant_pixels,
        "written": hop_cycles(machine) * written * machine.requant_pixels,
    }
    if machine.fused_adds:
        units["fused_add"] = fused_add.resources(machine)
    if machine.streams:
        units["streamer"] = prefetch.resources(machine)
    if machine.dsp:
        units["core"] = Structure(
            lut={"cores": 70, "banks": 4 * (banks - 1)}, ff=registers, memories=memories
        )
        units["operands"] = operands.resources(machine)
        return units | datapath.resources(machine)
    stages = term_latency(machine, Opcode.MATMUL)
    units["core"] = Structure(
        lut={"cores": 85, "operands": 2 * word},
        ff=registers | {"operands": word, "flags": 6 * stages},
        memories=memories,
    )
    return units | {
        "weightserial": weightserial.resources(machine),
        "channelwise": channelwise.resources(machine),
        "accumulators": accumulator.resources(machine),
    }
