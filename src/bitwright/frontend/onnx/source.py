"""Reads an ONNX file and brings it to the form that the importer walks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, inliner, shape_inference, version_converter

from bitwright.frontend.onnx import external, qonnx, wire
from bitwright.frontend.onnx.bind import Shapes, bind, shown, suggestion
from bitwright.frontend.onnx.errors import (
    DynamicShapeError,
    InvalidModelError,
    ModelFileNotFoundError,
    NotOnnxError,
    TruncatedModelError,
    UnsupportedOpsetError,
    UnsupportedTypeError,
)  # fmt: skip
from bitwright.ir.blobs import LARGE_BYTES
from bitwright.ir.context import new_context
from bitwright.ir.types import element_of

OLDEST_OPSET = 11
OLDEST_CONVERTED = 7
NEWEST_OPSET = 28
_OPSETS = (
    f"{OLDEST_OPSET} to {NEWEST_OPSET}, and {OLDEST_CONVERTED} to {OLDEST_OPSET - 1} where ONNX "
    "converts them"
)
DEFAULT_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class ModelInput:
    """A graph input that is not an initializer; `batch` is the fixed leading extent, else 1.

    `dtype` is None for float32.
    """

    name: str
    shape: tuple[int, ...]
    batch: int
    dtype: np.dtype[Any] | None = None


@dataclass(frozen=True)
class SourceModel:
    """A checked ONNX model: `name` for messages, its default-domain opset, its inputs.

    `arrays` has the large initializers, whose data is not in `proto`.
    """

    name: str
    proto: onnx.ModelProto
    opset: int
    inputs: tuple[ModelInput, ...]
    arrays: Mapping[str, external.Array]


def read(source: str | Path | bytes, shapes: Shapes | None = None) -> SourceModel:
    """Decode and check a model; functions are inlined, large and external weights mapped.

    Args:
        source: a path, or the bytes of a file.
        shapes: sizes of symbolic dimensions and shapes of inputs, by name.

    Raises:
        ModelError: a subclass that says what is wrong with the file.
        ShapeBindingError: `shapes` that do not fit the model.
    """
    if isinstance(source, bytes):
        name, folder, data = "the model", None, memoryview(source)
    else:
        path = Path(source)
        name, folder = str(path), path.parent
        try:
            data = external.view(path)
        except OSError as error:
            raise ModelFileNotFoundError(
                f"Cannot read {name}: {error.strerror}; expected an ONNX file"
            ) from None
    proto = _decode(data, name)
    _check_names(proto, name)
    if _is_old(proto):
        proto = _modern(_parsed(bytes(data), name))
    qonnx.name_domain(proto)
    opset = _opset(proto, name)
    if proto.functions:
        try:
            proto = inliner.inline_local_functions(proto)
        except Exception as error:  # the library raises several unrelated classes
            raise InvalidModelError(
                f"{name}: its functions cannot be inlined: {_first_line(error)}"
            ) from None
    arrays = _take_out(proto, external.Files(name, data, folder))
    return SourceModel(name, proto, opset, tuple(_inputs(proto, name, shapes or {})), arrays)


def check(model: SourceModel) -> None:
    """Run ONNX's own checker and strict shape inference.

    Raises:
        InvalidModelError: with ONNX's diagnostic.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    extents = {item.name: item.shape for item in model.inputs}
    for value in proto.graph.input:
        for dim, extent in zip(
            value.type.tensor_type.shape.dim, extents.get(value.name, ()), strict=False
        ):
            dim.dim_value = extent
    _declare_without_data(proto)
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    _without_foreign(proto)
    checked = onnx.ModelProto()
    checked.CopyFrom(model.proto)
    _declare_without_data(checked)
    named = {entry.domain for entry in checked.opset_import}
    for domain in {node.domain for node in checked.graph.node} - {*named, *DEFAULT_DOMAINS}:
        checked.opset_import.append(helper.make_opsetid(domain, 1))  # often left out
    for value in checked.graph.output:
        if value.type.HasField("tensor_type"):
            # The checker wants a shape; many models leave it to inference.
            value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(checked)
        shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # checker, inference and protobuf errors share no base
        raise InvalidModelError(
            f"{model.name} is not a valid ONNX model: {_first_line(error)}"
        ) from None


def _declare_without_data(proto: onnx.ModelProto) -> None:
    """Make inputs of the initializers without data, which ONNX's checks would look for."""
    graph = proto.graph
    kept = [tensor for tensor in graph.initializer if not external.is_external(tensor)]
    declared = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if external.is_external(tensor):
            if tensor.name not in declared:
                graph.input.append(
                    helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
                )
            declared.discard(tensor.name)  # a second one of this name is to be seen
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _without_foreign(proto: onnx.ModelProto) -> None:
    """Leave out the nodes of other domains, and all that depends on them.

    Shape inference does not know them, and ignores all contradictions in a model that has any.
    """
    unknown: set[str] = set()
    kept: list[onnx.NodeProto] = []
    for node in proto.graph.node:
        if node.domain not in DEFAULT_DOMAINS or unknown.intersection(node.input):
            unknown.update(node.output)
        else:
            kept.append(node)
    if unknown:
        del proto.graph.node[:]
        proto.graph.node.extend(kept)
        outputs = [item for item in proto.graph.output if item.name not in unknown]
        del proto.graph.output[:]
        proto.graph.output.extend(outputs)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:400] or type(error).__name__


def _decode(data: memoryview, name: str) -> onnx.ModelProto:
    if not data:
        raise NotOnnxError(f"{name} is empty; expected an ONNX model")
    envelope, needed = wire.inspect(data)
    if envelope is wire.Envelope.FOREIGN:
        raise NotOnnxError(
            f"{name} is not an ONNX model: its {len(data)} bytes start with "
            f"{bytes(data[:8]).hex(' ')}, and its fields are not those of an ONNX ModelProto; "
            f"export the model to ONNX (opset {OLDEST_CONVERTED} to {NEWEST_OPSET})"
        )
    if envelope is wire.Envelope.TRUNCATED:
        needs = f"at least {needed}" if needed > len(data) else "more"
        raise TruncatedModelError(
            f"{name} is a truncated ONNX model: it has {len(data)} bytes and needs {needs}; "
            "copy or export it again"
        )
    return _parsed(wire.strip(data, LARGE_BYTES), name)


def _parsed(data: bytes, name: str) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError, whose module depends on the backend
        raise InvalidModelError(
            f"{name} is a damaged ONNX model: {_first_line(error)}; copy or export it again"
        ) from None
    return proto


def _check_names(proto: onnx.ModelProto, name: str) -> None:
    graph = proto.graph
    values = [*graph.input, *graph.output, *graph.initializer]
    names: list[str | bytes] = [value.name for value in values]
    for value in (*graph.input, *graph.output):
        names += [dim.dim_param for dim in value.type.tensor_type.shape.dim]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [item.name for item in node.attribute]
        if not node.output:
            raise InvalidModelError(f"{name}: node {node.name!r} ({node.op_type}) has no output")
    for found in names:
        if isinstance(found, bytes):  # what protobuf gives for text that does not decode
            raise InvalidModelError(f"{name} is damaged: the name {found!r} in it is not UTF-8")


def _opset(proto: onnx.ModelProto, name: str) -> int:
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    for domain in DEFAULT_DOMAINS:
        if domain in versions:
            version = versions[domain]
            if OLDEST_OPSET <= version <= NEWEST_OPSET:
                return version
            raise UnsupportedOpsetError(
                f"{name} uses opset {version} of domain ai.onnx; supported: {_OPSETS}. "
                "Export it with one of these, or convert it with "
                "onnx.version_converter.convert_version"
            )
    raise UnsupportedOpsetError(
        f"{name} names no opset of domain ai.onnx, only "
        f"{', '.join(sorted(versions)) or 'none at all'}; supported: ai.onnx {_OPSETS}"
    )


def _is_old(proto: onnx.ModelProto) -> bool:
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    version = next((versions[d] for d in DEFAULT_DOMAINS if d in versions), OLDEST_OPSET)
    return OLDEST_CONVERTED <= version < OLDEST_OPSET and len(versions) == 1


def _modern(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Models of opset 7 to 10, brought to the oldest that the importer reads by ONNX's converter.

    What it cannot convert stays as it is, and is refused by its opset.
    """
    try:
        return version_converter.convert_version(proto, OLDEST_OPSET)
    except Exception:  # the converter raises whatever its adapters do
        return proto


def _take_out(proto: onnx.ModelProto, files: external.Files) -> dict[str, external.Array]:
    """Large external tensors as arrays by name; small ones come into `proto`.

    A Constant node with a large tensor becomes an initializer without data.
    """
    graph, arrays = proto.graph, dict[str, external.Array]()
    for node in list(graph.node):
        for item in node.attribute:
            if not external.is_external(item.t):
                continue
            tensor, data = item.t, files.bytes_of(item.t)
            if node.op_type == "Constant" and item.name == "value" and len(data) >= LARGE_BYTES:
                tensor.name = node.output[0]
                graph.initializer.append(tensor)
                graph.node.remove(node)
                break
            tensor.CopyFrom(external.inlined(tensor, data))
    for tensor in graph.initializer:
        if not external.is_external(tensor):
            continue
        data = files.bytes_of(tensor)
        if len(data) >= LARGE_BYTES:
            arrays[tensor.name] = files.array(tensor)
        else:
            tensor.CopyFrom(external.inlined(tensor, data))
    return arrays


def _inputs(proto: onnx.ModelProto, name: str, shapes: Shapes) -> list[ModelInput]:
    constants = {tensor.name for tensor in proto.graph.initializer}
    constants |= {tensor.values.name for tensor in proto.graph.sparse_initializer}
    values = [value for value in proto.graph.input if value.name not in constants]
    bind(values, shapes, name)
    found = [_input(value, name) for value in values]
    if not proto.graph.output:
        raise InvalidModelError(f"{name} has no outputs; expected at least one")
    if not found:
        raise InvalidModelError(f"{name} has no inputs; expected at least one that is no weight")
    return found


def _input(value: onnx.ValueInfoProto, name: str) -> ModelInput:
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value") or "nothing"
        raise UnsupportedTypeError(
            f"Input {value.name!r} of {name} is of kind {kind}; supported: a float32 tensor"
        )
    element = value.type.tensor_type.elem_type
    dtype = _dtype(element)
    if element != onnx.TensorProto.FLOAT and dtype is None:
        raise UnsupportedTypeError(
            f"Input {value.name!r} of {name} has element type {type_name(element)}; supported: "
            "floats, integers and booleans"
        )
    if not value.type.tensor_type.HasField("shape"):
        raise DynamicShapeError(
            f"Input {value.name!r} of {name} has no shape; every dimension except the batch must "
            f"be fixed. Give it with --shape {value.name}=SIZE,SIZE,... (the sizes that you use)"
        )
    found = _static(value.name, list(value.type.tensor_type.shape.dim), name)
    return replace(found, dtype=dtype)


def _dtype(element: int) -> np.dtype[Any] | None:
    """NumPy's type of an element type other than float32; None where there is none."""
    if element == onnx.TensorProto.FLOAT:
        return None
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(element))
        with new_context():
            element_of(dtype)
    except (KeyError, ValueError):
        return None
    return dtype


def _static(input_name: str, dims: list[onnx.TensorShapeProto.Dimension], name: str) -> ModelInput:
    extents: list[int] = []
    for index, dim in enumerate(dims):
        if dim.HasField("dim_value") and dim.dim_value > 0:
            extents.append(dim.dim_value)
        elif index == 0:
            extents.append(1)
        else:
            raise DynamicShapeError(
                f"Input {input_name!r} of {name} has shape {shown(dims)}, where dimension {index} "
                f"({dim.dim_param or dim.dim_value or '?'!r}) is dynamic; only the batch "
                f"(dimension 0) may be. Fix it with {suggestion(input_name, dims)} (the sizes "
                "that you use), or export the model with a fixed size"
            )
    batch = extents[0] if len(extents) > 1 else 1
    return ModelInput(input_name, tuple(extents), batch)


def type_name(element: int) -> str:
    """ONNX's name of an element type, as `float32` or `int8`; the number where it has none."""
    try:
        name = onnx.TensorProto.DataType.Name(element)  # pyright: ignore
    except ValueError:
        return str(element)
    return {"FLOAT": "float32", "DOUBLE": "float64"}.get(name, name.lower())
