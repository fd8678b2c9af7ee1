"""Foldings into a device: what is built fits, buffers included."""

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.flows.dataflow import build_dataflow
from bitwright.flows.folding_file import FoldingFile
from bitwright.fpga.errors import DoesNotFit
from bitwright.ir.builder import Builder
from bitwright.ir.dataflow import Fold
from bitwright.ir.types import QuantParams
from bitwright.targets import get_fpga

X = QuantParams((0.5,), 3, 8, -128, 127)
W = QuantParams((1.0,), 0, 8, -127, 127)


def model() -> ir.Module:
    """Two dense layers of 64."""
    build = Builder([("x", (1, 64), X)])
    value = build.inputs[0]
    for number in range(2):
        weight = build.constant(np.random.default_rng(number).integers(-127, 128, (64, 64)), W)
        sums = build.named(f"fc{number}").linear(value, weight, build.constant(np.zeros(64, int)))
        value = build.requantize(sums, X, multiplier=[3], shift=[12])
    return build.finish([("y", value)])


def test_what_is_folded_fits_and_the_next_is_proved_not_to() -> None:
    target = get_fpga("ulx3s-12f")
    made = build_dataflow(model(), target)
    room = dict(made.room.items())
    assert all(count <= room[kind] for kind, count in made.resources.items())
    assert made.below is not None
    assert made.below < made.pipeline.interval == made.times.interval


def test_a_folding_that_is_too_large_is_refused() -> None:
    folding = FoldingFile(
        "m", None, {"fc0": Fold(lanes=64, rows=64, out_lanes=64), "fc1": Fold(lanes=1)}
    )
    with pytest.raises(DoesNotFit, match=r"^Design 'the pipeline of 'm' with this folding' does"):
        build_dataflow(model(), get_fpga("ulx3s-12f"), name="m", folding=folding)
