"""TFLite files to integer `bw` modules."""

from bitwright.frontend.tflite.errors import ModelError
from bitwright.frontend.tflite.importer import HANDLERS, load

__all__ = ["HANDLERS", "ModelError", "load"]
