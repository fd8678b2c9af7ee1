"""`bitwright inspect`: what it counts, what it says of targets, its JSON and its page."""

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from rich.console import Console
from torch_mlir import ir

import bitwright
from bitwright import targets
from bitwright.flows.check_target import check_target
from bitwright.flows.inspect import Inspection, inspection_of
from bitwright.flows.layers import layers_of
from bitwright.ir import bw
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(bitwright.__file__).parent / "inspection.schema.json").read_text())


def conv(builder: Builder, x: ir.Value, outputs: int, channels: int) -> ir.Value:
    weight = np.random.default_rng(1).normal(size=(outputs, channels, 3, 3)).astype(np.float32)
    bias = builder.constant(np.zeros(outputs, np.float32))
    return builder.conv2d(x, builder.constant(weight), bias, padding=(1, 1, 1, 1))


def residual() -> ir.Module:
    builder = Builder([("x", (1, 4, 8, 8), None)])
    x = builder.inputs[0]
    first = builder.named("first").relu(conv(builder, x, 4, 4))
    total = builder.named("sum").add(first, conv(builder, first, 4, 4))
    return builder.finish([("y", total)])


def with_products() -> ir.Module:
    """Two products of activations and a slow sum, which the overlay has no instructions for."""
    builder = Builder([("x", (1, 4, 8, 8), None)])
    x = builder.inputs[0]
    square = builder.named("square").mul(x, x)
    product = builder.named("product").matmul(square, square)
    filtered = conv(builder.named("conv"), product, 4, 4)
    mean = builder.named("mean").reduce_mean(filtered, [1], True)
    return builder.finish([("y", builder.named("end").add(mean, mean))])


def with_exotic() -> ir.Module:
    builder = Builder([("x", (1, 4, 8, 8), None)])
    x = builder.inputs[0]
    pool = builder.named("pool").avg_pool2d(x, kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1))
    return builder.finish([("y", builder.named("square").mul(pool, pool))])


def checked(module: ir.Module, target: str) -> Inspection:
    return inspection_of(module, "m.onnx", check_target(module, targets.get(target)))


def valid(inspection: Inspection) -> dict[str, object]:
    document = json.loads(inspection.json())
    Draft202012Validator(SCHEMA).validate(document)
    return document


def test_layers_count_bits_work_and_traffic() -> None:
    conv, relu, _, add = layers_of(residual())
    assert (conv.bits, conv.macs, conv.parameters) == ("W32A32", 8 * 8 * 4 * 36, 4 * 36 + 4)
    assert conv.bytes == 4 * (2 * 256 + 144 + 4)
    assert conv.intensity == 2 * conv.macs / conv.bytes
    assert (relu.bits, relu.bytes, relu.intensity) == ("A32", 4 * 512, None)
    assert (conv.sources, relu.sources, add.sources) == (("x",), (0,), (1, 2))


def test_quantized_weights_are_packed() -> None:
    narrow = QuantParams((1.0,), 0, 3, -3, 3)
    builder = Builder([("x", (1, 5), QuantParams((1.0,), 0, 8, -128, 127))])
    weight = builder.constant(np.ones((3, 5), np.int8), narrow)
    acc = builder.linear(builder.inputs[0], weight, builder.constant(np.zeros(3, np.int32)))
    (layer,) = layers_of(builder.finish([("y", acc)]))
    assert layer.bits == "W3A8"
    assert layer.bytes == 5 + 6 + 12 + 12  # 45 bits of weights are 6 bytes


@pytest.mark.parametrize("target", ["cpu", "ulx3s-85f"])
def test_a_supported_model(target: str) -> None:
    document = valid(checked(residual(), target))
    assert document["target"] == {
        "name": target, "kind": targets.get(target).kind, "supported": True,
        "checked_by": "passes", "problems": [],
    }  # fmt: skip


def test_every_operation_that_the_overlay_refuses() -> None:
    inspection = checked(with_products(), "ulx3s-85f")
    assert inspection.verdict is not None
    assert inspection.verdict.checked_by == "passes"
    names = {inspection.layers[n].name: why for n, why in inspection.verdict.layers.items()}
    assert list(names) == ["square", "product", "mean"]
    assert names["product"] == (
        "bw.matmul (product) with operands [1, 4, 8, 8], [1, 4, 8, 8]: the overlay has no "
        "instruction for it; compile with --target cpu, or change the model there"
    )
    assert checked(with_products(), "cpu").verdict.supported
    valid(inspection)


def test_without_an_integer_form_kinds_are_all_that_is_known() -> None:
    inspection = checked(with_exotic(), "icebreaker")
    assert inspection.verdict is not None
    assert inspection.verdict.checked_by == "operator kinds"
    assert inspection.verdict.layers == {
        0: "'pool' is bw.avg_pool2d with padding [1, 1, 1, 1] that does not count "
        "(count_include_pad = false), so that its divisor changes from pixel to pixel; export "
        "the model with count_include_pad = true or without padding",
        1: "the overlay has no instruction for bw.mul; compile for cpu",
    }
    assert inspection.summary() == (
        "icebreaker: 2 of 2 layers are not supported (checked by operator kinds only; there may "
        "be more)"
    )
    assert list(checked(with_exotic(), "cpu").verdict.layers) == [0]


def test_a_model_that_does_not_fit() -> None:
    builder = Builder([("x", (1, 64, 32, 32), None)])
    module = builder.finish([("y", conv(builder, builder.inputs[0], 64, 64))])
    inspection = checked(module, "icebreaker")
    assert inspection.verdict is not None
    assert not inspection.verdict.layers
    (why,) = inspection.verdict.model
    assert "does not fit target 'icebreaker': bram: needs" in why
    assert "does not fit" in printed(inspection)


def printed(inspection: Inspection) -> str:
    console = Console(width=300, record=True, file=StringIO())
    console.print(inspection.table())
    return console.export_text()


def test_the_table_numbers_the_reasons() -> None:
    text = printed(checked(with_products(), "ulx3s-85f"))
    assert "see (3)" in text
    assert "\n(1) bw.mul (square) with operands [1, 4, 8, 8], [1, 4, 8, 8]: the overlay" in text
    assert "3 of 5 layers are not supported" in text
    assert "problem" not in printed(inspection_of(residual(), "m.onnx"))


def svg_of(inspection: Inspection, path: Path) -> tuple[ElementTree.Element, str]:
    inspection.save_html(path)
    text = path.read_text()
    assert "<script" not in text
    assert "http" not in text  # nothing from a network
    start, end = text.index("<svg"), text.index("</svg>") + len("</svg>")
    return ElementTree.fromstring(text[start:end]), text


def classes(svg: ElementTree.Element, tag: str) -> Sequence[str]:
    return [item.get("class", "") for item in svg.iter(tag)]


def test_the_page_draws_every_layer_and_edge(tmp_path: Path) -> None:
    svg, text = svg_of(checked(with_products(), "ulx3s-85f"), tmp_path / "graph.html")
    boxes = [name for name in classes(svg, "g") if name.startswith("box")]
    assert len(boxes) == 1 + 5 + 1
    assert sum("bad" in name for name in boxes) == 3
    # x to mul, mul to matmul, matmul to conv, conv to mean, mean to add, add to y
    assert classes(svg, "path").count("edge") == 6
    assert 'id="layer4"' in text


def test_no_two_boxes_overlap(tmp_path: Path) -> None:
    builder = Builder([("x", (1, 4, 8, 8), None), ("unused", (1, 4), None)])
    value = builder.inputs[0]
    for _ in range(4):
        value = builder.add(conv(builder, value, 4, 4), builder.unary(bw.TanhOp, value))
    module = builder.finish([("y", value), ("x_again", builder.inputs[0])])
    svg, _ = svg_of(inspection_of(module, "m <&> .onnx"), tmp_path / "graph.html")
    corners = [(float(r.get("x", "")), float(r.get("y", ""))) for r in svg.iter("rect")]
    assert len(corners) == 2 + 12 + 2
    for number, (x, y) in enumerate(corners):
        for other_x, other_y in corners[:number]:
            assert abs(x - other_x) >= 208 or abs(y - other_y) >= 46


def test_the_page_is_the_same_every_time(tmp_path: Path) -> None:
    texts = {svg_of(inspection_of(residual(), "m"), tmp_path / "g.html")[1] for _ in range(3)}
    assert len(texts) == 1


def test_the_document_lists_every_field() -> None:
    text = (ROOT / "docs" / "inspect.md").read_text(encoding="utf-8")
    for name in (*SCHEMA["properties"], *SCHEMA["properties"]["target"]["properties"]):
        assert f"`{name}`" in text or f".{name}`" in text
    for name in SCHEMA["properties"]["layers"]["items"]["properties"]:
        assert f"`layers[].{name}`" in text or f"`{name}`" in text


def test_real_models(data_folder: Path) -> None:
    from bitwright import api

    document = valid(api.inspect(data_folder / "mlperf_tiny" / "kws_float.onnx", "ulx3s-85f"))
    assert document["target"]["supported"]
    assert document["totals"]["macs"] == 2656768
