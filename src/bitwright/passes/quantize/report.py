"""What quantization did: per layer its types and errors, and on request the measured SQNR."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import graph, reference
from bitwright.ir.types import value_params
from bitwright.passes.quantize.build import Built
from bitwright.passes.quantize.calibrate import Progress, Statistics
from bitwright.passes.quantize.plan import Plan
from bitwright.passes.quantize.samples import Samples, check_samples, chunks, sample_count
from bitwright.passes.quantize.ties import KEEPING, kind_of
from bitwright.passes.widths import accumulator_bits


@dataclass(frozen=True)
class LayerReport:
    """One value that quantization gave a type (an input, a layer with its activation, a table).

    Attributes:
        name, kind: the model's name of the layer and its operation.
        bits, scale, zero_point: type of the result.
        low, high: real range of the result's codes.
        clipped: share of the calibration values outside of that range.
        weight_bits, weight_sqnr_db: of `conv2d` and `linear`.
        accumulator_bits: proven width of the biased accumulator.
        table_error: max |table - function| over all input codes, in output steps.
        sqnr_db: signal to quantization noise of the result, where it was measured.
    """

    name: str
    kind: str
    bits: int
    scale: float
    zero_point: int
    low: float
    high: float
    clipped: float
    weight_bits: int | None = None
    weight_sqnr_db: float | None = None
    accumulator_bits: int | None = None
    table_error: float | None = None
    sqnr_db: float | None = None


@dataclass(frozen=True)
class QuantizationReport:
    """All layers in order; `asdict` gives plain data for a JSON file."""

    samples: int
    layers: tuple[LayerReport, ...]
    output_sqnr_db: Mapping[str, float] | None = None

    def asdict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def layer(self, name: str) -> LayerReport:
        """The layer with this name; `KeyError` where there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)


@dataclass(frozen=True)
class Pair:
    """A value of the float module and the quantized value that stands for it."""

    real: ir.Value
    integer: ir.Value


def make_report(
    module: ir.Module, plan: Plan, built: Built, statistics: Statistics
) -> tuple[QuantizationReport, tuple[Pair, ...]]:
    """The report, and the pair of values of each of its layers."""
    ends = _ends_of_chains(module, plan)
    layers: list[LayerReport] = []
    pairs: list[Pair] = []
    for item in graph.inputs(module):
        layers.append(_layer(item.name, "input", item.value, plan, statistics))
        pairs.append(Pair(item.value, built.values[item.value]))
    for operation in graph.operations(module):
        kind, result = kind_of(operation), operation.result
        if kind in ("constant", *KEEPING) or result in plan.ties.vanished:
            continue
        end = ends.get(result, result)
        layer = _layer(graph.location_name(operation), kind, end, plan, statistics)
        if result in built.weights:
            bits, sqnr_db = built.weights[result]
            layer = replace(layer, weight_bits=bits, weight_sqnr_db=sqnr_db)
        if result in built.accumulators:
            owner = built.accumulators[result].owner
            layer = replace(layer, accumulator_bits=accumulator_bits(owner.opview))
        layers.append(replace(layer, table_error=built.table_errors.get(result)))
        pairs.append(Pair(end, built.values[end]))
    return QuantizationReport(statistics.samples, tuple(layers)), tuple(pairs)


def _ends_of_chains(module: ir.Module, plan: Plan) -> dict[ir.Value, ir.Value]:
    """For each accumulating operation the last activation fused into it."""
    ends: dict[ir.Value, ir.Value] = {}
    for operation in graph.operations(module):
        if operation.result in plan.ties.vanished:
            value = operation.input
            while value not in plan.ties.clamps:
                value = value.owner.operands[0]
            ends[value] = operation.result
    return ends


def _layer(
    name: str, kind: str, value: ir.Value, plan: Plan, statistics: Statistics
) -> LayerReport:
    params = plan.params(value)
    low = (params.qmin - params.zero_point) * params.scale
    high = (params.qmax - params.zero_point) * params.scale
    half = params.scale / 2
    clipped = statistics.histograms[value].fraction_outside(low - half, high + half)
    return LayerReport(name, kind, params.bits, params.scale, params.zero_point, low, high, clipped)


def measure(
    real: ir.Module, integer: ir.Module, pairs: tuple[Pair, ...], report: QuantizationReport,
    samples: Samples, progress: Progress | None = None,
) -> QuantizationReport:  # fmt: skip
    """The report with the SQNR of every layer and output on `samples`.

    Both modules run side by side, sample by sample; errors of earlier layers count.
    """
    checked = check_samples(real, samples)
    total = sample_count(real, checked)
    partner = {pair.integer: pair.real for pair in pairs}
    outputs = {item.name: item.value for item in graph.outputs(integer)}
    powers = {value: np.zeros(2) for value in partner}
    output_powers = {name: np.zeros(2) for name in outputs}
    inputs = graph.inputs(integer)
    for sample, done in chunks(real, checked, 1):
        codes = {item.name: value_params(item.value).quantize(sample[item.name]) for item in inputs}
        expected: dict[ir.Value, NDArray[Any]] = {}

        def keep(value: ir.Value, array: NDArray[Any], into: Any = expected) -> None:
            into[value] = array

        def compare(value: ir.Value, array: NDArray[Any], against: Any = expected) -> None:
            if value in partner:
                powers[value] += _powers(against[partner[value]], value, array)

        wanted = reference.evaluate(real, sample, keep)
        found = reference.evaluate(integer, codes, compare)
        for name, value in outputs.items():
            output_powers[name] += _powers(wanted[name], value, found[name])
        if progress:
            progress(done, total)
    layers = tuple(
        replace(layer, sqnr_db=_decibels(powers[pair.integer]))
        for layer, pair in zip(report.layers, pairs, strict=True)
    )
    return replace(
        report,
        layers=layers,
        output_sqnr_db={name: _decibels(power) for name, power in output_powers.items()},
    )


def _powers(real: NDArray[Any], value: ir.Value, integer: NDArray[Any]) -> NDArray[np.float64]:
    noise = value_params(value).dequantize(integer).astype(np.float64) - real
    return np.asarray([np.square(real, dtype=np.float64).sum(), np.square(noise).sum()])


def _decibels(power: NDArray[np.float64]) -> float:
    """10 log10(signal / noise); infinite without noise, also without signal."""
    signal, noise = float(power[0]), float(power[1])
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
