"""Peak memory and time of the import of large ONNX files, against `onnx.load` in the same run.

`python benchmarks/onnx_import.py [--gigabytes 1] [--folder FOLDER]` writes synthetic networks of
dense layers (weights in the file; in a file beside it; beside it and more than 2 GiB), and reads
each in a process of its own. The peak is VmHWM of that process (Linux): all resident memory with
the interpreter, its libraries and the pages of mapped files. Times are of the call alone, after
one that warmed the page cache; the networks' bytes are random.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

WIDTH = 4096
LAYER_BYTES = 4 * WIDTH * WIDTH
BEYOND_PROTOBUF = 2.2
"""Gigabytes of the file that one protobuf message could not hold."""
READERS = ("onnx.load", "frontend", "frontend, fold", "save, load")
PACKAGES = ("onnx", "protobuf", "numpy", "torch-mlir")


def write_model(path: Path, layers: int, *, external: bool, width: int = WIDTH) -> int:
    """A chain of `layers` dense layers of three kinds; returns the bytes of all its files."""
    random = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    last, beside = "x", path.with_suffix(".bin")
    with beside.open("wb") as data:
        for index in range(layers):
            tensor = TensorProto(name=f"w{index}", data_type=TensorProto.FLOAT, dims=[width, width])
            raw = (random.random((width, width), np.float32) - 0.5).tobytes()
            if external:
                entries = {"location": beside.name, "offset": data.tell(), "length": len(raw)}
                for key, value in entries.items():
                    tensor.external_data.add(key=key, value=str(value))
                tensor.data_location = TensorProto.EXTERNAL
                data.write(raw)
            else:
                tensor.raw_data = raw
            weights.append(tensor)
            kind = "Gemm" if index % 3 else "MatMul"
            nodes.append(helper.make_node(kind, [last, f"w{index}"], [f"p{index}"]))
            if index % 3 == 2:
                nodes[-1].attribute.append(helper.make_attribute("transB", 1))
            nodes.append(helper.make_node("Relu", [f"p{index}"], [f"y{index}"]))
            last = f"y{index}"
    graph = helper.make_graph(
        nodes, "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", width])], weights,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    if not external:
        beside.unlink()
    return sum(file.stat().st_size for file in (path, beside) if file.exists())


def peak_bytes() -> int:
    """Largest resident memory of this process so far."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def measure(reader: str, path: Path) -> dict[str, Any]:
    """Read `path` in this process."""
    run = _reader(reader)
    before, start = peak_bytes(), time.perf_counter()
    kept = run(path)
    seconds = time.perf_counter() - start
    assert kept is not None
    return {"before": before, "peak": peak_bytes(), "seconds": seconds}


def _reader(name: str) -> Callable[[Path], Any]:
    if name == "onnx.load":
        return onnx.load
    from bitwright.frontend.onnx import load
    from bitwright.ir import serialize
    from bitwright.passes.fold import Fold

    def save_and_load(path: Path) -> Any:
        saved = path.with_suffix(".mlir")
        serialize.save(load(path), saved)
        return serialize.load(saved)

    return {
        "frontend": load,
        "frontend, fold": lambda path: Fold().run(load(path)),
        "save, load": save_and_load,
    }[name]


def measured_apart(reader: str, path: Path) -> dict[str, Any]:
    """`measure` in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, "--measure", reader, str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def main() -> None:
    """Write the files, measure, print a table."""
    options = argparse.ArgumentParser(description="Peak memory and time of ONNX imports.")
    options.add_argument("--gigabytes", type=float, default=1.0)
    options.add_argument("--folder", type=Path, help="for the files, which are removed again")
    options.add_argument("--measure", nargs=2, metavar=("READER", "FILE"), help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure[0], Path(chosen.measure[1]))))
        return
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, {platform.platform()}, "
        f"Python {platform.python_version()}, {versions}"
    )
    print(f"{'file':10} {'GB':>6}  {'reader':15} {'peak GB':>8} {'peak/file':>9} {'seconds':>8}")
    layers = max(round(chosen.gigabytes * 1e9 / LAYER_BYTES), 1)
    beyond = max(round(BEYOND_PROTOBUF * chosen.gigabytes * 1e9 / LAYER_BYTES), 1)
    cases = {"raw": (layers, False), "external": (layers, True), "beyond": (beyond, True)}
    for name, (count, external) in cases.items():
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            path = Path(folder) / f"{name}.onnx"
            size = write_model(path, count, external=external)
            measured_apart("onnx.load", path)  # warms the page cache
            for reader in READERS:
                found = measured_apart(reader, path)
                print(
                    f"{name:10} {size / 1e9:6.2f}  {reader:15} {found['peak'] / 1e9:8.2f} "
                    f"{found['peak'] / size:9.2f} {found['seconds']:8.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
