"""TFLite to `bw`: one walk over the operators.

A quantized model becomes an integer module with the arithmetic of LiteRT's reference kernels
(`OpResolverType.BUILTIN_REF`), element for element. Supported operators are the rows of `HANDLERS`,
on int8 or uint8 tensors with one scale; int8 weights may have a scale for each output. A model with
float inputs becomes a float module and has the rows of `FLOAT_HANDLERS`; one with int16 inputs has
those of `INT16_HANDLERS` and becomes a module of plain integers. The module has the file's
inputs and outputs in the file's layout; inside, channels come first.
"""

from pathlib import Path

import numpy as np
from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.frontend.common.checks import checked_size
from bitwright.frontend.tflite import (
    elementwise,
    float_elementwise,
    float_pooling,
    float_products,
    float_shape,
    pooling,
    products,
    rewrite,
    shape,
    wide,
    wide_tables,
)
from bitwright.frontend.tflite import source as source_
from bitwright.frontend.tflite.errors import (
    DynamicShapeError,
    InvalidModelError,
    NotQuantizedError,
    UnsupportedOperatorError,
    UnsupportedTypeError,
)
from bitwright.frontend.tflite.node import (
    Handler,
    Node,
    Value,
    activation,
    describe,
)
from bitwright.frontend.tflite.source import Operator, SourceModel, Tensor
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams

HANDLERS: dict[str, Handler] = {
    **elementwise.HANDLERS,
    **pooling.HANDLERS,
    **products.HANDLERS,
    **shape.HANDLERS,
}
FLOAT_HANDLERS: dict[str, Handler] = {
    **float_elementwise.HANDLERS,
    **float_pooling.HANDLERS,
    **float_products.HANDLERS,
    **float_shape.HANDLERS,
}
INT16_HANDLERS: dict[str, Handler] = {**wide.HANDLERS, **wide_tables.HANDLERS}


def load(source: str | Path | bytes) -> ir.Module:
    """Import a TFLite model: a quantized one as an integer module, a float one as a float module.

    UINT8 tensors are INT8 tensors of the module, integers and zero points less 128. A quantized
    model between float inputs and outputs has their integers as inputs and outputs instead.

    Args:
        source: a path, or the bytes of a file.

    Raises:
        ModelError: a subclass that names the operator or tensor at fault; nothing else.
    """
    model = rewrite.integer_borders(source_.read(source))
    model = rewrite.dequantize_constants(model) if model.is_float else rewrite.signed(model)
    handlers = FLOAT_HANDLERS if model.is_float else HANDLERS
    if model.is_int16:
        handlers = INT16_HANDLERS
    for operator in model.operators:
        if operator.kind in ("QUANTIZE", "DEQUANTIZE") and operator.kind not in handlers:
            raise NotQuantizedError(
                f"{describe(model, operator)} stands between floats and integers; supported: at "
                "the inputs and outputs of a model only. Convert it with full integer quantization "
                "(converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8])"
            )
        if operator.kind not in handlers:
            raise UnsupportedOperatorError(
                f"{describe(model, operator)} is not supported; supported: "
                f"{', '.join(sorted(handlers))}. Replace it in the model before the conversion"
            )
    return _Import(model, handlers).module()


class _Import:
    """One walk over the operators of a model."""

    def __init__(self, model: SourceModel, handlers: dict[str, Handler]) -> None:
        self._model = model
        self._handlers = handlers
        tensors = [model.tensors[index] for index in model.inputs]
        inputs = [
            (name, self._checked_shape(tensor), self._input_type(tensor))
            for name, tensor in zip(self._names(model.inputs), tensors, strict=True)
        ]
        self._builder = Builder(inputs)
        self._values = {
            tensor.index: Value(self._builder, tensor.shape, last_=value)
            for tensor, value in zip(tensors, self._builder.inputs, strict=True)
        }

    def _input_type(self, tensor: Tensor) -> QuantParams | np.dtype[np.int16] | None:
        if self._model.is_float:
            return None
        params = activation(tensor, f"{self._model.name}: input", self._model.is_int16)
        return np.dtype(np.int16) if self._model.is_int16 else params

    def _names(self, indices: tuple[int, ...]) -> list[str]:
        """The tensors' names; where two are equal, with their index."""
        names = [self._model.tensors[index].name for index in indices]
        return [
            name if names.count(name) == 1 else f"{name}:{index}"
            for name, index in zip(names, indices, strict=True)
        ]

    def _checked_shape(self, tensor: Tensor) -> tuple[int, ...]:
        if any(extent < 0 for extent in tensor.signature[1:]):
            raise DynamicShapeError(
                f"{self._model.name}: input {tensor.name!r} has the shape "
                f"{list(tensor.signature)}; expected fixed extents after the batch. Convert the "
                "model with a fixed input shape"
            )
        return checked_size(tensor.shape, f"{self._model.name}: input {tensor.name!r}")

    def module(self) -> ir.Module:
        """Import everything and return the verified module."""
        for operator in self._model.operators:
            self._import(operator)
        outputs: list[tuple[str, ir.Value]] = []
        for name, index in zip(self._names(self._model.outputs), self._model.outputs, strict=True):
            if index not in self._values:
                raise InvalidModelError(
                    f"{self._model.name}: output {name!r} is not made by any operator"
                )
            outputs.append((name, self._values[index].last()))
        try:
            return self._builder.finish(outputs, self._scales())
        except BitwrightError as error:
            raise InvalidModelError(f"{self._model.name}: {error}") from None

    def _scales(self) -> dict[str, float]:
        """The scales of inputs and outputs that are plain integers."""
        if not self._model.is_int16:
            return {}
        return {
            name: float(self._model.tensors[index].scales[0])
            for indices in (self._model.inputs, self._model.outputs)
            for name, index in zip(self._names(indices), indices, strict=True)
        }

    def _import(self, operator: Operator) -> None:
        where = describe(self._model, operator)
        if len(operator.outputs) != 1 or operator.outputs[0] == source_.ABSENT:
            raise InvalidModelError(f"{where}: it has {len(operator.outputs)} outputs, expected 1")
        result = self._model.tensors[operator.outputs[0]]
        if self._model.is_float and result.type != "FLOAT32":
            raise UnsupportedTypeError(
                f"{where}: its result is {result.type}; supported: FLOAT32 in a float model"
            )
        self._builder.named(result.title)
        node = Node(self._model, operator, self._builder, self._values)
        try:
            made = self._handlers[operator.kind](node)
        except (ValueError, OverflowError) as error:  # shapes and scales that do not fit
            raise InvalidModelError(f"{where}: {error}") from None
        if made.shape != result.shape:
            raise InvalidModelError(
                f"{where}: it makes a tensor of shape {list(made.shape)}, but the file says "
                f"{list(result.shape)}"
            )
        self._values[result.index] = made
