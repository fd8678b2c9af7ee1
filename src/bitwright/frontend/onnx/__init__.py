"""ONNX files to float `bw` modules."""

from bitwright.frontend.onnx.errors import ModelError
from bitwright.frontend.onnx.importer import HANDLERS, load

__all__ = ["HANDLERS", "ModelError", "load"]
