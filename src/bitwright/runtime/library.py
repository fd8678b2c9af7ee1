"""Loads and runs the shared library that `codegen.cpu` makes; needs no other file of the build."""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import BitwrightError
from bitwright.files import is_sealed
from bitwright.runtime.memory import aligned
from bitwright.runtime.tensors import TensorError, TensorInfo, finish, prepare

ABI_VERSION = 4

Array = NDArray[Any]
_BAD_ARGUMENT = 2


class LibraryError(BitwrightError):
    """A file that is not a library of ours, or not of this version."""

    exit_code = 6


class CpuTooOldError(BitwrightError):
    """A library made for a processor with more instructions than this one has."""

    exit_code = 5


class _Tensor(ctypes.Structure):
    """`bw_tensor` of `model.h`."""

    _fields_: ClassVar[Any] = [
        ("name", ctypes.c_char_p),
        ("rank", ctypes.c_int64),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("size", ctypes.c_int64),
        ("bytes", ctypes.c_int64),
        ("scale", ctypes.c_double),
        ("zero_point", ctypes.c_int32),
        ("minimum", ctypes.c_int32),
        ("maximum", ctypes.c_int32),
    ]

    def info(self) -> TensorInfo:
        """The same in Python."""
        shape = tuple(int(self.shape[axis]) for axis in range(self.rank))
        return TensorInfo(
            self.name.decode(), shape, self.scale, self.zero_point, self.minimum, self.maximum
        )


class Loaded:
    """What loaded libraries of every kind have.

    Attributes:
        path: the file.
        model: the model's name.
        cpu: the processor level that the code is for.
    """

    def __init__(self, path: Path, library: ctypes.CDLL) -> None:
        self.path = path
        self.model = text_of(library, "bw_model_name")
        self.cpu = text_of(library, "bw_cpu")
        self._threads, self._set_threads = 1, library.bw_set_threads

    @property
    def threads(self) -> int:
        """Threads of one call: 1 at first; may be set to 1 to 256, while nothing runs.

        Raises:
            LibraryError: where the number is none of these, or the system gives fewer threads.
        """
        return self._threads

    @threads.setter
    def threads(self, number: int) -> None:
        status = self._set_threads(number)
        if status != 0:
            reason = "expected 1 to 256" if status == _BAD_ARGUMENT else "the system gives fewer"
            raise LibraryError(f"{self.path}: {number} threads are asked for; {reason}")
        self._threads = number


class Library(Loaded):
    """A loaded model. `run` may be called from several threads at once.

    Attributes:
        inputs: what `run` takes.
        outputs: what it gives.
        arena_bytes: scratch memory of one run.
    """

    def __init__(self, path: Path, library: ctypes.CDLL) -> None:
        super().__init__(path, library)
        self.inputs = _tensors(library, "input")
        self.outputs = _tensors(library, "output")
        library.bw_arena_bytes.restype = ctypes.c_size_t
        self.arena_bytes = int(library.bw_arena_bytes())
        self._run = library.bw_run_with

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """The outputs of arrays in the order of the inputs, or by name.

        Whatever speaks DLPack is taken, and NumPy arrays; integers and reals as in `run`.

        Returns:
            The array of the only output, or a dictionary by name.

        Raises:
            TensorError: inputs that are not those of the model.
        """
        if len(inputs) > len(self.inputs):
            raise TensorError(
                f"{len(inputs)} inputs are given; expected {len(self.inputs)}: "
                f"{', '.join(info.name for info in self.inputs)}"
            )
        given = {info.name: _array(x) for info, x in zip(self.inputs, inputs, strict=False)}
        twice = given.keys() & named.keys()
        if twice:
            raise TensorError(f"Input {min(twice)!r} is given by place and by name; give it once")
        outputs = self.run(given | {name: _array(x) for name, x in named.items()})
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def bound(self, inputs: Sequence[NDArray[np.int8]]) -> "BoundLibrary":
        """The library with fixed memory for one sample; see `BoundLibrary`."""
        return BoundLibrary(self, inputs)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name: int8 (int32 for sums) for int8 inputs, float32 for real ones.

        Real inputs are quantized to the nearest integer (ties to even, clipped), real outputs are
        scale * (integer - zero point). Samples along axis 0 run one after the other.

        Raises:
            TensorError: inputs that are not those of the model.
        """
        batch = prepare(self.inputs, inputs)
        arena = aligned(self.arena_bytes)
        runs: list[list[Array]] = []
        for index in range(batch.samples):
            given = batch.sample(index, self.inputs)
            results = [np.empty(info.shape, info.dtype) for info in self.outputs]
            self.check(self.call_on(arena, given, results)())
            runs.append(results)
        return finish(self.outputs, runs, batch.real)

    def call_on(
        self, arena: Array, inputs: Sequence[Array], outputs: Sequence[Array]
    ) -> Callable[[], int]:
        """`bw_run_with` on arrays that are right, which the caller keeps; prefer `bound`.

        Addresses are converted here and not in each call, where they would take as long as a layer.
        """
        tables = (ctypes.cast(_pointers(arrays), ctypes.c_void_p) for arrays in (inputs, outputs))
        return partial(self._run, ctypes.c_void_p(arena.ctypes.data), *tables)

    def check(self, status: int) -> None:
        """Raises a LibraryError for what a call returns, where that is not 0."""
        if status != 0:
            raise LibraryError(f"{self.path}: bw_run_with returned {status}; expected 0")


class BoundLibrary:
    """A call without arguments, copies and allocations, from one thread at a time.

    Each call reads `inputs` anew and writes `outputs`, int8 in the order of the library's.

    Raises:
        LibraryError: an input of another number, shape or type, or not contiguous.
    """

    def __init__(self, library: Library, inputs: Sequence[NDArray[np.int8]]) -> None:
        expected = [(np.dtype(np.int8), info.shape, True) for info in library.inputs]
        found = [(array.dtype, array.shape, array.flags.c_contiguous) for array in inputs]
        if found != expected:
            raise LibraryError(
                f"The inputs are {', '.join(f'{t} {list(s)}' for t, s, _ in found)}; expected "
                f"contiguous {', '.join(f'{t} {list(s)}' for t, s, _ in expected)}"
            )
        self.inputs = list(inputs)
        self.outputs = [np.empty(info.shape, info.dtype) for info in library.outputs]
        self._library = library
        self._arena = aligned(library.arena_bytes)
        self._call = library.call_on(self._arena, self.inputs, self.outputs)

    def __call__(self) -> None:
        status = self._call()
        if status:
            self._library.check(status)


NETWORK, LANGUAGE_MODEL = "an integer network", "a language model"
"""What `bw_kind` says."""


def load_library(path: Path) -> Library:
    """Load an integer network and check that this machine can run it.

    Raises:
        LibraryError, CpuTooOldError: as `open_library`; or a library of a language model.
    """
    path = Path(path)
    library = open_library(path)
    kind = text_of(library, "bw_kind")
    if kind != NETWORK:
        raise LibraryError(
            f"{path} is {kind}, and is run otherwise than a network: with `bitwright generate`, or "
            "from Python with `bitwright.api.load_library`"
        )
    return Library(path, library)


def open_library(path: Path) -> ctypes.CDLL:
    """Load a library of any kind and check that this machine can run it.

    Loading a damaged library can end the process, and loading any runs code of it; so the checksum
    that `codegen` left in the file is compared before.

    Raises:
        LibraryError: no such file, not a library of ours or damaged, another interface version.
        CpuTooOldError: this processor lacks an instruction that the code uses.
    """
    if not path.is_file():
        raise LibraryError(f"There is no library {path}; `bitwright compile --target cpu` makes it")
    if not is_sealed(path):
        raise LibraryError(
            f"{path} is not a library that Bitwright made, or is truncated or changed since: it "
            "does not end with its checksum. Give the libmodel.so of a build folder, or compile "
            "the model again"
        )
    try:
        library = ctypes.CDLL(str(path.resolve()))
        version = int(library.bw_abi_version())
    except OSError as error:
        raise LibraryError(
            f"{path} is not a shared library of this system: {error}; compile the model here"
        ) from None
    if version != ABI_VERSION:
        raise LibraryError(
            f"{path} has interface version {version}; this Bitwright reads {ABI_VERSION}, so "
            "compile the model again"
        )
    missing = text_of(library, "bw_missing_cpu_feature")
    if missing:
        raise CpuTooOldError(
            f"{path} is compiled for {text_of(library, 'bw_cpu')} and this processor lacks "
            f"{missing}; compile the model on this machine"
        )
    return library


def _array(x: Any) -> Array:
    """A view of the memory of an array of another library where it lies on the CPU."""
    if isinstance(x, np.ndarray) or not hasattr(x, "__dlpack__"):
        return np.asarray(x)
    return np.from_dlpack(x)


def text_of(library: ctypes.CDLL, function: str) -> str:
    """What a function without arguments returns; empty for NULL."""
    call = getattr(library, function)
    call.restype = ctypes.c_char_p
    return (call() or b"").decode()


def _tensors(library: ctypes.CDLL, kind: str) -> tuple[TensorInfo, ...]:
    read = getattr(library, f"bw_{kind}")
    read.restype = ctypes.POINTER(_Tensor)
    count = int(getattr(library, f"bw_{kind}_count")())
    return tuple(read(index).contents.info() for index in range(count))


def _pointers(arrays: Sequence[Array]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
