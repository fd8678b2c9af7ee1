"""The peak memory of an import, in its own process: a small run of benchmarks/onnx_import.py."""

import importlib.util
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "onnx_import.py"
WIDTH, LAYERS = 1024, 16  # 64 MiB


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("onnx_import", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("external", [False, True], ids=["raw", "external"])
def test_an_import_takes_the_size_of_the_file(benchmark, tmp_path, external):
    path = tmp_path / "m.onnx"
    size = benchmark.write_model(path, LAYERS, external=external, width=WIDTH)
    assert size > 64 << 20
    # numpy.savez writes by way of two buffers of 16 MiB
    for reader, buffers in (("frontend", 0), ("frontend, fold", 0), ("save, load", 2 << 24)):
        found = benchmark.measured_apart(reader, path)
        grown = (found["peak"] - found["before"] - buffers) / size
        assert 0.5 < grown < 1.3, reader
