"""MLPerf Tiny's ResNet8 and autoencoder, quantized by us, on every rung (needs BITWRIGHT_DATA)."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from bitwright import api
from bitwright.flows.folder import BuildFolder
from bitwright.flows.overlay import write_board_rtl
from bitwright.flows.simulate import Program
from bitwright.fpga.board import MACHINE_TOP
from bitwright.fpga.flow import synthesise
from bitwright.fpga.report import check_fits
from bitwright.targets import get_fpga

BOARD = "ulx3s-85f"
# The depths that ResNet8 needs at 8 bits, for both widths: one simulator serves both.
RESNET8 = {"weight_words": 2048, "acc_bits": 24}


def _samples(data: Path, name: str, folder: Path, count: int) -> Path:
    """The golden integers of the int8 models as the real numbers that they stand for."""
    golden = np.load(data / "mlperf_tiny" / f"{name}_golden.npz")["x"][:count].astype(np.float32)
    scale, zero_point = {"ic": (1.0, -128.0), "ad": (0.39101523, 89.0)}[name]
    path = folder / f"{name}.npz"
    np.savez(path, input_1=(golden - zero_point) * np.float32(scale))
    return path


def _run_float(data: Path, name: str, samples: Path) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(data / "mlperf_tiny" / f"{name}_float.onnx")
    return np.asarray(session.run(None, {"input_1": np.load(samples)["input_1"]})[0])


def _all_rungs(
    model: Path, samples: Path, folder: Path, weights: int, machine: dict[str, int] | None
) -> NDArray[Any]:
    """Compile for both targets; CPU, RTL and reference equal, cycles as predicted."""
    cpu, fpga = folder / "cpu", folder / "fpga"
    api.compile_model(model, "cpu", samples, weights=weights, output=cpu)
    ran = api.run(cpu, samples, folder / "cpu.npz", check=True)
    assert ran.bit_exact.cpu is not None
    assert ran.bit_exact.cpu.exact
    compiled = api.compile_model(
        model, BOARD, samples, weights=weights, output=fpga, machine=machine
    )
    simulated = api.simulate(fpga, samples, folder / "rtl.npz")
    assert simulated.bit_exact.rtl is not None
    assert simulated.bit_exact.rtl.exact
    assert simulated.cycles.simulated == compiled.cycles.predicted
    outputs = [np.load(folder / f"{rung}.npz")["Identity"] for rung in ("cpu", "rtl")]
    assert (outputs[0] == outputs[1]).all()
    return outputs[0]


@pytest.mark.slow
@pytest.mark.parametrize("weights", [8, 4])
def test_resnet8(data_folder: Path, tmp_path: Path, weights: int) -> None:
    samples = _samples(data_folder, "ic", tmp_path, 10)
    model = data_folder / "mlperf_tiny" / "ic_float.onnx"
    outputs = _all_rungs(model, samples, tmp_path, weights, RESNET8)
    real = _run_float(data_folder, "ic", samples)
    agreeing = int((outputs.argmax(1) == real.argmax(1)).sum())
    print(f"ResNet8 W{weights}A8: the float model's class on {agreeing} of 10 inputs")
    assert agreeing == 10


@pytest.mark.slow
def test_autoencoder(data_folder: Path, tmp_path: Path) -> None:
    samples = _samples(data_folder, "ad", tmp_path, 16)
    model = data_folder / "mlperf_tiny" / "ad_float.onnx"
    outputs = _all_rungs(model, samples, tmp_path, 8, None)
    real = _run_float(data_folder, "ad", samples)
    noise = float(((outputs - real) ** 2).sum() / (real**2).sum())
    assert noise < 10**-3, "30 dB"


@pytest.mark.slow
def test_resnet8_fits_the_board(data_folder: Path, tmp_path: Path) -> None:
    samples = _samples(data_folder, "ic", tmp_path, 10)
    model = data_folder / "mlperf_tiny" / "ic_float.onnx"
    api.compile_model(model, BOARD, samples, weights=8, output=tmp_path / "b")
    folder, target = BuildFolder(tmp_path / "b"), get_fpga(BOARD)
    core = Program.load(folder).accelerator.core()
    rtl = write_board_rtl(folder, core, clock_hz=100_000_000, baud=target.uart_baud)
    made = synthesise(sorted(rtl.glob("*.v")), MACHINE_TOP, target, tmp_path / "synthesis")
    print(f"ResNet8 W8A8 after synthesis: {made.resources}")
    check_fits("ResNet8", made.resources, target)
    assert made.resources.bram <= 208
