"""Model files of every format to modules."""

from dataclasses import dataclass
from pathlib import Path

from torch_mlir import ir

from bitwright.frontend import onnx, tflite, torch
from bitwright.passes.fold import Fold
from bitwright.passes.widths import prove


@dataclass(frozen=True)
class Imported:
    """A module; `quantized` where its integers and their arithmetic came with the model."""

    module: ir.Module
    quantized: bool


def import_model(path: Path) -> Imported:
    """Import a TFLite file as it is, or a .pt2 file (both by their suffix) or an ONNX file, folded.

    Raises:
        ModelError: a file that cannot be imported.
        AccumulatorTooWide: a quantized model whose sums can leave 32 bits.
    """
    if path.suffix.lower() == ".tflite":
        module = tflite.load(path)
        prove(module)
        return Imported(module, quantized=True)
    if path.suffix.lower() == ".pt2":
        return Imported(Fold().run(torch.load_file(path)), quantized=False)
    return Imported(Fold().run(onnx.load(path)), quantized=False)
