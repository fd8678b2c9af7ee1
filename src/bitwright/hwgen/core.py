"""The overlay machine without a bus: everything behind the host port."""

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from bitwright.hwgen import address, output
from bitwright.hwgen.address import AccOp, Flags, LoopNest
from bitwright.hwgen.banks import PingPong
from bitwright.hwgen.engines import channelwise, weightserial
from bitwright.hwgen.engines.accumulator import Accumulators
from bitwright.hwgen.engines.channelwise import Channelwise
from bitwright.hwgen.engines.weightserial import WeightSerial
from bitwright.hwgen.host import HostPort, HostSignature, memories
from bitwright.hwgen.isa import address_bits, field_layout, program_bits
from bitwright.hwgen.output import OutputStage
from bitwright.hwgen.ram import Ram
from bitwright.hwgen.sequencer import Fetch, Sequencer
from bitwright.ir.instructions import ChannelOp, Opcode
from bitwright.ir.machine import Machine
from bitwright.targets.host_interface import Window

CONTROL_FIELDS = ("src_space", "dst_space", "n_plane", "pad_value", "channel_op")
OPERANDS = 2  # cycles from a step to its operands: memory, then choice of the space or padding


def term_latency(machine: Machine, opcode: Opcode) -> int:
    """Cycles from a step to the cycle in which the accumulators add its term."""
    if opcode == Opcode.MATMUL:
        return OPERANDS + weightserial.latency(machine)
    return OPERANDS + channelwise.LATENCY


def bank_words(words: int) -> int:
    """Depth of a memory of two banks of `words`: the bank is the lowest address bit."""
    return 2 * words


class Core(wiring.Component):
    """One overlay machine. Golden functions: `golden.run`, `cycles.predict`.

    Members:
        host: `In(HostSignature())`; memories and registers as in `host.py`.
    """

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        super().__init__({"host": In(HostSignature())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        machine = self.machine
        m.submodules.port = port = HostPort(
            memories=memories(machine), fingerprint=machine.fingerprint
        )
        wiring.connect(m, wiring.flipped(self.host), port.host)
        m.submodules.input_banks = input_banks = PingPong()
        m.submodules.output_banks = output_banks = PingPong()
        fetch, sequencer = Fetch(machine=machine), Sequencer()
        loops, stage = LoopNest(machine=machine), OutputStage(machine=machine)
        reset = ResetInserter(~port.run)
        m.submodules.fetch = reset(fetch)
        m.submodules.sequencer = reset(sequencer)
        m.submodules.loops = reset(loops)
        m.submodules.output = reset(stage)

        running = Signal(field_layout(machine, CONTROL_FIELDS))
        self._start(m, fetch, sequencer, loops, stage, running)
        self._program(m, port, fetch)
        self._operate(m, port, sequencer, loops, stage, running, (input_banks, output_banks))
        self._account(m, port, sequencer, input_banks, output_banks)
        return m

    def _program(self, m: Module, port: HostPort, fetch: Fetch) -> None:
        m.submodules.program = ram = Ram(
            width=program_bits(self.machine), depth=self.machine.program_words, contents="program"
        )
        _connect_write(m, ram, port, Window.PROGRAM)
        m.d.comb += [ram.read_address.eq(fetch.address), fetch.data.eq(ram.read_data)]

    def _start(
        self,
        m: Module,
        fetch: Fetch,
        sequencer: Sequencer,
        loops: LoopNest,
        stage: OutputStage,
        running: Signal,
    ) -> None:
        """Hands the fetched fields to the units; fields used later are kept from `start` on."""
        machine = self.machine
        m.d.comb += [
            fetch.take.eq(sequencer.take),
            sequencer.fetched.eq(fetch.ready),
            sequencer.opcode.eq(fetch.opcode),
            sequencer.finished.eq(stage.finished),
            loops.start.eq(sequencer.start),
            stage.start.eq(sequencer.start),
        ]
        kept: list[tuple[str, Value]] = [(name, running[name]) for name in CONTROL_FIELDS]
        for unit, names in ((loops, address.FIELDS), (stage, output.FIELDS)):
            layout = field_layout(machine, names)
            held = Signal(layout, name="loop_fields" if unit is loops else "output_fields")
            m.d.comb += unit.fields.eq(held)
            kept += [(name, held[name]) for name, _ in layout]
            m.d.comb += [unit.bases[name].eq(fetch.fields[name]) for name, _ in unit.bases.shape()]
        with m.If(sequencer.start):
            m.d.sync += [value.eq(fetch.fields[name]) for name, value in kept]

    def _operate(
        self,
        m: Module,
        port: HostPort,
        sequencer: Sequencer,
        loops: LoopNest,
        stage: OutputStage,
        running: Signal,
        banks: tuple[PingPong, PingPong],
    ) -> None:
        """From a step to its operands, through the engines, to the result words."""
        machine = self.machine
        m.submodules.weightserial = matrix = WeightSerial(machine=machine)
        m.submodules.channelwise = lanes = Channelwise(machine=machine)
        m.submodules.accumulators = accumulators = Accumulators(machine=machine)
        words = self._activations(m, port, loops, stage, running, banks)
        m.submodules.weights = weights = Ram(
            width=machine.weight_bits, depth=machine.weight_words, contents="weights"
        )
        m.submodules.params = params = Ram(
            width=machine.param_bits, depth=machine.param_words, contents="params"
        )
        _connect_write(m, weights, port, Window.WEIGHTS)
        _connect_write(m, params, port, Window.PARAMS)
        m.d.comb += [
            weights.read_address.eq(loops.weight),
            params.read_address.eq(stage.params_address),
            stage.params_data.eq(params.read_data),
            matrix.activations.eq(words),
            matrix.weights.eq(weights.read_data),
            lanes.activations.eq(words),
            lanes.weights.eq(weights.read_data[: machine.activation_bits]),
        ]
        if machine.tables:
            m.d.comb += [
                stage.table_write_enable.eq(port.write_tables),
                stage.table_write_address.eq(port.word_address(Window.TABLES)),
                stage.table_write_data.eq(port.data(Window.TABLES)),
            ]

        matmul = sequencer.matmul
        m.d.comb += [
            lanes.maximum.eq(running.channel_op == ChannelOp.MAX),
            loops.gap.eq(Mux(matmul, machine.matmul_groups - 1, machine.channelwise_groups - 1)),
            stage.groups_last.eq(loops.gap),
            stage.negate.eq(matmul & (running.n_plane == 1)),
            accumulators.sums.eq(matrix.sums),
            accumulators.terms.eq(lanes.terms),
            accumulators.use_terms.eq(~matmul),
            stage.head.eq(accumulators.head),
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
            accumulators.valid.eq(stage.tile.valid & run),
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
        banks: tuple[PingPong, PingPong],
    ) -> Signal:
        """The activation memories; returns the operand word, two cycles after its step."""
        machine = self.machine
        width = machine.activation_bits
        input_banks, output_banks = banks
        m.submodules.main = main = Ram(width=width, depth=machine.act_words, contents="main")
        m.submodules.input = first = Ram(
            width=width, depth=bank_words(machine.in_words), contents="input"
        )
        m.submodules.result = result = Ram(
            width=width, depth=bank_words(machine.out_words), contents="output"
        )
        in_bits, out_bits = address_bits(machine.in_words), address_bits(machine.out_words)
        m.d.comb += [
            main.read_address.eq(loops.source),
            main.write_enable.eq(stage.write_enable & ~running.dst_space),
            main.write_address.eq(stage.write_address),
            main.write_data.eq(stage.write_data),
            first.read_address.eq(Cat(input_banks.read_bank, _resized(loops.source, in_bits))),
            first.write_enable.eq(port.write_input),
            first.write_address.eq(Cat(input_banks.write_bank, port.word_address(Window.INPUT))),
            first.write_data.eq(port.data(Window.INPUT)),
            result.write_enable.eq(stage.write_enable & running.dst_space),
            result.write_address.eq(
                Cat(output_banks.write_bank, _resized(stage.write_address, out_bits))
            ),
            result.write_data.eq(stage.write_data),
            result.read_address.eq(Cat(output_banks.read_bank, port.word_address(Window.OUTPUT))),
            port.output_data.eq(result.read_data),
        ]
        word = Signal(width, name="operands", reset_less=True)
        chosen = Mux(running.src_space, first.read_data, main.read_data)
        pad = running.pad_value.as_unsigned().replicate(machine.lanes)
        m.d.sync += word.eq(Mux(loops.padding, pad, chosen))
        return word

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
        m.d.comb += [
            input_banks.fill.eq(port.commit),
            input_banks.drain.eq(sequencer.store),
            output_banks.fill.eq(sequencer.store),
            output_banks.drain.eq(port.release),
            sequencer.input_ready.eq(input_banks.full != 0),
            sequencer.output_free.eq(~output_banks.full[1]),
            port.busy.eq(sequencer.busy),
            port.input_full.eq(input_banks.full),
            port.output_full.eq(output_banks.full),
            port.cycles.eq(Mux(output_banks.read_bank, cycles[1], cycles[0])),
            port.inferences.eq(inferences),
        ]
        with m.If(sequencer.store):
            m.d.sync += inferences.eq(inferences + 1)
            for bank, latched in enumerate(cycles):
                with m.If(output_banks.write_bank == bank):
                    m.d.sync += latched.eq(sequencer.cycles)


def _connect_write(m: Module, ram: Ram, port: HostPort, window: Window) -> None:
    m.d.comb += [
        ram.write_enable.eq(getattr(port, f"write_{window.name.lower()}")),
        ram.write_address.eq(port.word_address(window)),
        ram.write_data.eq(port.data(window)),
    ]


def _resized(value: Value, bits: int) -> Value:
    """The low `bits` bits, zero-extended where there are fewer: bits of an address."""
    return Cat(value, Const(0, max(bits - len(value), 0) or 0))[:bits]
