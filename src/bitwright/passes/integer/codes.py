"""Where a `bw.quantize` stands: the real value before it becomes one integer operation."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import dyadic
from bitwright.ir.builder import Builder
from bitwright.ir.bw import SCALE_LIMITS
from bitwright.ir.reference_quantize import ROUND
from bitwright.ir.types import SOFTMAX, QuantParams, value_params
from bitwright.passes.integer.errors import FloatBetweenMarkers, NotAScale, UnsupportedMarker
from bitwright.passes.integer.markers import same_grid
from bitwright.passes.integer.pairs import sum_of_two
from bitwright.passes.integer.products import ranges
from bitwright.passes.integer.staircase import Fit, Staircase, fit
from bitwright.passes.integer.thresholds import NotMonotone, is_narrow, steps_of
from bitwright.passes.integer.values import (
    Added,
    Array,
    Chain,
    Codes,
    FloatInput,
    Product,
    Real,
    Softmax,
    Sums,
)  # fmt: skip
from bitwright.passes.integer.weights import weight_params
from bitwright.passes.quantize.tables import exponentials

Ints = NDArray[np.int64]
_SHIFTS = {"floor": -0.5, "ceil": 0.5}
"""What a rounding other than to the nearest adds, in codes, before it is one to the nearest."""
_NEAREST = "no multiplier of 31 bits begins every step at the same accumulator"
_FLOAT_SUM = "the model adds in float32; ties and near-ties fall to the other side"
_SOFTMAX = "the model's softmax is float; the integer one has a table of 17 bits"


@dataclass(frozen=True)
class Deviation:
    """A layer whose integers are not those of the model's own arithmetic for every operand.

    `differing` of `values` accumulators (or pairs of operands) give a neighbouring code.
    """

    layer: str
    differing: int
    values: int
    reason: str


@dataclass
class Quantizer:
    """Builds codes; `where` names the operation at hand in errors."""

    builder: Builder
    where: str = ""
    layer: str = ""
    deviations: list[Deviation] = field(default_factory=list[Deviation])

    def codes(self, x: Real, params: QuantParams, rounding: str) -> ir.Value:
        """`x`, quantized; its moves come after."""
        made = self._source(x, params, rounding)
        for move in x.moves:
            made = move(made)
        return made

    def _source(self, x: Real, params: QuantParams, rounding: str) -> ir.Value:
        match x.source:
            case Codes():
                return self._of_codes(x, x.source, params, rounding)
            case FloatInput():
                if self._is_own_grid(x, value_params(x.source.value), params):
                    return x.source.value
                if not x.plain:
                    raise FloatBetweenMarkers(
                        f"{self.where} quantizes what has been computed in float from an input. "
                        "Quantize the input, or leave that out of the exported model"
                    )
                if not same_grid(value_params(x.source.value), params):
                    raise UnsupportedMarker(
                        f"{self.where} quantizes an input that is quantized with another scale "
                        "as well; expected one scale for each input"
                    )
                given = value_params(x.source.value)
                if (given.qmin, given.qmax) != (params.qmin, params.qmax):
                    raise UnsupportedMarker(
                        f"{self.where} quantizes an input to {params.qmin} to {params.qmax}, which "
                        f"is quantized to {given.qmin} to {given.qmax} as well; expected one range "
                        "for each input"
                    )
                return x.source.value
            case Sums():
                return self._of_sums(x, x.source, params, rounding)
            case Product():
                return self._of_product(x, x.source, params, rounding)
            case Added():
                return self._of_added(x, x.source, params, rounding)
            case Softmax():
                return self._of_softmax(x, x.source, params)

    def _is_own_grid(self, x: Real, held: QuantParams, params: QuantParams) -> bool:
        """Whether a scale and an offset come before the quantize that `held` contains already."""
        if x.plain or x.chain.scale is None or x.chain.scale.size != 1:
            return False
        scale = params.scale / float(x.chain.scale.item())
        zero_point = params.zero_point + float(x.chain.offset.reshape(-1)[0]) / params.scale
        return bool(np.isclose(scale, held.scale, rtol=1e-12) and zero_point == held.zero_point)

    def _of_codes(self, x: Real, source: Codes, params: QuantParams, rounding: str) -> ir.Value:
        held = source.params
        if x.plain and same_grid(held, params) and (held.qmin, held.qmax) == (
            params.qmin, params.qmax,
        ):  # fmt: skip
            return source.value
        reached = np.clip(np.arange(-128, 128), held.qmin, held.qmax)[:, None]
        made = quantized(x.chain.function(source.real(reached)), params, rounding)
        if made.shape[1] == 1:
            return self.builder.table(source.value, params, made[:, 0].tolist())
        if x.axis != 1 or len(source.shape) != 4 or x.moves:
            raise FloatBetweenMarkers(
                f"{self.where} quantizes what differs from channel to channel along axis {x.axis} "
                f"of {list(source.shape)}; expected axis 1 of four. Quantize its constants"
            )
        channels = made.shape[1]
        depthwise = Product(
            source.value, np.ones((channels, 1, 1, 1), np.int64), (1.0,),
            np.zeros(channels, np.int64), np.asarray([source.params.scale], np.float32),
            {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": channels},
            source.shape, self.layer,
        )  # fmt: skip
        return self._of_product(replace(x, source=depthwise), depthwise, params, rounding)

    def _of_sums(self, x: Real, source: Sums, params: QuantParams, rounding: str) -> ir.Value:
        unit = np.asarray([source.unit])
        scale, offset = self._affine(x.chain, params, rounding, unit)
        if scale.size > 1 or scale[0] <= 0 or offset.any():
            raise NotAScale(
                f"{self.where} is preceded by factors or offsets that a sum without weights cannot "
                "take. Quantize before them"
            )
        function = self._function(x.chain, unit, params, rounding)
        low, high = np.asarray([source.low]), np.asarray([source.high])
        found = self._fit(Staircase(function, low, high, scale, params))
        return self._requantize(source.value, found, params, 0)

    def _of_product(self, x: Real, source: Product, params: QuantParams, rounding: str) -> ir.Value:
        axis = 1 if source.attributes is not None else len(source.shape) - 1
        if is_narrow(params) or x.chain.counts:
            return self._of_narrow_product(x, source, params, rounding, axis)
        outputs = len(source.weight)
        scale, offset = self._affine(x.chain, params, rounding, source.unit)
        joint = scale.size == 1 and offset.size == 1
        scale, offset = np.broadcast_to(scale, outputs), np.broadcast_to(offset, outputs)
        sign = np.where(scale < 0, -1, 1)
        bias = np.rint(np.divide(offset, scale, out=np.zeros(outputs), where=scale != 0))
        bias = bias.astype(np.int64) * sign
        plain = self._function(x.chain, source.unit, params, rounding)

        def function(accumulator: Ints) -> Ints:
            return plain((accumulator - bias) * sign)

        weight = source.weight * sign.reshape(-1, *[1] * (source.weight.ndim - 1))
        shifted = replace(source, weight=weight, bias=source.bias * sign + bias)
        self._check_weights(shifted)
        if (scale == 0).any():
            shifted = _constant_outputs(shifted, scale == 0, plain, params)
        low, high = ranges(shifted)
        if joint:
            low, high, scale = low.min(keepdims=True), high.max(keepdims=True), scale[:1]
            sign, bias = sign[:1], bias[:1]
        found = self._fit(Staircase(function, low, high, np.abs(scale), params))
        return self._requantize(self._built(shifted), found, params, axis)

    def _of_narrow_product(
        self, x: Real, source: Product, params: QuantParams, rounding: str, axis: int
    ) -> ir.Value:
        try:
            steps = steps_of(x.chain, source, params, rounding)
        except NotMonotone:
            raise NotAScale(
                f"{self.where} is preceded by a function of a sum that rises and falls, or of too "
                "many sums to tell. Quantize the sum before it, so that the function becomes a "
                "table"
            ) from None
        self._check_weights(steps.product)
        sums = self._built(steps.product)
        if steps.scales is None:
            return self.builder.multi_threshold(sums, params, steps.thresholds, axis)
        exact = Fit(steps.scales, "half_up", (params.qmin, params.qmax), 0, 0)
        return self._requantize(sums, exact, params, axis)

    def _check_weights(self, product: Product) -> None:
        if int(product.weight.max()) > 127:
            raise UnsupportedMarker(
                f"{self.where} is preceded by a negative factor for weights of -128; expected "
                "weights from -127. Quantize weights symmetrically"
            )

    def sums(self, x: Real, source: Product) -> tuple[ir.Value, float]:
        """An output of the model that is not quantized: the sums as they are, and their unit."""
        if (source.unit != source.unit[0]).any():
            raise FloatBetweenMarkers(
                f"{self.where} is a sum that is not quantized, with {len(source.unit)} scales; "
                "expected one scale, so that its integers compare. Quantize it"
            )
        made = self._built(source)
        for move in x.moves:
            made = move(made)
        return made, value_params(source.x).scale * source.weight_scales[0]

    def _built(self, product: Product) -> ir.Value:
        limits = np.iinfo(np.int32)
        if (product.bias < limits.min).any() or (product.bias > limits.max).any():
            raise UnsupportedMarker(
                f"{self.where} is preceded by a bias of up to {int(np.abs(product.bias).max())} "
                "units of its accumulator; expected 32 bits. Check the scales of the model"
            )
        build = self.builder.named(product.name)
        weight = build.constant(
            product.weight, weight_params(product.weight, product.weight_scales)
        )
        bias = build.constant(product.bias.astype(np.int32))
        if product.attributes is None:
            made = build.linear(product.x, weight, bias)
        else:
            made = build.conv2d(product.x, weight, bias, **product.attributes)
        build.named(self.layer)
        return made

    def _of_added(self, x: Real, source: Added, params: QuantParams, rounding: str) -> ir.Value:
        """Exact where the scales are small multiples of one, else LiteRT's sum at 20 more bits."""
        scale, offset = self._affine(x.chain, params, rounding, np.ones(1, np.float32))
        if scale.size > 1 or scale[0] <= 0 or offset.any():
            raise NotAScale(
                f"{self.where} is preceded by factors or offsets of a sum of two tensors. "
                "Quantize before them"
            )
        sums = sum_of_two(self.builder, source, self.where)
        pairs = source.lhs.real(sums.lhs)[:, None] + source.sign * source.rhs.real(sums.rhs)
        wanted = quantized(x.chain.function(pairs.reshape(-1, 1)), params, rounding)
        wanted = wanted.reshape(pairs.shape)
        ratio = float(scale[0]) * sums.unit
        if sums.exact:
            unit = np.asarray([sums.unit], np.float32)
            low, high = sums.accumulators.min(), sums.accumulators.max()
            staircase = Staircase(
                self._function(x.chain, unit, params, rounding), np.asarray([low]),
                np.asarray([high]), np.asarray([ratio]), params,
            )  # fmt: skip
            found = fit(staircase, self.where)
        else:
            nearest = dyadic.nearest(ratio, SCALE_LIMITS["half_even"])
            clamp = int(wanted.min()), int(wanted.max())
            found = Fit((nearest,), "half_even", clamp, 0, wanted.size)
        made = dyadic.rounded(sums.accumulators, found.scales[0], found.rounding)
        made = np.clip(made + params.zero_point, *found.clamp)
        self.deviates(int((made != wanted).sum()), wanted.size, _FLOAT_SUM)
        return self._requantize(sums.value, found, params, 0)

    def _of_softmax(self, x: Real, source: Softmax, params: QuantParams) -> ir.Value:
        if not x.plain:
            raise NotAScale(
                f"{self.where} quantizes a function of a softmax; expected the softmax itself. "
                "Quantize it first"
            )
        table = exponentials(source.x.params.scale)
        made = self.builder.integer_softmax(source.x.value, source.axis, table)
        self.deviates(0, 0, _SOFTMAX)
        if same_grid(SOFTMAX, params):
            return made
        codes = np.arange(-128, 128)
        reals = ((codes + 128) / np.float32(256)).astype(np.float32)
        return self.builder.table(made, params, quantized(reals, params, "half_even").tolist())

    def deviates(self, differing: int, values: int, reason: str) -> None:
        """Record a deviation of the layer at hand, if it is one."""
        if differing or not values:
            self.deviations.append(Deviation(self.layer, differing, values, reason))

    def _affine(
        self, chain: Chain, params: QuantParams, rounding: str, unit: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Codes for each unit of the accumulator, and codes at zero less the zero point."""
        if chain.scale is None or not chain.monotone:
            raise NotAScale(
                f"{self.where} is preceded by a function of a sum that is no scale and offset. "
                "Quantize the sum before it, so that the function becomes a table"
            )
        step = params.scale
        offset = chain.offset / step + _SHIFTS.get(rounding, 0.0)
        return chain.scale * unit.astype(np.float64) / step, offset

    def _function(
        self, chain: Chain, unit: NDArray[np.float32], params: QuantParams, rounding: str
    ) -> Callable[[Ints], Ints]:
        """Accumulators [values, channels] to codes.

        Where nothing but clamps stands between, as ONNX Runtime's integer kernels: one float32
        factor, the nearest integer, ties to even. Else in float32, operation by operation.
        """
        if not chain.clamps or rounding != "half_even":
            return lambda acc: quantized(
                chain.function(acc.astype(np.float32) * unit), params, rounding
            )
        ends = np.asarray([[-np.inf], [np.inf]], np.float32)
        low, high = quantized(chain.function(ends), params, rounding)[:, 0]
        factor = unit / np.float32(params.scale)

        def scaled(acc: Ints) -> Ints:
            nearest = np.rint(acc.astype(np.float32) * factor).astype(np.int64)
            return np.clip(nearest + params.zero_point, low, high)

        return scaled

    def _fit(self, staircase: Staircase) -> Fit:
        found = fit(staircase, self.where)
        if found.differing:
            self.deviates(found.differing, found.accumulators, _NEAREST)
        return found

    def _requantize(self, acc: ir.Value, found: Fit, params: QuantParams, axis: int) -> ir.Value:
        return self.builder.requantize(
            acc, params, multiplier=[m for m, _ in found.scales],
            shift=[s for _, s in found.scales], axis=axis, clamp_min=found.clamp[0],
            clamp_max=found.clamp[1], rounding=found.rounding,
        )  # fmt: skip


def quantized(real: Array, params: QuantParams, rounding: str) -> Ints:
    """Codes of real numbers, as `bw.quantize` gives them."""
    with np.errstate(all="ignore"):
        steps = ROUND[rounding](real / real.dtype.type(params.scale)).astype(np.float64)
    return np.clip(steps + params.zero_point, params.qmin, params.qmax).astype(np.int64)


def _constant_outputs(
    product: Product, constant: NDArray[np.bool_], function: Callable[[Ints], Ints],
    params: QuantParams,
) -> Product:  # fmt: skip
    """Outputs whose factor is zero: no weights, and a bias that any multiplier of 1/2 brings to
    the code."""
    codes = np.broadcast_to(function(np.zeros((1, 1), np.int64)), (1, len(constant)))[0]
    weight, bias = product.weight.copy(), product.bias.copy()
    weight[constant] = 0
    bias[constant] = 2 * (codes[constant] - params.zero_point)
    return replace(product, weight=weight, bias=bias)
