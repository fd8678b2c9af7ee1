"""Random small quantized networks, each made from a seed alone."""

from dataclasses import dataclass

import numpy as np
from torch_mlir import ir

from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams, quant_params, shape_of, value_params

MAX_PIXELS = 100
ROUNDINGS = ("half_up", "tflite", "half_away", "half_even")


@dataclass
class _Network:
    random: np.random.Generator
    builder: Builder
    values: list[ir.Value]
    roundings: tuple[str, ...]
    weight_bits: int

    def integer(self, low: int, high: int) -> int:
        """Uniform, both ends included."""
        return int(self.random.integers(low, high + 1))

    def activation(self, widths: tuple[int, ...] = (2, 3, 4, 8, 8, 8)) -> QuantParams:
        """A random quantized type: 2 to 8 bits, any zero point."""
        bits = int(self.random.choice(widths))
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        scale = float(2.0 ** self.random.uniform(-6, 0))
        return QuantParams((scale,), self.integer(low, high), bits, low, high)

    def weight(self, shape: tuple[int, ...]) -> ir.Value:
        """Symmetric, of 2 to `weight_bits` bits; or of one bit, which is -1 or 1, or -1 or 0."""
        bits = self.integer(1, self.weight_bits)
        limit = max((1 << bits - 1) - 1, 1)
        data = self.random.integers(-limit, limit + 1, size=shape)
        if bits == 1:
            bits, data = 2, np.where(data > 0, -1, self.integer(0, 1))
        scales = tuple(float(s) for s in 2.0 ** self.random.uniform(-8, -2, size=shape[0]))
        return self.builder.constant(data, QuantParams(scales, 0, bits, -limit, limit, axis=0))

    def bias(self, outputs: int) -> ir.Value:
        return self.builder.constant(self.random.integers(-2000, 2001, size=outputs))

    def requantize(
        self, acc: ir.Value, spread: float, per_channel: bool = True, every_code: bool = False
    ) -> ir.Value:
        """Scale sums of about `spread` down to the range of a random type.

        With `every_code` it has 8 bits, of which no code is clamped or replaced.
        """
        params = self.activation((8,)) if every_code else self.activation()
        shape = shape_of(acc)
        count = shape[1] if per_channel and self.random.random() < 0.7 else 1
        wanted = (params.qmax - params.qmin) / spread * 2.0 ** self.random.uniform(-1, 1, count)
        rounding = self.rounding()
        bits, furthest = (16, 46) if rounding == "half_up" else (31, 62)
        shifts = np.clip(bits - 1 - np.floor(np.log2(wanted)), 1, furthest).astype(int)
        multipliers = np.clip(np.rint(wanted * 2.0**shifts), 1, (1 << bits) - 1).astype(int)
        low, high = params.qmin, params.qmax
        if not every_code and self.random.random() < 0.4:
            low = params.zero_point
        result = self.builder.requantize(
            acc, params, multiplier=multipliers.tolist(), shift=shifts.tolist(), axis=1,
            clamp_min=low, clamp_max=high, rounding=rounding,
        )  # fmt: skip
        if not every_code and self.random.random() < 0.15:
            result = self.table(result)
        return result

    def rounding(self) -> str:
        choices = self.roundings or ("half_up",)
        return choices[0] if len(choices) == 1 else choices[self.integer(0, len(choices) - 1)]

    def table(self, value: ir.Value) -> ir.Value:
        params = self.activation()
        entries = self.random.integers(params.qmin, params.qmax + 1, size=256)
        return self.builder.table(value, params, entries.tolist())

    def conv(self, value: ir.Value) -> ir.Value:
        _, channels, height, width = shape_of(value)
        kernel = [self.integer(1, min(5, height)), self.integer(1, min(5, width))]
        dilation = [
            2 if 2 * (k - 1) + 1 <= n and self.random.random() < 0.3 else 1
            for k, n in zip(kernel, (height, width), strict=True)
        ]
        padding = [self.integer(0, kernel[i % 2] - 1) for i in range(4)]
        stride = [self.integer(1, 3), self.integer(1, 3)]
        style = self.random.random()
        outputs, groups = self.integer(1, 20), 1
        if style < 0.3:
            outputs = groups = channels
        elif style < 0.5:
            groups = int(
                self.random.choice([g for g in range(1, channels + 1) if not channels % g])
            )
            outputs = groups * self.integer(1, 3)
        return self.convolved(
            value, outputs, kernel, stride=stride, padding=padding, dilation=dilation,
            groups=groups,
        )  # fmt: skip

    def convolved(
        self, value: ir.Value, outputs: int, kernel: list[int], *, padding: list[int],
        stride: list[int] | None = None, dilation: list[int] | None = None, groups: int = 1,
        every_code: bool = False,
    ) -> ir.Value:  # fmt: skip
        """A convolution of random weights, requantized."""
        inputs = shape_of(value)[1] // groups
        weight = self.weight((outputs, inputs, *kernel))
        acc = self.builder.conv2d(
            value, weight, self.bias(outputs), stride=stride or [1, 1], padding=padding,
            dilation=dilation or [1, 1], groups=groups,
        )  # fmt: skip
        params = quant_params(weight.type)
        assert params is not None, "weights are quantized"
        taps = kernel[0] * kernel[1] * inputs
        spread = float(np.sqrt(taps)) * 80 * params.qmax + 2000
        return self.requantize(acc, spread, every_code=every_code)

    def residual(self, value: ir.Value) -> ir.Value:
        """A sum with a convolution that clamps nothing, which a machine may make at once."""
        inner = self.same_size(value, self.integer(1, 16)) if self.integer(0, 1) else value
        made = self.same_size(inner, shape_of(value)[1], every_code=True)
        fitting = [v for v in self.values if shape_of(v) == shape_of(made)]
        other = fitting[self.integer(0, len(fitting) - 1)]
        pair = (made, other) if self.integer(0, 1) else (other, made)
        if self.roundings and self.integer(0, 1):
            return self.scaled_add(*pair)
        factors = self.integer(1, 127), self.integer(1, 127)
        acc = self.builder.add(*pair, *factors)
        return self.requantize(acc, 255.0 * sum(factors), per_channel=False)

    def same_size(self, value: ir.Value, outputs: int, every_code: bool = False) -> ir.Value:
        """A convolution whose result has as many pixels as `value`."""
        kernel = [self.integer(1, 3), self.integer(1, 3)]
        before = [self.integer(0, size - 1) for size in kernel]
        after = [size - 1 - first for size, first in zip(kernel, before, strict=True)]
        return self.convolved(
            value, outputs, kernel, padding=[*before, *after], every_code=every_code
        )

    def add(self, value: ir.Value) -> ir.Value:
        same = [v for v in self.values if shape_of(v) == shape_of(value)]
        other = same[self.integer(0, len(same) - 1)]
        if self.roundings and self.integer(0, 1):
            return self.scaled_add(value, other)
        left, right = self.integer(1, 127), self.integer(1, 127) * (1 if self.integer(0, 1) else -1)
        acc = self.builder.add(value, other, left, right)
        return self.requantize(acc, 255.0 * (left + abs(right)), per_channel=False)

    def scaled_add(self, value: ir.Value, other: ir.Value) -> ir.Value:
        """As LiteRT makes them: the larger scale counts one half."""
        scales = 10 ** self.random.uniform(-1.5, 0, 2)
        total = scales.sum() * self.random.uniform(0.5, 1.2)
        lhs, rhs = ((int(m), 31) for m in np.rint(scales / scales.max() * (1 << 30)))
        acc = self.builder.scaled_add(value, other, left_shift=20, lhs_scale=lhs, rhs_scale=rhs)
        mantissa, exponent = np.frexp(2 * scales.max() / total)
        return self.builder.requantize(
            acc, self.activation(), multiplier=[min(int(mantissa * (1 << 31)), (1 << 31) - 1)],
            shift=[51 - int(exponent)], rounding="tflite",
        )  # fmt: skip

    def pool(self, value: ir.Value) -> ir.Value:
        _, _, height, width = shape_of(value)
        kernel = (self.integer(1, min(3, height)), self.integer(1, min(3, width)))
        stride = (self.integer(1, 2), self.integer(1, 2))
        padding = [self.integer(0, kernel[i % 2] // 2) for i in range(4)]
        if self.random.random() < 0.5:
            return self.builder.max_pool2d(value, kernel=kernel, stride=stride, padding=padding)
        if self.roundings and self.integer(0, 1):
            params = value_params(value)
            return self.builder.integer_avg_pool2d(
                value, kernel=kernel, stride=stride, clamp_min=params.qmin, clamp_max=params.qmax
            )
        acc = self.builder.sum_pool2d(value, kernel=kernel, stride=stride, padding=padding)
        return self.requantize(acc, 255.0 * kernel[0] * kernel[1], per_channel=False)

    def concat(self, value: ir.Value) -> ir.Value:
        fitting = [
            v for v in self.values
            if shape_of(v)[2:] == shape_of(value)[2:] and v.type.element_type == (  # pyright: ignore
                value.type.element_type  # pyright: ignore
            )
        ]  # fmt: skip
        if sum(shape_of(v)[1] for v in (value, fitting[0])) > 24:
            return value
        return self.builder.concat([value, fitting[0]], 1)

    def pad(self, value: ir.Value) -> ir.Value:
        params = value_params(value)
        low = [0, 0, self.integer(0, 1), self.integer(0, 1)]
        high = [0, 0, self.integer(0, 1), self.integer(0, 1)]
        return self.builder.pad(value, low, high, self.integer(params.qmin, params.qmax))

    def linear(self, value: ir.Value) -> ir.Value:
        flat = int(np.prod(shape_of(value)[1:]))
        outputs = self.integer(1, 12)
        value = self.builder.reshape(value, (1, flat))
        weight = self.weight((outputs, flat))
        params = quant_params(weight.type)
        assert params is not None, "weights are quantized"
        acc = self.builder.linear(value, weight, self.bias(outputs))
        return self.requantize(acc, float(np.sqrt(flat)) * 80 * params.qmax + 2000)


def needs_wide_machine(seed: int) -> bool:
    """Whether the network of this seed has the operations of models that came quantized."""
    return seed % 3 > 0


def has_residuals(seed: int) -> bool:
    """Whether the network of this seed may have sums that convolutions make."""
    return seed % 4 == 1


def random_network(seed: int, weight_bits: int = 8) -> ir.Module:
    """A quantized module of 2 to 9 layers with residuals, groups, padding, tables, pooling.

    Its weights have at most `weight_bits`.
    """
    random = np.random.default_rng(seed)
    shape = (
        1,
        int(random.integers(1, 12)),
        int(random.integers(1, 10)),
        int(random.integers(1, 10)),
    )
    low, high = -128, 127
    params = QuantParams((0.05,), int(random.integers(low, high + 1)), 8, low, high)
    builder = Builder([("x", shape, params)])
    roundings = ROUNDINGS if needs_wide_machine(seed) else ()
    network = _Network(random, builder, [builder.inputs[0]], roundings, weight_bits)
    network.values.append(network.conv(builder.inputs[0]))
    steps = (network.conv, network.conv, network.add, network.add, network.pool, network.concat,
             network.pad, network.table)  # fmt: skip
    if has_residuals(seed):
        steps += (network.residual,) * len(steps)
    for index in range(int(random.integers(1, 6))):
        value = network.values[-1]
        step = steps[int(random.integers(len(steps)))]
        if step == network.pad and np.prod(shape_of(value)[2:]) > MAX_PIXELS:
            continue
        network.values.append(step(builder.named(f"layer{index}") and value))
    outputs = [("y", network.values[-1])]
    if random.random() < 0.3:
        outputs = [("y", network.linear(network.values[-1]))]
    if random.random() < 0.2 and len(network.values) > 3 and network.values[2] != outputs[0][1]:
        outputs.append(("z", network.values[2]))
    return builder.finish(outputs)


def random_inputs(module: ir.Module, seed: int, samples: int = 2) -> dict[str, np.ndarray]:
    """Inputs of a network: corners first, then uniform integers."""
    from bitwright.ir import graph

    random = np.random.default_rng(seed)
    inputs: dict[str, np.ndarray] = {}
    for item in graph.inputs(module):
        data = random.integers(-128, 128, size=(samples, *shape_of(item.value)[1:]))
        data[0].flat[::2] = random.choice([-128, 127])
        inputs[item.name] = data.astype(np.int8)
    return inputs
