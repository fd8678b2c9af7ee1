"""TFLite files to `bw` modules, integer or float."""

from bitwright.frontend.tflite.errors import ModelError
from bitwright.frontend.tflite.importer import FLOAT_HANDLERS, HANDLERS, INT16_HANDLERS, load

__all__ = ["FLOAT_HANDLERS", "HANDLERS", "INT16_HANDLERS", "ModelError", "load"]
