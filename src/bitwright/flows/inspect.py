"""`bitwright inspect`: what a model consists of."""

from pathlib import Path

from rich.table import Table

from bitwright.flows.layers import layers_of, layers_table
from bitwright.flows.models import import_model


def inspect(model: Path) -> Table:
    """The layers of a model as a table; those of an ONNX file after folding.

    Raises:
        ModelError: a file that cannot be imported.
    """
    return layers_table(layers_of(import_model(model).module), str(model))
