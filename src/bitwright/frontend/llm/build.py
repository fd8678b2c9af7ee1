"""A `Decoder` to a module with two entry functions on an explicit key-value cache.

    @prefill(tokens [1, T], position [1], caches) -> logits [1, T, vocabulary], caches
    @decode (tokens [1, 1], position [1], caches) -> logits [1, 1, vocabulary], caches

Caches are `keys.0`, `values.0`, `keys.1`, ... [1, C, kv_heads, head_width] float32, at first any
finite numbers: a query sees no position after its own. So a prompt whose last chunk is shorter
than T is padded with any tokens; what they leave in the cache is overwritten before it is seen.

Both functions name the same constants: MLIR keeps equal attributes once.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.frontend.llm.check import check_names, check_weight
from bitwright.frontend.llm.decoder import BlockWeights, Decoder, DecoderConfig
from bitwright.ir import bw, graph
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams, dtype_of, shape_of

PREFILL, DECODE = "prefill", "decode"


def cache_names(config: DecoderConfig) -> list[str]:
    """The caches in the order of the arguments."""
    return [f"{kind}.{layer}" for layer in range(config.layers) for kind in ("keys", "values")]


def build(
    decoder: Decoder, *, context: int, prompt: int, integer: bool = False
) -> ir.Module:  # fmt: skip
    """The verified module of a decoder.

    Args:
        context: positions of the caches; they may be fewer or more than the model was trained on.
        prompt: the T of @prefill.
        integer: whether a layer whose weights are blocks without zero points is a
            `bw.dynamic_linear`; its weights are dequantized otherwise.

    Raises:
        ModelError: weights that are missing, unknown, or of another shape.
        ValueError: `prompt` is not within 1 and `context`.
    """
    if not 1 <= prompt <= context:
        raise ValueError(f"a prompt of {prompt} does not fit a context of {context}")
    shapes = check_names(decoder)
    constants: dict[str, ir.Value] = {}
    module: ir.Module | None = None
    for name, rows in ((PREFILL, prompt), (DECODE, 1)):
        builder, caches = _builder(decoder.config, name, rows, context, module)
        function = _Function(builder, decoder, shapes, constants, integer)
        logits, updated = function.logits(caches)
        named = zip(cache_names(decoder.config), updated, strict=True)
        module = builder.finish([("logits", logits), *named])
    assert module is not None
    return module


def _builder(
    config: DecoderConfig, function: str, rows: int, context: int, module: ir.Module | None
) -> tuple[Builder, Sequence[ir.Value]]:
    """An empty function; its caches."""
    cache = (1, context, config.kv_heads, config.head_width)
    integer = np.dtype(np.int32)
    arguments: list[tuple[str, Sequence[int], QuantParams | np.dtype[np.int32] | None]] = [
        ("tokens", (1, rows), integer),
        ("position", (1,), integer),
        *((item, cache, None) for item in cache_names(config)),
    ]
    builder = Builder(arguments, function=function, module=module)
    return builder, builder.inputs[2:]


class _Function:
    """One entry function under construction; `constants` outlives it."""

    def __init__(
        self, builder: Builder, decoder: Decoder, shapes: Mapping[str, tuple[int, ...]],
        constants: dict[str, ir.Value], integer: bool,
    ) -> None:  # fmt: skip
        self._builder = builder
        self._integer = integer
        self._decoder = decoder
        self._config = decoder.config
        self._shapes = shapes
        self._constants = constants
        self._tokens, self._position = builder.inputs[:2]
        self._here: dict[str, ir.Value] = {}

    def logits(self, caches: Sequence[ir.Value]) -> tuple[ir.Value, list[ir.Value]]:
        """The logits of every row, and the caches after it."""
        build, config = self._builder, self._config
        x = build.named("embedding").gather(self._weight("embedding"), self._tokens, 0)
        if config.embedding_scale != 1:
            x = build.mul(x, self._number("embedding_scale", config.embedding_scale))
        updated: list[ir.Value] = []
        for layer in range(config.layers):
            keys, values = caches[2 * layer : 2 * layer + 2]
            attended, *pair = self._attention(layer, x, keys, values)
            updated += pair
            x = build.named(f"layers.{layer}.add").add(x, attended)
            x = build.named(f"layers.{layer}.ffn_add").add(x, self._feed_forward(layer, x))
        x = self._norm("norm", x)
        tied = "head" not in self._decoder.weights
        logits = self._linear("head", x, "embedding" if tied else "head")
        if config.logit_softcap is not None:
            cap = self._number("logit_softcap", config.logit_softcap)
            logits = build.mul(build.unary(bw.TanhOp, build.binary("div", logits, cap)), cap)
        return logits, updated

    def _attention(
        self, layer: int, x: ir.Value, keys: ir.Value, values: ir.Value
    ) -> tuple[ir.Value, ir.Value, ir.Value]:
        build, config, name = self._builder, self._config, f"layers.{layer}."
        window = config.windows[layer]
        if window is not None and config.rope_frequencies_local is not None:
            turns = self._constant("rope_frequencies_local", config.rope_frequencies_local)
        else:
            turns = self._constant("rope_frequencies", config.rope_frequencies)
        x = self._norm(name + "attention_norm", x)
        rows = shape_of(x)[1]
        heads: dict[str, ir.Value] = {}
        for part, count in (("q", config.heads), ("k", config.kv_heads), ("v", config.kv_heads)):
            head = self._linear(name + part, x)
            heads[part] = build.reshape(head, (1, rows, count, config.head_width))
        for part in ("q", "k"):
            head = self._norm(f"{name}{part}_norm", heads[part], optional=True)
            build.named(f"{name}{part}_rope")
            heads[part] = build.rope(head, turns, self._position, pairs=config.rope_pairs)
        build.named(f"{name}cache")
        keys = build.cache_update(keys, heads["k"], self._position)
        values = build.cache_update(values, heads["v"], self._position)
        y = build.named(f"{name}attention").attention(
            heads["q"], keys, values, self._position, scale=config.query_scale,
            window=window or 0, softcap=config.attention_softcap or 0.0,
        )  # fmt: skip
        y = build.reshape(y, (1, rows, config.heads * config.head_width))
        y = self._norm(name + "attention_sub_norm", y, optional=True)
        y = self._linear(name + "o", y)
        return self._norm(name + "attention_post_norm", y, optional=True), keys, values

    def _feed_forward(self, layer: int, x: ir.Value) -> ir.Value:
        name = f"layers.{layer}."
        x = self._norm(name + "ffn_norm", x)
        gate, up = self._linear(name + "gate", x), self._linear(name + "up", x)
        y = self._builder.named(name + "glu").glu(gate, up, self._config.activation)
        y = self._norm(name + "ffn_sub_norm", y, optional=True)
        y = self._linear(name + "down", y)
        return self._norm(name + "ffn_post_norm", y, optional=True)

    def _norm(self, name: str, x: ir.Value, *, optional: bool = False) -> ir.Value:
        if optional and name not in self._decoder.weights:
            return x
        weight = self._weight(name)
        return self._builder.named(name).rms_norm(x, weight, self._config.norm_epsilon)

    def _linear(self, name: str, x: ir.Value, weight_name: str | None = None) -> ir.Value:
        weight = self._weight(weight_name or name)
        outputs = shape_of(weight)[0]
        bias = f"{name}_bias"
        if bias in self._decoder.weights:
            added = self._weight(bias)
        else:
            added = self._constant(f"zeros.{outputs}", np.zeros(outputs, np.float32))
        build = self._builder.named(name)
        parts = self._integers(weight) if self._integer else None
        return build.linear(x, weight, added) if parts is None else (
            build.dynamic_linear(x, *parts, added)
        )  # fmt: skip

    @staticmethod
    def _integers(weight: ir.Value) -> tuple[ir.Value, ir.Value] | None:
        """Integers and scales of a weight in blocks, where no zero point is in the way."""
        made = weight.owner.opview
        if made.operation.name != "bw.dequantize":
            return None
        zero_points = graph.constant_of(made.zero_point)
        is_plain = dtype_of(made.input) == np.int8 and zero_points is not None
        return (made.input, made.scale) if is_plain and not zero_points.any() else None

    def _weight(self, name: str) -> ir.Value:
        """A weight as floats."""

        def make() -> ir.Value:
            build, data = self._builder.named(name), self._decoder.weights[name]
            check_weight(name, data, self._shapes[name])
            if not isinstance(data, BlockWeights):
                return build.plain(data)
            parts = (data.values, data.scales, data.zero_points)
            return build.dequantize(*map(build.plain, parts))

        return self._once(name, make)

    def _constant(self, name: str, value: NDArray[np.float32]) -> ir.Value:
        return self._once(name, lambda: self._builder.named(name).plain(value))

    def _number(self, name: str, value: float) -> ir.Value:
        return self._constant(name, np.asarray([value], np.float32))

    def _once(self, name: str, make: Callable[[], ir.Value]) -> ir.Value:
        """What `make` makes, once; the function before may have it, then its data is shared."""
        if name not in self._here:
            known = self._constants.get(name)
            self._here[name] = make() if known is None else self._copy(known)
            self._constants[name] = self._here[name]
        return self._here[name]

    def _copy(self, value: ir.Value) -> ir.Value:
        operation = value.owner
        return self._builder.copy(operation, [self._copy(item) for item in operation.operands])
