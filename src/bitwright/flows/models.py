"""Model files of every format to modules."""

from dataclasses import dataclass
from pathlib import Path

from torch_mlir import ir

from bitwright.frontend import onnx, tflite
from bitwright.passes.fold import Fold
from bitwright.passes.widths import prove


@dataclass(frozen=True)
class Imported:
    """A module; `quantized` where its integers and their arithmetic came with the model."""

    module: ir.Module
    quantized: bool


def import_model(path: Path, shapes: onnx.Shapes | None = None) -> Imported:
    """Import a TFLite file (by its suffix) as it is, or an ONNX file, folded.

    Args:
        shapes: sizes of symbolic dimensions and shapes of inputs, by name (ONNX only).

    Raises:
        ModelError: a file that cannot be imported.
        ShapeBindingError: `shapes` that do not fit the model.
        AccumulatorTooWide: a quantized model whose sums can leave 32 bits.
    """
    if path.suffix.lower() == ".tflite":
        if shapes:
            raise onnx.ShapeBindingError(
                f"{path} is a TFLite file, whose shapes are fixed, and is given one for "
                f"{next(iter(shapes))!r}; leave it out, or convert the model with other shapes"
            )
        module = tflite.load(path)
        prove(module)
        return Imported(module, quantized=True)
    return Imported(Fold().run(onnx.load(path, shapes)), quantized=False)
