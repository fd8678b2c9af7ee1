"""The program that `tile` writes: its buffers, memory contents and instructions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import gcd
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.ir import accel, graph
from bitwright.ir.builder import attribute
from bitwright.ir.bw import SCALE_LIMITS
from bitwright.ir.context import entered, verify
from bitwright.ir.instructions import ChannelOp, Rounding, Space
from bitwright.ir.machine import (
    DSP,
    NARROW_MULTIPLIER_BITS,
    PRECISIONS,
    TABLE_ENTRIES,
    WEIGHT_SERIAL,
    WIDE_MULTIPLIER_BITS,
    WINDOW_TAPS,
    plane_bits,
    word_bits,
)
from bitwright.ir.types import shape_of
from bitwright.passes import pack

MIN_ACC_BITS = 16
MAX_SPATIAL_BITS = 12  # of a row or column count
MAX_KERNEL = 255  # trips of a kernel loop
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

    exit_code = 52


@dataclass(frozen=True)
class Array:
    """The parameters of a machine that its programs depend on.

    `acc_bits` is the least width, `multiplier_bits` the one width; 0 takes what a program needs.
    """

    lanes: int
    rows: int
    requant_lanes: int
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

    @property
    def dsp(self) -> bool:
        return self.engine == DSP

    @property
    def plane_bits(self) -> int:
        """Bits that one plane of channelwise weights counts more than the next."""
        return plane_bits(self.engine)

    @property
    def word_bytes(self) -> int:
        """Bytes of a weight word."""
        return word_bits(self.lanes, self.rows, self.engine, self.precision) // 8

    def side_by_side(self, step: int) -> int:
        """How many words at multiples of `step` lie in different banks, `pixels` at most."""
        return min(self.pixels, self.banks // gcd(step, self.banks))


@dataclass(frozen=True)
class Buffer:
    name: str
    space: Space
    shape: tuple[int, int, int]  # channels, height, width

    @property
    def pixels(self) -> int:
        return self.shape[1] * self.shape[2]


@dataclass(frozen=True)
class FusedAdd:
    """A buffer that is added to a result, and the fields that say how."""

    other: Buffer
    fields: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class OutputStage:
    """What the output stage does: per-channel scaling, clamp, and perhaps a table or a sum.

    `acc_bits` is the proven width of the sums that it gets. With `added` the clamp is that of the
    sum.
    """

    multiplier: tuple[int, ...]
    shift: tuple[int, ...]
    rounding: Rounding = Rounding.HALF_UP
    zero_point: int
    clamp: tuple[int, int]
    table: tuple[int, ...] | None
    result: ir.Value
    acc_bits: int = MIN_ACC_BITS
    added: FusedAdd | None = None

    @property
    def multiplier_bits(self) -> int:
        """Width of the multipliers of a machine that can do it."""
        largest, furthest = SCALE_LIMITS["half_up"]
        narrow = max(self.multiplier) <= largest and max(self.shift) <= furthest
        half_up = self.rounding == Rounding.HALF_UP
        return NARROW_MULTIPLIER_BITS if narrow and half_up else WIDE_MULTIPLIER_BITS


@dataclass(frozen=True)
class Params:
    """What the parameter memory holds for one instruction, padded to tiles of `tile` channels."""

    bias: NDArray[np.int64]
    stage: OutputStage
    tile: int

    def words(self, group: int, acc_bits: int, multiplier_bits: int) -> pack.Words:
        """As words of `group` channels."""
        stage, count = self.stage, len(self.bias)
        return pack.channel_params(
            [int(value) for value in self.bias],
            stage.multiplier if len(stage.multiplier) > 1 else stage.multiplier * count,
            stage.shift if len(stage.shift) > 1 else stage.shift * count,
            group=group, acc_bits=acc_bits, multiplier_bits=multiplier_bits,
            tile_channels=self.tile,
        )  # fmt: skip


@dataclass
class Program:
    """A program under construction.

    `buffers` says where the tensors of `module` are; views share a buffer.
    """

    module: ir.Module
    array: Array
    buffers: dict[ir.Value, Buffer] = field(default_factory=dict[ir.Value, Buffer])
    all_buffers: list[Buffer] = field(default_factory=list[Buffer])
    reserved: dict[str, int] = field(default_factory=dict[str, int])
    copies: dict[str, Buffer] = field(default_factory=dict[str, Buffer])
    weights: list[pack.Words] = field(default_factory=list[pack.Words])
    weight_places: dict[bytes, int] = field(default_factory=dict[bytes, int])
    params: list[Params] = field(default_factory=list[Params])
    param_words: int = 0
    tables: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    instructions: list[tuple[Any, dict[str, Any]]] = field(
        default_factory=list[tuple[Any, dict[str, Any]]]
    )

    def copy_outputs(self) -> None:
        """Copy every output that is not in the output bank yet."""
        for item in graph.outputs(self.module):
            source = self.buffers[item.value]
            if source.space != Space.OUTPUT:
                target = Buffer(item.name, Space.OUTPUT, source.shape)
                self.all_buffers.append(target)
                self.copy(source, target)

    def is_output(self, value: ir.Value) -> bool:
        """Whether `value` is an output of the module."""
        return any(item.value == value for item in graph.outputs(self.module))

    def free_name(self, wanted: str) -> str:
        """`wanted`, or with a number where a buffer, an input or an output has that name."""
        taken = {buffer.name for buffer in self.all_buffers}
        taken |= {i.name for i in (*graph.inputs(self.module), *graph.outputs(self.module))}
        name, number = wanted, 1
        while name in taken:
            name, number = f"{wanted}.{number}", number + 1
        return name

    def new_buffer(self, name: str, space: Space, value: ir.Value) -> Buffer:
        buffer = Buffer(name, space, _canonical_shape(value))
        self.all_buffers.append(buffer)
        return buffer

    def source(self, operation: Any, value: ir.Value) -> Buffer:
        """The buffer of an operand of `operation`."""
        if value not in self.buffers:
            unsupported(operation, "one of its operands is a constant tensor")
        return self.buffers[value]

    def result(self, value: ir.Value) -> Buffer:
        """A new buffer for `value`: an output's own one where nothing else reads it."""
        name = self.only_output(value)
        space = Space.MAIN if name is None else Space.OUTPUT
        name = name or self.free_name(f"t{len(self.all_buffers)}")
        self.buffers[value] = self.new_buffer(name, space, value)
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
        source = self.source(operation, operation.input)
        shape = _canonical_shape(operation.result)
        if shape[0] != source.shape[0] or shape[1] * shape[2] != source.pixels:
            unsupported(operation, f"it moves data (to {list(shape_of(operation.result))})")
        self.buffers[operation.result] = Buffer(source.name, source.space, shape)

    def in_main(self, buffer: Buffer) -> Buffer:
        """`buffer`, or a copy of it in main memory."""
        if buffer.space == Space.MAIN:
            return buffer
        if buffer.name not in self.copies:
            copy = Buffer(self.free_name(f"{buffer.name}.copy"), Space.MAIN, buffer.shape)
            self.all_buffers.append(copy)
            self.copies[buffer.name] = copy
            self.copy(buffer, copy)
        return self.copies[buffer.name]

    def same_space(self, lhs: Buffer, rhs: Buffer) -> tuple[Buffer, Buffer]:
        if lhs.space == rhs.space:
            return lhs, rhs
        return self.in_main(lhs), self.in_main(rhs)

    def copy(self, source: Buffer, target: Buffer) -> None:
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

    def place_params(self, bias: NDArray[np.int64], stage: OutputStage, tile: int) -> int:
        base = self.param_words
        self.params.append(Params(bias, stage, tile))
        self.param_words += pack.blocks(len(bias), tile) * tile // self.array.requant_lanes
        return base

    @property
    def acc_bits(self) -> int:
        """Width of the accumulators."""
        needed = (part.stage.acc_bits for part in self.params)
        return max(MIN_ACC_BITS, self.array.acc_bits, *needed)

    @property
    def multiplier_bits(self) -> int:
        """Width of the output stage's multipliers."""
        needed = (part.stage.multiplier_bits for part in self.params)
        return self.array.multiplier_bits or max(NARROW_MULTIPLIER_BITS, *needed)

    def place_table(self, table: tuple[int, ...] | None) -> int:
        if table is None:
            return 0
        if table not in self.tables:
            self.tables.append(table)
        return self.tables.index(table)

    def identity(self, result: ir.Value | None, clamp: tuple[int, int],
                 table: tuple[int, ...] | None = None) -> OutputStage:  # fmt: skip
        multiplier, shift = IDENTITY
        return OutputStage(
            multiplier=multiplier, shift=shift, zero_point=0, clamp=clamp, table=table,
            result=result,  # pyright: ignore[reportArgumentType]
        )  # fmt: skip

    # instructions

    def compute(
        self, operation: Any, layer: str, source: Buffer, target: Buffer,
        bias: NDArray[np.int64], stage: OutputStage, fields: Mapping[str, int], source2: str = "",
    ) -> None:  # fmt: skip
        """Append an instruction; `fields` over the defaults of a 1x1 step over the target."""
        if 0 < self.array.multiplier_bits < stage.multiplier_bits:
            raise UnsupportedOnOverlay(
                f"Layer {layer!r} rounds {stage.rounding.name.lower()} with multipliers of "
                f"{stage.multiplier_bits} bits, and the machine is to have multiplier_bits = "
                f"{self.array.multiplier_bits}, with half_up only; leave multiplier_bits out, or "
                "compile with --target cpu"
            )
        rows = self.array.rows if operation is accel.MatmulOp else self.array.lanes
        channels, height, width = target.shape
        words = pack.blocks(channels, self.array.lanes)
        per_tile = rows // self.array.lanes
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
            "clamp_max": stage.clamp[1], "zero_point": stage.zero_point, "rounding": stage.rounding,
            "table_enable": int(stage.table is not None), "table": self.place_table(stage.table),
            "w_same_steps": 0, "w_same_blocks": 0, "handover": 0,
        }  # fmt: skip
        merged = {name: int(value) for name, value in {**defaults, **fields}.items()}
        if "pixels" not in merged:
            _side_by_side(merged, self.array)
        for count, steps in _STEPS_OF.items():
            if merged[count] == 1:
                merged.update(dict.fromkeys(steps, 0))
        if tiles == words == 1:
            merged["dst_word_stride"] = 0
        names = {"layer": layer, "src": source.name, "src2": source2, "dst": target.name}
        if stage.added is not None:
            assert operation is accel.MatmulOp, "no other instruction adds"
            operation, names["other"] = accel.MatmulAddOp, stage.added.other.name
            merged |= {"add_base": 0, **stage.added.fields}
        self.instructions.append((operation, {**names, **merged}))

    def channelwise(
        self, layer: str, source: Buffer, target: Buffer, weight: NDArray[np.int8],
        stage: OutputStage, op: ChannelOp, *, bias: NDArray[np.int64] | None = None,
        fields: dict[str, int] | None = None, source2: str = "",
    ) -> None:  # fmt: skip
        """`weight` is [channels, steps]; equal blocks share their words, and equal steps."""
        shared: dict[str, int] = {}
        if (weight == weight[0]).all():  # every block has the same words
            weight, shared["w_same_blocks"] = weight[:1].repeat(self.array.lanes, axis=0), 1
            if (weight == weight[0, 0]).all() and len(weight[0]) > 1:
                weight, shared["w_same_steps"] = weight[:, :1], 1
        words = pack.lane_bytes(weight, self.array.lanes, self.array.word_bytes)
        self.compute(
            accel.ChannelwiseOp, layer, source, target,
            np.zeros(target.shape[0], dtype=np.int64) if bias is None else bias, stage,
            {"s_block": source.pixels, "w_base": self.place_weights(words), "channel_op": op,
             **shared, **(fields or {})}, source2,
        )  # fmt: skip

    def window(
        self, layer: str, source: Buffer, target: Buffer, weight: NDArray[np.int8],
        stage: OutputStage, bias: NDArray[np.int64], fields: dict[str, int],
    ) -> bool:  # fmt: skip
        """Depthwise `weight` [C, KH, KW] with all kernel columns at once.

        False, and nothing done, where the machine has no window for it.
        """
        array = self.array
        stride, width = fields["x_ox"], target.shape[2]
        if (
            not array.dsp or weight.shape[2] != WINDOW_TAPS or stride not in (1, 2)
            or fields["x_kx"] != 1 or array.pixels % stride
        ):  # fmt: skip
            return False
        together = weight.shape[1] * WINDOW_TAPS * array.lanes <= array.word_bytes
        full = array.pixels // stride
        # sums of the first tile: those that begin at its columns 0 to pixels - 3
        first = min(-(-(array.pixels + 1 - WINDOW_TAPS) // stride), width)
        tiles = 1 + pack.blocks(width - first, full)
        words = pack.window_words(weight, array.lanes, array.word_bytes, together=together)
        self.compute(
            accel.ChannelwiseOp, layer, source, target, bias, stage,
            {**fields, "s_block": source.pixels, "w_base": self.place_weights(words),
             "channel_op": ChannelOp.WINDOW, "w_same_steps": int(together), "n_kx": 1, "s_kx": 0,
             "x_kx": 0, "n_ox": tiles, "s_ox": array.pixels, "x_ox": array.pixels, "s_pixel": 1,
             "x_pixel": 1, "pixels": full, "pixels_first": first,
             "pixels_last": width - first - (tiles - 2) * full if tiles > 1 else 1},
        )  # fmt: skip
        return True

    def whole_sum(
        self, layer: str, source: Buffer, target: Buffer, stage: OutputStage, bias: int
    ) -> bool:
        """Sum each channel over the whole image, several neighbouring pixels a step.

        False, and nothing done, where the machine reads one pixel a step.
        """
        taps = min(WINDOW_TAPS, self.array.pixels)
        steps = pack.blocks(source.pixels, taps)
        if not self.array.dsp or steps > MAX_KERNEL:
            return False
        ones = np.ones((1, 1, taps), np.int8).repeat(self.array.lanes, axis=0)
        words = pack.window_words(ones, self.array.lanes, self.array.word_bytes)
        self.compute(
            accel.ChannelwiseOp, layer, source, target,
            np.full(target.shape[0], bias, dtype=np.int64), stage,
            {"s_block": source.pixels, "w_base": self.place_weights(words),
             "channel_op": ChannelOp.COLUMNS, "w_same_steps": 1, "w_same_blocks": 1,
             "n_kx": steps, "s_kx": taps, "x_kx": taps, "height": 1, "width": source.pixels,
             "s_pixel": 1, "x_pixel": 1, "pixels": 1, "pixels_first": 1, "pixels_last": 1},
        )  # fmt: skip
        return True

    def emit(self) -> ir.Module:
        array, acc_bits, multiplier_bits = self.array, self.acc_bits, self.multiplier_bits
        with entered(self.module):
            program = ir.Module.create()
            program.operation.attributes["accel.machine"] = ir.DictAttr.get({
                "lanes": attribute(array.lanes), "rows": attribute(array.rows),
                "requant_lanes": attribute(array.requant_lanes),
                "requant_pixels": attribute(array.requant_pixels),
                "acc_bits": attribute(acc_bits), "tables": attribute(len(self.tables)),
                "multiplier_bits": attribute(multiplier_bits), "engine": attribute(array.engine),
                "pixels": attribute(array.pixels), "banks": attribute(array.banks),
                "multiplier_blocks": attribute(array.multiplier_blocks),
                **({"precision": attribute(array.precision)}
                   if array.precision != PRECISIONS[-1] else {}),
                **{name: attribute(getattr(array, name))
                   for name in ("weight_columns", "fused_adds") if getattr(array, name)},
            })  # fmt: skip
            with ir.InsertionPoint(program.body):
                for buffer in self.all_buffers:
                    words = pack.blocks(buffer.shape[0], array.lanes) * buffer.pixels
                    words = max(words, self.reserved.get(buffer.name, 0))
                    _append(
                        accel.BufferOp, buffer=buffer.name, space=buffer.space.name.lower(),
                        shape=list(buffer.shape), words=words, base=-1,
                    )  # fmt: skip
                tables = np.asarray(self.tables, dtype=np.int8).reshape(-1, 1).view(np.uint8)
                assert len(tables) == TABLE_ENTRIES * len(self.tables)
                params = [
                    part.words(array.requant_lanes, acc_bits, multiplier_bits)
                    for part in self.params
                ]
                for name, parts in (
                    ("weights", self.weights), ("params", params), ("tables", [tables])
                ):  # fmt: skip
                    content = np.ascontiguousarray(np.concatenate(parts))
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


def _side_by_side(fields: dict[str, int], array: Array) -> None:
    """Let each tile have as many neighbouring pixels as the memories can read at once."""
    flat = fields["n_kx"] == 1 and not (fields["x0"] or fields["y0"])
    reach = fields["n_oy"] + (fields["n_ky"] - 1) * fields["y_ky"]
    whole = (fields["s_oy"], fields["y_oy"], fields["x_ox"]) == (fields["n_ox"], 1, fields["s_ox"])
    pixels = fields["n_oy"] * fields["n_ox"]
    if (
        array.dsp and flat and whole and fields["s_ox"] == 1
        and fields["height"] >= reach and pixels < 1 << MAX_SPATIAL_BITS
    ):  # fmt: skip
        fields.update(n_oy=1, n_ox=pixels, width=pixels)
    columns, step = fields["n_ox"], fields["s_ox"]
    count = min(array.side_by_side(step), columns) if columns > 1 else 1
    tiles = pack.blocks(columns, count)
    last = columns - (tiles - 1) * count
    fields.update(
        n_ox=tiles, s_pixel=step, x_pixel=fields["x_ox"], s_ox=count * step,
        x_ox=count * fields["x_ox"], pixels=count, pixels_last=last,
        pixels_first=count if tiles > 1 else last,
    )  # fmt: skip
    if not array.dsp:
        fields.update(s_pixel=0, x_pixel=0)


def unsupported(operation: Any, reason: str) -> NoReturn:
    """Raise `UnsupportedOnOverlay` for `operation`."""
    raise UnsupportedOnOverlay(
        f"{operation.operation.name} ({graph.location_name(operation)}) with operands "
        f"{', '.join(str(list(shape_of(v))) for v in operation.operands)}: {reason}; compile "
        "with --target cpu, or change the model there"
    )


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
