"""The worked example of the README: from the float model to a CPU library and a bitstream.

    make demo          # or: python examples/digits/demo.py

Builds go to build-cpu/ and build-fpga/ beside this file.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console

from bitwright import api
from bitwright.errors import BitwrightError
from bitwright.progress import ProgressCallback, shown
from bitwright.report import Accuracy, Report
from bitwright.report_table import report_table

FOLDER = Path(__file__).parent
MODEL = FOLDER / "digits.onnx"
CALIBRATION = FOLDER / "calibration.npz"
BOARD = "ulx3s-12f"
# Smaller than what `compile` would choose, so that place and route takes a minute and not five.
MACHINE = {"engine": "weightserial", "lanes": 8, "rows": 16, "requant_lanes": 1}
SIMULATED = 36
NETLIST = 1


def correct(logits: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Share of images whose largest logit is the label's."""
    return float((logits.reshape(len(labels), -1).argmax(1) == labels).mean())


def demo(folder: Path, progress: ProgressCallback) -> list[Report]:
    """Both builds in `folder`, every rung of the ladder, and the accuracy on held-out scans."""
    cpu, fpga = folder / "build-cpu", folder / "build-fpga"
    test = np.load(FOLDER / "test.npz")

    for target, build in (("cpu", cpu), (BOARD, fpga)):
        api.compile_model(
            MODEL, target, CALIBRATION, weights=4, activations=8, output=build,
            machine=MACHINE if target == BOARD else None, progress=progress,
        )  # fmt: skip

    images, outputs = cpu / "held-out.npz", cpu / "logits.npz"
    np.savez_compressed(images, image=test["image"])
    api.run(cpu, images, outputs, check=True, progress=progress)
    api.simulate(fpga, images, limit=SIMULATED, progress=progress)
    api.bitstream(fpga, progress=progress)
    api.simulate(fpga, images, netlist=True, limit=NETLIST, progress=progress)

    session = onnxruntime.InferenceSession(MODEL)
    (float_logits,) = session.run(["logits"], {"image": test["image"]})
    accuracy = Accuracy(
        metric="top-1",
        samples=len(test["label"]),
        float_model=correct(np.asarray(float_logits), test["label"]),
        quantized=correct(np.load(outputs)["logits"], test["label"]),
    )
    reports: list[Report] = []
    for build in (cpu, fpga):
        report = Report.load(build)
        report.accuracy = accuracy
        report.save(build)
        reports.append(report)
    return reports


def main() -> int:
    start = time.monotonic()
    try:
        with shown(Console(stderr=True)) as progress:
            reports = demo(FOLDER, progress)
    except BitwrightError as error:
        if os.environ.get("BITWRIGHT_DEBUG"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    console = Console()
    if not console.is_terminal:
        console.width = 140
    console.print(report_table(reports, "handwritten digits, 360 held-out scans"))
    console.print(f"{time.monotonic() - start:.0f} s; the builds are in {FOLDER}/build-*")
    exact = all(
        rung is None or rung.exact
        for report in reports
        for rung in (report.bit_exact.cpu, report.bit_exact.rtl, report.bit_exact.netlist)
    )
    equal = reports[1].cycles.predicted == reports[1].cycles.simulated
    return 0 if exact and equal else 8


if __name__ == "__main__":
    sys.exit(main())
