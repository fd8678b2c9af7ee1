"""The reference interpreter prepared for many calls of the functions of one module."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.reference import apply, check_inputs
from bitwright.ir.types import dtype_of

Array = NDArray[Any]


@dataclass(frozen=True)
class _Step:
    operation: Any
    operands: tuple[ir.Value, ...]
    dead: tuple[ir.Value, ...]
    """Operands that nothing reads from here on."""


@dataclass(frozen=True)
class _Function:
    inputs: tuple[graph.NamedValue, ...]
    outputs: tuple[graph.NamedValue, ...]
    steps: tuple[_Step, ...]
    constants: dict[ir.Value, Array]


class Interpreter:
    """A module whose constants are read once.

    What depends on constants alone (`bw.dequantize` of weights) is computed once too, and equal
    constants of several functions are one array: a decoder's weights are held once for prefill
    and decode. Results are those of `reference.run`.
    """

    def __init__(self, module: ir.Module) -> None:
        self._module = module
        self._functions: dict[str, _Function] = {}
        self._known: dict[Any, Array] = {}

    def run(self, inputs: Mapping[str, Array], function: str = graph.MAIN) -> dict[str, Array]:
        """Outputs of a function by name.

        Raises:
            IrError: a function that the module does not have.
            InputError: inputs as for `reference.run`, except that there is one sample.
        """
        self.prepare(function)
        entry = self._functions[function]
        check_inputs([(item.name, item.value) for item in entry.inputs], inputs)
        values = dict(entry.constants)
        for item in entry.inputs:
            values[item.value] = np.asarray(inputs[item.name]).astype(dtype_of(item.value))
        for step in entry.steps:
            operands = [values[operand] for operand in step.operands]
            values[step.operation.result] = apply(step.operation, *operands)
            for operand in step.dead:
                values.pop(operand, None)
        return {item.name: values[item.value] for item in entry.outputs}

    def prepare(self, function: str = graph.MAIN) -> None:
        """Compute the constants of a function, which its first `run` does otherwise."""
        if function not in self._functions:
            self._functions[function] = self._prepared(function)

    def _prepared(self, function: str) -> _Function:
        outputs = tuple(graph.outputs(self._module, function))
        constants: dict[ir.Value, Array] = {}
        steps: list[_Step] = []
        seen = {item.value for item in outputs}
        computed: list[Any] = []
        for operation in graph.operations(self._module, function):
            if all(operand in constants for operand in operation.operands):
                constants[operation.result] = self._constant(operation, constants)
            else:
                computed.append(operation)
        for operation in reversed(computed):
            operands = tuple(operation.operands)
            dead = tuple(value for value in dict.fromkeys(operands) if value not in seen)
            seen.update(operands)
            steps.append(_Step(operation, operands, dead))
        read = {item: array for item, array in constants.items() if item in seen}
        inputs = tuple(graph.inputs(self._module, function))
        return _Function(inputs, outputs, tuple(reversed(steps)), read)

    def _constant(self, operation: Any, constants: Mapping[ir.Value, Array]) -> Array:
        """The result of an operation on constants, computed once for equal ones."""
        operands = [constants[operand] for operand in operation.operands]
        name, kept = operation.operation.name, operation.attributes
        attributes = tuple((key, kept[key]) for key in kept)
        key = (name, operation.result.type, tuple(map(id, operands)), attributes)
        if key not in self._known:
            self._known[key] = apply(operation, *operands)
        return self._known[key]
