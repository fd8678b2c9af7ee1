"""When the units go from one instruction to the next."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitwright.hwgen import output
from bitwright.hwgen.isa import HANDOVER_BITS, field_layout
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import Machine


class Handover(wiring.Component):
    """Lets an instruction start while the one before drains its pipeline.

    The steps of the next instruction begin a given number of cycles after the last one of this
    (`overlap.hand_over` says how many it takes); the output stage goes over to it when it has
    written the last word of this one.

    Members:
        start: the sequencer starts an instruction.
        handover: its field, from the next cycle on.
        issued: its last step is in this cycle.
        written: the last word of an instruction leaves the output stage.
        finished: the sequencer may go on: `handover` cycles after `issued`, or with 0 when the
            instruction's last word is written.
        output_start: the output stage goes over to the instruction that was started last.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "handover": In(HANDOVER_BITS),
                "issued": In(1),
                "written": In(1),
                "finished": Out(1),
                "output_start": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pending = Signal()  # an instruction is before the output stage
        active = Signal()  # and one in it
        left = Signal(HANDOVER_BITS)
        counting = Signal()
        whole = Signal()
        waiting = Signal()  # for the output stage to write the last word of another instruction
        m.d.comb += [
            whole.eq(self.handover == 0),
            self.output_start.eq(pending & ~active),
            waiting.eq(pending | self.start),
            self.finished.eq((counting & (left == 1)) | (whole & self.written & ~waiting)),
        ]
        with m.If(self.start):
            m.d.sync += pending.eq(1)
        with m.Elif(self.output_start):
            m.d.sync += pending.eq(0)
        with m.If(self.output_start):
            m.d.sync += active.eq(1)
        with m.Elif(self.written):
            m.d.sync += active.eq(0)
        with m.If(self.issued):
            m.d.sync += [left.eq(self.handover), counting.eq(~whole)]
        with m.Else():
            m.d.sync += [left.eq(left - 1), counting.eq(counting & (left != 1))]
        return m


def output_layout(machine: Machine) -> data.StructLayout:
    """Fields that the output stage and what lies behind it need, once it begins."""
    names = ("dst_space", *output.FIELDS, *output.BASES)
    return field_layout(machine, names if machine.dsp else ("n_plane", *names))


class Ending:
    """The instruction in the output stage, and the one that was started last.

    Attributes:
        fields, matmul: of the one in the output stage; `fields` without the output stage's bases.
        next_fields, next_matmul: of the one that was started last.
    """

    def __init__(self, machine: Machine) -> None:
        layout = output_layout(machine)
        kept = {name: shape for name, shape in layout.members.items() if name not in output.BASES}
        self.fields = Signal(data.StructLayout(kept), name="output_fields")
        self.matmul = Signal(name="output_matmul")
        self.next_fields = Signal(layout, name="next_output_fields")
        self.next_matmul = Signal(name="next_output_matmul")

    @staticmethod
    def each(fields: data.View) -> list[tuple[str, Value]]:
        """Names and values of all of `fields`."""
        return [(name, fields[name]) for name, _ in fields.shape()]


def resources() -> Structure:
    """A counter and three flags."""
    return Structure(lut={"handovers": 10 + 3 * HANDOVER_BITS}, ff={"handovers": 3 + HANDOVER_BITS})
