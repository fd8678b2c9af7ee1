"""The MLPerf Tiny models: every element of every row that LiteRT's reference kernels gave."""

from pathlib import Path

import numpy as np
import pytest

from bitwright.codegen.cpu.library import build_library
from bitwright.frontend.tflite import load
from bitwright.ir import graph, reference
from bitwright.runtime.library import load_library

ROWS = {"kws": 1000, "ad": 1176, "ic": 10, "vww": 4}
CHUNK = 50


@pytest.mark.parametrize("name", ROWS)
def test_every_element_of_every_row(data_folder: Path, tmp_path: Path, name: str) -> None:
    folder = data_folder / "mlperf_tiny"
    module = load(folder / f"{name}_int8.tflite")
    with np.load(folder / f"{name}_golden.npz") as golden:
        x, y, label = golden["x"], golden["y"], golden["label"]
    assert len(x) == ROWS[name]
    (source,), (result,) = graph.inputs(module), graph.outputs(module)
    for start in range(0, len(x), CHUNK):
        found = reference.run(module, {source.name: x[start : start + CHUNK]})[result.name]
        np.testing.assert_array_equal(found, y[start : start + CHUNK])
    library = load_library(build_library(module, tmp_path).library)
    np.testing.assert_array_equal(library.run({source.name: x})[result.name], y)
    if name == "kws":
        assert (y.argmax(axis=1) == label).mean() >= 0.91
