"""Post-training quantization of a folded float module into integers throughout."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch_mlir import ir

from bitwright.ir import graph
from bitwright.passes import widths
from bitwright.passes.quantize.build import IntegerBuilder, WeightOptions
from bitwright.passes.quantize.calibrate import Progress, Statistics, calibrate
from bitwright.passes.quantize.errors import QuantizeOptionError
from bitwright.passes.quantize.plan import make_plan
from bitwright.passes.quantize.ranges import PERCENTILE, RANGES
from bitwright.passes.quantize.report import Pair, QuantizationReport, make_report, measure
from bitwright.passes.quantize.samples import Samples, read_samples
from bitwright.passes.quantize.ties import find_ties


@dataclass(frozen=True)
class Quantized:
    """An integer module, what was decided, and the float module that it stands for."""

    module: ir.Module
    report: QuantizationReport
    real: ir.Module = field(repr=False)
    pairs: tuple[Pair, ...] = field(repr=False)

    def measure(self, samples: Samples, progress: Progress | None = None) -> QuantizationReport:
        """The report with the SQNR of each layer and output on `samples` (float inputs)."""
        return measure(self.real, self.module, self.pairs, self.report, samples, progress)


@dataclass(frozen=True)
class Quantize:
    """Post-training quantization; requires a float module after `fold`.

        %y = bw.conv2d(%x, %w, %b) : f32        %a = bw.conv2d(%xq, %wq, %bq) : i32
        %z = bw.relu(%y) : f32            -->   %z = bw.requantize(%a) : !quant.uniform<i8>

    Weights are symmetric and narrow, activations asymmetric with signed storage. An activation
    after a layer becomes the clamp of its requantize, and the range is chosen behind it. Adds get
    integer multipliers for operands whose scales were matched; means become sums; functions
    become tables. Scales are exact in float32, and the result does not depend on how the samples
    are cut or on the machine that it runs on.

    Attributes:
        weights: bits of the weights, 2 to 8.
        activations: bits of the activations, 2 to 8. A softmax gives 8 bits always.
        ranges: "minmax", "percentile" or "mse" (least mean squared error).
        percentile: what "percentile" keeps at either end, in percent.
        per_channel: one weight scale per output channel instead of one per layer.
        bias_correction: cancel each channel's mean error from weight rounding, as seen on the
            samples, in its bias.
        boundary_bits: activation bits of the model's inputs and outputs; None for `activations`.
        boundary_weights: weight bits of the first and last layers (those that read an input or
            make an output, other operations between them aside); None for `weights`.
        calibration: a .npz with calibration data; read where `samples` is None.
        samples: calibration data by input name, [N, ...].
        progress: called as progress(done, total) during calibration.
    """

    weights: int = 8
    activations: int = 8
    ranges: str = "minmax"
    percentile: float = PERCENTILE
    per_channel: bool = True
    bias_correction: bool = True
    boundary_bits: int | None = 8
    boundary_weights: int | None = None
    calibration: str | None = None
    samples: Samples | None = field(default=None, repr=False, compare=False)
    progress: Progress | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("weights", "activations", "boundary_bits", "boundary_weights"):
            value = getattr(self, name)
            if value is not None and not 2 <= value <= 8:
                raise QuantizeOptionError(
                    f"Option {name} of quantize is {value}; expected 2 to 8 bits"
                )
        if self.ranges not in RANGES:
            raise QuantizeOptionError(
                f"Option ranges of quantize is {self.ranges!r}; expected one of {', '.join(RANGES)}"
            )
        if not 50 < self.percentile <= 100:
            raise QuantizeOptionError(
                f"Option percentile of quantize is {self.percentile:g}; expected more than 50 and "
                "at most 100, such as 99.99"
            )

    def run(self, module: ir.Module) -> ir.Module:
        """The integer module.

        Raises:
            CalibrationError: samples that do not fit the module.
            NotQuantizable: an operation without integer form.
            ScaleNotRepresentable: a range or ratio that integers do not express.
            AccumulatorTooWide: a layer whose sums can leave 32 bits.
        """
        return self.quantize(module).module

    def quantize(self, module: ir.Module, statistics: Statistics | None = None) -> Quantized:
        """Like `run`, with the report; `statistics` saves calibrating again for other bits."""
        ties = find_ties(module)
        if statistics is None:
            samples = self.samples
            if samples is None and self.calibration is not None:
                names = [item.name for item in graph.inputs(module)]
                samples = read_samples(Path(self.calibration), names)
            statistics = calibrate(module, samples, self.progress)
        plan = make_plan(
            module, ties, statistics, bits=self.activations,
            boundary_bits=self.boundary_bits or self.activations, ranges=self.ranges,
            percentile=self.percentile,
        )  # fmt: skip
        options = WeightOptions(self._weight_bits(module), self.per_channel, self.bias_correction)
        builder = IntegerBuilder(module, plan, statistics, options)
        integer = builder.run()
        widths.prove(integer)
        report, pairs = make_report(module, plan, builder.built, statistics)
        return Quantized(integer, report, module, pairs)

    def _weight_bits(self, module: ir.Module) -> dict[ir.Value, int]:
        layers = [
            operation.result
            for operation in graph.operations(module)
            if operation.operation.name in ("bw.conv2d", "bw.linear")
        ]
        bits = dict.fromkeys(layers, self.weights)
        if self.boundary_weights is not None:
            for layer in _boundary_layers(module):
                bits[layer] = self.boundary_weights
        return bits


def _boundary_layers(module: ir.Module) -> set[ir.Value]:
    """Results of the layers next to an input or output, other operations between them aside."""
    weighted = ("bw.conv2d", "bw.linear")

    def forward(value: ir.Value) -> set[ir.Value]:
        found: set[ir.Value] = set()
        for user in graph.users(value):
            if user.operation.name in weighted:
                found.add(user.operation.results[0])
            elif user.operation.name != "func.return":
                found |= forward(user.operation.results[0])
        return found

    def backward(value: ir.Value) -> set[ir.Value]:
        owner: Any = value.owner
        if isinstance(owner, ir.Block):
            return set()
        if owner.name in weighted:
            return {value}
        return set().union(*(backward(operand) for operand in owner.operands))

    layers: set[ir.Value] = set()
    for item in graph.inputs(module):
        layers |= forward(item.value)
    for item in graph.outputs(module):
        layers |= backward(item.value)
    return layers
