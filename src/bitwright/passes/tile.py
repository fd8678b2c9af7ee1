"""Cut a legal module into instructions of the overlay: `bw` --> `accel`.

    conv2d, requantize (, table)          -->  accel.matmul        (depthwise: accel.channelwise)
    add | sum_pool2d, requantize (, table) --> accel.channelwise
    max_pool2d | pad | table              -->  accel.channelwise
    concat                                -->  accel.matmul with selecting weights

One instruction runs a whole layer: the affine loops over blocks of `rows` outputs, pixels, weight
bit planes, blocks of `lanes` inputs and kernel taps. Buffers have names; `allocate` places them.

Requires: a module after `partition` and `legalize`, of batch 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.ir import accel, bw, graph
from bitwright.ir.builder import attribute
from bitwright.ir.context import entered, verify
from bitwright.ir.instructions import ChannelOp, Space
from bitwright.ir.machine import TABLE_ENTRIES
from bitwright.ir.types import is_accumulator, shape_of, value_params
from bitwright.passes import pack
from bitwright.passes.widths import accumulator_bits

MIN_ACC_BITS = 16
IDENTITY = ((2,), (1,))  # multiplier and shift of y = x
_STEPS_OF = {
    "n_block": ("s_block",),
    "n_oy": ("s_oy", "y_oy"),
    "n_ox": ("s_ox", "x_ox"),
    "n_cb": ("s_cb",),
    "n_ky": ("s_ky", "y_ky"),
    "n_kx": ("s_kx", "x_kx"),
}  # a loop of one trip takes no step


class UnsupportedOnOverlay(BitwrightError):
    """An operation that the overlay has no instruction for."""

    exit_code = 5


@dataclass(frozen=True)
class Tile:
    """See the module's description.

    Attributes:
        lanes, rows, requant_lanes: the array (see `bitwright.ir.machine.Machine`).
        acc_bits: accumulator width; 0 takes what the widest proven sum needs.
    """

    lanes: int = 8
    rows: int = 8
    requant_lanes: int = 1
    acc_bits: int = 0

    def run(self, module: ir.Module) -> ir.Module:
        """Return the program, with buffers not yet placed, in the context of `module`.

        Raises:
            UnsupportedOnOverlay: an operation without an instruction.
        """
        needed = max(
            (accumulator_bits(op.input.owner.opview) for op in graph.operations(module)
             if isinstance(op, bw.RequantizeOp)), default=MIN_ACC_BITS,
        )  # fmt: skip
        return _Tiler(module, self, max(needed, self.acc_bits, MIN_ACC_BITS)).run()


@dataclass(frozen=True)
class _Buffer:
    name: str
    space: Space
    shape: tuple[int, int, int]  # channels, height, width

    @property
    def pixels(self) -> int:
        return self.shape[1] * self.shape[2]


@dataclass(frozen=True, kw_only=True)
class _Requantize:
    """What the output stage does: per-channel scaling, clamp, and perhaps a table."""

    multiplier: tuple[int, ...]
    shift: tuple[int, ...]
    zero_point: int
    clamp: tuple[int, int]
    table: tuple[int, ...] | None
    result: ir.Value


@dataclass
class _Tiler:
    module: ir.Module
    options: Tile
    acc_bits: int
    buffers: dict[ir.Value, _Buffer] = field(default_factory=dict[ir.Value, _Buffer])
    all_buffers: list[_Buffer] = field(default_factory=list[_Buffer])
    reserved: dict[str, int] = field(default_factory=dict[str, int])
    copies: dict[str, _Buffer] = field(default_factory=dict[str, _Buffer])
    weights: list[pack.Words] = field(default_factory=list[pack.Words])
    weight_places: dict[bytes, int] = field(default_factory=dict[bytes, int])
    params: list[pack.Words] = field(default_factory=list[pack.Words])
    tables: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    instructions: list[tuple[Any, dict[str, Any]]] = field(
        default_factory=list[tuple[Any, dict[str, Any]]]
    )

    # the walk

    def run(self) -> ir.Module:
        for item in graph.inputs(self.module):
            self.buffers[item.value] = self.new_buffer(item.name, Space.INPUT, item.value)
        for operation in graph.operations(self.module):
            self.operation(operation)
        for item in graph.outputs(self.module):
            if self.buffers[item.value].space != Space.OUTPUT:
                source = self.buffers[item.value]
                target = _Buffer(item.name, Space.OUTPUT, source.shape)
                self.all_buffers.append(target)
                self.copy(source, target)
        return self.emit()

    def operation(self, operation: Any) -> None:
        kind = operation.operation.name
        if kind in ("bw.constant", *_ACCUMULATING):
            return
        if kind == "bw.reshape" and not is_accumulator(operation.result):
            self.view(operation)
        elif kind == "bw.requantize":
            self.requantized(operation)
        elif kind in _DIRECT:
            if kind != "bw.table" or not _is_fused_table(operation):
                _DIRECT[kind](self, operation)
        else:
            self.unsupported(operation, "the overlay has no instruction for it")

    def requantized(self, operation: Any) -> None:
        producer = operation.input.owner.opview
        kind = producer.operation.name
        if kind not in _ACCUMULATING:
            self.unsupported(producer, "the overlay has no instruction for it")
        users = graph.users(operation.result)
        table = users[0] if len(users) == 1 and users[0].operation.name == "bw.table" else None
        if table is not None and self.is_output(operation.result):
            table = None
        multiplier, shift = bw.ints(operation.multiplier), bw.ints(operation.shift)
        if len(multiplier) > 1 and operation.axis.value != 1:
            self.unsupported(operation, f"it scales along axis {operation.axis.value}, not 1")
        stage = _Requantize(
            multiplier=multiplier, shift=shift,
            zero_point=value_params(operation.result).zero_point,
            clamp=(operation.clamp_min.value, operation.clamp_max.value),
            table=None if table is None else bw.ints(table.table),
            result=operation.result if table is None else table.result,
        )  # fmt: skip
        _ACCUMULATING[kind](self, producer, stage)

    def is_output(self, value: ir.Value) -> bool:
        return any(item.value == value for item in graph.outputs(self.module))

    def unsupported(self, operation: Any, reason: str) -> None:
        raise UnsupportedOnOverlay(
            f"{operation.operation.name} ({graph.location_name(operation)}) with operands "
            f"{', '.join(str(list(shape_of(v))) for v in operation.operands)}: {reason}; compile "
            "with --target cpu, or change the model there"
        )

    # buffers

    def new_buffer(self, name: str, space: Space, value: ir.Value) -> _Buffer:
        buffer = _Buffer(name, space, _canonical_shape(value))
        self.all_buffers.append(buffer)
        return buffer

    def source(self, value: ir.Value) -> _Buffer:
        return self.buffers[value]

    def result(self, value: ir.Value) -> _Buffer:
        """A new buffer for `value`: an output's own one where nothing else reads it."""
        name = self.only_output(value)
        space = Space.MAIN if name is None else Space.OUTPUT
        self.buffers[value] = self.new_buffer(name or f"t{len(self.all_buffers)}", space, value)
        return self.buffers[value]

    def only_output(self, value: ir.Value) -> str | None:
        """Name of the output that `value`, perhaps reshaped, is; None where it is read again."""
        users = graph.users(value)
        if len(users) != 1:
            return None
        if users[0].operation.name == "bw.reshape":
            return self.only_output(users[0].result)
        names = [item.name for item in graph.outputs(self.module) if item.value == value]
        return names[0] if names else None

    def view(self, operation: Any) -> None:
        source = self.source(operation.input)
        shape = _canonical_shape(operation.result)
        if shape[0] != source.shape[0] or shape[1] * shape[2] != source.pixels:
            self.unsupported(
                operation, f"it moves data (to {list(shape_of(operation.result))})"
            )
        self.buffers[operation.result] = _Buffer(source.name, source.space, shape)

    def in_main(self, buffer: _Buffer) -> _Buffer:
        """`buffer`, or a copy of it in main memory."""
        if buffer.space == Space.MAIN:
            return buffer
        if buffer.name not in self.copies:
            copy = _Buffer(f"{buffer.name}.copy", Space.MAIN, buffer.shape)
            self.all_buffers.append(copy)
            self.copies[buffer.name] = copy
            self.copy(buffer, copy)
        return self.copies[buffer.name]

    def same_space(self, lhs: _Buffer, rhs: _Buffer) -> tuple[_Buffer, _Buffer]:
        if lhs.space == rhs.space:
            return lhs, rhs
        return self.in_main(lhs), self.in_main(rhs)

    def copy(self, source: _Buffer, target: _Buffer) -> None:
        self.channelwise(
            f"copy {source.name}", source, target, np.ones((target.shape[0], 1), dtype=np.int8),
            self.identity(None, (-128, 127)), ChannelOp.MAC,
        )  # fmt: skip

    # memories

    def place_weights(self, words: pack.Words) -> int:
        key = words.tobytes()
        if key not in self.weight_places:
            self.weight_places[key] = sum(len(part) for part in self.weights)
            self.weights.append(words)
        return self.weight_places[key]

    def place_params(self, bias: NDArray[np.int64], stage: _Requantize, tile: int) -> int:
        count = len(bias)
        multiplier = stage.multiplier if len(stage.multiplier) > 1 else stage.multiplier * count
        shift = stage.shift if len(stage.shift) > 1 else stage.shift * count
        base = sum(len(part) for part in self.params)
        self.params.append(
            pack.channel_params(
                [int(value) for value in bias], multiplier, shift,
                group=self.options.requant_lanes, acc_bits=self.acc_bits, tile_channels=tile,
            )  # fmt: skip
        )
        return base

    def place_table(self, table: tuple[int, ...] | None) -> int:
        if table is None:
            return 0
        if table not in self.tables:
            self.tables.append(table)
        return self.tables.index(table)

    def identity(self, result: ir.Value | None, clamp: tuple[int, int],
                 table: tuple[int, ...] | None = None) -> _Requantize:  # fmt: skip
        multiplier, shift = IDENTITY
        return _Requantize(
            multiplier=multiplier, shift=shift, zero_point=0, clamp=clamp, table=table,
            result=result,  # pyright: ignore[reportArgumentType]
        )  # fmt: skip

    # instructions

    def compute(
        self, operation: Any, layer: str, source: _Buffer, target: _Buffer,
        bias: NDArray[np.int64], stage: _Requantize, fields: dict[str, int], source2: str = "",
    ) -> None:  # fmt: skip
        """Append an instruction; `fields` over the defaults of a 1x1 step over the target."""
        rows = self.options.rows if operation is accel.MatmulOp else self.options.lanes
        channels, height, width = target.shape
        words = pack.blocks(channels, self.options.lanes)
        per_tile = rows // self.options.lanes
        tiles = pack.blocks(channels, rows)
        defaults = {
            "src_space": source.space, "dst_space": target.space, "n_block": tiles,
            "n_oy": height, "n_ox": width, "n_plane": 1, "n_cb": 1, "n_ky": 1, "n_kx": 1,
            "src_base": 0, "s_block": 0, "s_oy": source.shape[2], "s_ox": 1, "s_cb": source.pixels,
            "s_ky": 0, "s_kx": 0, "y0": 0, "x0": 0, "y_oy": 1, "x_ox": 1, "y_ky": 0, "x_kx": 0,
            "height": source.shape[1], "width": source.shape[2], "pad_value": 0, "w_base": 0,
            "channel_op": ChannelOp.MAC, "p_base": self.place_params(bias, stage, rows),
            "dst_base": 0, "dst_word_stride": target.pixels, "dst_words": per_tile,
            "dst_words_last": words - (tiles - 1) * per_tile, "clamp_min": stage.clamp[0],
            "clamp_max": stage.clamp[1], "zero_point": stage.zero_point, "rounding": 0,
            "table_enable": int(stage.table is not None), "table": self.place_table(stage.table),
        }  # fmt: skip
        merged = {name: int(value) for name, value in {**defaults, **fields}.items()}
        for count, steps in _STEPS_OF.items():
            if merged[count] == 1:
                merged.update(dict.fromkeys(steps, 0))
        if tiles == words == 1:
            merged["dst_word_stride"] = 0
        names = {"layer": layer, "src": source.name, "src2": source2, "dst": target.name}
        self.instructions.append((operation, {**names, **merged}))

    def channelwise(
        self, layer: str, source: _Buffer, target: _Buffer, weight: NDArray[np.int8],
        stage: _Requantize, op: ChannelOp, *, bias: NDArray[np.int64] | None = None,
        fields: dict[str, int] | None = None, source2: str = "",
    ) -> None:  # fmt: skip
        """`weight` is [channels, steps]; one instruction a block where that shares its words."""
        lanes, rows = self.options.lanes, self.options.rows
        words = pack.lane_bytes(weight, lanes, rows)
        self.compute(
            accel.ChannelwiseOp, layer, source, target,
            np.zeros(target.shape[0], dtype=np.int64) if bias is None else bias, stage,
            {"s_block": source.pixels, "w_base": self.place_weights(words), "channel_op": op,
             **(fields or {})}, source2,
        )  # fmt: skip

    def emit(self) -> ir.Module:
        options = self.options
        with entered(self.module):
            program = ir.Module.create()
            program.operation.attributes["accel.machine"] = ir.DictAttr.get({
                "lanes": attribute(options.lanes), "rows": attribute(options.rows),
                "requant_lanes": attribute(options.requant_lanes),
                "acc_bits": attribute(self.acc_bits), "tables": attribute(len(self.tables)),
            })  # fmt: skip
            with ir.InsertionPoint(program.body):
                for buffer in self.all_buffers:
                    words = pack.blocks(buffer.shape[0], options.lanes) * buffer.pixels
                    words = max(words, self.reserved.get(buffer.name, 0))
                    _append(
                        accel.BufferOp, buffer=buffer.name, space=buffer.space.name.lower(),
                        shape=list(buffer.shape), words=words, base=-1,
                    )  # fmt: skip
                tables = np.asarray(self.tables, dtype=np.int8).reshape(-1, 1).view(np.uint8)
                assert len(tables) == TABLE_ENTRIES * len(self.tables)
                for name, parts in (
                    ("weights", self.weights), ("params", self.params), ("tables", [tables])
                ):  # fmt: skip
                    content = np.concatenate(parts)
                    if content.size:
                        _append(
                            accel.MemoryOp, memory=name,
                            value=ir.DenseElementsAttr.get(content.view(np.int8)),
                        )  # fmt: skip
                accel.LoadOp()
                for operation, attributes in self.instructions:
                    _append(operation, **attributes)
                accel.StoreOp()
        verify(program)
        return program


def _append(operation: Any, **attributes: Any) -> None:
    operation(**{name: attribute(value) for name, value in attributes.items()})


def _canonical_shape(value: ir.Value) -> tuple[int, int, int]:
    """Channels, height, width of [1, C], [1, C, L] or [1, C, H, W]."""
    shape = shape_of(value)
    if not 2 <= len(shape) <= 4 or shape[0] != 1:
        raise UnsupportedOnOverlay(
            f"A tensor of shape {list(shape)} on the overlay: expected batch 1 and rank 2, 3 or 4; "
            "export the model with a symbolic batch, or compile with --target cpu"
        )
    return (shape[1], *((1,) * (4 - len(shape))), *shape[2:])  # pyright: ignore


def _is_fused_table(operation: Any) -> bool:
    owner = operation.input.owner
    if isinstance(owner, ir.Block) or owner.name != "bw.requantize":
        return False
    return len(graph.users(operation.input)) == 1


def _conv2d(tiler: _Tiler, operation: Any, stage: _Requantize) -> None:
    weight = graph.constant_of(operation.weight)
    bias = graph.constant_of(operation.bias)
    if weight is None or bias is None:
        tiler.unsupported(operation, "its weight or bias is computed at run time")
        return
    groups = operation.groups.value
    source, target = tiler.source(operation.input), tiler.result(stage.result)
    zero_point = value_params(operation.input).zero_point
    sums = weight.astype(np.int64).sum(axis=(1, 2, 3))
    whole_bias = bias.astype(np.int64) - zero_point * sums
    fields = _window_fields(
        source, weight.shape[2:], bw.ints(operation.stride), bw.ints(operation.padding),
        bw.ints(operation.dilation), zero_point,
    )  # fmt: skip
    layer = graph.location_name(operation)
    if groups == source.shape[0] == target.shape[0] and groups > 1:
        flat = weight.reshape(groups, -1)
        tiler.channelwise(
            layer, source, target, flat, stage, ChannelOp.MAC, bias=whole_bias, fields=fields
        )
    elif groups == 1:
        _matmul(tiler, layer, source, target, weight, whole_bias, stage, fields)
    else:
        _grouped(tiler, layer, source, target, weight, whole_bias, stage, fields, groups)


def _matmul(
    tiler: _Tiler, layer: str, source: _Buffer, target: _Buffer, weight: NDArray[np.int8],
    bias: NDArray[np.int64], stage: _Requantize, fields: dict[str, int], source2: str = "",
) -> None:  # fmt: skip
    """One instruction over dense `weight` [O, C, KH, KW]."""
    planes = pack.planes_needed(weight)
    words = pack.bit_planes(weight, tiler.options.lanes, tiler.options.rows, planes)
    tiler.compute(
        accel.MatmulOp, layer, source, target, bias, stage,
        {"n_plane": planes, "n_cb": pack.blocks(weight.shape[1], tiler.options.lanes),
         "w_base": tiler.place_weights(words), **fields}, source2,
    )  # fmt: skip


def _grouped(
    tiler: _Tiler, layer: str, source: _Buffer, target: _Buffer, weight: NDArray[np.int8],
    bias: NDArray[np.int64], stage: _Requantize, fields: dict[str, int], groups: int,
) -> None:  # fmt: skip
    """One instruction per block of rows, over just the input blocks that its groups read."""
    lanes, rows = tiler.options.lanes, tiler.options.rows
    outputs, channels = weight.shape[0], source.shape[0]
    outputs_per_group, per_group = outputs // groups, channels // groups
    for block in range(pack.blocks(outputs, rows)):
        first, last = block * rows, min((block + 1) * rows, outputs)
        start = first // outputs_per_group * per_group // lanes
        stop = pack.blocks(((last - 1) // outputs_per_group + 1) * per_group, lanes)
        dense = np.zeros((last - first, (stop - start) * lanes, *weight.shape[2:]), dtype=np.int8)
        for row in range(first, last):
            column = row // outputs_per_group * per_group - start * lanes
            dense[row - first, column : column + per_group] = weight[row]
        words = pack.blocks(last - first, lanes)
        part = _Requantize(
            multiplier=_slice(stage.multiplier, first, last),
            shift=_slice(stage.shift, first, last), zero_point=stage.zero_point,
            clamp=stage.clamp, table=stage.table, result=stage.result,
        )  # fmt: skip
        _matmul(
            tiler, layer, source, target, dense, bias[first:last], part,
            {**fields, "src_base": fields["src_base"] + start * source.pixels, "n_block": 1,
             "dst_base": block * rows // lanes * target.pixels, "dst_words_last": words},
        )  # fmt: skip


def _slice(values: tuple[int, ...], first: int, last: int) -> tuple[int, ...]:
    return values if len(values) == 1 else values[first:last]


def _window_fields(
    source: _Buffer, kernel: Any, stride: Any, padding: Any, dilation: Any, pad_value: int
) -> dict[str, int]:
    width = source.shape[2]
    top, left = padding[0], padding[1]
    return {
        "n_ky": kernel[0], "n_kx": kernel[1], "src_base": -top * width - left,
        "s_oy": stride[0] * width, "s_ox": stride[1], "s_ky": dilation[0] * width,
        "s_kx": dilation[1], "y0": -top, "x0": -left, "y_oy": stride[0], "x_ox": stride[1],
        "y_ky": dilation[0], "x_kx": dilation[1], "pad_value": pad_value,
    }  # fmt: skip


def _sum_pool2d(tiler: _Tiler, operation: Any, stage: _Requantize) -> None:
    source, target = tiler.source(operation.input), tiler.result(stage.result)
    kernel = bw.ints(operation.kernel)
    taps = kernel[0] * kernel[1]
    zero_point = value_params(operation.input).zero_point
    fields = _window_fields(
        source, kernel, bw.ints(operation.stride), bw.ints(operation.padding), (1, 1), zero_point
    )
    tiler.channelwise(
        graph.location_name(operation), source, target,
        np.ones((target.shape[0], taps), dtype=np.int8), stage, ChannelOp.MAC,
        bias=np.full(target.shape[0], -zero_point * taps, dtype=np.int64), fields=fields,
    )  # fmt: skip


def _add(tiler: _Tiler, operation: Any, stage: _Requantize) -> None:
    operands = (operation.lhs, operation.rhs)
    if any(shape_of(value) != shape_of(operation.result) for value in operands):
        tiler.unsupported(operation, "it broadcasts")
    lhs, rhs = tiler.same_space(*(tiler.source(value) for value in operands))
    target = tiler.result(stage.result)
    multipliers = (operation.lhs_multiplier.value, operation.rhs_multiplier.value)
    offset = sum(
        multiplier * value_params(value).zero_point
        for multiplier, value in zip(multipliers, operands, strict=True)
    )
    channels = target.shape[0]
    tiler.channelwise(
        graph.location_name(operation), lhs, target,
        np.tile(np.asarray(multipliers, dtype=np.int8), (channels, 1)), stage, ChannelOp.MAC,
        bias=np.full(channels, -offset, dtype=np.int64), fields={"n_cb": 2, "s_cb": 0},
        source2=rhs.name,
    )  # fmt: skip


def _max_pool2d(tiler: _Tiler, operation: Any) -> None:
    source, target = tiler.source(operation.input), tiler.result(operation.result)
    fields = _window_fields(
        source, bw.ints(operation.kernel), bw.ints(operation.stride), bw.ints(operation.padding),
        bw.ints(operation.dilation), -128,
    )  # fmt: skip
    stage = tiler.identity(operation.result, (-128, 127))
    taps = fields["n_ky"] * fields["n_kx"]
    tiler.channelwise(
        graph.location_name(operation), source, target,
        np.zeros((target.shape[0], taps), dtype=np.int8), stage, ChannelOp.MAX, fields=fields,
    )  # fmt: skip


def _pad(tiler: _Tiler, operation: Any) -> None:
    low, high = bw.ints(operation.low), bw.ints(operation.high)
    if len(low) != 4 or any((*low[:2], *high[:2])):
        tiler.unsupported(operation, "it pads the batch or the channels")
    source, target = tiler.source(operation.input), tiler.result(operation.result)
    fields = _window_fields(
        source, (1, 1), (1, 1), (low[2], low[3]), (1, 1), operation.value.value
    )
    tiler.channelwise(
        graph.location_name(operation), source, target,
        np.ones((target.shape[0], 1), dtype=np.int8),
        tiler.identity(operation.result, (-128, 127)), ChannelOp.MAC, fields=fields,
    )  # fmt: skip


def _table(tiler: _Tiler, operation: Any) -> None:
    source, target = tiler.source(operation.input), tiler.result(operation.result)
    stage = tiler.identity(operation.result, (-128, 127), bw.ints(operation.table))
    tiler.channelwise(
        graph.location_name(operation), source, target,
        np.ones((target.shape[0], 1), dtype=np.int8), stage, ChannelOp.MAC,
    )  # fmt: skip


def _concat(tiler: _Tiler, operation: Any) -> None:
    """Weights of 0 and 1 select channels; the source is the block loop, a block the row loop."""
    if operation.axis.value != 1:
        tiler.unsupported(operation, f"it joins along axis {operation.axis.value}, not channels")
    first, second = tiler.same_space(
        tiler.source(operation.lhs), tiler.source(operation.rhs)
    )
    target = tiler.result(operation.result)
    lanes = tiler.options.lanes
    per_source = max(pack.blocks(buffer.shape[0], lanes) for buffer in (first, second))
    for buffer in (first, second):  # the shorter one is read past its end, with weights of zero
        words = per_source * buffer.pixels
        tiler.reserved[buffer.name] = max(tiler.reserved.get(buffer.name, 0), words)
    select = np.zeros((target.shape[0], 2 * lanes, per_source, 1), dtype=np.int8)
    for channel in range(target.shape[0]):
        which = int(channel >= first.shape[0])
        inside = channel - which * first.shape[0]
        select[channel, which * lanes + inside % lanes, inside // lanes, 0] = 1
    stage = tiler.identity(operation.result, (-128, 127))
    _matmul(
        tiler, graph.location_name(operation), first, target, select,
        np.zeros(target.shape[0], dtype=np.int64), stage,
        {"n_cb": 2, "s_cb": 0, "n_ky": per_source, "s_ky": first.pixels}, second.name,
    )  # fmt: skip


_ACCUMULATING: dict[str, Callable[[_Tiler, Any, _Requantize], None]] = {
    "bw.conv2d": _conv2d,
    "bw.sum_pool2d": _sum_pool2d,
    "bw.add": _add,
}
_DIRECT: dict[str, Callable[[_Tiler, Any], None]] = {
    "bw.max_pool2d": _max_pool2d,
    "bw.pad": _pad,
    "bw.table": _table,
    "bw.concat": _concat,
}
