"""The engines of matrix stages, by their names in a fold."""

from collections.abc import Mapping

from bitwright.hwgen.dataflow.packed import PackedProducts
from bitwright.hwgen.dataflow.products import DspProducts, LutProducts, Products
from bitwright.ir.dataflow import Engine

ENGINES: Mapping[Engine, type[Products]] = {
    "lut": LutProducts,
    "dsp": DspProducts,
    "packed": PackedProducts,
}
