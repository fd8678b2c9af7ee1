"""The layers of an ONNX file that are looked at without protobuf.

An ONNX file is one protobuf message, `ModelProto`: a sequence of (tag, payload), where the tag
holds the field number and how long the payload is (protobuf.dev/programming-guides/encoding).
`inspect` reads the outermost layer to say why a file does not decode. `strip` walks down to the
tensors and takes the large ones out, so that protobuf copies none of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from onnx import TensorProto

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
# ModelProto: field number -> wire type (onnx.proto3).
_MODEL_FIELDS = {
    1: _VARINT, 2: _LENGTH, 3: _LENGTH, 4: _LENGTH, 5: _VARINT, 6: _LENGTH, 7: _LENGTH,
    8: _LENGTH, 14: _LENGTH, 20: _LENGTH, 25: _LENGTH, 26: _LENGTH,
}  # fmt: skip
_GRAPH = 7
_OPSET_IMPORT = 8


class Envelope(Enum):
    """What the outermost layer of a file looks like."""

    WHOLE = "whole"
    TRUNCATED = "truncated"
    FOREIGN = "foreign"


def inspect(data: memoryview) -> tuple[Envelope, int]:
    """Whether `data` is a whole, a truncated or no `ModelProto`, and how many bytes it needs.

    A whole one has a graph and an operator set; a field that says it is longer than the file makes
    it truncated; a field that `ModelProto` does not have makes it foreign.
    """
    position, seen = 0, set[int]()
    while position < len(data):
        tag, position = _varint(data, position)
        if tag is None:
            return (Envelope.TRUNCATED if seen else Envelope.FOREIGN), position
        field, wire = tag >> 3, tag & 7
        if _MODEL_FIELDS.get(field) != wire:
            return Envelope.FOREIGN, position
        value, position = _varint(data, position)
        if value is None:
            return (Envelope.TRUNCATED if position >= len(data) else Envelope.FOREIGN), position
        if wire == _LENGTH:
            position += value
            if position > len(data):
                return (Envelope.TRUNCATED if seen else Envelope.FOREIGN), position
        seen.add(field)
    whole = {_GRAPH, _OPSET_IMPORT} <= seen
    if not seen:
        return Envelope.FOREIGN, position
    return (Envelope.WHOLE if whole else Envelope.TRUNCATED), position


class _Tensor:
    """Where a walk ends: a `TensorProto`."""


# The ways to the tensors: field number -> the message that lies there.
_ATTRIBUTE: Mapping[int, object] = {5: _Tensor}
_NODE = {5: _ATTRIBUTE}
_WAYS = {_GRAPH: {1: _NODE, 5: _Tensor}}
# Fields of TensorProto.
_DATA_TYPE, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 2, 9, 13, 14
# Packed numbers lie in the file as raw data does, where the tensor has their type.
_PACKED = {4: TensorProto.FLOAT, 10: TensorProto.DOUBLE}


@dataclass(frozen=True)
class _Field:
    number: int
    wire: int
    value: int
    start: int  # of the tag
    payload: int  # of what a length counts
    end: int


def strip(data: memoryview, least: int) -> bytes:
    """The file without the data of tensors of `least` bytes or more.

    Such a tensor gets external data at an offset and of a length in the location "", which is
    `data` itself. What is damaged stays as it is, for protobuf to complain about.
    """
    try:
        return b"".join(_stripped(data, 0, len(data), _WAYS, least))
    except ValueError:
        return bytes(data)


def _stripped(
    data: memoryview, start: int, end: int, ways: Mapping[int, object], least: int
) -> Iterator[bytes]:
    kept = start  # what lies before has been given out
    for field in _fields(data, start, end):
        inner = ways.get(field.number)
        if inner is None or field.wire != _LENGTH or field.value < least:
            continue
        if inner is _Tensor:
            parts = _stripped_tensor(data, field.payload, field.end, least)
        else:
            assert isinstance(inner, Mapping)
            parts = list(_stripped(data, field.payload, field.end, inner, least))
        yield bytes(data[kept : field.start])
        yield _encode(field.number << 3 | _LENGTH) + _encode(sum(map(len, parts)))
        yield from parts
        kept = field.end
    yield bytes(data[kept:end])


def _stripped_tensor(data: memoryview, start: int, end: int, least: int) -> list[bytes]:
    fields = list(_fields(data, start, end))
    types = [field.value for field in fields if field.number == _DATA_TYPE]
    large = [
        field for field in fields
        if field.wire == _LENGTH and field.value >= least
        and (field.number == _RAW_DATA or [_PACKED.get(field.number)] == types)
    ]  # fmt: skip
    numbers = [field.number for field in fields]
    whole = len(large) == 1 and numbers.count(large[0].number) == 1
    if not whole or _EXTERNAL_DATA in numbers or _DATA_LOCATION in numbers:
        return [bytes(data[start:end])]
    reference = TensorProto(data_location=TensorProto.EXTERNAL)
    for key, value in (("location", ""), ("offset", large[0].payload), ("length", large[0].value)):
        reference.external_data.add(key=key, value=str(value))
    around = (data[start : large[0].start], data[large[0].end : end])
    return [*(bytes(part) for part in around), reference.SerializeToString()]


def _fields(data: memoryview, start: int, end: int) -> Iterator[_Field]:
    position = start
    while position < end:
        tag, after = _varint(data, position)
        value, payload = 0, after
        if tag is None:
            raise ValueError("a tag does not end")
        wire = tag & 7
        if wire in (_VARINT, _LENGTH):
            found, payload = _varint(data, after)
            if found is None:
                raise ValueError("a number does not end")
            value = found
        sizes = {_VARINT: 0, _LENGTH: value, _FIXED64: 8, _FIXED32: 4}
        if wire not in sizes or payload + sizes[wire] > end:
            raise ValueError("a field leads outside of its message")
        yield _Field(tag >> 3, wire, value, position, payload, payload + sizes[wire])
        position = payload + sizes[wire]


def _encode(value: int) -> bytes:
    """`value` as a varint."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))


def _varint(data: memoryview, position: int) -> tuple[int | None, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            return None, position
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return None, position
