"""`bitwright inspect`: what a model consists of, and what a target makes of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from torch_mlir import ir

from bitwright.files import replace_file
from bitwright.flows.check_target import Verdict, check_target
from bitwright.flows.graph_page import page
from bitwright.flows.inspect_decoder import DecoderInspection, inspect_decoder
from bitwright.flows.layers import Layer, layers_of, layers_table, output_sources
from bitwright.flows.models import prepare, read_model
from bitwright.frontend.llm.readers import reader_of
from bitwright.frontend.onnx import Shapes
from bitwright.ir import graph
from bitwright.ir.types import shape_of
from bitwright.passes.integer import NotIntegerModel
from bitwright.targets import get

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Inspection:
    """A folded model, layer by layer.

    Attributes:
        inputs: shapes by name.
        outputs: shapes by name.
        results: what makes each output: the number of a layer, an input, None for a constant.
        verdict: what the target makes of it, where one was asked for.
    """

    model: str
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    results: dict[str, int | str | None]
    layers: list[Layer]
    verdict: Verdict | None = None

    def table(self) -> RenderableType:
        """For a terminal."""
        if self.verdict is None:
            return layers_table(self.layers, self.model)
        why = [self.verdict.layers.get(number) for number in range(len(self.layers))]
        numbered = {text: None for text in why if text}
        notes = {text: f"see ({number})" for number, text in enumerate(numbered, start=1)}
        table: Table = layers_table(
            self.layers, self.model, [notes[text] if text else None for text in why]
        )
        lines = [f"({number}) {text}" for number, text in enumerate(numbered, start=1)]
        lines += list(self.verdict.model)
        return Group(table, escape("\n".join([self.summary(), *lines])))

    def summary(self) -> str:
        """One sentence on the target."""
        assert self.verdict is not None, "there is a summary where there is a target"
        how = {
            "passes": "checked by the compiler's own passes, at 8 bits, on random samples",
            "operator kinds": "checked by operator kinds only; there may be more",
        }[self.verdict.checked_by]
        if self.verdict.supported:
            return f"{self.verdict.target}: everything is supported ({how})"
        count = len(self.verdict.layers)
        what = f"{count} of {len(self.layers)} layers are not supported" if count else (
            "the model as a whole is not supported"
        )  # fmt: skip
        return f"{self.verdict.target}: {what} ({how})"

    def data(self) -> dict[str, Any]:
        """The document of docs/inspect.md."""
        verdict = self.verdict
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "inputs": [{"name": n, "shape": list(s)} for n, s in self.inputs.items()],
            "outputs": [
                {"name": name, "shape": list(extents), "source": self.results[name]}
                for name, extents in self.outputs.items()
            ],
            "totals": {
                "macs": sum(layer.macs for layer in self.layers),
                "parameters": sum(layer.parameters for layer in self.layers),
                "bytes": sum(layer.bytes for layer in self.layers),
            },
            "layers": [
                {
                    "name": layer.name,
                    "operation": layer.kind,
                    "sources": list(layer.sources),
                    "input_shape": list(layer.input_shape),
                    "output_shape": list(layer.output_shape),
                    "weight_bits": layer.weight_bits,
                    "activation_bits": layer.activation_bits,
                    "macs": layer.macs,
                    "parameters": layer.parameters,
                    "bytes": layer.bytes,
                    "intensity": layer.intensity,
                    "problem": verdict.layers.get(number) if verdict else None,
                }
                for number, layer in enumerate(self.layers)
            ],
            "target": None if verdict is None else {
                "name": verdict.target,
                "kind": verdict.kind,
                "supported": verdict.supported,
                "checked_by": verdict.checked_by,
                "problems": list(verdict.model),
            },
        }  # fmt: skip

    def json(self) -> str:
        """`data` as text."""
        return json.dumps(self.data(), indent=2)

    def save_html(self, path: Path) -> None:
        """One page with the graph and the table, which needs no other file and no network.

        Raises:
            OutputNotWritable: where `path` cannot be written.
        """
        text = page(self.data(), self.summary() if self.verdict else "")
        replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def inspect(
    model: Path, target: str | None = None, *, shapes: Shapes | None = None
) -> Inspection | DecoderInspection:
    """The layers of a model; those of a float model after folding, of a quantized one as integers.

    A language model is shown as a whole.

    Args:
        target: a name from `bitwright targets`, to find out what it does not support.
        shapes: as for `compile_model`.

    Raises:
        ModelError: a file that cannot be imported.
        ShapeBindingError: `shapes` that do not fit the model.
        UnknownTarget: a target that is not known.
        NotForLanguageModels: a target or shapes for a language model.
    """
    if reader_of(model) is not None:
        return inspect_decoder(model, target, shapes)
    device = None if target is None else get(target)
    module = read_model(model, shapes)
    verdict = None
    try:
        module = prepare(module).module
    except NotIntegerModel as error:  # shown as it was read
        if device is not None:
            verdict = Verdict(device.name, device.kind, "passes", model=(str(error),))
    else:
        verdict = None if device is None else check_target(module, device)
    return inspection_of(module, str(model), verdict)


def inspection_of(module: ir.Module, name: str, verdict: Verdict | None = None) -> Inspection:
    """The layers of a module."""
    return Inspection(
        model=name,
        inputs={item.name: shape_of(item.value) for item in graph.inputs(module)},
        outputs={item.name: shape_of(item.value) for item in graph.outputs(module)},
        results=output_sources(module),
        layers=layers_of(module),
        verdict=verdict,
    )
