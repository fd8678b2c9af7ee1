"""Low-bit matrix products in one thread, beside the kernels that people use for them.

`python benchmarks/matrix_kernels.py` multiplies a vector, or `--rows` of them, by matrices of 1 to
8 bit weights: ours on floats in groups of 128 as language models have it (quantization of the rows
inside), ours on int8 with one scale and a requantized int8 result, both checked against the
reference; ONNX Runtime's MatMulNBits (groups of 128, int8 inside), and ggml's types where
`llama-cpp-python` is installed, all on floats; beside 8 bits its QLinearMatMul, int8 as ours.
All run in turns; medians, the fastest of all calls and ratios to ours on floats are printed.
`--far` takes matrices that no cache holds. Peers:
`pip install onnxruntime`; `CC=clang CXX=clang++ pip install llama-cpp-python`.
"""

import argparse
import ctypes
import importlib.util
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bitwright.codegen.cpu.decoder import build_decoder
from bitwright.codegen.cpu.library import build_library
from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.runtime.decoder import DecoderLibrary
from bitwright.runtime.library import load_library

PEERS = ("onnxruntime", "llama-cpp-python", "numpy")
ROUNDS = 30
GROUP = 128
X = QuantParams((0.5,), -3, 8, -128, 127)
Y = QuantParams((1.0,), 5, 8, -128, 127)
WIDTHS = {"1": (-1, 1, 2), "ternary": (-1, 1, 1), "2": (-2, 1, 1), "3": (-4, 3, 1), "4": (-8, 7, 1),
          "5": (-16, 15, 1), "6": (-32, 31, 1), "7": (-64, 63, 1), "8": (-127, 127, 1)}  # fmt: skip


def ours(
    width: str, rows: int, outputs: int, depth: int, matrices: int, folder: Path
) -> Callable[[], Any]:
    """A call that multiplies by every matrix; the first call's results are checked."""
    rng = np.random.default_rng(0)
    least, most, step = WIDTHS[width]
    builder = Builder([("x", (rows, depth), X)])
    shift = int(16 + np.log2(max(-least, 1) * depth**0.5))
    results: list[tuple[str, Any]] = []
    for number in range(matrices):
        codes = rng.integers(0, (most - least) // step + 1, (outputs, depth))
        weight = builder.constant(codes * step + least, QuantParams((0.25,), 0, 8, -127, 127))
        bias = builder.constant(rng.integers(-999, 999, outputs).astype(np.int32))
        sums = builder.linear(builder.inputs[0], weight, bias)
        scaled = builder.requantize(sums, Y, multiplier=[30000], shift=[shift])
        results.append((f"y{number}", scaled))
    module = builder.finish(results)
    library = load_library(build_library(module, folder).library)
    x = rng.integers(-128, 128, (rows, depth)).astype(np.int8)
    bound = library.bound([x])
    bound()
    wanted = reference.run(module, {"x": x})
    for info, found in zip(library.outputs, bound.outputs, strict=True):
        if not np.array_equal(found, wanted[info.name]):
            raise SystemExit(f"{width} bits, {outputs}x{depth}: not the reference's result")
    return bound


def ours_in_groups(
    width: str, rows: int, outputs: int, depth: int, matrices: int, folder: Path
) -> Callable[[], Any]:
    """The same on rows of floats; the first call's results are checked."""
    rng = np.random.default_rng(0)
    least, most, step = WIDTHS[width]
    builder = Builder([("x", (1, rows, depth), None)])
    results: list[tuple[str, Any]] = []
    for number in range(matrices):
        codes = rng.integers(0, (most - least) // step + 1, (outputs, depth))
        weight = builder.plain((codes * step + least).astype(np.int8))
        scales = rng.uniform(0.5, 2, (outputs, depth // GROUP)).astype(np.float16)
        scale, bias = builder.plain(scales.astype("f4")), builder.plain(np.zeros(outputs, "f4"))
        results.append(
            (f"y{number}", builder.dynamic_linear(builder.inputs[0], weight, scale, bias))
        )
    module = builder.finish(results)
    built = build_decoder(module, ("main",), folder)
    x = {"x": rng.normal(0, 1, (1, rows, depth)).astype(np.float32)}
    library = DecoderLibrary(built.library, built.description, built.constants)
    bound = library.bound(x, "main")
    bound()
    for name, wanted in reference.run(module, x).items():
        if not np.array_equal(bound.outputs[name], wanted):
            raise SystemExit(f"{width} bits, {outputs}x{depth}: not the reference's result")
    return bound


def onnxruntime_bits(
    bits: int, rows: int, outputs: int, depth: int, matrices: int
) -> Callable[[], Any]:
    """MatMulNBits with int8 arithmetic, one thread."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    constants: list[Any] = []
    for n in range(matrices):
        packed = rng.integers(0, 256, (outputs, depth // GROUP, GROUP * bits // 8)).astype(np.uint8)
        scales = np.ones(outputs * (depth // GROUP), np.float32)
        constants += [
            numpy_helper.from_array(packed, f"b{n}"),
            numpy_helper.from_array(scales, f"s{n}"),
        ]
        nodes.append(helper.make_node(
            "MatMulNBits", ["x", f"b{n}", f"s{n}"], [f"y{n}"], domain="com.microsoft",
            K=depth, N=outputs, bits=bits, block_size=GROUP, accuracy_level=4,
        ))  # fmt: skip
    x = rng.normal(0, 1, (rows, depth)).astype(np.float32)
    return _session(nodes, constants, TensorProto.FLOAT, x, outputs)


def onnxruntime_int8(rows: int, outputs: int, depth: int, matrices: int) -> Callable[[], Any]:
    """QLinearMatMul, one thread: unsigned activations and signed weights, its fast way."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    given = {"sx": np.float32(0.5), "zx": np.uint8(125), "sw": np.float32(0.25), "zw": np.int8(0),
             "sy": np.float32(1e4), "zy": np.uint8(133)}  # fmt: skip
    constants = [numpy_helper.from_array(np.array(value), name) for name, value in given.items()]
    nodes: list[Any] = []
    for n in range(matrices):
        weight = rng.integers(-127, 128, (depth, outputs)).astype(np.int8)
        constants.append(numpy_helper.from_array(weight, f"w{n}"))
        names = ["x", "sx", "zx", f"w{n}", "sw", "zw", "sy", "zy"]
        nodes.append(helper.make_node("QLinearMatMul", names, [f"y{n}"]))
    x = rng.integers(0, 256, (rows, depth)).astype(np.uint8)
    return _session(nodes, constants, TensorProto.UINT8, x, outputs)


def _session(
    nodes: list[Any], constants: list[Any], kind: int, x: Any, outputs: int
) -> Callable[[], Any]:
    """A call of a graph of products of `x`, whose results are y0, y1 and so on."""
    import onnxruntime
    from onnx import helper

    shape = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "products", [shape("x", kind, x.shape)],
        [shape(f"y{n}", kind, [len(x), outputs]) for n in range(len(nodes))], constants,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"x": x})


class Ggml:
    """The libraries that `llama-cpp-python` brings, on tensors of any numbers."""

    TYPES: ClassVar[dict[str, tuple[str, ...]]] = {
        "1": ("Q1_0",), "ternary": ("TQ1_0", "TQ2_0"), "2": ("TQ2_0", "Q2_K"), "3": ("Q3_K",),
        "4": ("Q4_0", "Q4_K"), "5": ("Q5_K",), "6": ("Q6_K",), "8": ("Q8_0",),
    }  # fmt: skip
    NUMBERS: ClassVar[dict[str, int]] = {
        "Q4_0": 2, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14,
        "TQ1_0": 34, "TQ2_0": 35, "Q1_0": 41,
    }  # fmt: skip
    F32 = 0

    class _Params(ctypes.Structure):
        _fields_: ClassVar[Any] = [
            ("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool),
        ]  # fmt: skip

    def __init__(self) -> None:
        found = importlib.util.find_spec("llama_cpp")
        assert found is not None
        assert found.origin is not None
        folder = Path(found.origin).parent / "lib"
        self._libraries = [
            ctypes.CDLL(str(folder / f"lib{name}.so"), ctypes.RTLD_GLOBAL)
            for name in ("ggml-base", "ggml-cpu")
        ]

    def _call(self, name: str, *arguments: Any, result: Any = ctypes.c_void_p) -> Any:
        function = next(getattr(item, name) for item in self._libraries if hasattr(item, name))
        function.restype = result
        return function(*arguments)

    def _context(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self._call("ggml_init", self._Params(1 << 24, None, True)))

    def _matrix(self, context: Any, kind: int, rows: int, columns: int) -> ctypes.c_void_p:
        sizes = (ctypes.c_int64(columns), ctypes.c_int64(rows))
        return ctypes.c_void_p(self._call("ggml_new_tensor_2d", context, kind, *sizes))

    def _place(self, context: Any, where: Any) -> None:
        assert self._call("ggml_backend_alloc_ctx_tensors_from_buft", context, where)

    def _memories(self) -> list[ctypes.c_void_p]:
        """The plain memory, and those in which weights are stored in another order."""
        registry = ctypes.c_void_p(self._call("ggml_backend_cpu_reg"))
        device = ctypes.c_void_p(
            self._call("ggml_backend_reg_dev_get", registry, ctypes.c_size_t(0))
        )
        address = self._call(
            "ggml_backend_reg_get_proc_address", registry, b"ggml_backend_dev_get_extra_bufts"
        )
        listed = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(address)(device)
        extra: list[ctypes.c_void_p] = []
        while listed and listed[len(extra)]:
            extra.append(ctypes.c_void_p(listed[len(extra)]))
        return [ctypes.c_void_p(self._call("ggml_backend_cpu_buffer_type")), *extra]

    def product(
        self, kind: str, rows: int, outputs: int, depth: int, matrices: int,
        memory: ctypes.c_void_p,
    ) -> Callable[[], Any]:  # fmt: skip
        """`mul_mat` of some rows; the weights lie in `memory`."""
        number = self.NUMBERS[kind]
        stored, computed = self._context(), self._context()
        weights = [self._matrix(stored, number, outputs, depth) for _ in range(matrices)]
        self._place(stored, memory)
        row = self._call("ggml_row_size", number, ctypes.c_int64(depth), result=ctypes.c_size_t)
        size = int(row) * outputs
        blob = np.random.default_rng(0).integers(0, 64, size).astype(np.uint8)  # no NaN as a scale
        for weight in weights:
            data, nothing = ctypes.c_void_p(blob.ctypes.data), ctypes.c_size_t(0)
            self._call(
                "ggml_backend_tensor_set", weight, data, nothing, ctypes.c_size_t(size), result=None
            )
        x = self._matrix(computed, self.F32, rows, depth)
        graph = ctypes.c_void_p(self._call("ggml_new_graph", computed))
        for weight in weights:
            y = ctypes.c_void_p(self._call("ggml_mul_mat", computed, weight, x))
            self._call("ggml_build_forward_expand", graph, y, result=None)
        self._place(computed, ctypes.c_void_p(self._call("ggml_backend_cpu_buffer_type")))
        row_of_x = np.random.default_rng(1).normal(0, 1, rows * depth).astype(np.float32)
        self._call(
            "ggml_backend_tensor_set", x, ctypes.c_void_p(row_of_x.ctypes.data), ctypes.c_size_t(0),
            ctypes.c_size_t(row_of_x.nbytes), result=None,
        )  # fmt: skip
        backend = ctypes.c_void_p(self._call("ggml_backend_cpu_init"))
        self._call("ggml_backend_cpu_set_n_threads", backend, 1, result=None)
        return lambda: self._call("ggml_backend_graph_compute", backend, graph, result=ctypes.c_int)

    def products(
        self, width: str, rows: int, outputs: int, depth: int, matrices: int
    ) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Each type of this width, in each memory that takes it."""
        for kind in self.TYPES.get(width, ()):
            for number, memory in enumerate(self._memories()):
                repacked = {"Q4_0", "Q4_K", "Q2_K"}
                if number == 0 or kind in repacked:
                    name = f"ggml {kind.lower()}" + (f" repacked{number}" if number else "")
                    yield name, self.product(kind, rows, outputs, depth, matrices, memory)


def measure(
    calls: Sequence[Callable[[], Any]], repeats: int, rounds: int
) -> list[tuple[float, float]]:
    """Median and least seconds of a call of each; they run in turns of `repeats`."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for taken, call in zip(times, calls, strict=True):
            taken += [_seconds(call) for _ in range(repeats)]
    return [(statistics.median(item), min(item)) for item in times]


def read_bandwidth() -> float:
    """Bytes a second that one thread reads from memory, by NumPy's sum of 64-bit integers."""
    data = np.ones(1 << 26, np.int64)
    best = min(_seconds(data.sum) for _ in range(8))
    return data.nbytes / best


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", default="4096x4096", help="outputs x depth (4096x4096)")
    parser.add_argument("--rows", type=int, default=1, help="rows that are multiplied (1)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"turns ({ROUNDS})")
    parser.add_argument("--width", action="append", choices=list(WIDTHS), help="only these weights")
    parser.add_argument("--far", action="store_true", help="weights from memory: 512 MB in turns")
    options = parser.parse_args()
    outputs, depth = (int(n) for n in options.size.split("x"))
    peers = [
        name
        for name in PEERS
        if importlib.util.find_spec(name.replace("-python", "").replace("-", "_"))
    ]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in peers)
    print(f"{date.today()}  {platform.machine()}, {os.cpu_count()} cores; {versions}")
    bandwidth = read_bandwidth() if options.far else 0.0
    if options.far:
        print(f"memory, one thread: {bandwidth / 1e9:.1f} GB/s")
    for width in options.width or WIDTHS:
        bits = 2 if width == "ternary" else int(width)
        size = outputs * depth * bits // 8
        matrices = max(1, (512 << 20) // size) if options.far else 1
        rows = options.rows
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            calls = [ours_in_groups(width, rows, outputs, depth, matrices, Path(first))]
            calls.append(ours(width, rows, outputs, depth, matrices, Path(second)))
            names = ["ours on floats", "ours on int8"]
            if bits == 8:
                calls.append(onnxruntime_int8(rows, outputs, depth, matrices))
                names.append("ONNX Runtime int8")
            if bits in (2, 4, 8):
                calls.append(onnxruntime_bits(bits, rows, outputs, depth, matrices))
                names.append("ONNX Runtime")
            if importlib.util.find_spec("llama_cpp"):
                for name, call in Ggml().products(width, rows, outputs, depth, matrices):
                    names.append(name)
                    calls.append(call)
            repeats = 1 if options.far or rows > 1 else 20
            found = measure(calls, repeats, options.rounds)
        times = [(median / matrices, least / matrices) for median, least in found]
        print(f"{width} bits")
        for name, (median, least) in zip(names, times, strict=True):
            line = f"{name:>20} {median * 1e6:9.1f} us ({median / times[0][0]:5.2f} x), fastest"
            line += f" {least * 1e6:9.1f} us ({least / times[0][1]:5.2f} x)"
            line += f", {2 * rows * outputs * depth / least / 1e9:5.0f} GOPS"
            line += f", {size / least / 1e9:5.1f} GB/s"
            if options.far:
                line += f" ({size / least / bandwidth:4.0%} of memory)"
            print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
