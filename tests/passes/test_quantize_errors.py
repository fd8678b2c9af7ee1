"""Every error of the quantize pass that is not about samples, with its whole message."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.ir import bw
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.passes.pipeline import parse
from bitwright.passes.quantize import Quantize
from bitwright.passes.quantize.errors import NotQuantizable, QuantizeOptionError

SHAPE = (1, 2, 4, 4)


def model(body: Callable[[Builder, ir.Value], ir.Value]) -> ir.Module:
    builder = Builder([("x", SHAPE, None)])
    builder.named("layer")
    return builder.finish([("y", body(builder, builder.inputs[0]))])


def batch_norm(builder: Builder, x: ir.Value) -> ir.Value:
    ones = [builder.constant(np.ones(2, np.float32)) for _ in range(4)]
    return builder.batch_norm(x, *ones, 1e-3)


def constants_only(builder: Builder, x: ir.Value) -> ir.Value:
    return builder.add(x, builder.relu(builder.constant(np.ones(SHAPE, np.float32))))


def padded_average(builder: Builder, x: ir.Value) -> ir.Value:
    return builder.avg_pool2d(x, kernel=(2, 2), stride=(2, 2), padding=(1, 1, 0, 0))


def computed_weight(builder: Builder, x: ir.Value) -> ir.Value:
    weight = builder.reshape(x, (4, 8))
    return builder.linear(
        builder.reshape(x, (4, 8)), weight, builder.constant(np.zeros(4, np.float32))
    )


def constant_output(builder: Builder, x: ir.Value) -> ir.Value:
    del x
    return builder.constant(np.ones(3, np.float32))


ERRORS = [
    (batch_norm, "'layer' is bw.batch_norm; run the pass fold before quantize"),
    (constants_only, "'layer' is bw.relu of constants only; run the pass fold before quantize"),
    (
        padded_average,
        "'layer' is bw.avg_pool2d with padding [1, 1, 0, 0] that does not count "
        "(count_include_pad = false), so that its divisor changes from pixel to pixel; export the "
        "model with count_include_pad = true or without padding",
    ),
    (
        computed_weight,
        "'layer' is bw.linear whose weight or bias is computed at run time; quantize needs "
        "constants there, use bw.matmul for a product of two activations",
    ),
    (
        constant_output,
        "The model's output 'y' is a constant, whatever its inputs; remove it from the model",
    ),
]


@pytest.mark.parametrize(("body", "message"), ERRORS)
def test_models_without_integer_form(
    body: Callable[[Builder, ir.Value], ir.Value], message: str
) -> None:
    with pytest.raises(NotQuantizable) as caught:
        Quantize(samples={"x": np.ones(SHAPE, np.float32)}).run(model(body))
    assert str(caught.value) == message
    assert caught.value.exit_code == 3


def test_a_module_that_is_quantized_already() -> None:
    builder = Builder([("x", SHAPE, QuantParams((0.5,), 0, 8, -128, 127))])
    module = builder.finish([("y", builder.inputs[0])])
    with pytest.raises(NotQuantizable) as caught:
        Quantize(samples={"x": np.ones(SHAPE, np.float32)}).run(module)
    assert str(caught.value) == (
        "The model's input 'x' is tensor<1x2x4x4x!quant.uniform<i8:f32, 5.000000e-01>>, so the "
        "module is quantized already; quantize takes a float module"
    )


def test_an_operation_that_quantize_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitwright.passes.quantize.ties.SUPPORTED", ("add", "relu"))
    with pytest.raises(NotQuantizable) as caught:
        Quantize(samples={"x": np.ones(SHAPE, np.float32)}).run(
            model(lambda builder, x: builder.unary(bw.TanhOp, x))
        )
    assert str(caught.value) == (
        "'layer' is bw.tanh, which has no integer form; quantize knows add, relu"
    )


OPTIONS = [
    ({"weights": 9}, "Option weights of quantize is 9; expected 2 to 8 bits"),
    ({"activations": 1}, "Option activations of quantize is 1; expected 2 to 8 bits"),
    ({"boundary_bits": 16}, "Option boundary_bits of quantize is 16; expected 2 to 8 bits"),
    ({"boundary_weights": 0}, "Option boundary_weights of quantize is 0; expected 2 to 8 bits"),
    (
        {"ranges": "entropy"},
        "Option ranges of quantize is 'entropy'; expected one of minmax, percentile, mse",
    ),
    (
        {"percentile": 0.9999},
        "Option percentile of quantize is 0.9999; expected more than 50 and at most 100, such as "
        "99.99",
    ),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(QuantizeOptionError) as caught:
        Quantize(**options)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2


def test_options_in_the_text_of_a_pipeline() -> None:
    text = "quantize{weights=4 boundary_bits=none ranges=mse per_channel=false calibration=a.npz}"
    assert parse(text) == [
        Quantize(
            weights=4, boundary_bits=None, ranges="mse", per_channel=False, calibration="a.npz"
        )
    ]
