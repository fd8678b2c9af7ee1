"""Cut a legal module into instructions of the overlay: `bw` --> `accel`.

    conv2d, requantize (, table)          -->  accel.matmul        (depthwise: accel.channelwise)
    conv2d, requantize, add | scaled_add, requantize --> accel.matmul_add
    add | scaled_add | sum_pool2d, requantize (, table) --> accel.channelwise
    max_pool2d | integer_avg_pool2d | pad | table       --> accel.channelwise
    concat                                -->  accel.matmul with selecting weights

One instruction runs a whole layer: the affine loops over blocks of `rows` outputs, pixels, weight
bit planes, blocks of `lanes` inputs and kernel taps. Buffers have names; `allocate` places them.

Requires: a module after `partition` and `legalize`, of batch 1.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from torch_mlir import ir

from bitwright.ir import bw, graph
from bitwright.ir.checks import ints
from bitwright.ir.instructions import Space
from bitwright.ir.machine import NARROW_MULTIPLIER_BITS, PRECISIONS, WEIGHT_SERIAL, Machine
from bitwright.ir.types import is_accumulator, value_params
from bitwright.passes import tile_layers
from bitwright.passes.fuse_add import fuse_add
from bitwright.passes.scaling import scaling
from bitwright.passes.tile_program import (
    MIN_ACC_BITS,
    Array,
    OutputStage,
    Program,
    UnsupportedOnOverlay,
    unsupported,
)  # fmt: skip
from bitwright.passes.widths import accumulator_bits


@dataclass(frozen=True)
class Tile:
    """See the module's description.

    Attributes:
        lanes, rows, requant_lanes, requant_pixels: the array (see `bitwright.ir.machine.Machine`).
        acc_bits: accumulator width; 0 takes what the widest proven sum needs.
        multiplier_bits: of the output stage; 0 takes what the program needs.
        engine, precision, pixels, banks, multiplier_blocks: the matrix engine.
        weight_columns: of the weight memory.
        fused_adds: 1 lets convolutions add another tensor to their results.
    """

    lanes: int = 8
    rows: int = 8
    requant_lanes: int = 1
    requant_pixels: int = 1
    acc_bits: int = 0
    multiplier_bits: int = 0
    engine: str = WEIGHT_SERIAL
    precision: int = PRECISIONS[-1]
    pixels: int = 1
    banks: int = 1
    multiplier_blocks: int = 0
    weight_columns: int = 0
    fused_adds: int = 0

    def __post_init__(self) -> None:
        # the machine that Machine checks, with the depths that `allocate` finds later
        Machine(
            lanes=self.lanes, rows=self.rows, requant_lanes=self.requant_lanes,
            requant_pixels=self.requant_pixels,
            acc_bits=self.acc_bits or MIN_ACC_BITS,
            multiplier_bits=self.multiplier_bits or NARROW_MULTIPLIER_BITS,
            engine=self.engine, precision=self.precision, pixels=self.pixels, banks=self.banks,
            multiplier_blocks=self.multiplier_blocks, weight_columns=self.weight_columns,
            fused_adds=self.fused_adds,
            act_words=2, in_words=2, out_words=2,
            weight_words=2, param_words=2, program_words=2,
        )  # fmt: skip

    def run(self, module: ir.Module) -> ir.Module:
        """Return the program, with buffers not yet placed, in the context of `module`.

        Raises:
            UnsupportedOnOverlay: an operation without an instruction.
        """
        program = Program(module, self._array())
        for item in graph.inputs(module):
            program.buffers[item.value] = program.new_buffer(item.name, Space.INPUT, item.value)
        for operation in graph.operations(module):
            _operation(program, operation)
        program.copy_outputs()
        return program.emit()

    def unsupported(self, module: ir.Module) -> dict[str, str]:
        """All operations that `run` would refuse: why, by the operation's name.

        Goes on behind each of them as if it had been placed; what a tensor without a place on the
        overlay (rank 5, say) feeds is not looked at.
        """
        program = Program(module, self._array())
        found: dict[str, str] = {}
        for item in graph.inputs(module):
            try:
                program.buffers[item.value] = program.new_buffer(item.name, Space.INPUT, item.value)
            except UnsupportedOnOverlay as error:
                found[item.name] = str(error)
        for operation in graph.operations(module):
            kind = operation.operation.name
            if kind in ("bw.constant", *_ACCUMULATING):
                continue
            source = operation.input.owner if kind == "bw.requantize" else operation
            read = [value for value in source.operands if graph.constant_of(value) is None]
            if not all(value in program.buffers or is_accumulator(value) for value in read):
                continue
            try:
                _operation(program, operation)
            except UnsupportedOnOverlay as error:
                found.setdefault(graph.location_name(source), str(error))
                for value in _results(operation):
                    with suppress(UnsupportedOnOverlay):
                        program.result(value)
        return found

    def _array(self) -> Array:
        return Array(**{item.name: getattr(self, item.name) for item in fields(Array)})


def has_instruction(kind: str) -> bool:
    """Whether the overlay has an instruction for some form of this integer operation."""
    return kind in _ACCUMULATING or kind in _DIRECT


def _results(operation: Any) -> list[ir.Value]:
    """What an instruction for `operation` would have placed: its result, a fused table's too."""
    if is_accumulator(operation.result):
        return []
    tables = [user.result for user in graph.users(operation.result) if isinstance(user, bw.TableOp)]
    return [operation.result, *tables]


def _operation(program: Program, operation: Any) -> None:
    kind = operation.operation.name
    if kind in ("bw.constant", *_ACCUMULATING):
        return
    if kind == "bw.reshape" and not is_accumulator(operation.result):
        program.view(operation)
    elif kind == "bw.requantize":
        _requantized(program, operation)
    elif kind in _DIRECT:
        if kind != "bw.table" or not _is_fused_table(operation):
            _DIRECT[kind](program, operation)
    else:
        unsupported(operation, "the overlay has no instruction for it")


def _requantized(program: Program, operation: Any) -> None:
    if operation.result in program.buffers:
        return  # a sum that a convolution makes
    producer = operation.input.owner.opview
    kind = producer.operation.name
    if kind not in _ACCUMULATING:
        unsupported(producer, "the overlay has no instruction for it")
    users = graph.users(operation.result)
    table = users[0] if len(users) == 1 and users[0].operation.name == "bw.table" else None
    if table is not None and program.is_output(operation.result):
        table = None
    scale = scaling(operation)
    if len(scale.multiplier) > 1 and operation.axis.value != 1:
        unsupported(operation, f"it scales along axis {operation.axis.value}, not 1")
    stage = OutputStage(
        multiplier=scale.multiplier, shift=scale.shift, rounding=scale.rounding,
        acc_bits=accumulator_bits(producer),
        zero_point=value_params(operation.result).zero_point,
        clamp=(operation.clamp_min.value, operation.clamp_max.value),
        table=None if table is None else ints(table.table),
        result=operation.result if table is None else table.result,
    )  # fmt: skip
    stage = fuse_add(program, producer, operation, stage)
    _ACCUMULATING[kind](program, producer, stage)


def _is_fused_table(operation: Any) -> bool:
    owner = operation.input.owner
    if isinstance(owner, ir.Block) or owner.name != "bw.requantize":
        return False
    return len(graph.users(operation.input)) == 1


_ACCUMULATING: dict[str, Callable[[Program, Any, OutputStage], None]] = {
    "bw.conv2d": tile_layers.conv2d,
    "bw.sum_pool2d": tile_layers.sum_pool2d,
    "bw.add": tile_layers.add,
    "bw.scaled_add": tile_layers.scaled_add,
}
_DIRECT: dict[str, Callable[[Program, Any], None]] = {
    "bw.max_pool2d": tile_layers.max_pool2d,
    "bw.integer_avg_pool2d": tile_layers.integer_avg_pool2d,
    "bw.pad": tile_layers.pad,
    "bw.table": tile_layers.table,
    "bw.concat": tile_layers.concat,
}
