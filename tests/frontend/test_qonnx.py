"""QONNX operators: every attribute against the schemas' formulas, and what is refused."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from bitwright.errors import BitwrightError
from bitwright.frontend import onnx as frontend
from bitwright.frontend.onnx.qonnx import DOMAINS
from bitwright.ir import reference

sys.path.insert(0, str(Path(__file__).parent))

import qonnx_models as q

SHAPE = (1, 3, 4, 64)
# quarters and their neighbours in float32: ties, and all but ties
_QUARTERS = np.arange(-96, 96, dtype=np.float32) / 4
X = (
    np.stack([_QUARTERS, np.nextafter(_QUARTERS, 99), np.nextafter(_QUARTERS, -99), _QUARTERS / 7])
    .astype(np.float32)
    .reshape(1, 3, 4, 64)
)
CHANNELS = np.array([0.5, 0.25, 1.5], np.float32).reshape(1, 3, 1, 1)


def _run(data: bytes, x: np.ndarray = X) -> np.ndarray:
    return reference.run(frontend.load(data), {"x": x})["y"]


def _equal(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("domain", [*DOMAINS, "", "ai.onnx"])
@pytest.mark.parametrize("kind", ["Quant", "IntQuant"])
def test_domains(kind: str, domain: str) -> None:
    data = q.model(kind, SHAPE, [0.5, 0, 4], domain, signed=1, narrow=0)
    _equal(_run(data), q.quant(X, 0.5, 0, 4, signed=True, narrow=False, mode="ROUND"))


@pytest.mark.parametrize("mode", q.ROUND)
@pytest.mark.parametrize("zero_point", [0, 3, -2])
@pytest.mark.parametrize("scale", [1.0, 0.3, CHANNELS])
def test_rounding_modes(mode: str, zero_point: float, scale: Any) -> None:
    for spelling in (mode, mode.lower()):
        data = q.model(
            "Quant", SHAPE, [scale, zero_point, 4], signed=1, narrow=0, rounding_mode=spelling
        )
        wanted = q.quant(X, scale, zero_point, 4, signed=True, narrow=False, mode=mode)
        _equal(_run(data), wanted)


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("narrow", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 3, 8, 9, 16, 24])
def test_formats(signed: int, narrow: int, bits: int) -> None:
    if not signed and narrow and bits == 1:
        return  # see test_refusals
    operands: list[Any] = [0.125, 1, bits]
    settings_ = {"signed": signed, "narrow": narrow}
    wanted = q.quant(X, 0.125, 1, bits, signed=bool(signed), narrow=bool(narrow), mode="ROUND")
    _equal(_run(q.model("Quant", SHAPE, operands, **settings_)), wanted)
    module = frontend.load(q.constant_model("Quant", X, operands, **settings_))
    _equal(reference.run(module, {"z": np.zeros_like(X)})["sum"], wanted)


@pytest.mark.parametrize("scale", [1.0, 0.3, CHANNELS])
def test_bipolar(scale: Any) -> None:
    wanted = np.where(X >= 0, np.float32(1), np.float32(-1)) * np.float32(scale)
    _equal(_run(q.model("BipolarQuant", SHAPE, [scale])), wanted)
    module = frontend.load(q.constant_model("BipolarQuant", X, [scale]))
    _equal(reference.run(module, {"z": np.zeros_like(X)})["sum"], wanted)


@pytest.mark.parametrize("mode", ["FLOOR", "ceil", "ROUND"])
def test_trunc(mode: str) -> None:
    first = q.model("Trunc", SHAPE, [0.25, 2, 8, 5], rounding_mode=mode)
    _equal(_run(first), q.trunc(X, 0.25, 2, 3, mode.upper()))
    second = q.model("Trunc", SHAPE, [0.25, 8, 8, 1.0, 4], rounding_mode=mode, signed=1, narrow=1)
    _equal(_run(second), q.trunc_to(X, 0.25, 8, 1.0, -7, 7, mode.upper()))
    module = frontend.load(q.constant_model("Trunc", X, [0.25, 8, 8, 1.0, 4]))
    wanted = q.trunc_to(X, 0.25, 8, 1.0, -8, 7, "FLOOR")
    _equal(reference.run(module, {"z": np.zeros_like(X)})["sum"], wanted)


@pytest.mark.parametrize(("layout", "axis"), [("", 1), ("NCHW", 1), ("NHWC", 3), ("NWCH", 2)])
@pytest.mark.parametrize(
    ("scale", "bias", "name"),
    [(1, 0, "UINT3"), (2, -1, ""), (0.5, -2, "INT4"), (1, 0.25, ""), (0.3, 0.2, "FLOAT32"),
     (-1, 0, "INT8")],
)  # fmt: skip
def test_multi_threshold(layout: str, axis: int, scale: float, bias: float, name: str) -> None:
    rng = np.random.default_rng(axis)
    thresholds = rng.uniform(-20, 20, (X.shape[axis], 7)).astype(np.float32)
    attributes: dict[str, Any] = {"data_layout": layout} if layout else {}
    data = q.model(
        "MultiThreshold", SHAPE, [thresholds], "finn.custom_op.general", out_scale=float(scale),
        out_bias=float(bias), out_dtype=name, **attributes,
    )  # fmt: skip
    _equal(_run(data), q.multi_threshold(X, thresholds, scale, bias, axis))


@pytest.mark.parametrize(
    ("exponent", "mantissa", "bias", "most"),
    [(4, 3, 7, 448.0), (5, 2, 15, 57344.0), (2, 1, 1, 6.0)],
)
def test_float_quant(exponent: int, mantissa: int, bias: float, most: float) -> None:
    operands: list[Any] = [0.5, exponent, mantissa, bias, most]
    wanted = q.float_quant(X, 0.5, exponent, mantissa, bias, most, "ROUND")
    _equal(_run(q.model("FloatQuant", SHAPE, operands, has_inf=0, has_nan=1)), wanted)
    operands = [0.3, 3, 4, 2, 12.0]
    module = frontend.load(q.constant_model("FloatQuant", X, operands, rounding_mode="floor"))
    wanted = q.float_quant(X, 0.3, 3, 4, 2, 12.0, "FLOOR")
    _equal(reference.run(module, {"z": np.zeros_like(X)})["sum"], wanted)


_FIRST = f"Node 'n' (Quant, domain {q.DOMAIN}): "
REFUSED: dict[str, tuple[str, list[Any], dict[str, Any], str]] = {
    "fractional bits": ("Quant", [1, 0, 3.5], {},
        "input 3 ('c2') is the bit width 3.5; supported: a whole number of bits"),
    "no bits": ("Quant", [1, 0, 0], {},
        "input 3 ('c2') is the bit width 0; supported: 1 to 32 bits"),
    "bits of channels": ("Quant", [1, 0, np.array([3, 4])], {},
        "input 3 ('c2') is the bit width, [3, 4]; supported: one number for the tensor"),
    "one narrow bit": ("Quant", [1, 0, 1], {"signed": 0, "narrow": 1},
        "input 3 ('c2') is the bit width 1, which leaves the integers from 0 to 0; supported: at "
        "least two of them"),
    "negative scale": ("Quant", [-1, 0, 3], {},
        "input 1 ('c0') is the scale, [-1]; supported: positive scales"),
    "infinite scale": ("Quant", [np.array([np.inf, 1]), 0, 3], {},
        "tensor 'c0' of shape [2] holds 0 NaN and 1 infinite values among 2; expected finite "
        "weights. Train or export the model again"),
    "shape of the scale": ("Quant", [np.ones((3, 1)), 0, 3], {},
        "input 1 ('c0') is the scale of shape [3, 1]; supported: extents that broadcast to "
        "[1, 3, 4, 64], those of the tensor"),
    "zero point": ("Quant", [1, 0.5, 3], {},
        "input 2 ('c1') is the zero point, [0.5]; supported: integers of at most 24 bits"),
    "rounding": ("Quant", [1, 0, 3], {"rounding_mode": "STOCHASTIC"},
        "attribute rounding_mode is 'STOCHASTIC'; supported: ROUND, HALF_EVEN, CEIL, FLOOR, DOWN, "
        "UP, HALF_UP, HALF_DOWN"),
    "signed": ("Quant", [1, 0, 3], {"signed": 2}, "attribute signed is 2; supported: 0 and 1"),
    "missing scale": ("Quant", [], {}, "input 3 is missing"),
    "zero point of Trunc": ("Trunc", [0.25, 1, 8, 1.0, 4], {},
        "input 2 ('c1') is the zero point, [0.25] after the truncation; supported: integers"),
    "rows of thresholds": ("MultiThreshold", [np.zeros((2, 3))], {},
        "input 1 ('c0') is the thresholds of shape [2, 3]; supported: [1, n] or [3, n], one row "
        "for each index of axis 1"),
    "many thresholds": ("MultiThreshold", [np.zeros((1, 256))], {},
        "input 1 ('c0') has 256 thresholds; supported: 1 to 255"),
    "layout": ("MultiThreshold", [np.zeros((1, 3))], {"data_layout": "NCCC"},
        "attribute data_layout is 'NCCC'; supported: NC, NCHW, NHWC and the like, with one C"),
    "type": ("MultiThreshold", [np.zeros((1, 4))], {"out_dtype": "UINT2"},
        "attribute out_dtype is 'UINT2'; supported: a type that holds the results, [0, 4]"),
    "unknown type": ("MultiThreshold", [np.zeros((1, 4))], {"out_dtype": "POSIT8"},
        "attribute out_dtype is 'POSIT8'; supported: INT1 to INT99, UINT1 to UINT99, FLOAT32, "
        "BIPOLAR, BINARY, TERNARY"),
    "saturation": ("FloatQuant", [1, 4, 3, 7, 448], {"saturation": 0},
        "attribute saturation is 0; supported: 1"),
    "float format": ("FloatQuant", [1, 3, 4, 2, 12], {},
        "input 0 ('x') is computed, and its format is E3M4, bias 2, greatest 12, rounding "
        "half_even; supported: constants, and with rounding half_even E4M3, bias 7, greatest 448; "
        "E5M2, bias 15, greatest 57344; E2M1, bias 1, greatest 6"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    kind, operands, attributes, message = REFUSED[name]
    with pytest.raises(BitwrightError) as error:
        frontend.load(q.model(kind, SHAPE, operands, **attributes))
    first = _FIRST.replace("Quant,", f"{kind},")
    expected = f"the model: {message}" if message.startswith("tensor") else first + message
    assert str(error.value) == expected


def test_a_computed_scale_is_refused() -> None:
    proto = onnx.load_from_string(q.model("Quant", (1, 4), [1, 0, 3]))
    proto.graph.node[0].input[1] = "x"
    with pytest.raises(BitwrightError) as error:
        frontend.load(proto.SerializeToString())
    assert str(error.value) == (
        f"{_FIRST}input 1 ('x') is the scale and is computed at run time; supported: a constant "
        "scale"
    )


_NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 3.0, 8.0, 1e30, -7.25, 33.0, 1e-40, np.nan])
_TEXTS = st.sampled_from(["ROUND", "floor", "half_up", "", "NHWC", "UINT2", "C", "N"])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_mutated_nodes_give_our_errors(data: st.DataObject) -> None:
    """Any operands and attributes: a verified module, or one of our errors."""
    kind = data.draw(st.sampled_from([
        "BipolarQuant", "FloatQuant", "IntQuant", "MultiThreshold", "Quant", "Trunc",
    ]))  # fmt: skip
    operands: list[Any] = []
    for _ in range(data.draw(st.integers(0, 6))):
        shape = data.draw(st.sampled_from([(), (1,), (3,), (1, 3), (3, 2), (1, 3, 1), (0,)]))
        values = [data.draw(_NUMBERS) for _ in range(int(np.prod(shape)))]
        operands.append(np.array(values, np.float32).reshape(shape))
    names = st.sampled_from([
        "signed", "narrow", "rounding_mode", "out_scale", "out_bias", "out_dtype", "data_layout",
        "has_inf", "saturation",
    ])  # fmt: skip
    values = st.one_of(st.integers(-1, 2), _NUMBERS, _TEXTS, st.just([1, 2]))
    attributes = data.draw(st.dictionaries(names, values, max_size=4))
    make = data.draw(st.sampled_from([q.model, q.constant_model]))
    x: Any = np.ones((1, 3), np.float32) if make is q.constant_model else (1, 3)
    proto = onnx.load_from_string(make(kind, x, operands, **attributes))
    if operands and data.draw(st.booleans()):
        changed = numpy_helper.from_array(
            np.ones((1, 3), np.int64), proto.graph.initializer[0].name
        )
        proto.graph.initializer[0].CopyFrom(changed)
    with suppress(BitwrightError):
        frontend.load(proto.SerializeToString())
