"""A 3-bit keyword spotter of FINN's, on every rung, against what its FPGA printed.

Needs BITWRIGHT_DATA. BITWRIGHT_KWS_ROWS sets how many rows the RTL of the overlay simulates.
"""

import csv
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bitwright import api
from bitwright.flows.models import read_model
from bitwright.ir import graph, reference, serialize
from bitwright.report import Report

RTL_ROWS = int(os.environ.get("BITWRIGHT_KWS_ROWS", "10"))
PIPELINE_ROWS = 100
INTERVAL = 256  # cycles from image to image
THROUGHPUT = 300_000  # images a second, at least
INPUT, OUTPUT = "inp.1", "70"
# of the model's first Quant
SCALE = np.float32(0.33674246)
# The float model adds inexactly, from logits of up to 29; the integer one does not.
ROUNDING = 2e-5


@pytest.fixture(scope="module")
def model(data_folder: Path) -> Path:
    return data_folder / "kws_w3a3" / "kws_w3a3_qonnx.onnx"


@pytest.fixture(scope="module")
def rows(data_folder: Path) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]:
    """Inputs as the integers of the first Quant, labels, and the classes that the FPGA printed."""
    folder = data_folder / "kws_w3a3"
    with (folder / "y_labels.csv").open() as file:
        labels = {row[0]: int(row[2]) for row in csv.reader(file)}
    with (folder / "fpga_predictions_pynq_z2.csv").open() as file:
        printed = {row["file"]: int(row["pred"]) for row in csv.DictReader(file)}
    names = sorted(labels)
    with tarfile.open(folder / "kws_bin_files.tar") as archive:
        found = {
            Path(member.name).name: file.read()
            for member in archive.getmembers()
            if (file := archive.extractfile(member)) is not None
        }
    x = np.stack([np.frombuffer(found[name], np.int8) for name in names])
    assert x.shape == (1000, 490)
    classes = np.array([[labels[name], printed[name]] for name in names])
    return x.reshape(-1, 1, 10, 49), classes[:, 0], classes[:, 1]


@pytest.fixture(scope="module")
def cpu(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = tmp_path_factory.mktemp("kws") / "cpu"
    api.compile_model(model, "cpu", output=build)
    return build


def _save(path: Path, x: NDArray[np.int8]) -> Path:
    np.savez(path, **{INPUT: x})
    return path


def _check_simulated(compiled: Report, cpu: Path, inputs: Path, folder: Path, rows: int) -> Report:
    """Simulates the RTL of `folder`/fpga: equal to the reference and the library, cycles as
    predicted."""
    simulated = api.simulate(folder / "fpga", inputs, folder / "rtl.npz")
    assert simulated.bit_exact.rtl is not None
    assert simulated.bit_exact.rtl.exact
    assert simulated.bit_exact.rtl.samples == rows
    assert simulated.cycles.simulated == compiled.cycles.predicted
    api.run(cpu, inputs, folder / "cpu.npz")
    logits = [np.load(folder / f"{rung}.npz")[OUTPUT] for rung in ("cpu", "rtl")]
    np.testing.assert_array_equal(*logits)
    return simulated


@pytest.mark.slow
def test_classes_are_those_of_the_fpga(
    model: Path, cpu: Path, tmp_path: Path,
    rows: tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]],
) -> None:  # fmt: skip
    """The float model, the integer reference and the CPU library on all 1000 rows."""
    x, labels, printed = rows
    report = api.run(cpu, _save(tmp_path / "x.npz", x), tmp_path / "y.npz", check=True)
    assert report.bit_exact.cpu is not None
    assert report.bit_exact.cpu.exact
    logits = np.load(tmp_path / "y.npz")[OUTPUT]
    classes = logits.argmax(axis=1)
    assert (classes == labels).mean() == 0.825
    assert (classes == printed).sum() >= 999
    module = serialize.load(cpu / "model.mlir")
    np.testing.assert_array_equal(reference.run(module, {INPUT: x})[OUTPUT], logits)
    real = reference.run(read_model(model), {INPUT: x.astype(np.float32) * SCALE})[OUTPUT]
    (output,) = graph.outputs(module)
    np.testing.assert_allclose(logits * output.scale, real, rtol=0, atol=ROUNDING)


@pytest.mark.slow
def test_the_machine_computes_the_same(
    model: Path, cpu: Path, tmp_path: Path,
    rows: tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]],
) -> None:  # fmt: skip
    inputs = _save(tmp_path / "x.npz", rows[0][:RTL_ROWS])
    machine = {"lanes": 16, "rows": 32, "requant_lanes": 2}
    compiled = api.compile_model(model, "ulx3s-85f", output=tmp_path / "fpga", machine=machine)
    assert (compiled.quantization.weight_bits, compiled.quantization.activation_bits) == (3, 3)
    _check_simulated(compiled, cpu, inputs, tmp_path, RTL_ROWS)


@pytest.mark.slow
def test_the_pipeline_computes_the_same(
    model: Path, cpu: Path, tmp_path: Path,
    rows: tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]],
) -> None:  # fmt: skip
    inputs = _save(tmp_path / "x.npz", rows[0][:PIPELINE_ROWS])
    compiled = api.compile_model(
        model, "ulx3s-85f", output=tmp_path / "fpga", style="dataflow", interval=INTERVAL
    )
    assert compiled.throughput is not None
    assert compiled.throughput >= THROUGHPUT
    (folding,) = compiled.candidates
    assert folding.interval <= INTERVAL
    for kind in ("lut", "ff", "bram", "dsp"):
        resource = getattr(compiled.resources, kind)
        assert resource.predicted <= resource.available
    simulated = _check_simulated(compiled, cpu, inputs, tmp_path, PIPELINE_ROWS)
    assert simulated.cycles.interval == folding.interval
