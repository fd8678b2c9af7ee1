"""Synthesises whole pipelines of real networks, and says how far off their estimates are.

`python benchmarks/pipeline_table.py --data DIR` folds the MLPerf Tiny models (int8, and of 8, 4 and
2 bits of our own quantization) and FINN's 3-bit keyword spotter for several speeds, and synthesises
each with the board's serial line: 1 to 5 minutes each with a native yosys. `pipeline_table.jsonl`
keeps the folding and the counts; what is in it is estimated anew with today's costs, and
synthesised anew only if its Verilog or yosys is another. No cost is fitted to it.

Each line: the model, the bits of our weights, the images/s that were asked for at the board's
clock, the folding, a digest of the Verilog, the yosys, `estimate` and `whole` (resources as the
flow synthesises it).
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import low_bits
import numpy as np
from dataflow import MODELS
from resource_costs import show
from resource_table import TOP, digest

from bitwright import api
from bitwright.flows.dataflow import load_dataflow
from bitwright.fpga import flow, tools
from bitwright.hwgen.dataflow.core import DataflowCore
from bitwright.hwgen.tops import UartTop
from bitwright.hwgen.verilog import emit
from bitwright.ir import serialize
from bitwright.targets import get_fpga

TABLE = Path(__file__).with_name("pipeline_table.jsonl")
BOARD = "ulx3s-85f"
_DIVISOR = 217  # of the clock, for a bit of the serial line
SPEEDS = {"ic": (400, 2000), "kws": (1500, 8000), "vww": (400, 2000), "ad": (10_000, 100_000)}
WIDTHS = {0: (0, 1), 8: (0,), 4: (1,), 2: (0,)}  # which speeds; 0: the int8 model

Line = dict[str, Any]


def wanted() -> Iterator[tuple[str, int, int]]:
    """Model, bits of our weights and images/s."""
    yield "kws_w3a3", 0, 100_000
    yield "kws_w3a3", 0, 300_000
    for name, speeds in SPEEDS.items():
        for bits, which in WIDTHS.items():
            for number in which:
                yield name, bits, speeds[number]


def compiled(data: Path, line: Line, folder: Path) -> Path:
    """The build folder of a line; its folding, where the line has one."""
    name, bits, build = line["model"], line["bits"], folder / "build"
    options: dict[str, Any] = {"style": "dataflow", "output": build}
    if "folding" in line:
        options["folding"] = folder / "folding.json"
        options["folding"].write_text(json.dumps(line["folding"]))
    else:
        options |= {"fps": line["fps"], "objective": "throughput"}
    if not bits:
        api.compile_model(data / MODELS[name].file, BOARD, **options)
        return build
    path, entry, x, _ = low_bits.shuffled(data / "mlperf_tiny", name)
    rows = folder / "rows.npz"
    np.savez(rows, **{entry: x[: low_bits.seen(x)]})  # pyright: ignore
    api.compile_model(path, BOARD, rows, weights=bits, **options)
    return build


def measured(line: Line, data: Path, yosys: str) -> Line:
    """The line with what is known of it today."""
    with TemporaryDirectory() as name:
        build = compiled(data, line, Path(name))
        report = json.loads((build / "report.json").read_text())
        line = line | {"folding": json.loads((build / "folding.json").read_text())}
        line["estimate"] = {
            kind: count["predicted"] for kind, count in report["resources"].items()
        }  # fmt: skip
        pipeline = load_dataflow(serialize.load(build / "core.mlir"), build / "folding.json")
        top = UartTop(core=DataflowCore(pipeline=pipeline), divisor=_DIVISOR)
        folder = Path(name) / "synthesis"
        files = emit(top, folder, name=TOP)
        key = digest("ecp5", files, yosys)
        if line.get("key") != key:
            made = flow.synthesise(files, TOP, get_fpga(BOARD), folder)
            line |= {"key": key, "yosys": yosys, "whole": dict(made.resources.items())}
    return line


def line_name(line: Line) -> str:
    """A line in words."""
    bits = f" W{line['bits']}" if line["bits"] else ""
    return f"{line['model']}{bits}, {line['fps']:,}/s, {line['whole']['lut']:,} LUT"


def main() -> None:
    """Make what is missing, and print the errors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("BITWRIGHT_DATA"))
    given = parser.parse_args()
    if given.data is None:
        raise SystemExit("Give --data, or set BITWRIGHT_DATA to the folder that has mlperf_tiny")
    yosys = tools.find("yosys").version
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    known = {(line["model"], line["bits"], line["fps"]): line for line in map(json.loads, lines)}
    for model, bits, fps in wanted():
        start = {"model": model, "bits": bits, "fps": fps}
        line = measured(known.get((model, bits, fps), start), Path(given.data), yosys)
        known[model, bits, fps] = line
        TABLE.write_text("".join(json.dumps(item) + "\n" for item in known.values()))
        print(line_name(line), line["estimate"], line["whole"], flush=True)
    found = [known[key] for key in wanted()]
    for kind in ("lut", "ff"):
        errors = ((line["estimate"][kind] / line["whole"][kind] - 1, line) for line in found)
        show(f"pipelines, {kind}", errors, line_name)
    exact = sum(
        all(line["estimate"][kind] == line["whole"][kind] for kind in ("bram", "dsp"))
        for line in found
    )
    print(f"bram, dsp: {exact} of {len(found)} exact")


if __name__ == "__main__":
    main()
