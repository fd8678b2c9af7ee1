"""MLPerf Tiny's float models quantized by Bitwright to 8, 4 and 2 bits: speed and accuracy.

For each model and each width of its weights: cycles, images a second at the board's clock and
resources of an overlay and of a pipeline (predicted; cycles are exact), and what quantization costs
on rows that calibration did not see: top-1 accuracy of keyword spotting, area under the ROC curve
of the autoencoder's anomalies. For the others the data has too few labelled rows.

Models and rows are `<name>_float.onnx`, `<name>_int8.tflite` (for the scale of its inputs) and
`<name>_golden.npz` in DATA/mlperf_tiny.
"""

import argparse
import datetime
import os
import platform
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bitwright import api
from bitwright.errors import BitwrightError
from bitwright.flows.models import import_model
from bitwright.ir import graph, reference, serialize
from bitwright.ir.types import shape_of, value_params
from bitwright.report import Candidate

MODELS = ("ic", "kws", "vww", "ad")
WIDTHS = (8, 4, 2)
CALIBRATION = 100  # rows, or half of them


def rows_of(data: Path, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The rows of a model in real numbers, and their labels."""
    stored = np.load(data / f"{name}_golden.npz")
    module = import_model(data / f"{name}_int8.tflite").module
    (item,) = graph.inputs(module)
    params = value_params(item.value)
    x = (stored["x"].astype(np.float32) - params.zero_point) * np.float32(params.scale)
    return x, stored["label"].astype(np.int64)


def shuffled(data: Path, name: str) -> tuple[Path, str, NDArray[np.float32], NDArray[np.int64]]:
    """A model of floats, the name of its input, and its rows with their labels in random order:
    `seen(rows)` of them calibrate."""
    x, labels = rows_of(data, name)
    order = np.random.default_rng(0).permutation(len(x))
    path = data / f"{name}_float.onnx"
    module = import_model(path).module
    (item,) = graph.inputs(module)
    return path, item.name, x[order].reshape(len(x), *shape_of(item.value)[1:]), labels[order]


def seen(x: NDArray[np.float32]) -> int:
    """How many of the rows calibrate."""
    return min(CALIBRATION, len(x) // 2)


def area_under_curve(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Share of the pairs of an anomaly and a normal row that `scores` order rightly."""
    pairs = scores[labels == 1][:, None] - scores[labels == 0]
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2)


def quality(name: str, folder: Path, x: NDArray[np.float32], labels: NDArray[np.int64]) -> str:
    """Of the integers that the machine computes, on rows in real numbers."""
    if name not in ("kws", "ad"):
        return "-"
    module = serialize.load(folder / "model.mlir")
    (entry,), (result,) = graph.inputs(module), graph.outputs(module)
    given = value_params(entry.value)
    codes = np.clip(np.rint(x / given.scale) + given.zero_point, given.qmin, given.qmax)
    found = reference.run(module, {entry.name: codes.astype(np.int8)})[result.name]
    if name == "kws":
        return f"{np.mean(found.reshape(len(x), -1).argmax(axis=1) == labels):.1%} top-1"
    params = value_params(result.value)
    real = (found.astype(np.float64) - params.zero_point) * params.scale
    return f"{area_under_curve(((real - x) ** 2).mean(axis=1), labels):.3f} AUC"


def machine_of(best: Candidate) -> str:
    """Lanes, rows, pixels and precision of an overlay."""
    if best.style != "overlay":
        return "-"
    lanes, rows, pixels, bits = (
        best.parameters[name] for name in ("lanes", "rows", "pixels", "precision")
    )
    return f"{lanes} x {rows} x {pixels} W{bits}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("BITWRIGHT_DATA"))
    parser.add_argument("--target", default="ulx3s-85f")
    parser.add_argument("--models", default=",".join(MODELS), help="of them, with commas")
    parser.add_argument("--styles", default="overlay,dataflow", help="of them, with commas")
    given = parser.parse_args()
    if given.data is None:
        raise SystemExit("Give --data, or set BITWRIGHT_DATA to the folder that has mlperf_tiny")
    data = Path(given.data) / "mlperf_tiny"
    console = Console(width=150)
    table = Table(
        "model", "bits", "style", "machine", "interval", "latency", "images/s",
        "LUT", "BRAM", "DSP", "of the integers",
        title=f"{given.target}; {platform.machine()}, bitwright {metadata.version('bitwright')}, "
        f"{datetime.date.today()}",
    )  # fmt: skip
    for name in given.models.split(","):
        path, entry, x, labels = shuffled(data, name)
        unseen = slice(seen(x), None)
        for bits in WIDTHS:
            for style in given.styles.split(","):
                with TemporaryDirectory() as temporary:
                    folder = Path(temporary)
                    np.savez(folder / "rows.npz", **{entry: x[: seen(x)]})  # pyright: ignore
                    row = [name, f"W{bits}A8", style]
                    try:
                        report = api.compile_model(
                            path, given.target, folder / "rows.npz", weights=bits,
                            output=folder / "b", style=style,
                        )  # fmt: skip
                    except BitwrightError as error:
                        table.add_row(*row, *["-"] * 7, str(error))
                        continue
                    best, used = report.candidates[0], report.resources
                    speed = 1e6 * (report.clock_mhz or 0) / best.interval
                    table.add_row(
                        *row, machine_of(best), f"{best.interval:,}", f"{best.cycles:,}",
                        f"{speed:,.0f}",
                        *(f"{kind.predicted:,}" for kind in (used.lut, used.bram, used.dsp)),
                        quality(name, folder / "b", x[unseen], labels[unseen]),
                    )  # fmt: skip
                    console.print(name, bits, style, best.interval, best.cycles)
    console.print(table)


if __name__ == "__main__":
    main()
