"""Operators outside of ai.onnx: for each domain, its handlers by operator.

ONNX's checker and shape inference know none of them: a handler checks its operands itself, and
gets constants as they are, since nothing of a foreign domain is computed at import.
"""

from bitwright.frontend.onnx import (
    microsoft,
    qonnx,
    qonnx_floats,
    qonnx_thresholds,
    quantized_blocks,
    quantized_microsoft,
)  # fmt: skip
from bitwright.frontend.onnx.node import Handler

_QONNX = {**qonnx.HANDLERS, **qonnx_floats.HANDLERS, **qonnx_thresholds.HANDLERS}

DOMAINS: dict[str, dict[str, Handler]] = {
    "com.microsoft": {
        **microsoft.HANDLERS,
        **quantized_blocks.HANDLERS,
        **quantized_microsoft.HANDLERS,
    },
    **dict.fromkeys(qonnx.DOMAINS, _QONNX),
}
