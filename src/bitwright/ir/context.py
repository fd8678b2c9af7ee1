"""MLIR contexts with Bitwright's dialects, and a module that keeps its context alive."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.ir import accel, bw, bw_float
from bitwright.ir import bw_decoder as bw_decoder
from bitwright.ir import bw_dynamic as bw_dynamic
from bitwright.ir import bw_fixed_point as bw_fixed_point  # operations that `Bw.load` registers
from bitwright.ir import bw_order as bw_order
from bitwright.ir import bw_quantize as bw_quantize
from bitwright.ir import bw_rescale as bw_rescale
from bitwright.ir import bw_threshold as bw_threshold

# MLIR's bindings look for a dialect's module with each operation that they meet, on disk where it
# has not been imported: half of the time of a compilation.
sys.modules.setdefault("torch_mlir.dialects.bw", bw)
sys.modules.setdefault("torch_mlir.dialects.accel", accel)


class IrError(BitwrightError):
    """Text that is not valid IR, or a module that does not verify."""

    exit_code = 9


def new_context() -> ir.Context:
    """A context in which `bw` (and everything upstream) parses and verifies."""
    assert bw_float.FUNCTIONS, "its operations belong to the dialect"
    context = ir.Context()
    with context, ir.Location.unknown():
        bw.Bw.load()
        accel.Accel.load()
    return context


@contextmanager
def entered(module: ir.Module) -> Iterator[ir.Module]:
    """Enter the module's context with an unknown location, ready to build operations."""
    with module.context, ir.Location.unknown():
        yield module


def parse(text: str) -> ir.Module:
    """Parse and verify `text` in a new context.

    Raises:
        IrError: with MLIR's diagnostic, which names the operation and the values.
    """
    context = new_context()
    with context, ir.Location.unknown():
        try:
            return ir.Module.parse(text)
        except ir.MLIRError as error:
            raise IrError(f"The module does not parse or verify: {error}") from None


def clone(module: ir.Module) -> ir.Module:
    """A copy of `module` in the same context, locations included."""
    with entered(module):
        buffer = BytesIO()
        module.operation.write_bytecode(buffer)
        return ir.Module.parse(buffer.getvalue())


def verify(module: ir.Module) -> None:
    """Verify `module`.

    Raises:
        IrError: with MLIR's diagnostic, which names the operation and the values.
    """
    with entered(module):
        try:
            module.operation.verify()
        except ir.MLIRError as error:
            raise IrError(f"The module does not verify: {error}") from None
