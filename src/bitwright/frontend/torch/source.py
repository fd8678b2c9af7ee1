"""Modules and `.pt2` files to exported programs of the operators that the importer knows."""

import importlib
import json
import logging
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from bitwright.frontend.torch.errors import (
    DynamicShapeError,
    ExportError,
    InvalidModelError,
    ModelFileNotFoundError,
    NotExportedError,
    TrainingModeError,
    UnsafeFileError,
)  # fmt: skip
from bitwright.frontend.torch.node import describe

_TRAINING = ("train", "training")


def exported(model: Any, example_inputs: Any) -> ExportedProgram:
    """What `torch.export` makes of a module called with these inputs.

    Raises:
        ExportError: a module that cannot be traced, or inputs that it does not take.
    """
    if isinstance(model, ExportedProgram):
        return model
    if not isinstance(model, torch.nn.Module):
        raise ExportError(
            f"An object of type {type(model).__name__} is not a PyTorch model; expected a "
            "torch.nn.Module or a torch.export.ExportedProgram"
        )
    if example_inputs is None:
        raise ExportError(
            f"{type(model).__name__} needs example inputs, which fix the shapes: a tensor, a "
            "sequence of positional arguments or a mapping of keyword arguments"
        )
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    if isinstance(example_inputs, torch.Tensor):
        arguments = (example_inputs,)
    elif isinstance(example_inputs, Mapping):
        keywords = dict(example_inputs)
    elif isinstance(example_inputs, Sequence):
        arguments = tuple(example_inputs)
    else:
        arguments = (example_inputs,)
    try:
        with _quiet():
            return torch.export.export(model, arguments, keywords)
    except Exception as error:  # whatever the model's own code, or the tracer, raises
        raise ExportError(
            f"torch.export cannot trace {type(model).__name__}: {_reason(error)}. Where the model "
            "branches on the values of tensors, rewrite that, with torch.where for example"
        ) from None


def read(path: Path) -> ExportedProgram:
    """A file of `torch.export.save`.

    Torch's own reader runs what is pickled in such a file, and evaluates symbolic expressions.
    Plain models have neither (weights are raw bytes, the graph is JSON), and files that do are
    refused before that reader sees them.

    Raises:
        ModelFileNotFoundError: a path that cannot be read.
        NotExportedError: anything else than such a file.
        UnsafeFileError: one with pickled parts.
        DynamicShapeError: one with symbolic shapes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, path)
    except OSError as error:
        raise ModelFileNotFoundError(
            f"Cannot read {path}: {error.strerror or error}; expected a file of torch.export.save"
        ) from None
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, NotImplementedError) as error:
        raise _not_exported(path, error) from None
    try:
        with _quiet():
            importlib.import_module("torch.ao.quantization.fx._decomposed")  # operators of PT2E
            return torch.export.load(path)
    except Exception as error:  # whatever the reader raises on damaged data
        raise NotExportedError(
            f"{path} cannot be read by torch {torch.__version__}: {_reason(error)}. Save it again "
            "with this version, and without operators that torch does not have"
        ) from None


def _not_exported(path: Path, error: Exception) -> NotExportedError:
    return NotExportedError(
        f"{path} is not a file of torch.export.save: {_reason(error)}. Make one with "
        "torch.export.save(torch.export.export(model, example_inputs), 'model.pt2')"
    )


def _check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    names = archive.namelist()
    if not any(name.endswith("/models/model.json") for name in names):
        raise ValueError("it has no models/model.json")
    for name in names:
        if not name.endswith(".json"):
            continue
        for key, value in _items(json.loads(archive.read(name))):
            if key == "use_pickle" and value:
                raise UnsafeFileError(
                    f"{path}: {name} has pickled tensors or objects, and reading those runs code "
                    "that the file brings; expected raw weights. Load the program in Python, if "
                    "you trust the file, and pass it to bitwright.load"
                )
            if key in ("as_expr", "expr_str"):
                raise DynamicShapeError(
                    f"{path}: {name} has symbolic shapes ({str(value)[:80]}); expected fixed ones. "
                    "Export the model again without dynamic_shapes"
                )


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth, without recursion."""
    rest = [value]
    while rest:
        found = rest.pop()
        if isinstance(found, dict):
            yield from found.items()
            rest += found.values()
        elif isinstance(found, list):
            rest += found


def decomposed(program: ExportedProgram, known: Sequence[str]) -> ExportedProgram:
    """The program in `known` operators and, for the rest, in those of core ATen.

    Raises:
        TrainingModeError: a dropout or normalization that would train.
        InvalidModelError: what torch cannot decompose.
    """
    for node in program.graph.nodes:
        _refuse_training(node)
    with _quiet():
        table = torch.export.default_decompositions()
        for operator in list(table):
            name = operator.name().split(".")[0].replace("::", ".")
            if name in known:
                table.pop(operator)
        try:
            return program.run_decompositions(table)
        except Exception as error:  # whatever a decomposition raises
            raise InvalidModelError(
                f"torch cannot decompose the exported program: {_reason(error)}"
            ) from None


def _refuse_training(node: torch.fx.Node) -> None:
    schema = getattr(node.target, "_schema", None)
    if schema is None or schema.overload_name == "no_stats":  # instance_norm, at inference too
        return
    for position, argument in enumerate(schema.arguments):
        if argument.name not in _TRAINING:
            continue
        given = node.args[position] if position < len(node.args) else node.kwargs.get(argument.name)
        if given is True:
            raise TrainingModeError(
                f"{describe(node)}: argument {argument.name} is True; expected a model in "
                "evaluation mode. Call model.eval() before the export"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch warns, logs and prints, which speaks of its own insides."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _reason(error: Exception) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300].rstrip(".")
