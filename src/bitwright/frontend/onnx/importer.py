"""ONNX to float `bw`: one walk over the nodes, each turned by the handler of its operator.

Supported operators are the rows of `HANDLERS`, and of `domains.DOMAINS` outside of ai.onnx.
Whatever of ai.onnx depends on constants only is computed at import. A symbolic batch becomes 1; a
fixed one becomes 1 as well where every sample goes its own way through the network (see
`batch.py`), and is kept otherwise.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.frontend.onnx import (
    attention,
    constants,
    convolution,
    einsum,
    elementwise,
    functions,
    indexing,
    normalization,
    pooling,
    quantized,
    quantized_products,
    recurrent,
    reductions,
    resize,
    selection,
)  # fmt: skip
from bitwright.frontend.onnx import (
    shape as shape_,
)
from bitwright.frontend.onnx import (
    source as source_,
)
from bitwright.frontend.onnx.batch import is_per_sample
from bitwright.frontend.onnx.bind import Shapes
from bitwright.frontend.onnx.domains import DOMAINS
from bitwright.frontend.onnx.errors import (
    InvalidModelError,
    UnsupportedOperatorError,
    UnsupportedTypeError,
)  # fmt: skip
from bitwright.frontend.onnx.node import (
    Array,
    Handler,
    Node,
    Operand,
    check_finite,
    checked_size,
    checked_weight,
    describe,
    shape,
)  # fmt: skip
from bitwright.frontend.onnx.source import DEFAULT_DOMAINS, SourceModel
from bitwright.ir.builder import Builder

HANDLERS: dict[str, Handler] = {
    **attention.HANDLERS,
    **convolution.HANDLERS,
    **einsum.HANDLERS,
    **elementwise.HANDLERS,
    **functions.HANDLERS,
    **indexing.HANDLERS,
    **normalization.HANDLERS,
    **pooling.HANDLERS,
    **quantized.HANDLERS,
    **quantized_products.HANDLERS,
    **recurrent.HANDLERS,
    **reductions.HANDLERS,
    **resize.HANDLERS,
    **selection.HANDLERS,
    **shape_.HANDLERS,
}
# Answered from the shapes of what is already built; foldable only through that.
_SHAPE_QUERIES = ("Shape", "Size")
# Never folded, so that the integers of a quantized weight stay visible.
_KEPT = ("DequantizeLinear",)


def load(source: str | Path | bytes, shapes: Shapes | None = None) -> ir.Module:
    """Import an ONNX model as a verified float module.

    Args:
        source: a path, or the bytes of a file. Large weights of a path stay in the file, which
            must not change while the module is in use.
        shapes: `{"height": 224}` binds a symbolic dimension in all inputs that have it,
            `{"x": (1, 3, 224, 224)}` all of those of one input.

    Raises:
        ModelError: a subclass that names the node, tensor or input at fault.
        ShapeBindingError: `shapes` that the model does not have, or has otherwise.
    """
    model = source_.read(source, shapes)
    _reject_unknown(model)
    source_.check(model)
    batches = {item.batch for item in model.inputs}
    if batches == {1}:
        return _Import(model).module()
    if len(batches) > 1:
        return _Import(model).module()
    kept = _Import(model).module()
    single = replace(model, inputs=tuple(replace(i, shape=(1, *i.shape[1:])) for i in model.inputs))
    try:
        module = _Import(single).module()
    except BitwrightError:
        return kept
    return module if is_per_sample(module, kept) else kept


def _handlers(domain: str) -> dict[str, Handler] | None:
    """The operators of a domain, None for an unknown one."""
    return HANDLERS if domain in DEFAULT_DOMAINS else DOMAINS.get(domain)


def _is_foldable(node: onnx.NodeProto) -> bool:
    return node.domain in DEFAULT_DOMAINS and node.op_type in constants.FOLDABLE


def _reject_unknown(model: SourceModel) -> None:
    for node in model.proto.graph.node:
        if node.op_type not in (_handlers(node.domain) or {}) and not _is_foldable(node):
            raise _unsupported(node, model.opset)


def _unsupported(node: onnx.NodeProto, opset: int) -> UnsupportedOperatorError:
    handlers = _handlers(node.domain)
    at_import = ", on a tensor computed at run time (on constants it is)"
    if handlers is None:
        supported = f"domains: ai.onnx, {', '.join(sorted(DOMAINS))}"
    else:
        supported = f"in domain {node.domain or 'ai.onnx'}: {', '.join(sorted(handlers))}"
    return UnsupportedOperatorError(
        f"{describe(node, opset)} is not supported{at_import if _is_foldable(node) else ''}; "
        f"supported {supported}. Replace it in the model before the export"
    )


class _Import:
    """One walk over the graph of a model."""

    def __init__(self, model: SourceModel) -> None:
        self._model = model
        self._graph = model.proto.graph
        for item in model.inputs:
            checked_size(item.shape, f"{model.name}: input {item.name!r}")
        self._builder = Builder([(item.name, item.shape, item.dtype) for item in model.inputs])
        self._values: dict[str, Operand] = {
            item.name: value for item, value in zip(model.inputs, self._builder.inputs, strict=True)
        }

    def module(self) -> ir.Module:
        """Import everything and return the verified module."""
        self._read_initializers()
        for node in self._graph.node:
            self._import(node)
        outputs: list[tuple[str, ir.Value]] = []
        for output in self._graph.output:
            operand = self._lookup(output.name, f"{self._model.name}: output")
            if not isinstance(operand, ir.Value):
                operand = self._constant_output(operand, output.name)
            outputs.append((output.name, operand))
        try:
            return self._builder.finish(outputs)
        except BitwrightError as error:
            raise InvalidModelError(f"{self._model.name}: {error}") from None

    def _constant_output(self, array: Array, name: str) -> ir.Value:
        if array.dtype.kind == "f":
            checked_weight(array, name, f"{self._model.name}: output")
        if array.dtype == np.float32 and array.ndim:
            return self._builder.constant(array)
        if array.dtype.kind not in "fiubV":
            raise UnsupportedTypeError(
                f"{self._model.name}: output {name!r} has element type {array.dtype}; supported: "
                "numbers and booleans"
            )
        checked_size(array.shape, f"{self._model.name}: output {name!r}")
        return self._builder.plain(array)

    def _read_initializers(self) -> None:
        if self._graph.sparse_initializer:
            name = self._graph.sparse_initializer[0].values.name
            raise UnsupportedTypeError(
                f"{self._model.name}: tensor {name!r} is a sparse initializer; supported: dense"
            )
        for tensor in self._graph.initializer:
            try:
                array = self._model.arrays.get(tensor.name)
                if array is None:
                    array = numpy_helper.to_array(tensor)
            except Exception as error:  # whatever NumPy says about the bytes
                raise InvalidModelError(
                    f"{self._model.name}: tensor {tensor.name!r} of shape {list(tensor.dims)} "
                    f"cannot be read: {str(error)[:200]}"
                ) from None
            # A lone value may be an infinite bound of Clip; those are checked where they are used.
            if array.dtype.kind == "f" and array.size > 1:
                check_finite(array, tensor.name, self._model.name)
            self._values[tensor.name] = array

    def _lookup(self, name: str, where: str) -> Operand:
        if name not in self._values:
            raise InvalidModelError(
                f"{where}: tensor {name!r} is not made by any earlier node, input or initializer "
                "(a second output of a node counts only where Bitwright computes it)"
            )
        return self._values[name]

    def _import(self, node: onnx.NodeProto) -> None:
        where = describe(node, self._model.opset)
        operands = [self._lookup(name, where) if name else None for name in node.input]
        default = node.domain in DEFAULT_DOMAINS
        if default and node.op_type in _SHAPE_QUERIES:
            self._values[node.output[0]] = _answer(node, operands[0])
            return
        arrays = [operand for operand in operands if not isinstance(operand, ir.Value)]
        if default and node.op_type not in _KEPT and len(arrays) == len(operands):
            results = constants.evaluate(node, self._model.opset, arrays)
            self._values |= zip([name for name in node.output if name], results, strict=True)
            return
        handler = (_handlers(node.domain) or {}).get(node.op_type)
        if handler is None:
            raise _unsupported(node, self._model.opset)
        self._builder.named(node.name or node.output[0])
        view = Node(node, self._model.opset, tuple(operands), self._builder)
        try:
            made = handler(view)
            results = (made,) if isinstance(made, (ir.Value, np.ndarray)) else made
            for result in results:
                checked_size(shape(result), f"{where}: its result")
        except (ValueError, OverflowError) as error:  # shapes that do not fit, from ir.shapes
            raise InvalidModelError(f"{where}: {error}") from None
        for name, result in zip(node.output, results, strict=False):
            if name:
                self._values[name] = result


def _answer(node: onnx.NodeProto, operand: Operand | None) -> Array:
    extents = shape(operand) if operand is not None else ()
    if node.op_type == "Size":
        return np.asarray(math.prod(extents), np.int64)
    attributes = {item.name: int(item.i) for item in node.attribute}
    return np.asarray(extents[attributes.get("start", 0) : attributes.get("end")], np.int64)
