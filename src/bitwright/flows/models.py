"""Model files of every format to modules."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch_mlir import ir

from bitwright.frontend import onnx, tflite, torch
from bitwright.frontend.common.errors import ModelError
from bitwright.frontend.llm.readers import reader_of
from bitwright.ir import graph
from bitwright.ir.types import is_plain, quant_params
from bitwright.passes.fold import Fold
from bitwright.passes.integer import Deviation, Integer, NotIntegerModel, has_markers
from bitwright.passes.widths import prove

Rounding = Literal["half_up", "half_even", "tflite"]


class WeightsOnly(ModelError):
    """A file of a framework's own, which holds no program that can be read without its code."""


class LanguageModel(ModelError):
    """A language model where another network is expected."""


@dataclass(frozen=True)
class Imported:
    """A module that is ready to be quantized, or that came quantized.

    Attributes:
        quantized: whether its integers and their arithmetic came with the model.
        rounding: of its sums where it is quantized, else of those that `quantize` will make.
        deviations: where a quantized model is not its own arithmetic to the last integer.
    """

    module: ir.Module
    quantized: bool
    rounding: Rounding = "half_up"
    deviations: tuple[Deviation, ...] = ()


class WideActivations(NotIntegerModel):
    """Activations of 16 bits, with which only the reference interpreter computes."""

    exit_code = 5


# Formats with fixed shapes, by their suffix.
_FIXED = {".pt2": ("PyTorch", torch.load_file), ".tflite": ("TFLite", tflite.load)}
_TORCH = "a PyTorch file", "torch.export.save writes a .pt2 file of the module"
_KERAS = "a Keras file", "tf.lite.TFLiteConverter or tf2onnx convert it"
# Files that people have beside those, what they are, and what to do with them.
_OTHERS = {".pt": _TORCH, ".pth": _TORCH, ".h5": _KERAS, ".keras": _KERAS}


def import_model(path: Path, shapes: onnx.Shapes | None = None) -> Imported:
    """Import a TFLite or .pt2 file (by its suffix) or an ONNX file, folded or made integer.

    Args:
        shapes: sizes of symbolic dimensions and shapes of inputs, by name (ONNX only).

    Raises:
        ModelError: a file that cannot be imported.
        LanguageModel: a file of `frontend.llm.readers`.
        WeightsOnly: a file of PyTorch or Keras.
        ShapeBindingError: `shapes` that do not fit the model.
        NotIntegerModel: a quantized ONNX model of which something stays float.
        WideActivations: a TFLite model with int16 activations.
        AccumulatorTooWide: a quantized model whose sums can leave 32 bits.
    """
    return prepare(read_model(path, shapes))


def read_model(path: Path, shapes: onnx.Shapes | None = None) -> ir.Module:
    """A model file as its frontend reads it; see `import_model`."""
    reader = reader_of(path) if path.exists() else None
    if reader is not None:
        raise LanguageModel(
            f"{path} is a language model ({reader.name}); expected an ONNX, TFLite or .pt2 file. "
            "`bitwright generate` compiles it and runs it"
        )
    if path.suffix.lower() in _OTHERS:
        kind, advice = _OTHERS[path.suffix.lower()]
        raise WeightsOnly(f"{path} is {kind}; expected an ONNX, TFLite or .pt2 file: {advice}")
    if path.suffix.lower() not in _FIXED:
        return onnx.load(path, shapes)
    kind, read = _FIXED[path.suffix.lower()]
    if shapes:
        raise onnx.ShapeBindingError(
            f"{path} is a {kind} file, whose shapes are fixed, and is given one for "
            f"{next(iter(shapes))!r}; leave it out, or convert the model with other shapes"
        )
    return read(path)


def prepare(module: ir.Module) -> Imported:
    """What a frontend has read, folded where it is float, else made integer and proved.

    Weights that are quantized while activations are not are read as the floats that they stand
    for.
    """
    if all(quant_params(item.value.type) is not None for item in graph.inputs(module)):
        prove(module)
        return Imported(module, quantized=True, rounding="tflite")
    for item in graph.inputs(module):
        if is_plain(item.value) and item.scale != 1.0:
            raise WideActivations(
                f"Input {item.name!r} has 16 bits, with which only the reference interpreter "
                "computes; supported on a CPU or an FPGA: activations of 8 bits. Convert the model "
                "with converter.target_spec.supported_ops = "
                "[tf.lite.OpsSet.TFLITE_BUILTINS_INT8], or without quantization"
            )
    if has_markers(module):
        integral = Integer().convert(module)
        prove(integral.module)
        return Imported(integral.module, True, "half_even", integral.deviations)
    return Imported(Fold(dequantize=True).run(module), quantized=False)
