"""Float kernels of the operations of decoders.

Sums are in float32 and in any order (`reassoc`), so that LLVM vectorizes them: results differ
from the reference interpreter's by rounding.
"""

from collections.abc import Callable
from typing import Any

from bitwright.codegen.cpu import dynamic
from bitwright.codegen.cpu.decoder_attention import attention
from bitwright.codegen.cpu.decoder_products import SUM, gather, linear
from bitwright.codegen.cpu.decoder_program import DecoderValues, refuse
from bitwright.codegen.cpu.exponential import exponential
from bitwright.codegen.cpu.program import Kernel, Memory, View, count
from bitwright.codegen.cpu.vectors import FLOATS, LANES, VectorCode
from bitwright.ir.types import shape_of


def number(value: float, name: str) -> str:
    """A line that defines a float constant."""
    return f"{name} = arith.constant {value:.17e} : f32"


def rms_norm(kernel: Kernel, values: DecoderValues, op: Any) -> None:
    """A pass for the sum of squares, one for the result."""
    width = shape_of(op.input)[-1]
    rows = count(shape_of(op.input)) // width
    x, y = (values.view(kernel, value, (rows, width)) for value in (op.input, op.result))
    weight = values.view(kernel, op.weight)
    total = kernel.scratch("f32", (rows,))
    kernel.lines.append(number(0.0, "%nothing"))
    kernel.lines.append(f"linalg.fill ins(%nothing : f32) outs({total.name} : {total.type})")
    square = f"%p = arith.mulf %i0, %i0 : f32\n%r = arith.addf %o, %p {SUM} : f32"
    kernel.generic("m k", [(x, "m, k")], (total, "m"), square, reduced="k")
    root = f"""
    {number(width, "%width")}
    {number(op.epsilon.value, "%epsilon")}
    %mean = arith.divf %o, %width : f32
    %shifted = arith.addf %mean, %epsilon : f32
    %r = math.sqrt %shifted : f32
    """
    kernel.generic("m", [], (total, "m"), root)
    kernel.generic(
        "m k", [(x, "m, k"), (total, "m"), (weight, "k")], (y, "m, k"),
        "%n = arith.divf %i0, %i1 : f32\n%r = arith.mulf %n, %i2 : f32",
    )  # fmt: skip


def _turns(kernel: Kernel, values: DecoderValues, op: Any, rows: int) -> tuple[Memory, Memory]:
    """Tables of cosine and sine [rows, half], made before the first `bw.rope` that reads them."""
    (half,) = shape_of(op.frequencies)

    def make() -> tuple[Memory, Memory]:
        made: list[Memory] = []
        before = kernel.before("turns")
        frequencies = values.view(before, op.frequencies)
        position = values.view(before, op.position)
        for function in ("cos", "sin"):
            memory = values.program.allocate(4 * rows * half, kernel.step, values.steps)
            angle = f"""
            %t = linalg.index 0 : index
            %zero = arith.constant 0 : index
            %start = memref.load {position.name}[%zero] : {position.type}
            %row = arith.index_cast %t : index to i32
            %at = arith.addi %start, %row : i32
            %real = arith.sitofp %at : i32 to f32
            %angle = arith.mulf %real, %i0 : f32
            %r = math.{function} %angle : f32
            """
            table = before.access(memory, "f32", (rows, half))
            before.generic("t f", [(frequencies, "f")], (table, "t, f"), angle)
            made.append(memory)
        return made[0], made[1]

    return values.once(("turns", op.frequencies, op.position, rows), make)


def rope(kernel: Kernel, values: DecoderValues, op: Any) -> None:
    """Every pair, by tables of cosine and sine for the rows."""
    _, rows, heads, width = shape_of(op.input)
    x, y = (values.view(kernel, value, (rows, heads, width)) for value in (op.input, op.result))
    (half,) = shape_of(op.frequencies)
    memories = _turns(kernel, values, op, rows)
    tables = [kernel.access(memory, "f32", (rows, half)) for memory in memories]
    steps, shape = (heads * width, width, 1), (rows, heads, half)
    neighbours = op.pairs.value == "neighbours"
    pair = (steps[0], steps[1], 2 if neighbours else 1)
    offsets = (0, 1) if neighbours else (0, half)
    ins = [(kernel.strided(x, shape, pair, offset), "t, h, f") for offset in offsets]
    ins += [(table, "t, f") for table in tables]
    for offset, (left, right, join) in zip(
        offsets, (("%i2", "%i3", "subf"), ("%i3", "%i2", "addf")), strict=True
    ):
        turned = f"""
        %a = arith.mulf %i0, {left} : f32
        %b = arith.mulf %i1, {right} : f32
        %r = arith.{join} %a, %b : f32
        """
        out = kernel.strided(y, shape, pair, offset)
        kernel.generic("t h f", ins, (out, "t, h, f"), turned)
    if 2 * half < width:
        rest = (rows, heads, width - 2 * half)
        source, target = (kernel.strided(view, rest, steps, 2 * half) for view in (x, y))
        kernel.copy("t h f", (source, "t, h, f"), (target, "t, h, f"))


def cache_update(kernel: Kernel, values: DecoderValues, op: Any) -> None:
    """In place."""
    _, rows, heads, width = shape_of(op.rows)
    cache = values.view(kernel, op.cache, shape_of(op.cache)[1:])
    source = values.view(kernel, op.rows, (rows, heads, width))
    position = values.view(kernel, op.position)
    type_ = f"memref<{rows}x{heads}x{width}xf32, strided<[{heads * width}, {width}, 1], offset: ?>>"
    target = View("%part", "f32", source.shape, type_)
    kernel.lines += [
        "%zero = arith.constant 0 : index",
        f"%start = memref.load {position.name}[%zero] : {position.type}",
        "%at = arith.index_cast %start : i32 to index",
        f"%part = memref.subview {cache.name}[%at, 0, 0] [{rows}, {heads}, {width}] [1, 1, 1] : "
        f"{cache.type} to {target.type}",
    ]
    kernel.copy("t h d", (source, "t, h, d"), (target, "t, h, d"))


_ACTIVATIONS = {
    "gelu_tanh": f"""
    {number(0.5, "%half")}
    {number(1.0, "%one")}
    {number(0.044715, "%cubic")}
    {number(0.7978845608028654, "%root")}
    %x2 = arith.mulf %i0, %i0 : f32
    %x3 = arith.mulf %x2, %i0 : f32
    %bend = arith.mulf %x3, %cubic : f32
    %sum = arith.addf %i0, %bend : f32
    %inner = arith.mulf %sum, %root : f32
    %tanh = math.tanh %inner : f32
    %up = arith.addf %tanh, %one : f32
    %halved = arith.mulf %i0, %half : f32
    %act = arith.mulf %halved, %up : f32
    """,
    "relu_squared": f"""
    {number(0.0, "%zero")}
    %positive = arith.maximumf %i0, %zero : f32
    %act = arith.mulf %positive, %positive : f32
    """,
}


def glu(kernel: Kernel, values: DecoderValues, op: Any) -> None:
    """activation(gate) * input."""
    size = (count(shape_of(op.result)),)
    gate, x, y = (values.view(kernel, v, size) for v in (op.gate, op.input, op.result))
    if op.activation.value == "silu":
        _silu(kernel, gate, x, y)
        return
    body = _ACTIVATIONS[op.activation.value] + "%r = arith.mulf %act, %i1 : f32"
    kernel.generic("e", [(gate, "e"), (x, "e")], (y, "e"), body)


def _silu(kernel: Kernel, gate: View, x: View, y: View) -> None:
    """gate / (1 + e^-gate) * x, in vectors."""
    code, size = VectorCode(kernel), y.shape[0]
    one = code.splat(1.0, FLOATS)
    whole, rest = divmod(size, LANES)

    def vector(at: str, lanes: str) -> None:
        given, other = (code.load_first(lanes, view, at, FLOATS) for view in (gate, x))
        minus = code.make(f"arith.negf {given} : {FLOATS}")
        below = code.apply("addf", exponential(code, minus, LANES), one, FLOATS)
        act = code.apply("divf", given, below, FLOATS)
        code.store_first(lanes, code.apply("mulf", act, other, FLOATS), y, at, FLOATS)

    with code.loop(whole) as at:
        vector(code.index([(at, LANES)]), code.index_constant(LANES))
    if rest:
        vector(code.index_constant(whole * LANES), code.index_constant(rest))


def tanh(kernel: Kernel, values: DecoderValues, op: Any) -> None:
    """Elementwise."""
    size = (count(shape_of(op.result)),)
    x, y = (values.view(kernel, v, size) for v in (op.input, op.result))
    kernel.generic("e", [(x, "e")], (y, "e"), "%r = math.tanh %i0 : f32")


def _binary(instruction: str) -> Callable[[Kernel, DecoderValues, Any], None]:
    def emit(kernel: Kernel, values: DecoderValues, op: Any) -> None:
        size = count(shape_of(op.result))
        ins: list[tuple[View, str]] = []
        for operand in (op.lhs, op.rhs):
            elements = count(shape_of(operand))
            if elements not in (1, size):
                raise refuse(op, f"broadcasts {operand.type} to {op.result.type}")
            ins.append((values.view(kernel, operand, (elements,)), "e" if elements > 1 else "0"))
        for name in ("lhs_multiplier", "rhs_multiplier"):
            if name in op.attributes and op.attributes[name].value != 1:
                raise refuse(op, "subtracts")
        y = values.view(kernel, op.result, (size,))
        kernel.generic("e", ins, (y, "e"), f"%r = arith.{instruction} %i0, %i1 : f32")

    return emit


KERNELS: dict[str, Callable[[Kernel, DecoderValues, Any], None]] = {
    "bw.linear": linear,
    "bw.dynamic_linear": dynamic.linear,
    "bw.gather": gather,
    "bw.rms_norm": rms_norm,
    "bw.rope": rope,
    "bw.cache_update": cache_update,
    "bw.attention": attention,
    "bw.glu": glu,
    "bw.tanh": tanh,
    "bw.add": _binary("addf"),
    "bw.mul": _binary("mulf"),
    "bw.div": _binary("divf"),
}
