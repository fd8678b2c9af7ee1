"""The host side of the core: the request port, the window decoder and the registers.

CONTROL bit 0 is `run`: 0 holds the machine at the start of its program, the banks stay as they
are. INPUT_COMMIT and OUTPUT_RELEASE take any write.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen.delayed import delayed, registered
from bitwright.hwgen.isa import address_bits, program_bits
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import TABLE_ENTRIES, Machine, MachineError
from bitwright.targets.host_interface import (
    ADDRESS_BITS,
    MACHINE_ID,
    MEMORY_WORD_BITS,
    WINDOW_SHIFT,
    Register,
    Window,
    slice_stride,
    used_slices,
)

DATA_BITS = 32
_TO_MEMORIES = 2  # cycles from the answer of a write until it is done


@dataclass(frozen=True)
class HostMemory:
    """How the host sees a memory: each word is `slices` 32-bit words at consecutive addresses,
    `stride` (a power of two) apart from the next. All are written, ascending; the last commits.
    """

    window: Window
    width: int
    depth: int

    @property
    def slices(self) -> int:
        return used_slices(self.width)

    @property
    def slice_bits(self) -> int:
        return (self.slices - 1).bit_length()

    @property
    def stride(self) -> int:
        return slice_stride(self.width)

    def address(self, word: int, part: int = 0) -> int:
        """Byte address of slice `part` of `word`."""
        return (self.window << WINDOW_SHIFT) + (word * self.stride + part) * 4


def memories(machine: Machine) -> dict[Window, HostMemory]:
    """The memories behind the windows; tables only where the machine has some.

    Raises:
        MachineError: one is larger than its window.
    """
    shapes = {
        Window.PROGRAM: (program_bits(machine), machine.program_words),
        Window.WEIGHTS: (machine.weight_bits, machine.weight_words),
        Window.PARAMS: (machine.param_bits, machine.param_words),
        Window.TABLES: (8, TABLE_ENTRIES * machine.tables),
        Window.INPUT: (machine.activation_bits, machine.in_words),
        Window.OUTPUT: (machine.activation_bits, machine.out_words),
    }
    if machine.streams:
        del shapes[Window.WEIGHTS]
    found = {
        window: HostMemory(window, width, depth)
        for window, (width, depth) in shapes.items()
        if depth
    }
    for window, memory in found.items():
        if memory.address(memory.depth) > (window + 1) << WINDOW_SHIFT:
            raise MachineError(
                f"The machine's {window.name.lower()} memory has {memory.depth} words of "
                f"{memory.width} bits; expected at most {(1 << WINDOW_SHIFT) // memory.stride // 4}"
                ", as many as the host has addresses for"
            )
    return found


class HostSignature(wiring.Signature):
    """One request at a time, seen from the requester (the core has it as `In`).

    The requester raises `stb` with `addr` (bytes, multiple of 4), `we` and `wdata`, and keeps all
    of them until the cycle in which `ack` is 1; `rdata` is valid in that cycle only. The cycle
    after `ack` may carry the next request. `ack` is a register and never 1 without `stb`: a write
    takes 2 cycles, a read 6.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "addr": Out(ADDRESS_BITS),
                "wdata": Out(DATA_BITS),
                "we": Out(1),
                "stb": Out(1),
                "rdata": In(DATA_BITS),
                "ack": In(1),
            }
        )


class HostPort(wiring.Component):
    """Answers the host: writes memories, reads the output, keeps the registers.

    Only the output window and the registers can be read; all else reads 0. Writes beyond a
    memory's address range, and to registers that are not writable, are ignored.

    Args:
        memories: what is behind the windows; at least OUTPUT.
        fingerprint: what the register MACHINE_HASH shows.
        external: whether the machine has an external memory.

    Members:
        host: the request port.
        write_*: one cycle, two after the answer: write `data` of that window to its `word_address`.
        offset: slice that the host writes, counted from the start of the window.
        early, word: what the host wrote to the slices of a word before the last, and to the last.
            Of a memory with fewer slices than others they are the end of `early`.
        output_address, output_data: of an output word that the host reads, two cycles later.
        run, commit, release: CONTROL bit 0; one cycle each for the two writes.
        busy, input_full, output_full, cycles, inferences: what the registers show.
        failed, ended: with external memory, too.
        memory_base: the register of that name, in words of 4 bytes.
    """

    def __init__(
        self, *, memories: Mapping[Window, HostMemory], fingerprint: int, external: bool = False
    ) -> None:
        self._external = external
        self._memories = memories
        self._fingerprint = fingerprint
        writes = {
            f"write_{window.name.lower()}": Out(1)
            for window in self._memories
            if window != Window.OUTPUT
        }
        self._word_bits = max(
            memory.width - DATA_BITS * (memory.slices - 1) for memory in self._memories.values()
        )
        self._offset_bits = max(
            memory.slice_bits + address_bits(memory.depth) for memory in self._memories.values()
        )
        super().__init__(
            {
                "host": In(HostSignature()),
                **writes,
                "offset": Out(self._offset_bits),
                "early": Out(DATA_BITS * max(self._early_slices(), 1)),
                "word": Out(self._word_bits),
                "output_address": Out(address_bits(memories[Window.OUTPUT].depth)),
                "output_data": In(memories[Window.OUTPUT].width),
                "run": Out(1),
                "commit": Out(1),
                "release": Out(1),
                "busy": In(1),
                "input_full": In(2),
                "output_full": In(2),
                "cycles": In(32),
                "inferences": In(32),
                **(
                    {"failed": In(1), "ended": In(32), "memory_base": Out(MEMORY_WORD_BITS)}
                    if external
                    else {}
                ),
            }
        )

    def _early_slices(self) -> int:
        return max(memory.slices for memory in self._memories.values()) - 1

    def word_address(self, window: Window) -> Value:
        """Where the word is written into the memory of `window`."""
        return self._row(self.offset, window)

    def _row(self, offset: Value, window: Window) -> Value:
        memory = self._memories[window]
        return offset[memory.slice_bits :][: address_bits(memory.depth)]

    def data(self, window: Window) -> Value:
        """The word that is written into the memory of `window`."""
        memory = self._memories[window]
        early = self.early[len(self.early) - DATA_BITS * (memory.slices - 1) :]
        return Cat(early, self.word)[: memory.width]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        host = self.host
        free, accept, serve, reading, taking, choosing = (
            Signal(name=name)
            for name in ("free", "accept", "serve", "reading", "taking", "choosing")
        )
        address = Signal(ADDRESS_BITS, name="asked_address", reset_less=True)
        word = Signal(DATA_BITS, name="asked_word", reset_less=True)
        write = Signal(name="asked_write", reset_less=True)
        # A write is acknowledged while it is served; a read four cycles later: after the memory,
        # its register and the choice of a slice. The request holds still until then.
        m.d.comb += [
            free.eq(~(host.ack | serve | reading | taking | choosing)),
            accept.eq(host.stb & free),
        ]
        m.d.sync += [
            serve.eq(accept),
            reading.eq(serve & ~write),
            taking.eq(reading),
            choosing.eq(taking),
            host.ack.eq((accept & host.we) | choosing),
        ]
        with m.If(free):
            m.d.sync += [address.eq(host.addr), word.eq(host.wdata), write.eq(host.we)]
        unused = Signal(name="unused_request_bits")
        m.d.comb += unused.eq(Cat(address[:2], word[self._word_bits :]).any())

        store = Signal()  # a write is served
        m.d.sync += store.eq(accept & host.we)
        self._writes(m, store, address, word)
        registers = self._registers(m, store, address, word)
        output = self._output(m, address[2:WINDOW_SHIFT])
        from_output = Signal()
        m.d.sync += from_output.eq(address[WINDOW_SHIFT:] == Window.OUTPUT)
        m.d.sync += host.rdata.eq(Mux(from_output, output, registers))
        return m

    def _writes(self, m: Module, store: Value, address: Value, word: Value) -> None:
        """What a write does is chosen while it is answered; then it goes towards the memories for a
        cycle: the bus is in a corner of the device, and they are everywhere."""
        offset = address[2:WINDOW_SHIFT]
        in_window = {window: address[WINDOW_SHIFT:] == window for window in self._memories}
        written = [memory for memory in self._memories.values() if memory.window != Window.OUTPUT]
        stored = registered(m, store, "stored")
        bits = DATA_BITS if self._early_slices() else self._word_bits
        late = delayed(m, word[:bits], _TO_MEMORIES, "late_word")
        m.d.comb += [
            self.word.eq(late[: self._word_bits]),
            self.offset.eq(delayed(m, offset[: self._offset_bits], _TO_MEMORIES, "write_offset")),
        ]
        if self._early_slices():
            # A chain: each slice goes to one place, wherever it ends.
            early = Signal.like(self.early, reset_less=True)
            mine = [
                in_window[memory.window] & (offset[: memory.slice_bits] < memory.slices - 1)
                for memory in written
                if memory.slices > 1
            ]
            m.d.comb += self.early.eq(early)
            goes = stored & registered(m, Cat(mine).any(), "is_early")
            with m.If(delayed(m, goes, _TO_MEMORIES - 1, "shifts_early")):
                m.d.sync += early.eq(Cat(early[DATA_BITS:], late))
        for memory in written:
            name = f"write_{memory.window.name.lower()}"
            row = offset[memory.slice_bits :]
            last = Const(1)
            if memory.slices > 1:
                last = offset[: memory.slice_bits] == memory.slices - 1
            inside = ~row[address_bits(memory.depth) :].any()
            mine = stored & registered(m, in_window[memory.window] & last & inside, f"is_{name}")
            m.d.comb += getattr(self, name).eq(delayed(m, mine, _TO_MEMORIES - 1, name))

    def _output(self, m: Module, offset: Value) -> Value:
        memory = self._memories[Window.OUTPUT]
        m.d.comb += self.output_address.eq(self._row(offset, Window.OUTPUT))
        chosen = Signal(min(memory.width, DATA_BITS), reset_less=True)
        if memory.slices == 1:
            m.d.sync += chosen.eq(self.output_data)
            return chosen
        with m.Switch(offset[: memory.slice_bits]):
            for number in range(memory.slices):
                with m.Case(number):
                    m.d.sync += chosen.eq(self.output_data.word_select(number, DATA_BITS))
        return chosen

    def _registers(self, m: Module, store: Value, address: Value, word: Value) -> Value:
        """What the register at `address` shows, two cycles later; 0 elsewhere."""
        run = Signal(name="control_run")
        m.d.sync += self.run.eq(run)  # which goes everywhere
        failed = self.failed if self._external else Const(0, 1)
        shows: dict[Register, Value] = {
            Register.ID: Const(MACHINE_ID, DATA_BITS),
            Register.MACHINE_HASH: Const(self._fingerprint, DATA_BITS),
            Register.CONTROL: run,
            Register.STATUS: Cat(self.busy, failed, self.input_full, self.output_full),
            Register.CYCLES: self.cycles,
            Register.INFERENCES: self.inferences,
        }
        stores = [Register.CONTROL, Register.INPUT_COMMIT, Register.OUTPUT_RELEASE]
        if self._external:
            base = Cat(Const(0, 2), self.memory_base)
            shows |= {Register.ENDED: self.ended, Register.MEMORY_BASE: base}
            stores.append(Register.MEMORY_BASE)
        value: Value = Const(0, DATA_BITS)
        for register, shown in shows.items():
            here = Signal(name=f"reads_{register.name.lower()}", reset_less=True)
            m.d.sync += here.eq(address[2:] == register >> 2)
            value = value | shown & here.replicate(len(shown))
        result = Signal(DATA_BITS, name="shown", reset_less=True)
        m.d.sync += result.eq(value)

        written = {register: Signal(name=f"writes_{register.name.lower()}") for register in stores}
        for register, pulse in written.items():
            m.d.sync += pulse.eq(store & (address[2:] == register >> 2))
        with m.If(written[Register.CONTROL]):
            m.d.sync += run.eq(word[0])
        if self._external:
            with m.If(written[Register.MEMORY_BASE]):
                m.d.sync += self.memory_base.eq(word[2:])
        m.d.comb += [
            self.commit.eq(written[Register.INPUT_COMMIT]),
            self.release.eq(written[Register.OUTPUT_RELEASE]),
        ]
        return result


def resources(shown: Mapping[Window, HostMemory]) -> Structure:
    """Registers, the slices of wide words, and the choice among the slices of an output word."""
    early = max(memory.slices for memory in shown.values()) - 1
    output = shown[Window.OUTPUT]
    return Structure(
        lut={"ports": 125, "outputs": 24 * (output.slices - 1)},
        ff={
            "ports": 235, "slices": 32 * early, "outputs": min(output.width, DATA_BITS),
        },
    )  # fmt: skip
