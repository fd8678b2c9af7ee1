"""Outputs that are sums: int32 in native code, with the real scale that the module says."""

from pathlib import Path

import numpy as np

from bitwright.codegen.cpu.library import build_library
from bitwright.ir import graph, reference, serialize
from bitwright.ir.builder import Builder
from bitwright.ir.context import parse
from bitwright.ir.types import QuantParams
from bitwright.runtime.library import load_library

X = QuantParams((0.5,), -3, 8, -128, 127)
WEIGHT = QuantParams((0.25,), 0, 8, -127, 127)


def test_sums_leave_as_int32(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    builder = Builder([("x", (1, 40), X)])
    weight = builder.constant(rng.integers(-127, 128, (6, 40)), WEIGHT)
    bias = builder.constant(rng.integers(-9, 9, 6).astype(np.int32))
    sums = builder.linear(builder.inputs[0], weight, bias)
    module = builder.finish([("sums", sums)], {"sums": 0.125})
    library = load_library(build_library(module, tmp_path).library)
    x = rng.integers(-128, 128, (5, 40)).astype(np.int8)
    wanted = reference.run(module, {"x": x})["sums"]
    found = library.run({"x": x})["sums"]
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, wanted)
    real = library.run({"x": X.dequantize(x)})["sums"]
    np.testing.assert_array_equal(real, wanted.astype(np.float32) / 8)
    header = (tmp_path / "model.h").read_text()
    assert '"sums", int32 [1, 6], row-major' in header
    assert "int bw_run(const int8_t *in, int32_t *out);" in header


def test_the_scale_of_sums_is_kept_in_text_and_file(tmp_path: Path) -> None:
    builder = Builder([("x", (1, 4), X)])
    weight = builder.constant(np.ones((2, 4)), WEIGHT)
    sums = builder.linear(builder.inputs[0], weight, builder.constant(np.zeros(2, np.int32)))
    module = builder.finish([("sums", sums)], {"sums": 0.125})
    serialize.save(module, tmp_path / "model.mlir")
    for again in (parse(str(module)), serialize.load(tmp_path / "model.mlir")):
        (output,) = graph.outputs(again)
        assert output.params == QuantParams((0.125,), 0, 32, -(2**31), 2**31 - 1)
