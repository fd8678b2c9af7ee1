"""Predicted resources against syntheses (yosys 0.70, synth_ecp5) of the stages as units."""

from dataclasses import replace

import numpy as np
import pytest

from bitwright.hwgen.dataflow.resources import resources
from bitwright.hwgen.dataflow.schedule import least_interval, schedule
from bitwright.ir.dataflow import (
    Engine,
    Fold,
    MatrixStage,
    Output,
    Pipeline,
    Requantize,
    Tensor,
    Thresholds,
    Window,
)

CHANNELS = 64


def linear(bits: int, fold: Fold, output: Output, acc_bits: int, signed: bool) -> Pipeline:
    """One layer of 64 inputs and 64 results of `bits` bits."""
    draw = np.random.default_rng(1)
    source = Tensor(name="x", channels=CHANNELS, height=1, width=1, bits=bits, signed=signed)
    stage = MatrixStage(
        sources=("x",), result=replace(source, name="y"), window=Window(),
        weights=draw.integers(-(1 << bits - 1), 1 << bits - 1, (CHANNELS, 1, 1, CHANNELS)),
        weight_bits=bits, acc_bits=acc_bits, output=output, fold=fold,
    )  # fmt: skip
    pipeline = Pipeline(
        name="linear", input=source, input_lanes=fold.lanes, stages=(stage,), interval=0
    )
    return replace(pipeline, interval=least_interval(pipeline))


def thresholds() -> Thresholds:
    levels = np.sort(np.random.default_rng(2).integers(-200, 200, (CHANNELS, 7)), axis=1)
    return Thresholds(bias=np.zeros(CHANNELS, np.int64), levels=levels, least=0)


def requantize() -> Requantize:
    draw = np.random.default_rng(3)
    return Requantize(
        bias=draw.integers(-99, 99, CHANNELS), multiplier=draw.integers(1 << 15, 1 << 16, CHANNELS),
        shift=draw.integers(20, 25, CHANNELS), zero_point=0, clamp=(-128, 127), rounding="half_up",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "bits", "lanes", "rows", "acc_bits", "lut", "ff", "bram", "dsp"),
    [
        ("lut", 3, 8, 8, 12, 1354, 1629, 8, 0),
        ("packed", 8, 4, 8, 23, 1788, 2317, 10, 17),
        ("dsp", 8, 4, 4, 23, 750, 1172, 6, 17),
        ("lut", 8, 4, 8, 23, 3364, 3593, 10, 1),
    ],
)
def test_a_stage(
    engine: Engine, bits: int, lanes: int, rows: int, acc_bits: int, lut: int, ff: int, bram: int,
    dsp: int,
) -> None:  # fmt: skip
    output = thresholds() if bits == 3 else requantize()
    fold = Fold(lanes=lanes, rows=rows, out_lanes=1, engine=engine)
    pipeline = linear(bits, fold, output, acc_bits, signed=bits == 8)
    found = resources(pipeline, pipeline.stages[0], "ecp5", schedule(pipeline).stages[0])
    assert (found.bram, found.dsp) == (bram, dsp)
    assert found.lut == pytest.approx(lut, rel=0.06)
    assert found.ff == pytest.approx(ff, rel=0.06)
