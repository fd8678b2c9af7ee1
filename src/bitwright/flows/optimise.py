"""`bitwright opt`: passes on the text of a module."""

from pathlib import Path

from bitwright.ir import serialize
from bitwright.passes.pipeline import parse, run_passes

BEYOND_PASSES = {"assemble": "bitwright.hwgen.assemble:Assemble"}
"""Passes that live in other rooms than `passes/`."""


def optimise(path: Path, pipeline: str, output: Path | None = None) -> str:
    """Run `pipeline` on the module in `path`; returns its text.

    Args:
        output: where the module is saved (constants beside it); None for nowhere.

    Raises:
        IrError: a file that is not a module, or a pass that made an invalid one.
    """
    module = serialize.load(path)
    module = run_passes(module, parse(pipeline, BEYOND_PASSES))
    if output is not None:
        serialize.save(module, output)
    return str(module)
