"""ONNX files to float `bw` modules."""

from bitwright.frontend.onnx.bind import Shapes
from bitwright.frontend.onnx.errors import ModelError, ShapeBindingError
from bitwright.frontend.onnx.importer import HANDLERS, load

__all__ = ["HANDLERS", "ModelError", "ShapeBindingError", "Shapes", "load"]
