"""The four quantized MLPerf Tiny models on the FPGA machine, in their own arithmetic.

Every element equals what LiteRT's reference kernels gave. Needs BITWRIGHT_DATA; with
BITWRIGHT_ACCEPTANCE set all models and rows are simulated (an hour), else the quick ones.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from bitwright import api
from bitwright.flows.choose import choose
from bitwright.flows.models import import_model
from bitwright.flows.overlay import build_overlay
from bitwright.ir import graph
from bitwright.ir.machine import DSP
from bitwright.ir.types import shape_of
from bitwright.passes.search.candidate import ROUTED_LUT
from bitwright.targets import get_fpga

BOARD = "ulx3s-85f"
ARRAY = {
    "engine": "dsp",
    "lanes": 8,
    "rows": 16,
    "pixels": 4,
    "requant_lanes": 8,
    "requant_pixels": 1,
}
# Cycles of an inference on that array, which all four fit, and its banks.
CYCLES = {"kws": (9_894, 8), "ic": (31_931, 8), "ad": (2_296, 8), "vww": (39_456, 4)}
# On the array that is chosen for it, of those that can be expected to route.
CHOSEN = 9_364
QUICK = (("kws", 20), ("ad", 20))
ALL = (("kws", 1000), ("ad", 20), ("ic", 10), ("vww", 1))
# One simulator, of a machine with bit planes, serves both quick models.
PLANES = {"kws": 60_756, "ad": 4_521}
SHARED = {"engine": "weightserial", "lanes": 16, "rows": 32, "requant_lanes": 2, "acc_bits": 22,
          "act_words": 1000, "in_words": 150, "out_words": 40, "weight_words": 4192,
          "param_words": 848, "program_words": 520}  # fmt: skip


@pytest.mark.parametrize("name", CYCLES)
def test_fits_one_array(data_folder: Path, name: str) -> None:
    module = import_model(data_folder / "mlperf_tiny" / f"{name}_int8.tflite").module
    cycles, banks = CYCLES[name]
    build = build_overlay(module, get_fpga(BOARD), {**ARRAY, "banks": banks})
    assert build.assembled.machine.multiplier_bits == 31
    assert build.prediction.total == cycles
    print(f"{name}: {build.prediction.total} cycles, {build.resources}")


def test_the_choice(data_folder: Path) -> None:
    module = import_model(data_folder / "mlperf_tiny" / "kws_int8.tflite").module
    best = choose(module, get_fpga(BOARD), style="overlay").candidates[0]
    assert best.cycles == CHOSEN
    assert best.resources.lut <= ROUTED_LUT[DSP, 8]
    print(f"{best.cycles} cycles, {dict(best.parameters)}")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rows"), ALL if os.environ.get("BITWRIGHT_ACCEPTANCE") else QUICK)
def test_every_element(data_folder: Path, tmp_path: Path, name: str, rows: int) -> None:
    model = data_folder / "mlperf_tiny" / f"{name}_int8.tflite"
    module = import_model(model).module
    (item,), (result,) = graph.inputs(module), graph.outputs(module)
    golden = np.load(data_folder / "mlperf_tiny" / f"{name}_golden.npz")
    x, wanted = golden["x"][:rows], golden["y"][:rows]
    np.savez(tmp_path / "x.npz", **{item.name: x.reshape(len(x), *shape_of(item.value)[1:])})
    quick = (name, rows) in QUICK and not os.environ.get("BITWRIGHT_ACCEPTANCE")
    wide = {**ARRAY, "banks": CYCLES[name][1]}
    machine, cycles = (SHARED, PLANES[name]) if quick else (wide, CYCLES[name][0])
    compiled = api.compile_model(model, BOARD, output=tmp_path / "b", machine=machine)
    simulated = api.simulate(tmp_path / "b", tmp_path / "x.npz", tmp_path / "y.npz")
    assert simulated.bit_exact.rtl is not None
    assert simulated.bit_exact.rtl.exact
    assert compiled.cycles.predicted == simulated.cycles.simulated == cycles
    found = np.load(tmp_path / "y.npz")[result.name]
    np.testing.assert_array_equal(found.reshape(len(x), -1), wanted.reshape(len(x), -1))
