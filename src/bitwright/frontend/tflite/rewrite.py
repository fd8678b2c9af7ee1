"""Models as plain data to simpler ones: float borders, dequantized constants, unsigned integers."""

from dataclasses import replace

import numpy as np

from bitwright.frontend.tflite.errors import InvalidModelError, UnsupportedOperandError
from bitwright.frontend.tflite.node import checked_scales, constant_array, describe
from bitwright.frontend.tflite.source import Operator, SourceModel, Tensor

OFFSET = 128


def integer_borders(model: SourceModel) -> SourceModel:
    """float input, QUANTIZE, integers, DEQUANTIZE, float output --> the integers, so named.

    So the converter wraps a quantized model unless it is told otherwise. Real numbers are brought
    to the integers of an input, and back, by whoever runs the module. Where a float input is
    read by anything else than one QUANTIZE, the model stays as it is.
    """
    inputs = [_border(model, index, "QUANTIZE") for index in model.inputs]
    floats = [model.tensors[index].type == "FLOAT32" for index in model.inputs]
    if any(real and border is None for real, border in zip(floats, inputs, strict=True)):
        return model
    outputs = [_border(model, index, "DEQUANTIZE") for index in model.outputs]
    tensors, removed = list(model.tensors), set[int]()
    ends: list[list[int]] = []
    for indices, found in ((model.inputs, inputs), (model.outputs, outputs)):
        ends.append(list(indices))
        for place, (index, border) in enumerate(zip(indices, found, strict=True)):
            if border is not None:
                operator, inside = border
                name, signature = tensors[index].name, tensors[index].signature
                tensors[inside] = replace(tensors[inside], name=name, signature=signature)
                removed.add(operator.index)
                ends[-1][place] = inside
    return replace(
        model, tensors=tuple(tensors), inputs=tuple(ends[0]), outputs=tuple(ends[1]),
        operators=tuple(item for item in model.operators if item.index not in removed),
    )  # fmt: skip


def _border(model: SourceModel, index: int, kind: str) -> tuple[Operator, int] | None:
    """The one operator between a float tensor and its integers, and their tensor."""
    reads, makes = (
        [item for item in model.operators if index in side(item)]
        for side in (lambda item: item.inputs, lambda item: item.outputs)
    )
    outward = kind == "DEQUANTIZE"
    (here, other) = (makes, reads) if outward else (reads, makes)
    if model.tensors[index].type != "FLOAT32" or other or [item.kind for item in here] != [kind]:
        return None
    ends = here[0].inputs if outward else here[0].outputs
    if len(ends) != 1 or ends[0] < 0:
        return None
    inside = model.tensors[ends[0]]
    fits = inside.type in ("INT8", "UINT8") and inside.scales.size == 1 and inside.data is None
    return (here[0], ends[0]) if fits else None


def dequantize_constants(model: SourceModel) -> SourceModel:
    """DEQUANTIZE(constant of FLOAT16, INT8 or UINT8) --> constant of FLOAT32.

    So the converter stores weights that are computed with as floats.

    Raises:
        ModelError: a subclass, for a constant that cannot be read.
    """
    tensors = list(model.tensors)
    kept: list[Operator] = []
    for operator in model.operators:
        if operator.kind != "DEQUANTIZE" or not _has_data(model, operator):
            kept.append(operator)
            continue
        source, result = (tensors[i] for i in (operator.inputs[0], operator.outputs[0]))
        data = _dequantized(source, describe(model, operator)).tobytes()
        tensors[result.index] = replace(result, shape=source.shape, type="FLOAT32", data=data)
    return replace(model, tensors=tuple(tensors), operators=tuple(kept))


def _has_data(model: SourceModel, operator: Operator) -> bool:
    if len(operator.inputs) != 1 or len(operator.outputs) != 1 or -1 in operator.inputs:
        raise InvalidModelError(
            f"{describe(model, operator)}: it has {len(operator.inputs)} inputs and "
            f"{len(operator.outputs)} outputs; expected one of each"
        )
    return model.tensors[operator.inputs[0]].data is not None


def _dequantized(tensor: Tensor, where: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    array = constant_array(tensor, where)
    if tensor.type == "FLOAT16":
        return array.astype(np.float32)
    if tensor.type not in ("INT8", "UINT8"):
        raise UnsupportedOperandError(
            f"{where}: input 0 ({tensor.name!r}) is of type {tensor.type}; supported: FLOAT16, "
            "INT8, UINT8"
        )
    scales, zeros = np.asarray(checked_scales(tensor, where)), tensor.zero_points
    extent = array.shape[tensor.axis] if 0 <= tensor.axis < array.ndim else 1
    if len(scales) not in (1, extent) or len(zeros) not in (0, len(scales)):
        raise InvalidModelError(
            f"{where}: tensor {tensor.name!r} of shape {list(array.shape)} has {len(scales)} "
            f"scales and {len(zeros)} zero points along axis {tensor.axis}"
        )
    along = [1] * array.ndim
    if len(scales) > 1:
        along[tensor.axis] = extent
    centred = array - (zeros if len(zeros) else np.zeros(len(scales), np.int64)).reshape(along)
    return (centred * scales.reshape(along)).astype(np.float32)  # one rounding


def signed(model: SourceModel) -> SourceModel:
    """UINT8 tensors --> INT8 tensors, integers and zero points less 128: the same reals."""
    return replace(model, tensors=tuple(_signed(tensor) for tensor in model.tensors))


def _signed(tensor: Tensor) -> Tensor:
    if tensor.type != "UINT8" or not tensor.scales.size:
        return tensor
    zeros = tensor.zero_points if tensor.zero_points.size else np.zeros(1, np.int64)
    data = tensor.data
    if data is not None:
        data = (np.frombuffer(data, np.uint8) ^ OFFSET).tobytes()
    return replace(tensor, type="INT8", zero_points=zeros - OFFSET, data=data, unsigned=True)
