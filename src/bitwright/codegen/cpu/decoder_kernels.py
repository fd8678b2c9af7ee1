"""Float kernels of the operations of decoders.

Sums are in float32, in vectors: results differ from the reference interpreter's by rounding. Their
order is written out, so that a row's results do not depend on the rows beside it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from bitwright.codegen.cpu import dynamic
from bitwright.codegen.cpu.decoder_attention import attention
from bitwright.codegen.cpu.decoder_products import gather, linear
from bitwright.codegen.cpu.decoder_program import DecoderValues, refuse
from bitwright.codegen.cpu.exponential import exponential
from bitwright.codegen.cpu.program import Kernel, Memory, View, count
from bitwright.codegen.cpu.vectors import FLOATS, LANES, VectorCode
from bitwright.ir.types import shape_of

SHARED_FROM = 1 << 14
"""Numbers from which an operation is shared among threads: to wait for all takes as long as some
thousand."""


def _is_shared(size: int, among: int = 2) -> bool:
    """Whether threads share an operation on so many numbers, in so many parts that can be split."""
    return among > 1 and size >= SHARED_FROM


def number(value: float, name: str) -> str:
    """A line that defines a float constant."""
    return f"{name} = arith.constant {value:.17e} : f32"


def rms_norm(kernel: Kernel, values: DecoderValues, op: Any) -> None:
    """A pass for the sum of squares, one for the result."""
    code, fused = VectorCode(kernel), values.level.has_fused
    width = shape_of(op.input)[-1]
    size = count(shape_of(op.input))
    x, y = (values.view(kernel, value, (size,)) for value in (op.input, op.result))
    weight = values.view(kernel, op.weight)
    whole, rest = divmod(width, LANES)
    lanes = code.index_constant(rest)
    with code.loop(size // width, shared=_is_shared(size, size // width)) as row:

        def place(at: str) -> str:
            return code.index([(row, width), (at, LANES)])

        def square(at: str, sums: list[str]) -> list[str]:
            given = code.load(x, place(at), FLOATS)
            return [code.fused(given, given, sums[0], FLOATS, fused=fused)]

        def scaled(given: str, factors: str) -> str:
            return code.apply("mulf", code.apply("divf", given, roots, FLOATS), factors, FLOATS)

        (sums,) = code.sums(whole, [code.splat(0.0, FLOATS)], square, FLOATS)
        end = code.index_constant(whole)
        if rest:
            given = code.load_first(lanes, x, place(end), FLOATS)
            sums = code.fused(given, given, sums, FLOATS, fused=fused)
        total = code.total(sums, LANES)
        extent = code.make(f"arith.constant {width:.9e} : f32")
        epsilon = code.make(f"arith.constant {op.epsilon.value:.9e} : f32")
        mean = code.apply("addf", code.apply("divf", total, extent, "f32"), epsilon, "f32")
        root = code.make(f"math.sqrt {mean} : f32")
        roots = code.convert("vector.broadcast", root, "f32", FLOATS)
        with code.loop(whole) as at:
            factors = code.load(weight, code.index([(at, LANES)]), FLOATS)
            code.store(scaled(code.load(x, place(at), FLOATS), factors), y, place(at), FLOATS)
        if rest:
            factors = code.load_first(lanes, weight, code.index([(end, LANES)]), FLOATS)
            result = scaled(code.load_first(lanes, x, place(end), FLOATS), factors)
            code.store_first(lanes, result, y, place(end), FLOATS)


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
    shared = kernel.part(rows) if _is_shared(count(shape_of(op.input)), rows) else None

    def part(view: View, extents: Sequence[int], strides: Sequence[int], offset: int = 0) -> View:
        """The rows of this thread."""
        whole = kernel.strided(view, extents, strides, offset)
        return whole if shared is None else kernel.rows(whole, strides, *shared)

    ins = [(part(x, shape, pair, offset), "t, h, f") for offset in offsets]
    ins += [(part(table, (rows, half), (half, 1)), "t, f") for table in tables]
    for offset, (left, right, join) in zip(
        offsets, (("%i2", "%i3", "subf"), ("%i3", "%i2", "addf")), strict=True
    ):
        turned = f"""
        %a = arith.mulf %i0, {left} : f32
        %b = arith.mulf %i1, {right} : f32
        %r = arith.{join} %a, %b : f32
        """
        kernel.generic("t h f", ins, (part(y, shape, pair, offset), "t, h, f"), turned)
    if 2 * half < width:
        rest = (rows, heads, width - 2 * half)
        source, target = (part(view, rest, steps, 2 * half) for view in (x, y))
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
        _silu(kernel, gate, x, y, fused=values.level.has_fused)
        return
    body = _ACTIVATIONS[op.activation.value] + "%r = arith.mulf %act, %i1 : f32"
    _elementwise(kernel, [gate, x], y, body)


def _elementwise(kernel: Kernel, ins: Sequence[View], y: View, body: str) -> None:
    """The element `%r` of each of y, of those of arrays of one size."""
    if _is_shared(y.shape[0]):
        kernel.shared_generic(ins, y, body)
    else:
        kernel.generic("e", [(view, "e") for view in ins], (y, "e"), body)


def _silu(kernel: Kernel, gate: View, x: View, y: View, *, fused: bool) -> None:
    """gate / (1 + e^-gate) * x, in vectors."""
    code, size = VectorCode(kernel), y.shape[0]
    one = code.splat(1.0, FLOATS)
    whole, rest = divmod(size, LANES)

    def vector(at: str, lanes: str) -> None:
        given, other = (code.load_first(lanes, view, at, FLOATS) for view in (gate, x))
        minus = code.make(f"arith.negf {given} : {FLOATS}")
        power = exponential(code, minus, LANES, fused=fused)
        below = code.apply("addf", power, one, FLOATS)
        act = code.apply("divf", given, below, FLOATS)
        code.store_first(lanes, code.apply("mulf", act, other, FLOATS), y, at, FLOATS)

    shared = _is_shared(size)
    with code.loop(whole, shared=shared) as at:
        vector(code.index([(at, LANES)]), code.index_constant(LANES))
    if rest:
        with code.loop(1, shared=shared):
            vector(code.index_constant(whole * LANES), code.index_constant(rest))


def tanh(kernel: Kernel, values: DecoderValues, op: Any) -> None:
    """Elementwise."""
    size = (count(shape_of(op.result)),)
    x, y = (values.view(kernel, v, size) for v in (op.input, op.result))
    _elementwise(kernel, [x], y, "%r = math.tanh %i0 : f32")


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
        y, body = (
            values.view(kernel, op.result, (size,)),
            f"%r = arith.{instruction} %i0, %i1 : f32",
        )
        if all(at == "e" for _, at in ins):
            _elementwise(kernel, [view for view, _ in ins], y, body)
        else:
            kernel.generic("e", ins, (y, "e"), body)

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
