"""Reads a TFLite file (a flatbuffer) into plain data, every access checked.

The reader of the schema is the `tflite` package, which flatc generated; it follows offsets blindly,
so that everything is read here, once, and what leads outside of the file is an error.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

from bitwright.frontend.tflite.errors import (
    InvalidModelError,
    ModelFileNotFoundError,
    NotTfliteError,
    TruncatedModelError,
)
from bitwright.frontend.tflite.options import OPTIONS

IDENTIFIER = b"TFL3"
MAX_RANK = 8
ABSENT = -1
"""Index of an operand that is left out."""

Array = NDArray[Any]


def _names(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


OPERATORS = _names(tflite.BuiltinOperator)
TYPES = _names(tflite.TensorType)
_DTYPES = {
    "INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FLOAT16": np.float16, "FLOAT32": np.float32,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One tensor as the file has it; `data` is None where it is computed.

    `unsigned` says that it was UINT8 and is re-centred (see `bitwright.frontend.tflite.rewrite`).
    """

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    type: str
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int
    data: bytes | None
    sparse: bool
    unsigned: bool = False

    @property
    def title(self) -> str:
        """The name, of a tensor that fused layers made the first of their names."""
        return self.name.split(";")[0]

    def array(self) -> Array | None:
        """The constant, or None where it is computed or of a type that no constant has.

        Raises:
            ValueError: where the number of bytes does not fit the shape.
        """
        dtype = _DTYPES.get(self.type)
        if self.data is None or dtype is None:
            return None
        values = np.frombuffer(self.data, np.dtype(dtype).newbyteorder("<"))
        return values.astype(dtype).reshape(self.shape)


@dataclass(frozen=True)
class Operator:
    """One operator; `options` by the schema's names."""

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class SourceModel:
    """The main subgraph of a file; `name` is for messages."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def is_float(self) -> bool:
        """Whether it computes with floats: all of its inputs are floats."""
        return self._all_inputs("FLOAT32")

    @property
    def is_int16(self) -> bool:
        """Whether its activations have 16 bits: all of its inputs have."""
        return self._all_inputs("INT16")

    def _all_inputs(self, type_: str) -> bool:
        return bool(self.inputs) and all(self.tensors[i].type == type_ for i in self.inputs)


def read(source: str | Path | bytes) -> SourceModel:
    """Read and check a model.

    Raises:
        ModelError: a subclass that says what is wrong with the file.
    """
    if isinstance(source, bytes):
        name, data = "the model", source
    else:
        name = str(source)
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            raise ModelFileNotFoundError(
                f"Cannot read {name}: {error.strerror}; expected a TFLite file"
            ) from None
    if data[4:8] != IDENTIFIER:
        start = f"its {len(data)} bytes start with {data[:8].hex(' ')}" if data else "it is empty"
        raise NotTfliteError(
            f"{name} is not a TFLite model: {start}; expected the identifier TFL3 in bytes 4 to 7. "
            "Convert the model with the LiteRT converter"
        )
    try:
        return _Reader(name, data).model()
    except (struct.error, IndexError, ValueError, TypeError, OverflowError):
        # what flatbuffers and NumPy raise where an offset or a length leads out of the file
        raise TruncatedModelError(
            f"{name} is a truncated or damaged TFLite model: it has {len(data)} bytes, and a part "
            "of it lies outside of them; copy or convert it again"
        ) from None


class _Reader:
    def __init__(self, name: str, data: bytes) -> None:
        self._name = name
        self._data = data
        self._model = tflite.Model.GetRootAs(data, 0)

    def model(self) -> SourceModel:
        if self._model.SubgraphsLength() < 1:
            raise InvalidModelError(f"{self._name} has no subgraph; convert the model again")
        graph: Any = self._model.Subgraphs(0)
        tensors = tuple(
            self._tensor(index, graph.Tensors(index)) for index in range(graph.TensorsLength())
        )
        operators = tuple(
            self._operator(index, graph.Operators(index), len(tensors))
            for index in range(graph.OperatorsLength())
        )
        inputs = self._indices(graph.InputsAsNumpy(), len(tensors), "the graph's inputs")
        outputs = self._indices(graph.OutputsAsNumpy(), len(tensors), "the graph's outputs")
        if not outputs or ABSENT in (*inputs, *outputs):
            raise InvalidModelError(
                f"{self._name}: the graph has the inputs {list(inputs)} and the outputs "
                f"{list(outputs)}; expected at least one output, and tensors for all of them"
            )
        return SourceModel(self._name, tensors, operators, inputs, outputs)

    def _indices(self, found: Any, count: int, what: str) -> tuple[int, ...]:
        """A vector of tensor indices; the generated reader gives 0 for a missing one."""
        indices = tuple(int(index) for index in found) if isinstance(found, np.ndarray) else ()
        for index in indices:
            if not ABSENT <= index < count:
                raise InvalidModelError(
                    f"{self._name}: {what} name tensor {index}; the file has {count} tensors"
                )
        return indices

    def _tensor(self, index: int, tensor: Any) -> Tensor:
        name = (tensor.Name() or b"").decode("utf-8", "replace") or f"tensor{index}"
        if tensor.ShapeLength() > MAX_RANK or tensor.ShapeSignatureLength() > MAX_RANK:
            raise InvalidModelError(
                f"{self._name}: tensor {name!r} has rank {tensor.ShapeLength()}; expected at most "
                f"{MAX_RANK}"
            )
        shape = tuple(tensor.Shape(axis) for axis in range(tensor.ShapeLength()))
        signature = tuple(
            tensor.ShapeSignature(axis) for axis in range(tensor.ShapeSignatureLength())
        )
        quantization = tensor.Quantization()
        scales, zero_points, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
        if quantization is not None:
            axis = quantization.QuantizedDimension()
            if quantization.ScaleLength():
                scales = quantization.ScaleAsNumpy()
            if quantization.ZeroPointLength():
                zero_points = quantization.ZeroPointAsNumpy()
        kind = TYPES.get(tensor.Type(), str(tensor.Type()))
        return Tensor(
            index, name, shape, signature, kind, scales, zero_points, axis,
            self._buffer(name, tensor.Buffer()), tensor.Sparsity() is not None,
        )  # fmt: skip

    def _buffer(self, tensor: str, index: int) -> bytes | None:
        if index >= self._model.BuffersLength():
            raise InvalidModelError(
                f"{self._name}: tensor {tensor!r} names buffer {index}; the file has "
                f"{self._model.BuffersLength()} buffers"
            )
        buffer: Any = self._model.Buffers(index)
        if buffer.Offset() > 1:  # of a file beyond 2 GiB: the bytes lie behind the flatbuffer
            end = buffer.Offset() + buffer.Size()
            if end > len(self._data):
                raise IndexError(end)
            return self._data[buffer.Offset() : end]
        return buffer.DataAsNumpy().tobytes() if buffer.DataLength() else None

    def _operator(self, index: int, operator: Any, tensors: int) -> Operator:
        if operator.OpcodeIndex() >= self._model.OperatorCodesLength():
            raise InvalidModelError(
                f"{self._name}: operator {index} has code {operator.OpcodeIndex()}; the file has "
                f"{self._model.OperatorCodesLength()} codes"
            )
        code: Any = self._model.OperatorCodes(operator.OpcodeIndex())
        # Codes above 127 stand in the newer field, which old files do not have.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = OPERATORS.get(number, f"builtin {number}")
        if kind == "CUSTOM":
            kind = f"custom {(code.CustomCode() or b'').decode('utf-8', 'replace')!r}"
        what = f"operator {index} ({kind})"
        return Operator(
            index, kind,
            self._indices(operator.InputsAsNumpy(), tensors, f"{what}'s inputs"),
            self._indices(operator.OutputsAsNumpy(), tensors, f"{what}'s outputs"),
            self._options(what, kind, operator),
        )  # fmt: skip

    def _options(self, what: str, kind: str, operator: Any) -> dict[str, Any]:
        wanted = OPTIONS.get(kind)
        if wanted is None:
            return {}
        options = wanted.table.GetRootAs(_EMPTY_TABLE)  # an absent one has the defaults
        table = operator.BuiltinOptions()
        if table is None:
            pass
        elif operator.BuiltinOptionsType() != wanted.tag:
            raise InvalidModelError(
                f"{self._name}: {what} has options of type {operator.BuiltinOptionsType()}, "
                f"expected {wanted.tag} ({wanted.table.__name__})"
            )
        else:
            options.Init(table.Bytes, table.Pos)
        return {field: getattr(options, field)() for field in wanted.fields}


def _empty_table() -> bytes:
    builder = flatbuffers.Builder(16)
    builder.StartObject(0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


_EMPTY_TABLE = _empty_table()
