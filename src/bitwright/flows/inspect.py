"""`bitwright inspect`: what a model consists of."""

from pathlib import Path

from rich.table import Table

from bitwright.flows.layers import layers_of, layers_table
from bitwright.frontend.onnx import importer
from bitwright.passes.fold import Fold


def inspect(model: Path) -> Table:
    """The layers of an ONNX model after folding, as a table.

    Raises:
        ModelError: a file that cannot be imported.
    """
    return layers_table(layers_of(Fold().run(importer.load(model))), str(model))
