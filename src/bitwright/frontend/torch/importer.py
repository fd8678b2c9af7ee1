"""Exported PyTorch programs to `bw`: one walk over the nodes, each turned by its handler.

Supported operators are the rows of `HANDLERS`; torch itself decomposes any other into those of
core ATen first, and computes whatever depends on constants only. After each node, shape and
type of what was made are compared with what torch says they are.
"""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind, TensorArgument
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree
from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.frontend.torch import (
    activations,
    attention,
    elementwise,
    indexing,
    normalization,
    pooling,
    products,
    quantized,
    reductions,
    resize,
)
from bitwright.frontend.torch import shape as shape_
from bitwright.frontend.torch.errors import (
    DynamicShapeError,
    InvalidModelError,
    UnsupportedAttributeError,
    UnsupportedOperandError,
    UnsupportedOperatorError,
)
from bitwright.frontend.torch.node import (
    Handler,
    Node,
    checked_finite,
    checked_size,
    describe,
    module_path,
    numpy_type,
    operator_name,
    shape,
    to_array,
)
from bitwright.frontend.torch.source import decomposed
from bitwright.ir.builder import Builder
from bitwright.ir.types import dtype_of

HANDLERS: dict[str, Handler] = {
    **activations.HANDLERS,
    **attention.HANDLERS,
    **elementwise.HANDLERS,
    **indexing.HANDLERS,
    **normalization.HANDLERS,
    **pooling.HANDLERS,
    **products.HANDLERS,
    **quantized.HANDLERS,
    **reductions.HANDLERS,
    **resize.HANDLERS,
    **shape_.HANDLERS,
}
# Checks that torch adds on types and layouts that an export fixes.
_NO_EFFECT = frozenset(("aten._assert_tensor_metadata",))
# How memory is laid out, which says nothing of the values.
_LAYOUT = frozenset((
    "cudnn_enable", "cudnn_enabled", "device", "layout", "memory_format", "non_blocking",
    "pin_memory",
))  # fmt: skip
_OVERLOAD = type(torch.ops.aten.relu.default)
_MADE_BY_TORCH = ("aten", "prims")


def convert(program: ExportedProgram) -> ir.Module:
    """The verified module of an exported program.

    Raises:
        ModelError: a subclass that names the node, argument or input at fault.
    """
    for node in program.graph.nodes:
        _refuse_symbolic(node)
    return _Import(decomposed(program, tuple(HANDLERS))).module()


def _refuse_symbolic(node: torch.fx.Node) -> None:
    for value in pytree.tree_leaves(node.meta.get("val")):
        extents: list[Any] = list(value.shape) if isinstance(value, torch.Tensor) else []
        if any(not isinstance(extent, int) for extent in extents):
            where = f"Input {node.name!r}" if node.op == "placeholder" else describe(node)
            raise DynamicShapeError(
                f"{where} has shape {[str(n) for n in extents]}; expected fixed "
                "extents. Export the model without dynamic_shapes, and without operators whose "
                "result depends on the data in its shape"
            )


class _Import:
    """One walk over the graph of a program."""

    def __init__(self, program: ExportedProgram) -> None:
        self._program = program
        self._values: dict[str, Any] = {}
        self._names: set[str] = set()
        inputs: list[tuple[str, tuple[int, ...], np.dtype[Any] | None]] = []
        placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
        for spec in program.graph_signature.input_specs:
            if spec.kind is not InputKind.USER_INPUT:
                self._values[spec.arg.name] = self._constant(spec)
            elif isinstance(spec.arg, TensorArgument):
                meta = placeholders[spec.arg.name].meta["val"]
                where = f"Input {spec.arg.name!r}"
                dtype = numpy_type(meta.dtype, where)
                extents = checked_size([int(extent) for extent in meta.shape], where)
                inputs.append((spec.arg.name, extents, None if dtype == np.float32 else dtype))
            else:
                self._values[spec.arg.name] = getattr(spec.arg, "value", None)
        self._builder = Builder(inputs)
        self._values |= dict(
            zip((name for name, _, _ in inputs), self._builder.inputs, strict=True)
        )

    def _constant(self, spec: Any) -> torch.Tensor:
        program, target = self._program, spec.target
        tensor = program.state_dict.get(target, program.constants.get(target))
        if not isinstance(tensor, torch.Tensor):
            raise UnsupportedOperandError(
                f"{spec.kind.name.lower()} {target!r} is a {type(tensor).__name__}; supported: "
                "tensors"
            )
        if spec.kind is InputKind.PARAMETER:
            checked_finite(tensor, f"Parameter {target!r}")
        return tensor.detach()

    def module(self) -> ir.Module:
        """Import everything and return the verified module."""
        outputs: list[tuple[str, ir.Value]] = []
        for node in self._program.graph.nodes:
            if node.op == "call_function":
                self._values[node.name] = self._call(node)
            elif node.op == "get_attr":
                self._values[node.name] = getattr(self._program.graph_module, str(node.target))
            elif node.op == "output":
                outputs = self._outputs()
        try:
            return self._builder.finish(outputs)
        except BitwrightError as error:
            raise InvalidModelError(f"The imported module is not valid: {error}") from None

    def _call(self, node: torch.fx.Node) -> Any:
        args, kwargs = self._lookup(node.args), self._lookup(node.kwargs)
        if node.target is operator.getitem:
            return self._item(node, args[0], args[1])
        name = operator_name(node)
        if name in _NO_EFFECT:
            return None
        if not isinstance(node.target, _OVERLOAD):
            raise UnsupportedOperatorError(
                f"{describe(node)} is not supported: it is control flow, or calculates with "
                "shapes; supported: a fixed sequence of operators. Rewrite it, with torch.where "
                "for example"
            )
        handler = HANDLERS.get(name)
        if not _computed((args, kwargs)) and name not in quantized.HANDLERS:
            return self._folded(node, args, kwargs)
        if handler is None:
            raise UnsupportedOperatorError(
                f"{describe(node)} is not supported; supported: "
                f"{', '.join(sorted(HANDLERS))}. Replace it in the model before the export"
            )
        self._builder.named(self._layer(node))
        view = Node(node, _bound(node, args, kwargs), self._builder)
        try:
            result = handler(view)
        except (ValueError, OverflowError, TypeError, IndexError) as error:  # what does not fit
            raise InvalidModelError(f"{describe(node)}: {error}") from None
        _check_all_read(view)
        _check_result(node, result)
        return result

    def _layer(self, node: torch.fx.Node) -> str:
        """The path of the module that the node is the only or first operator of, else its name."""
        path = module_path(node)
        if not path or path in self._names:
            return node.name
        self._names.add(path)
        return path

    def _lookup(self, arguments: Any) -> Any:
        return map_arg(arguments, lambda node: self._values[node.name])

    def _item(self, node: torch.fx.Node, values: Any, index: int) -> Any:
        item = values[index]
        if item is None:
            source = node.args[0]
            assert isinstance(source, torch.fx.Node), "an item is taken of a node's results"
            raise UnsupportedOperandError(
                f"{describe(source)}: result {index} is used; supported: the results before it"
            )
        return item

    def _folded(self, node: torch.fx.Node, args: Any, kwargs: Any) -> Any:
        target: Any = node.target
        name = operator_name(node)
        if torch.Tag.nondeterministic_seeded in target.tags:
            raise UnsupportedOperatorError(
                f"{describe(node)} draws random numbers; expected a model without, in evaluation "
                "mode"
            )
        if target.namespace not in _MADE_BY_TORCH:
            raise UnsupportedOperatorError(
                f"{describe(node)} has only constant operands, and operators of {target.namespace} "
                f"are not computed at import; supported: {', '.join(_MADE_BY_TORCH)}"
            )
        for value in pytree.tree_leaves(node.meta.get("val")):
            if isinstance(value, torch.Tensor):
                checked_size([int(extent) for extent in value.shape], describe(node))
        try:
            with torch.no_grad():
                return target(*args, **kwargs)
        except Exception as error:  # whatever torch raises on the constants of a damaged file
            raise InvalidModelError(
                f"{describe(node)} cannot be computed from its constants ({name}): "
                f"{str(error).splitlines()[0][:200] if str(error) else type(error).__name__}"
            ) from None

    def _outputs(self) -> list[tuple[str, ir.Value]]:
        made: list[Any] = []
        for spec in self._program.graph_signature.output_specs:
            if spec.kind is not OutputKind.USER_OUTPUT:
                raise UnsupportedOperatorError(
                    f"The model changes {spec.target!r} ({spec.kind.name.lower()}); supported: "
                    "models without state. Call model.eval() before the export, or return the new "
                    "state as an output"
                )
            made.append(getattr(spec.arg, "value", None) if not isinstance(spec.arg, TensorArgument)
                        else self._values[spec.arg.name])  # fmt: skip
        named: list[tuple[str, ir.Value]] = []
        for name, value in zip(_output_names(self._program), made, strict=True):
            if isinstance(value, torch.Tensor):
                array = to_array(value, f"Output {name!r}")
                checked_size(array.shape, f"Output {name!r}")
                value = self._builder.plain(array)
            if value is None:
                continue
            if not isinstance(value, ir.Value):
                raise UnsupportedOperandError(
                    f"Output {name!r} is {value!r}; supported: tensors. Return it another way"
                )
            named.append((name, value))
        return named


def _computed(arguments: Any) -> bool:
    """Whether a value of the module is among the arguments."""
    return any(isinstance(leaf, ir.Value) for leaf in pytree.tree_leaves(arguments))


def _bound(node: torch.fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by their names in the operator's schema, defaults included."""
    schema: Any = node.target
    bound: dict[str, Any] = {}
    for position, argument in enumerate(schema._schema.arguments):
        if position < len(args):
            bound[argument.name] = args[position]
        elif argument.name in kwargs:
            bound[argument.name] = kwargs[argument.name]
        else:
            bound[argument.name] = argument.default_value
    return bound


def _check_all_read(view: Node) -> None:
    """An argument that differs from its default and that the handler does not know is an error."""
    target: Any = view.proto.target
    for argument in target._schema.arguments:
        name = argument.name
        if name in view.read or name in _LAYOUT:
            continue
        value, default = view.given[name], argument.default_value
        if isinstance(value, (ir.Value, torch.Tensor)) or value != default:
            raise UnsupportedAttributeError(
                f"{view.describe()}: argument {name} is {value!r}; supported: {default!r}"
            )


def _check_result(node: torch.fx.Node, result: Any) -> None:
    """Compare shapes and types with torch's own."""
    expected = node.meta["val"]
    if isinstance(result, (ir.Value, torch.Tensor)):
        result, expected = [result], [expected]
    for made, wanted in zip(result, expected, strict=True):
        if made is None:
            continue
        checked_size(shape(made), f"{describe(node)}: its result")
        dtype = dtype_of(made) if isinstance(made, ir.Value) else numpy_type(made.dtype, "")
        extents = tuple(int(extent) for extent in wanted.shape)
        if shape(made) != extents or dtype != numpy_type(wanted.dtype, describe(node)):
            raise InvalidModelError(
                f"{describe(node)}: made {dtype} of shape {list(shape(made))} where torch has "
                f"{wanted.dtype} of shape {list(extents)}; this is a defect in Bitwright"
            )


def _output_names(program: ExportedProgram) -> list[str]:
    """`output`, or the keys and positions on the way to each tensor, joined by underscores."""
    spec = program.call_spec.out_spec
    assert spec is not None, "an exported program knows the structure of its outputs"
    numbered = pytree.tree_unflatten(list(range(spec.num_leaves)), spec)
    names: list[str] = []
    for path, _ in pytree.tree_leaves_with_path(numbered):
        parts = [
            str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", "")))) for key in path
        ]
        text = "_".join(parts)
        names.append(
            f"output{'_' if text else ''}{text}" if not text or text[0].isdigit() else text
        )
    return names
