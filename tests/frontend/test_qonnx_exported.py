"""Networks of Brevitas and QKeras, against QONNX's own execution of them (see make_*.py)."""

from pathlib import Path

import numpy as np
import pytest

from bitwright.codegen.cpu.library import build_library
from bitwright.flows.models import prepare, read_model
from bitwright.ir import graph, reference
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import partition
from bitwright.passes.split_sums import SplitSums
from bitwright.runtime.library import load_library

FOLDER = Path(__file__).parent / "fixtures" / "qonnx"
EXPECTED = {"brevitas": "expected.npz", "qkeras": "qkeras.npz"}
EXACT = ("brevitas_powers_of_two", "qkeras_flat", "qkeras_point")
"""Where all scales are powers of two, float sums are exact; elsewhere they differ by rounding."""
ROUNDING = 1e-6
KINDS = {
    "brevitas_float_scales": [
        "conv2d", "multi_threshold", "conv2d", "multi_threshold", "max_pool2d", "reshape", "linear",
    ],
    "brevitas_powers_of_two": [
        "conv2d", "multi_threshold", "conv2d", "multi_threshold", "reshape", "linear", "requantize",
    ],
    "brevitas_bipolar": [
        "conv2d", "multi_threshold", "conv2d", "multi_threshold", "reshape", "linear",
    ],
    "brevitas_zero_points": ["conv2d", "multi_threshold", "table", "reshape", "linear"],
    "qkeras_flat": [
        "transpose", "conv2d", "multi_threshold", "max_pool2d", "conv2d", "multi_threshold",
        "transpose", "reshape", "linear", "requantize",
    ],
    "qkeras_point": [
        "transpose", "conv2d", "multi_threshold", "max_pool2d", "conv2d", "multi_threshold",
        "reshape", "linear", "requantize",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_outputs_are_those_of_the_exporter(name: str, tmp_path: Path) -> None:
    """The float module, the integer module, the CPU library, and what the overlay would run."""
    exporter, _, network = name.partition("_")
    with np.load(FOLDER / EXPECTED[exporter]) as expected:
        x, y = expected[f"{network}_x"], expected[f"{network}_y"]
    assert len(np.unique(y)) > 50
    tolerance = 0.0 if name in EXACT else ROUNDING
    module = read_model(FOLDER / f"{name}.onnx")
    (source,), (result,) = graph.inputs(module), graph.outputs(module)
    real = reference.run(module, {source.name: x})[result.name]
    np.testing.assert_allclose(real, y, rtol=0, atol=tolerance)

    imported = prepare(module)
    assert imported.deviations == ()
    integer = imported.module
    kinds = [op.operation.name.removeprefix("bw.") for op in graph.operations(integer)]
    assert [kind for kind in kinds if kind != "constant"] == KINDS[name]
    (codes,), (output,) = graph.inputs(integer), graph.outputs(integer)
    given = {codes.name: codes.params.quantize(x)}
    found = reference.run(integer, given)[output.name]
    np.testing.assert_allclose(output.params.dequantize(found), y, rtol=0, atol=tolerance)

    library = load_library(build_library(integer, tmp_path).library)
    np.testing.assert_array_equal(library.run(given)[output.name], found)

    parts = partition(SplitSums().run(integer))
    core = reference.run(Legalize().run(parts.core), reference.run(parts.before, given))
    np.testing.assert_array_equal(reference.run(parts.after, core)[output.name], found)
