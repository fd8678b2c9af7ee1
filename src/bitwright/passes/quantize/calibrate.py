"""Calibration: a float module run on samples, each value's distribution collected on the way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import graph, reference
from bitwright.ir.types import shape_of
from bitwright.passes.quantize.errors import CalibrationNotFinite
from bitwright.passes.quantize.histogram import Histogram
from bitwright.passes.quantize.moments import Moments
from bitwright.passes.quantize.samples import Samples, check_samples, chunks, sample_count

Progress = Callable[[int, int], None]
CHUNK = 16


@dataclass
class Statistics:
    """What calibration saw: a histogram of each value that is not a constant, and the moments of
    each input of a `conv2d` or `linear` (for its weights and biases)."""

    samples: int
    histograms: dict[ir.Value, Histogram] = field(default_factory=dict)
    moments: dict[ir.Value, Moments] = field(default_factory=dict)


def calibrate(
    module: ir.Module, samples: Samples | None, progress: Progress | None = None
) -> Statistics:
    """Run the float `module` on `samples` and collect the statistics of all its values.

    Memory does not grow with the number of samples. `progress(done, total)` is called after each
    piece of `CHUNK` samples.

    Raises:
        CalibrationError: samples that do not fit, or that drive a layer to NaN or infinity.
    """
    checked = check_samples(module, samples)
    statistics = Statistics(sample_count(module, checked))
    names = _value_names(module)
    weighted = {
        operation.operands[0]
        for operation in graph.operations(module)
        if operation.operation.name in ("bw.conv2d", "bw.linear")
    }

    def observe(value: ir.Value, array: NDArray[Any]) -> None:
        if graph.constant_of(value) is not None:
            return
        if not np.isfinite(array).all():
            raise CalibrationNotFinite(
                f"The calibration samples drive {names[value]!r} to NaN or infinity; check the "
                "weights of that layer and the scaling of the samples"
            )
        statistics.histograms.setdefault(value, Histogram()).add(array)
        if value in weighted:
            statistics.moments.setdefault(value, Moments()).add(array, shape_of(value))

    with np.errstate(all="ignore"):
        for piece, done in chunks(module, checked, CHUNK):
            reference.evaluate(module, piece, observe)
            if progress:
                progress(done, statistics.samples)
    return statistics


def _value_names(module: ir.Module) -> Mapping[ir.Value, str]:
    names = {item.value: item.name for item in graph.inputs(module)}
    for operation in graph.operations(module):
        names[operation.result] = graph.location_name(operation)
    return names
