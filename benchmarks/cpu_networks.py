"""Latency of whole int8 networks on a CPU, beside the runtimes that people use for them.

`python benchmarks/cpu_networks.py --data DIR` runs the MLPerf Tiny models in DIR (`*_int8.tflite`
and `*_golden.npz`) against LiteRT's default kernels, and a ResNet-50 of random weights against ONNX
Runtime's int8 kernels. Peers: `pip install ai-edge-litert onnxruntime`. The two run in turns, with
the same number of threads (`--threads 2`), and every time is that of a call from Python; what is
printed are the medians and the fastest of the rounds, and their ratios. Threads of a peer go on
spinning for a while after its call, and so would take a processor from ours: with several threads
every turn begins with a pause and a call that does not count.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bitwright import api
from bitwright.runtime.library import load_library

TINY = ("kws", "ic", "vww", "ad")
PEERS = ("ai-edge-litert", "onnxruntime", "numpy", "torch-mlir")
TURN = 0.004
"""Seconds that one of the two runs before the other, at least."""

PAUSE = 0.1
"""Seconds before a turn, with several threads."""

Call = Callable[[], Any]


def measure(
    first: Call, second: Call, rounds: int, threads: int
) -> tuple[list[float], list[float]]:
    """Seconds of a call of each in every round, in which they run in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    counts: list[int] = []
    for call in (first, second):
        start = time.perf_counter()
        call()
        counts.append(max(1, int(TURN / (time.perf_counter() - start))))
    for _ in range(rounds):
        for taken, call, calls in zip(times, (first, second), counts, strict=True):
            if threads > 1:
                time.sleep(PAUSE)
                call()
            start = time.perf_counter()
            for _ in range(calls):
                call()
            taken.append((time.perf_counter() - start) / calls)
    return times


def report(name: str, ours: list[float], theirs: list[float], peer: str) -> None:
    """One line."""
    line = f"{name:10}"
    for what, find in (("median", statistics.median), ("fastest", min)):
        own, other = find(ours) * 1e6, find(theirs) * 1e6
        line += f"  {what} {own:9.1f} us, {peer} {other:9.1f} us, {other / own:5.2f} x"
    print(line, flush=True)


def tiny(name: str, data: Path, folder: Path, threads: int, rounds: int) -> None:
    """One of the MLPerf Tiny models; our outputs are checked against the golden ones."""
    from ai_edge_litert.interpreter import Interpreter

    model = data / f"{name}_int8.tflite"
    api.compile_model(model, "cpu", output=folder)
    library = load_library(folder / "lib" / "libmodel.so")
    golden = np.load(data / f"{name}_golden.npz")
    x = np.ascontiguousarray(golden["x"][:1].reshape(library.inputs[0].shape))
    library.threads = threads
    ours = library.bound([x])
    peer = Interpreter(str(model), num_threads=threads)
    peer.allocate_tensors()
    detail = peer.get_input_details()[0]
    peer.set_tensor(detail["index"], x.reshape(detail["shape"]))
    times = measure(ours, peer.invoke, rounds, threads)
    if not np.array_equal(ours.outputs[0].ravel(), golden["y"][0].ravel()):
        raise SystemExit(f"{name}: the library's output is not the golden one")
    report(name, *times, "LiteRT")


def resnet50(path: Path) -> None:
    """A ResNet-50 of random weights, batch norms folded."""
    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    weights: list[Any] = []

    def weight(shape: tuple[int, ...], deviation: float) -> str:
        name = f"w{len(weights)}"
        weights.append(
            numpy_helper.from_array(rng.normal(0, deviation, shape).astype(np.float32), name)
        )
        return name

    def node(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def conv(x: str, inputs: int, outputs: int, size: int, stride: int) -> str:
        taps = weight((outputs, inputs, size, size), (2 / (inputs * size * size)) ** 0.5)
        pads, strides = [size // 2] * 4, [stride] * 2
        return node("Conv", x, taps, weight((outputs,), 0.1), pads=pads, strides=strides)

    x = node("Relu", conv("x", 3, 64, 7, 2))
    x = node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for block in range(blocks):
            stride = 2 if block == 0 and stage else 1
            y = node("Relu", conv(x, channels, width, 1, 1))
            y = node("Relu", conv(y, width, width, 3, stride))
            y = conv(y, width, 4 * width, 1, 1)
            if block == 0:
                x = conv(x, channels, 4 * width, 1, stride)
            x, channels = node("Relu", node("Add", y, x)), 4 * width
    flat = node("Flatten", node("GlobalAveragePool", x))
    y = node("Gemm", flat, weight((1000, 2048), 0.02), weight((1000,), 0.1), transB=1)
    graph = helper.make_graph(
        nodes, "resnet50",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info(y, TensorProto.FLOAT, [1, 1000])], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def large(folder: Path, threads: int, rounds: int) -> None:
    """ResNet-50, quantized by us and by ONNX Runtime's own tool."""
    import onnxruntime
    from onnxruntime import quantization

    x = np.random.default_rng(1).normal(0, 1, (4, 3, 224, 224)).astype(np.float32)
    model, integer, samples = (folder / name for name in ("r.onnx", "q.onnx", "x.npz"))
    resnet50(model)
    np.savez(samples, x=x)

    class Samples(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter([{"x": x[i : i + 1]} for i in range(len(x))])

        def get_next(self) -> Any:
            return next(self._left, None)

    quantization.quantize_static(
        str(model), str(integer), Samples(), quant_format=quantization.QuantFormat.QOperator,
        per_channel=True, weight_type=quantization.QuantType.QInt8,
        activation_type=quantization.QuantType.QUInt8,  # its fast form on x86
    )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    peer = onnxruntime.InferenceSession(str(integer), options, ["CPUExecutionProvider"])
    start = time.perf_counter()
    api.compile_model(model, "cpu", samples, output=folder / "build")
    print(f"ResNet-50 compiled and checked in {time.perf_counter() - start:.0f} s")
    library = load_library(folder / "build" / "lib" / "libmodel.so")
    codes = np.random.default_rng(2).integers(-128, 128, (1, 3, 224, 224)).astype(np.int8)
    library.threads = threads
    ours = library.bound([codes])
    peers = partial(peer.run, None, {"x": x[:1]})
    times = measure(ours, peers, rounds, threads)
    report("ResNet-50", *times, "ORT   ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the MLPerf Tiny models")
    parser.add_argument("--threads", type=int, default=1, help="of ours and of the peers (1)")
    parser.add_argument("--rounds", type=int, default=50, help="in which they run in turns (50)")
    options = parser.parse_args()
    data: Path | None = options.data
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PEERS)
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, {processor()}, "
        f"load {os.getloadavg()[0]:.1f}; {options.threads} threads; {versions}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in TINY if data is not None else ():
            assert data is not None
            tiny(name, data, Path(folder) / name, options.threads, options.rounds)
        large(Path(folder), options.threads, options.rounds)


def processor() -> str:
    """The processor's own name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "")


if __name__ == "__main__":
    main()
