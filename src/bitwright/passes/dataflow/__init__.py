"""Integer modules as pipelines of one engine per layer (`bitwright.ir.dataflow`)."""

from bitwright.passes.dataflow.layers import UnsupportedInDataflow
from bitwright.passes.dataflow.lower import lower

__all__ = ["UnsupportedInDataflow", "lower"]
