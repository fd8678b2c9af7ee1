"""The `accel` program dialect: what one overlay machine does, one operation per instruction.

A program is a module of these operations in order; its attribute `accel.machine` holds the
machine's parameters. `accel.load` waits for an input, `accel.store` publishes the output;
`accel.matmul` and `accel.channelwise` are affine loop nests over on-chip buffers whose attributes
are the fields of the instruction word (`bitwright.ir.instructions.FIELDS`).
`accel.memory` holds the initial words of one memory. `external` are weights in external memory, in
the order of their use: there `w_base` counts from their start.
"""

# pyright: basic, reportInvalidTypeForm=false, reportAttributeAccessIssue=false

from typing import Any

from torch_mlir.dialects import ext

from bitwright.ir.checks import VerifyError, ints, run_check
from bitwright.ir.instructions import ADD_FIELDS, FIELDS, Space

MEMORIES = ("weights", "external", "params", "tables", "program")
SPACES = tuple(space.name.lower() for space in Space)


class Accel(ext.Dialect, name="accel"):
    """Program dialect of the overlay machine."""


class _Operation(Accel.Operation):
    """Base of all `accel` operations: verified by the `check` of the subclass."""

    def check(self) -> None:
        raise NotImplementedError

    def verify_invariants(self) -> bool:
        return run_check(self)


class BufferOp(_Operation, name="buffer"):
    """Words of one activation memory that hold one tensor, as [channel blocks, height, width].

    `base` is -1 until `allocate` has placed it. Buffers in `input` and `output` are the program's
    own inputs and outputs, in the order in which the host sees them.
    """

    buffer: Any
    space: Any
    shape: Any
    words: Any
    base: Any

    def check(self) -> None:
        if self.space.value not in SPACES:
            raise VerifyError(f"space {self.space.value!r} is not one of {', '.join(SPACES)}")
        if len(ints(self.shape)) != 3:
            raise VerifyError(f"shape {ints(self.shape)} must be channels, height, width")


class MemoryOp(_Operation, name="memory"):
    """Initial content of a memory: [words, bytes per word] little-endian bytes."""

    memory: Any
    value: Any

    def check(self) -> None:
        if self.memory.value not in MEMORIES:
            raise VerifyError(f"memory {self.memory.value!r} is not one of {', '.join(MEMORIES)}")


class LoadOp(Accel.Operation, name="load"):
    """Wait for a full input bank and a free output bank."""


class StoreOp(Accel.Operation, name="store"):
    """Publish the output bank and give the input bank back."""


_COMPUTE_ATTRIBUTES = {
    **dict.fromkeys(("layer", "src", "src2", "dst"), Any),
    **{field.name: Any for field in FIELDS},
}


class _Compute(_Operation):
    fields = FIELDS

    def check(self) -> None:
        for field in self.fields:
            value = self.attributes[field.name].value  # pyright: ignore
            if value < 0 and not field.signed:
                raise VerifyError(f"{field.name} ({field.meaning}) is {value}, expected >= 0")
            if field.name.startswith("n_") and value < 1:
                raise VerifyError(f"{field.name} ({field.meaning}) is {value}, expected >= 1")


class MatmulOp(_Compute, name="matmul"):
    """One affine loop nest on the matrix engine.

    `layer` is the model's name of what it makes; `src`, `src2` (empty where there is one source)
    and `dst` are buffers, whose places `allocate` adds to src_base, s_cb and dst_base.
    """

    __annotations__ = _COMPUTE_ATTRIBUTES


class MatmulAddOp(_Compute, name="matmul_add"):
    """`accel.matmul` whose result another tensor is added to.

    `other` is that tensor's buffer, whose place `allocate` adds to add_base.
    """

    fields = FIELDS + ADD_FIELDS
    __annotations__ = {
        **_COMPUTE_ATTRIBUTES, "other": Any, **{field.name: Any for field in ADD_FIELDS}
    }  # fmt: skip


class ChannelwiseOp(_Compute, name="channelwise"):
    """One affine loop nest on the channelwise engine; attributes as in `accel.matmul`."""

    __annotations__ = _COMPUTE_ATTRIBUTES


COMPUTE = (MatmulOp, MatmulAddOp, ChannelwiseOp)
