"""Pipelines by name: `"fold,quantize{weights=4 activations=8}"`.

`PASSES` is the one table of passes; a row is loaded when it is first used. The options of a pass
are the fields of its class.
"""

import dataclasses
import importlib
import re
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.ir.context import verify


class Pass(Protocol):
    """A frozen dataclass whose fields are its options."""

    def run(self, module: ir.Module) -> ir.Module:
        """Return the rewritten module; the given one stays as it is."""
        ...


PASSES: dict[str, str] = {
    "fold": "bitwright.passes.fold:Fold",
    "integer": "bitwright.passes.integer:Integer",
    "quantize": "bitwright.passes.quantize:Quantize",
    "split-sums": "bitwright.passes.split_sums:SplitSums",
    "space-to-depth": "bitwright.passes.space_to_depth:SpaceToDepth",
    "kernel-columns": "bitwright.passes.kernel_columns:KernelColumns",
    "partition": "bitwright.passes.partition:Partition",
    "legalize": "bitwright.passes.legalize:Legalize",
    "tile": "bitwright.passes.tile:Tile",
    "stream": "bitwright.passes.stream:Stream",
    "allocate": "bitwright.passes.allocate:Allocate",
}


class PipelineError(BitwrightError):
    """Base of the errors in the text of a pipeline."""

    exit_code = 2


class PipelineSyntaxError(PipelineError):
    """Text that is not a list of passes."""


class UnknownPassError(PipelineError):
    """A name that is not in the table."""


class UnknownOptionError(PipelineError):
    """An option that the pass does not have."""


class OptionValueError(PipelineError):
    """A value that the option does not take."""


_STEP = re.compile(r"\s*(?P<name>[\w-]+)\s*(?:\{(?P<options>[^{}]*)\})?\s*(?P<end>,|$)")


def load_pass(name: str, more: Mapping[str, str] | None = None) -> type[Any]:
    """The class of a pass, from `PASSES` or the rows in `more`.

    Raises:
        UnknownPassError: where the table has no such row.
    """
    table = {**PASSES, **(more or {})}
    if name not in table:
        raise UnknownPassError(
            f"There is no pass {name!r}; the passes are: {', '.join(sorted(table))}"
        )
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def parse(text: str, more: Mapping[str, str] | None = None) -> list[Pass]:
    """The passes that `text` names, in order; `more` adds rows to `PASSES`.

    Raises:
        PipelineError: a subclass that names the pass, option or value at fault.
    """
    passes: list[Pass] = []
    position = 0
    while True:
        step = _STEP.match(text, position)
        if step is None:
            raise PipelineSyntaxError(
                f"The pipeline {text!r} cannot be read from {text[position:]!r} on; expected "
                "passes like fold,quantize{weights=4 activations=8}"
            )
        class_ = load_pass(step["name"], more)
        passes.append(_make(step["name"], class_, step["options"] or ""))
        position = step.end()
        if step["end"] == "":
            return passes


def _make(name: str, class_: type[Any], options: str) -> Pass:
    fields = {field.name for field in dataclasses.fields(class_) if field.init}
    types = typing.get_type_hints(class_)
    values: dict[str, Any] = {}
    for item in options.split():
        option, equals, value = item.partition("=")
        if not equals or not option:
            raise PipelineSyntaxError(
                f"Option {item!r} of pass {name} cannot be read; expected option=value"
            )
        option = option.replace("-", "_")
        if option not in fields:
            raise UnknownOptionError(
                f"Pass {name} has no option {option!r}; its options are: "
                f"{', '.join(sorted(fields)) or 'none'}"
            )
        values[option] = _value(name, option, value, types[option])
    try:
        return class_(**values)
    except (TypeError, ValueError) as error:
        raise OptionValueError(f"Pass {name} cannot be made: {error}") from None


def _value(name: str, option: str, text: str, kind: Any) -> Any:
    """`text` as the field's type: bool, int, float, str, a literal, or one of these or None."""
    choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    if choices:
        for choice in choices:
            if str(choice) == text:
                return choice
        expected = ", ".join(str(choice) for choice in choices)
    else:
        kinds = [k for k in typing.get_args(kind) if k is not type(None)] or [kind]
        if type(None) in typing.get_args(kind) and text == "none":
            return None
        for candidate in kinds:
            try:
                return _CONVERSIONS.get(candidate, candidate)(text)
            except (TypeError, ValueError, KeyError):
                continue
        expected = " or ".join(getattr(k, "__name__", str(k)) for k in kinds)
    raise OptionValueError(f"Option {option} of pass {name} is {text!r}; expected {expected}")


_CONVERSIONS: dict[Any, Any] = {
    bool: {"true": True, "false": False, "1": True, "0": False}.__getitem__,
}


def run_passes(module: ir.Module, passes: Iterable[Pass]) -> ir.Module:
    """Run `passes` in order, verifying the module after each.

    Raises:
        IrError: where a pass leaves a module that does not verify.
    """
    for step in passes:
        module = step.run(module)
        verify(module)
    return module


def run_pipeline(module: ir.Module, text: str) -> ir.Module:
    """Run the passes that `text` names; see `parse` and `run_passes`."""
    return run_passes(module, parse(text))
