"""Operators outside of ai.onnx: for each domain, its handlers by operator.

ONNX's checker and shape inference know none of them: a handler checks its operands itself, and
gets constants as they are, since nothing of a foreign domain is computed at import.
"""

from bitwright.frontend.onnx import microsoft, quantized_blocks, quantized_microsoft
from bitwright.frontend.onnx.node import Handler

DOMAINS: dict[str, dict[str, Handler]] = {
    "com.microsoft": {
        **microsoft.HANDLERS,
        **quantized_blocks.HANDLERS,
        **quantized_microsoft.HANDLERS,
    },
}
