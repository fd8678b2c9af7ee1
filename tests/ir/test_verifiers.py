"""Every verifier's message names the operation, the attribute and the values."""

from typing import Any

import pytest

from bitwright.ir.builder import Builder
from bitwright.ir.context import IrError, parse
from bitwright.ir.types import QuantParams

Q = "!quant.uniform<i8:f32, 5.0e-01:-3>"
W = "!quant.uniform<i4<-7:7>:f32, 2.5e-01>"


def _module(body: str, arguments: str, result: str) -> str:
    return f"func.func @main({arguments}) -> {result} {{\n{body}\n}}"


CONV = (
    '%w = "bw.constant"() {{value = dense<1> : tensor<4x{c}x3x3xi8>}} : () -> '
    "tensor<4x{c}x3x3x" + W + ">\n"
    '%b = "bw.constant"() {{value = dense<0> : tensor<4xi32>}} : () -> tensor<4xi32>\n'
    '%0 = "bw.conv2d"(%x, %w, %b) {{stride = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, '
    "dilation = array<i64: 1, 1>, groups = {g} : i64}} : (tensor<1x3x8x8x" + Q + ">, "
    "tensor<4x{c}x3x3x" + W + ">, tensor<4xi32>) -> tensor<1x4x{h}x6x{e}>\n"
    "return %0 : tensor<1x4x{h}x6x{e}>"
)
REQUANTIZE = (
    '%0 = "bw.requantize"(%x) {{multiplier = array<i64: {m}>, shift = array<i64: {s}>, '
    "axis = 1 : i64, clamp_min = {low} : i64, clamp_max = 127 : i64, rounding = \"{r}\"}} : "
    "(tensor<1x4xi32>) -> tensor<1x4x" + Q + ">\n"
    "return %0 : tensor<1x4x" + Q + ">"
)  # fmt: skip


def _conv(**changes: object) -> str:
    values = {"c": 3, "g": 1, "h": 6, "e": "i32", **changes}
    return _module(
        CONV.format(**values), f"%x: tensor<1x3x8x8x{Q}>",
        f"tensor<1x4x{values['h']}x6x{values['e']}>",
    )  # fmt: skip


def _requantize(**changes: object) -> str:
    values = {"m": 40000, "s": 16, "low": -128, "r": "half_up", **changes}
    return _module(REQUANTIZE.format(**values), "%x: tensor<1x4xi32>", f"tensor<1x4x{Q}>")


@pytest.mark.parametrize("text", [_conv(), _requantize()])
def test_valid_text_round_trips(text: str) -> None:
    module = parse(text)
    assert str(parse(str(module))) == str(module)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_conv(h=7), "bw.conv2d: result has shape (1, 4, 7, 6), expected (1, 4, 6, 6)"),
        (
            _conv(g=2),
            "bw.conv2d: 3 input channels in 2 groups need a weight of [4, channels / groups, ...], "
            "found (4, 3, 3, 3)",
        ),
        (_conv(e="f32"), "tensor<4xi32>) and result"),
        (_requantize(m=65536), "bw.requantize: multiplier 65536 and shift 16; expected 0 to 65535 "
                               "and 1 to 46"),
        (_requantize(s=47), "bw.requantize: multiplier 40000 and shift 47; expected 0 to 65535 "
                            "and 1 to 46"),
        (_requantize(low=-129), "bw.requantize: clamp [-129, 127] leaves the range of tensor<1x4x"),
        (_requantize(r="up"), "bw.requantize: rounding 'up' is not one of half_up"),
    ],
)  # fmt: skip
def test_invalid_text_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(IrError) as error:
        parse(text)
    if message.startswith("tensor<4xi32>"):
        assert "bw.conv2d: bias tensor<4xi32> and result tensor<1x4x6x6xf32> must be i32" in str(
            error.value
        )
    else:
        assert message in str(error.value)


@pytest.mark.parametrize(("m", "s", "r"), [(2**31 - 1, 62, "tflite"), (0, 1, "half_away")])
def test_each_rounding_has_its_limits(m: int, s: int, r: str) -> None:
    parse(_requantize(m=m, s=s, r=r))
    for changed, found in (({"m": 2**31}, f"multiplier {2**31} and shift {s}"),
                           ({"s": 63}, f"multiplier {m} and shift 63"),
                           ({"s": 0}, f"multiplier {m} and shift 0")):  # fmt: skip
        with pytest.raises(IrError) as error:
            parse(_requantize(**{"m": m, "s": s, "r": r, **changed}))
        expected = f"bw.requantize: {found}; expected 0 to 2147483647 and 1 to 62"
        assert expected in str(error.value)


P = QuantParams((0.5,), 3, 8, -128, 127)
TABLE = [2**31 - 1, *range(255, 0, -1)]


def _scaled_add(builder: Builder, **changes: Any) -> object:
    options = {"left_shift": 20, "lhs_scale": (1 << 30, 31), "rhs_scale": (1 << 30, 31), **changes}
    return builder.scaled_add(*builder.inputs, **options)


def _average(builder: Builder, **changes: Any) -> object:
    options = {"kernel": (2, 2), "stride": (1, 1), **changes}
    return builder.integer_avg_pool2d(builder.inputs[0], **options)


@pytest.mark.parametrize(
    ("build", "changes", "message"),
    [
        (_scaled_add, {}, None),
        (_scaled_add, {"left_shift": 23},
         "bw.scaled_add: left_shift is 23, expected 0 to 22"),
        (_scaled_add, {"rhs_scale": (1 << 30, 30)},
         "bw.scaled_add: rhs_multiplier 1073741824 and rhs_shift 30; expected 0 to 2147483647 "
         "and 31 to 62"),
        (_average, {"padding": (1, 1, 1, 1)}, None),
        (_average, {"padding": (0, 2, 0, 0)},
         "bw.integer_avg_pool2d: padding [0, 2, 0, 0] is not less than the kernel [2, 2], so that "
         "a window would be empty"),
        (_average, {"clamp_max": 128},
         "bw.integer_avg_pool2d: clamp [-128, 128] leaves the range of tensor<1x3x7x7x"),
        (lambda b, table: b.fixed_point_softmax(b.inputs[0], 1, table), {"table": TABLE}, None),
        (lambda b, table: b.fixed_point_softmax(b.inputs[0], 1, table), {"table": TABLE[1:]},
         "bw.fixed_point_softmax: table needs 256 entries from 2147483647 down to not less than 0"),
        (lambda b, axis: b.fixed_point_softmax(b.inputs[0], axis, TABLE), {"axis": 4},
         "bw.fixed_point_softmax: axis 4 is outside of (1, 3, 8, 8)"),
    ],
)  # fmt: skip
def test_fixed_point_operations(build: Any, changes: dict[str, Any], message: str | None) -> None:
    builder = Builder([("x", (1, 3, 8, 8), P), ("y", (1, 3, 8, 8), P)])
    result = build(builder, **changes)
    if message is None:
        module = builder.finish([("z", result)])
        assert str(parse(str(module))) == str(module)
        return
    with pytest.raises(IrError) as error:
        builder.finish([("z", result)])
    assert message in str(error.value)


def test_accel_instruction_names_its_field() -> None:
    from bitwright.ir.instructions import FIELDS

    fields = ", ".join(f"{f.name} = {-1 if f.name == 'n_oy' else 1} : i64" for f in FIELDS)
    text = f'"accel.matmul"() {{layer = "a", src = "x", src2 = "", dst = "y", {fields}}} : () -> ()'
    with pytest.raises(IrError) as error:
        parse(text)
    assert "accel.matmul: n_oy (trip count: output rows) is -1, expected >= 0" in str(error.value)
