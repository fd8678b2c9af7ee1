"""Products with the weights of decoders, and rows of their tables.

Weights in blocks stay integers in memory and are dequantized in registers, once for some rows of
the input. A row of the weight is read once for all rows of the input.
"""

from dataclasses import dataclass
from typing import Any

from torch_mlir import ir

from bitwright.codegen.cpu.decoder_program import DecoderValues, refuse
from bitwright.codegen.cpu.program import Kernel, View, count
from bitwright.codegen.cpu.vectors import VectorCode
from bitwright.ir import graph
from bitwright.ir.types import dtype_of, shape_of

_LANES = (32, 16, 8, 4, 2, 1)
_ROWS = 4
"""Rows of the input that share the dequantized numbers of a weight."""


@dataclass(frozen=True)
class Weight:
    """A matrix [rows, blocks * length]: float32, or integers with a scale for each block.

    `numbers` is seen as [rows, blocks, length], `scales` and `zeros` as [rows, blocks].
    """

    numbers: View
    scales: View | None
    zeros: View | None
    extend: str

    def row(self, row: str, block: str) -> list[str]:
        """Lines that load `%scale1` and `%zero1` of a block."""
        lines: list[str] = []
        for view, name in ((self.scales, "%scale1"), (self.zeros, "%zero1")):
            if view is not None:
                lines.append(f"{name} = memref.load {view.name}[{row}, {block}] : {view.type}")
        return lines

    def load(self, row: str, block: str, at: str, lanes: int) -> list[str]:
        """Lines that load `lanes` real numbers as the vector `%w`."""
        narrow, wide, real = (f"vector<{lanes}x{element}>" for element in ("i8", "i32", "f32"))
        where = f"{self.numbers.name}[{row}, {block}, {at}] : {self.numbers.type}"
        if self.scales is None:
            return [f"%w = vector.load {where}, {real}"]
        lines = [
            f"%code = vector.load {where}, {narrow}",
            f"%wide = arith.{self.extend} %code : {narrow} to {wide}",
        ]
        centred = "%wide"
        if self.zeros is not None:
            centred = "%centred"
            lines += [
                f"%zero32 = arith.{self.extend} %zero1 : i8 to i32",
                f"%zeros = vector.broadcast %zero32 : i32 to {wide}",
                f"%centred = arith.subi %wide, %zeros : {wide}",
            ]
        return [
            *lines,
            f"%real = arith.sitofp {centred} : {wide} to {real}",
            f"%scales = vector.broadcast %scale1 : f32 to {real}",
            f"%w = arith.mulf %real, %scales : {real}",
        ]


def _weight(kernel: Kernel, values: DecoderValues, op: Any, weight: ir.Value) -> Weight:
    if isinstance(weight.owner, ir.Block) or weight.owner.name != "bw.dequantize":
        rows, depth = shape_of(weight)
        return Weight(values.view(kernel, weight, (rows, 1, depth)), None, None, "")
    made = weight.owner.opview
    codes, scale, zero = made.input, made.scale, made.zero_point
    rows, depth = shape_of(codes)
    grid = shape_of(scale)
    if dtype_of(codes).name not in ("int8", "uint8") or grid[0] != rows:
        raise refuse(op, f"has weights of {codes.type} with scales of {scale.type}")
    offsets = graph.constant_of(zero)
    if offsets is None or graph.constant_of(codes) is None or graph.constant_of(scale) is None:
        raise refuse(op, "has weights that are computed")
    return Weight(
        values.view(kernel, codes, (*grid, depth // grid[1])),
        values.view(kernel, scale),
        values.view(kernel, zero) if offsets.any() else None,
        "extui" if dtype_of(codes).kind == "u" else "extsi",
    )


def linear(kernel: Kernel, values: DecoderValues, op: Any) -> None:
    """Sums in vectors, some rows of the input at a time."""
    outputs, depth = shape_of(op.weight)
    rows = count(shape_of(op.input)) // depth
    weight = _weight(kernel, values, op, op.weight)
    x = values.view(kernel, op.input, (rows, *weight.numbers.shape[1:]))
    y, bias = values.view(kernel, op.result, (rows, outputs)), values.view(kernel, op.bias)
    kernel.lines += [
        "%zero = arith.constant 0 : index",
        "%one = arith.constant 1 : index",
        f"%blocks = arith.constant {weight.numbers.shape[1]} : index",
        f"%length = arith.constant {weight.numbers.shape[2]} : index",
    ]
    low, high = kernel.part(outputs)
    kernel.lines += [
        f"scf.for %n = {low} to {high} step %one {{",
        f"%b0 = memref.load {bias.name}[%n] : {bias.type}",
    ]
    whole = rows // _ROWS * _ROWS
    for first, last, step in ((0, whole, _ROWS), (whole, rows, 1)):
        if first < last:
            _rows(kernel, weight, x, y, (first, last, step), fused=values.level.has_fused)
    kernel.lines.append("}")


def _rows(
    kernel: Kernel, weight: Weight, x: View, y: View, span: tuple[int, int, int], *, fused: bool
) -> None:
    """The loop over the rows `span` of the input, `step` at a time, for output `%n`.

    A loop over the blocks around one over the vectors of a block; both carry a sum for each row.
    """
    first, last, step = span
    code, name = VectorCode(kernel), kernel.fresh("part")
    length = weight.numbers.shape[2]
    lanes = next(lanes for lanes in _LANES if length % lanes == 0)
    vector, tile = f"vector<{lanes}xf32>", range(step)
    types = ", ".join([vector] * step)

    def each(prefix: str) -> list[str]:
        return [f"{prefix}{i}" for i in tile]

    def loop(result: str, over: str, carried: list[str], initial: list[str]) -> str:
        pairs = [f"{one} = {other}" for one, other in zip(carried, initial, strict=True)]
        return f"{result}:{step} = scf.for {over} iter_args({', '.join(pairs)}) -> ({types}) {{"

    kernel.lines += [
        f"{name}_first = arith.constant {first} : index",
        f"{name}_last = arith.constant {last} : index",
        f"{name}_step = arith.constant {step} : index",
        f"{name}_lanes = arith.constant {lanes} : index",
        f"{name}_none = arith.constant dense<0.0> : {vector}",
        f"scf.for %m = {name}_first to {name}_last step {name}_step {{",
        *(f"%off{i} = arith.constant {i} : index" for i in tile),
        *(f"%row{i} = arith.addi %m, %off{i} : index" for i in tile),
        loop("%total", "%b = %zero to %blocks step %one", each("%s"), [f"{name}_none"] * step),
        *weight.row("%n", "%b"),
        loop("%inner", f"%k = %zero to %length step {name}_lanes", each("%t"), each("%s")),
        *weight.load("%n", "%b", "%k", lanes),
    ]
    sums: list[str] = []
    for i in tile:
        given = code.make(f"vector.load {x.name}[%row{i}, %b, %k] : {x.type}, {vector}")
        sums.append(code.fused(given, "%w", f"%t{i}", vector, fused=fused))
    kernel.lines += [
        f"scf.yield {', '.join(sums)} : {types}",
        "}",
        f"scf.yield {', '.join(each('%inner#'))} : {types}",
        "}",
    ]
    for i in tile:
        result = code.apply("addf", code.total(f"%total#{i}", lanes), "%b0", "f32")
        code.line(f"memref.store {result}, {y.name}[%row{i}, %n] : {y.type}")
    code.line("}")


def gather(kernel: Kernel, values: DecoderValues, op: Any) -> None:
    """Rows of a table."""
    if op.axis.value != 0 or len(shape_of(op.input)) != 2:
        raise refuse(op, f"gathers along axis {op.axis.value} of {op.input.type}")
    rows = count(shape_of(op.indices))
    index = values.view(kernel, op.indices, (rows,))
    weight = _weight(kernel, values, op, op.input)
    y = values.view(kernel, op.result, (rows, *weight.numbers.shape[1:]))
    body = [
        "%at = arith.index_cast %i0 : i32 to index",
        "%b = linalg.index 1 : index",
        "%k = linalg.index 2 : index",
        *weight.row("%at", "%b"),
        *weight.load("%at", "%b", "%k", 1),
        "%r = vector.extract %w[0] : f32 from vector<1xf32>",
    ]
    kernel.generic("t b k", [(index, "t")], (y, "t, b, k"), "\n".join(body))
