"""Operations of decoders against naive loops; their verifiers; their text; functions by name."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import graph, reference
from bitwright.ir import interpreter as interpreter_module
from bitwright.ir.builder import Builder
from bitwright.ir.bw_decoder import GLU_ACTIVATIONS, ROPE_PAIRS
from bitwright.ir.context import IrError, parse
from bitwright.ir.interpreter import Interpreter
from bitwright.ir.reference_decoder import CacheTooShort

Array = NDArray[Any]
INT = np.dtype(np.int32)


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def evaluate(inputs: dict[str, Array], make: Callable[..., ir.Value]) -> Array:
    """One operation on run-time operands: the same from the module and from its printed text."""
    builder = Builder(
        [(n, a.shape, INT if a.dtype == np.int32 else None) for n, a in inputs.items()]
    )
    module = builder.finish([("y", make(builder, *builder.inputs))])
    found = reference.run(module, inputs)["y"]
    again = reference.run(parse(str(module)), inputs)["y"]
    assert found.dtype == np.float32
    assert np.array_equal(found, again)
    return found


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


def test_rms_norm() -> None:
    x, weight = random(1, 3, 2, 5), random(5, seed=1)
    found = evaluate({"x": x, "w": weight}, lambda b, x, w: b.rms_norm(x, w, 0.25))
    for t in range(3):
        for h in range(2):
            mean = sum(float(v) ** 2 for v in x[0, t, h]) / 5
            for i in range(5):
                wanted = float(x[0, t, h, i]) / math.sqrt(mean + 0.25) * float(weight[i])
                close(found[0, t, h, i], np.float64(wanted))


@pytest.mark.parametrize("pairs", ROPE_PAIRS)
def test_rope(pairs: str) -> None:
    x, frequencies, position = random(1, 4, 3, 8), np.float32([1, 0.5, 0.01]), np.int32([11])
    found = evaluate(
        {"x": x, "f": frequencies, "p": position},
        lambda b, x, f, p: b.rope(x, f, p, pairs=pairs),
    )
    wanted = x.astype(np.float64)
    for t in range(4):
        for h in range(3):
            for i, frequency in enumerate(frequencies):
                one, two = (2 * i, 2 * i + 1) if pairs == "neighbours" else (i, i + 3)
                turn = complex(math.cos((11 + t) * frequency), math.sin((11 + t) * frequency))
                turned = complex(x[0, t, h, one], x[0, t, h, two]) * turn
                wanted[0, t, h, one], wanted[0, t, h, two] = turned.real, turned.imag
    close(found, wanted)
    assert np.array_equal(found[..., 6:], x[..., 6:])


def test_cache_update() -> None:
    cache, rows = random(1, 6, 2, 3), random(1, 2, 2, 3, seed=1)
    kept = cache.copy()
    found = evaluate(
        {"c": cache, "r": rows, "p": np.int32([4])}, lambda b, c, r, p: b.cache_update(c, r, p)
    )
    assert np.array_equal(found, np.concatenate([cache[:, :4], rows], axis=1))
    assert np.array_equal(cache, kept)


@pytest.mark.parametrize("position", [-1, 5])
def test_rows_outside_of_the_cache(position: int) -> None:
    inputs = {"c": random(1, 6, 2, 3), "r": random(1, 2, 2, 3), "p": np.int32([position])}
    message = (
        f"rows: 2 rows from position {position} leave the cache, which has 6; build the module "
        "with a longer context"
    )
    with pytest.raises(CacheTooShort) as raised:
        evaluate(inputs, lambda b, c, r, p: b.named("rows").cache_update(c, r, p))
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("position", "window", "softcap", "groups"),
    [
        (0, 0, 0.0, 4),
        (3, 0, 0.0, 2),
        (3, 2, 0.0, 1),
        (5, 0, 0.7, 2),
        (5, 4, 0.3, 4),
        (4, 9, 0.0, 2),
    ],
)
def test_attention(position: int, window: int, softcap: float, groups: int) -> None:
    rows, heads, width, extent = 3, 4, 5, 8
    query, key = random(1, rows, heads, width), random(1, extent, groups, width, seed=1)
    value = random(1, extent, groups, 6, seed=2)
    found = evaluate(
        {"q": query, "k": key, "v": value, "p": np.int32([position])},
        lambda b, q, k, v, p: b.attention(q, k, v, p, scale=0.4, window=window, softcap=softcap),
    )
    for t in range(rows):
        at = position + t
        seen = [j for j in range(at + 1) if not window or j > at - window]
        for h in range(heads):
            g = h // (heads // groups)
            scores = [0.4 * float(query[0, t, h].astype(np.float64) @ key[0, j, g]) for j in seen]
            if softcap:
                scores = [softcap * math.tanh(s / softcap) for s in scores]
            weights = [math.exp(s) for s in scores]
            wanted = sum(
                w * value[0, j, g].astype(np.float64) for w, j in zip(weights, seen, strict=True)
            )
            close(found[0, t, h], np.asarray(wanted) / sum(weights))


@pytest.mark.parametrize("activation", GLU_ACTIVATIONS)
def test_glu(activation: str) -> None:
    gate, x = random(1, 4, 6) * 4, random(1, 4, 6, seed=1)
    gate[0, 0, :2] = -200, 200
    found = evaluate({"g": gate, "x": x}, lambda b, g, x: b.glu(g, x, activation))
    functions: dict[str, Callable[[float], float]] = {
        "silu": lambda g: g / (1 + math.exp(-g)),
        "gelu_tanh": lambda g: (
            g / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (g + 0.044715 * g**3)))
        ),
        "relu_squared": lambda g: max(g, 0) ** 2,
    }
    wanted = [
        functions[activation](float(g)) * float(v) for g, v in zip(gate.flat, x.flat, strict=True)
    ]
    close(found, np.reshape(wanted, x.shape))


X, P = "tensor<1x3x4x8xf32>", "tensor<1xsi32>"


@pytest.mark.parametrize(
    ("operation", "attributes", "operands", "result", "message"),
    [
        ("rms_norm", "epsilon = 0.0", (X, "tensor<4xf32>"), X,
         "weight has shape (4,), expected (8,)"),
        ("rms_norm", "epsilon = -1.0", (X, "tensor<8xf32>"), X,
         "epsilon is -1.0, expected at least 0"),
        ("rms_norm", "epsilon = 0.0", (X, "tensor<8xf64>"), X, "tensor<8xf64> is not float"),
        ("rope", 'pairs = "halves"', (X, "tensor<5xf32>", P), X,
         "10 rotated elements of a head that has 8"),
        ("rope", 'pairs = "thirds"', (X, "tensor<4xf32>", P), X,
         "pairs 'thirds' is not one of neighbours, halves"),
        ("rope", 'pairs = "halves"', (X, "tensor<4xf32>", "tensor<1xi32>"), X,
         "position is tensor<1xi32>, expected tensor<1xsi32>"),
        ("rope", 'pairs = "halves"', (X, "tensor<2x2xf32>", P), X,
         "frequencies has shape (2, 2), expected 1 axes"),
        ("cache_update", "", ("tensor<1x2x4x8xf32>", X, P), "tensor<1x2x4x8xf32>",
         "3 rows do not fit the cache, which has 2"),
        ("cache_update", "", ("tensor<1x9x2x8xf32>", X, P), "tensor<1x9x2x8xf32>",
         "rows of shape (1, 3, 4, 8) do not fit a cache (1, 9, 2, 8)"),
        ("attention", "scale = 1.0, window = 0, softcap = 0.0",
         (X, "tensor<1x9x3x8xf32>", "tensor<1x9x3x8xf32>", P), X,
         "4 heads are no multiple of 3 heads of the cache"),
        ("attention", "scale = 1.0, window = 0, softcap = 0.0",
         (X, "tensor<1x9x2x7xf32>", "tensor<1x9x2x8xf32>", P), X,
         "key has shape (1, 9, 2, 7), expected (1, C, G, 8)"),
        ("attention", "scale = 1.0, window = 0, softcap = 0.0",
         (X, "tensor<1x9x2x8xf32>", "tensor<1x8x2x8xf32>", P), X,
         "value has shape (1, 8, 2, 8), expected (1, 9, 2, E)"),
        ("attention", "scale = 1.0, window = 0, softcap = 0.0",
         (X, "tensor<1x2x2x8xf32>", "tensor<1x2x2x8xf32>", P), X,
         "3 rows do not fit the cache, which has 2"),
        ("attention", "scale = 1.0, window = -1, softcap = 0.0",
         (X, "tensor<1x9x2x8xf32>", "tensor<1x9x2x8xf32>", P), X,
         "window -1 and softcap 0.0; expected at least 0"),
        ("glu", 'activation = "mish"', (X, X), X,
         "activation 'mish' is not one of silu, gelu_tanh, relu_squared"),
    ],
)  # fmt: skip
def test_verifiers(
    operation: str, attributes: str, operands: tuple[str, ...], result: str, message: str
) -> None:
    names = [f"%a{i}" for i in range(len(operands))]
    attributes = ", ".join(f"{a} : {_type(a)}" if _type(a) else a for a in _split(attributes))
    arguments = ", ".join(f"{n}: {t}" for n, t in zip(names, operands, strict=True))
    text = (
        f'func.func @main({arguments}) -> {result} {{\n%0 = "bw.{operation}"({", ".join(names)}) '
        f"{{{attributes}}} : ({', '.join(operands)}) -> {result}\nreturn %0 : {result}\n}}"
    )
    with pytest.raises(IrError) as raised:
        parse(text)
    assert f"bw.{operation}: {message}" in str(raised.value)


def _split(attributes: str) -> list[str]:
    return attributes.split(", ") if attributes else []


def _type(attribute: str) -> str:
    if '"' in attribute:
        return ""
    return "f64" if "." in attribute else "i64"


def two_functions() -> ir.Module:
    """@first(x) = x @ W + b, @second(x) = x @ W - x, with W from blocks."""
    codes, scale, zero = (
        random(4, 4).astype(np.int8),
        np.full((4, 1), 0.5, "f4"),
        np.zeros((4, 1), "i1"),
    )
    module = None
    for name in ("first", "second"):
        builder = Builder([("x", (1, 4), None)], function=name, module=module)
        weight = builder.dequantize(*map(builder.plain, (codes, scale, zero)))
        y = builder.linear(builder.inputs[0], weight, builder.plain(np.zeros(4, np.float32)))
        if name == "second":
            y = builder.add(y, builder.inputs[0], 1, -1)
        module = builder.finish([(f"{name}_y", y)])
    assert module is not None
    return module


def test_functions_by_name() -> None:
    module = two_functions()
    assert [item.name for item in graph.outputs(module, "second")] == ["second_y"]
    assert [op.operation.name for op in graph.operations(module, "second")][-1] == "bw.add"
    with pytest.raises(
        IrError, match=r"^The module has no func\.func @main; expected one, as the "
    ):
        graph.inputs(module)
    interpreter = Interpreter(module)
    x = random(1, 4)
    first = interpreter.run({"x": x}, "first")["first_y"]
    second = interpreter.run({"x": x}, "second")["second_y"]
    assert np.array_equal(second, first - x)
    with pytest.raises(reference.InputError, match="Input 'x' is missing"):
        interpreter.run({}, "first")


def test_weights_of_two_functions_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Array] = []

    def counted(operation: Any, *operands: Array) -> Array:
        result = reference.apply(operation, *operands)
        if operation.operation.name == "bw.dequantize":
            made.append(result)
        return result

    monkeypatch.setattr(interpreter_module, "apply", counted)
    interpreter = Interpreter(two_functions())
    for function in ("first", "second", "first"):
        interpreter.run({"x": random(1, 4)}, function)
    assert len(made) == 1


def test_the_interpreter_gives_what_the_reference_gives() -> None:
    builder = Builder([("x", (1, 2, 4), None)])
    x = builder.inputs[0]
    weight = builder.plain(random(4, seed=3))
    y = builder.rms_norm(builder.add(x, weight), weight, 1e-5)
    module = builder.finish([("y", y), ("x_again", x), ("w", weight)])
    found, wanted = (
        f({"x": random(1, 2, 4)})
        for f in (Interpreter(module).run, lambda i: reference.run(module, i))
    )
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert np.array_equal(found[name], array)
