"""Pipelines of one engine per layer: the MLPerf Tiny models and FINN's 3-bit keyword spotter.

`python benchmarks/dataflow.py --data DIR` folds each model for the ULX3S-85F twice: as fast as the
board allows, and as small as a goal allows, and prints what both give at the board's clock.
`--simulate 2` runs the smaller one in Verilator on so many of the data's own inputs, where every
value has to be the reference's and every cycle the predicted one; `--bitstream` routes it too.
DIR has `mlperf_tiny/` (`*_int8.tflite`, `*_golden.npz`) and `kws_w3a3/`.
"""

import argparse
import platform
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bitwright import api
from bitwright.flows.models import import_model
from bitwright.ir import graph
from bitwright.ir.types import shape_of
from bitwright.passes.dataflow.fold import NoFolding
from bitwright.report import Report

BOARD = "ulx3s-85f"


@dataclass(frozen=True)
class Model:
    """A model file, and the images per second that are asked of it."""

    file: str
    goal: int

    def inputs(self, data: Path, count: int) -> dict[str, NDArray[np.int8]]:
        """The first `count` of its own inputs, by name."""
        path = data / self.file
        module = import_model(path).module
        (item,) = graph.inputs(module)
        name, shape = item.name, shape_of(item.value)[1:]
        if path.suffix == ".tflite":
            stored = np.load(path.with_name(path.stem.removesuffix("_int8") + "_golden.npz"))
            rows = stored["x"][:count]
        else:
            rows = _packed_rows(path.parent / "kws_bin_files.tar", count)
        return {name: rows.reshape(len(rows), *shape).astype(np.int8)}


MODELS = {
    "kws_w3a3": Model("kws_w3a3/kws_w3a3_qonnx.onnx", 300_000),
    "ic": Model("mlperf_tiny/ic_int8.tflite", 5_000),
    "kws": Model("mlperf_tiny/kws_int8.tflite", 10_000),
    "vww": Model("mlperf_tiny/vww_int8.tflite", 3_000),
    "ad": Model("mlperf_tiny/ad_int8.tflite", 20_000),
}


def _packed_rows(archive: Path, count: int) -> NDArray[np.int8]:
    with tarfile.open(archive) as files:
        names = sorted(name for name in files.getnames() if name.endswith(".bin"))[:count]
        found = [files.extractfile(name) for name in names]
        return np.stack([np.frombuffer(f.read(), np.int8) for f in found if f is not None])


def _row(name: str, what: str, report: Report, seconds: float = 0.0) -> list[str]:
    (best,) = report.candidates
    exact = report.bit_exact.rtl
    clock = report.fmax_mhz or report.clock_mhz or 0
    checked = "-"
    if exact is not None:
        same = exact.exact and report.cycles.simulated == report.cycles.predicted
        checked = f"{'equal' if same else 'DIFFERENT'} on {exact.samples}"
    kinds = [getattr(report.resources, kind) for kind in ("lut", "ff", "bram", "dsp")]
    return [
        name, what, f"{best.interval:,}", f"{best.cycles:,}",
        f"{clock:.1f}{' routed' if report.fmax_mhz else ''}",
        f"{1e6 * clock / best.interval:,.0f}", f"{best.cycles / clock:,.1f}",
        *(f"{kind.routed or kind.predicted:,}" for kind in kinds),
        checked, f"{seconds:.0f}" if seconds else "-", "; ".join(best.limits),
    ]  # fmt: skip


def measure(
    name: str, model: Model, data: Path, folder: Path, *, simulate: int, bitstream: bool,
    fastest: bool, clock: float | None,
) -> list[list[str]]:  # fmt: skip
    """Rows of the table for one model."""
    path = data / model.file
    rows: list[list[str]] = []

    def built(what: str, fps: float | None) -> Report:
        start = time.perf_counter()
        made = api.compile_model(
            path,
            BOARD,
            output=folder / what,
            style="dataflow",
            objective="throughput",
            fps=fps,
            clock=clock,
        )
        rows.append(_row(name, what, made, time.perf_counter() - start))
        return made

    if fastest:
        built("fastest", None)
    what = f"{model.goal} a second"
    try:
        built(what, model.goal)
    except NoFolding as error:
        rows.append([name, what, *["-"] * 11, str(error)])
        what = "fastest"
        if not fastest:
            built(what, None)
    if simulate:
        np.savez(folder / "x.npz", **model.inputs(data, simulate))  # pyright: ignore
        rows.append(_row(name, what, api.simulate(folder / what, folder / "x.npz")))
    if bitstream:
        rows.append(_row(name, what, api.bitstream(folder / what, attempts=1)))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the models")
    parser.add_argument("--models", default=",".join(MODELS), help="of them, with commas")
    parser.add_argument("--simulate", type=int, default=0, metavar="N", help="inputs in RTL")
    parser.add_argument("--bitstream", action="store_true", help="place and route as well")
    parser.add_argument("--no-fastest", action="store_true", help="only the goals")
    parser.add_argument("--clock", type=float, help="MHz; default: the board's")
    given = parser.parse_args(arguments)
    console = Console(width=200)
    table = Table(
        title=f"pipelines on the {BOARD}: {platform.machine()}, Python "
        f"{platform.python_version()}, bitwright {metadata.version('bitwright')}, "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )
    for heading in (
        "model", "folded for", "interval", "latency", "MHz", "images/s", "µs", "LUT", "FF", "BRAM",
        "DSP", "RTL = reference", "s", "proof",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for name in given.models.split(","):
        with TemporaryDirectory() as folder:
            for row in measure(
                name, MODELS[name], given.data, Path(folder), simulate=given.simulate,
                bitstream=given.bitstream, fastest=not given.no_fastest, clock=given.clock,
            ):  # fmt: skip
                console.print("  ".join(row), highlight=False)
                table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
