"""Loads and runs the library of a language model that `codegen.cpu.decoder` makes."""

import ctypes
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.runtime.memory import aligned

Array = NDArray[Any]


@dataclass(frozen=True)
class _Argument:
    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class _Function:
    call: Any
    arguments: list[_Argument]
    constants: Sequence[Array]
    arena: NDArray[np.uint8]


class BoundFunction:
    """A function with its arrays: a call reads the inputs as they are, and allocates nothing.

    Attributes:
        outputs: by name, the caches among them; each call writes them anew.
    """

    def __init__(self, call: Any, arrays: Sequence[Array], outputs: dict[str, Array]) -> None:
        self._call = call
        self._kept = arrays
        self._table = np.array([array.ctypes.data for array in arrays], np.uint64)
        self._address = ctypes.c_void_p(self._table.ctypes.data)
        self.outputs = outputs

    def __call__(self) -> None:
        self._call(self._address, None, 1)  # in one thread


class DecoderLibrary:
    """The functions of a decoder, with the weights that they read; one call at a time.

    Shapes and types are checked, numbers are not: tokens have to be of the vocabulary, and all
    rows from `position` on have to lie in the caches.

    Args:
        library: the shared library.
        description: the arguments of its functions, as JSON.
        constants: of each function in the order of its arguments; kept, not copied.
    """

    def __init__(
        self, library: Path, description: Path, constants: Mapping[str, Sequence[Array]]
    ) -> None:
        loaded = ctypes.CDLL(str(library.resolve()))
        self._functions: dict[str, _Function] = {}
        for name, given in json.loads(description.read_text())["functions"].items():
            arguments = [
                _Argument(each["name"], each["kind"], tuple(each["shape"]), each["dtype"])
                for each in given["arguments"]
            ]
            call = getattr(loaded, name)
            call.restype = None
            call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
            arena = aligned(given["arena_bytes"])
            self._functions[name] = _Function(call, arguments, constants[name], arena)

    def bound(self, inputs: Mapping[str, Array], function: str) -> BoundFunction:
        """A function on these arrays, which stay the caller's to fill; caches change in place.

        Raises:
            ValueError: an input that is not of the shape and type of the function.
        """
        entry = self._functions[function]
        outputs: dict[str, Array] = {}
        constants = iter(entry.constants)
        arrays: list[Array] = [entry.arena]
        for argument in entry.arguments:
            if argument.kind == "output":
                array = outputs[argument.name] = np.empty(argument.shape, argument.dtype)
            else:
                is_constant = argument.kind == "constant"
                array = next(constants) if is_constant else inputs[argument.name]
                if (array.shape, array.dtype) != (argument.shape, np.dtype(argument.dtype)) or (
                    not array.flags.c_contiguous
                ):
                    raise ValueError(
                        f"{argument.name!r} of {function} is {array.dtype} {list(array.shape)}; "
                        f"expected {argument.dtype} {list(argument.shape)}, row-major"
                    )
                if argument.kind == "cache":
                    outputs[argument.name] = array
            arrays.append(array)
        return BoundFunction(entry.call, arrays, outputs)

    def run(self, inputs: Mapping[str, Array], function: str) -> dict[str, Array]:
        """Outputs of one call of `bound`, by name."""
        bound = self.bound(inputs, function)
        bound()
        return bound.outputs
