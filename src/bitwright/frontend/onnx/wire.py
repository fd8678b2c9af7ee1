"""The outermost layer of an ONNX file, looked at only to say why it does not decode.

An ONNX file is one protobuf message, `ModelProto`: a sequence of (tag, payload), where the tag
holds the field number and how long the payload is (protobuf.dev/programming-guides/encoding).
"""

from enum import Enum

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


def inspect(data: bytes) -> tuple[Envelope, int]:
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


def _varint(data: bytes, position: int) -> tuple[int | None, int]:
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
