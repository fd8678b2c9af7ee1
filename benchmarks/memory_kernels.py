"""Matrix times vector with the weights in memory: the share of its read bandwidth, by weight width.

`python benchmarks/memory_kernels.py` multiplies an int8 vector by matrices of 1 to 8 bit weights
that no cache holds: copies of one library, whose weights are 1.5 GB together, called one after the
other. In turns with them a loop in C, compiled for this machine, reads as much memory and does
nothing else; of its distances of prefetch the best one counts. Results are compared with the
reference once. Each call is timed: medians, and what the fastest tenth reaches.
"""

import argparse
import ctypes
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from matrix_kernels import WIDTHS, X, Y  # the file beside this one

from bitwright.codegen.cpu.library import build_library
from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.runtime.library import Library, load_library

DEPTH = 4096
DISTANCES = (0, 2048, 8192)
SOURCE = """
#include <immintrin.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
struct part { const char *p; size_t size, ahead; uint64_t sum; };
static void *read_part(void *given) {
    struct part *part = given;
    __m512i s[8];
    for (int i = 0; i < 8; i++) s[i] = _mm512_setzero_si512();
    for (const char *q = part->p; q + 512 <= part->p + part->size; q += 512)
        for (int i = 0; i < 8; i++) {
            if (part->ahead) _mm_prefetch(q + part->ahead + 64 * i, _MM_HINT_T0);
            s[i] = _mm512_xor_si512(s[i], _mm512_load_si512(q + 64 * i));
        }
    for (int i = 1; i < 8; i++) s[0] = _mm512_xor_si512(s[0], s[i]);
    part->sum = _mm512_reduce_add_epi64(s[0]);
    return NULL;
}
uint64_t read_all(const char *p, size_t size, size_t ahead, size_t threads) {
    struct part parts[64];
    pthread_t made[64];
    size_t each = size / threads;
    for (size_t n = threads; n-- > 0;) {
        parts[n] = (struct part){p + n * each, each, ahead, 0};
        if (n) pthread_create(&made[n], NULL, read_part, &parts[n]);
        else read_part(&parts[n]);
    }
    uint64_t sum = parts[0].sum;
    for (size_t n = 1; n < threads; n++) {
        pthread_join(made[n], NULL);
        sum += parts[n].sum;
    }
    return sum;
}
"""


def built(width: str, megabytes: int, folder: Path) -> tuple[Path, int, np.ndarray[Any, Any]]:
    """A library of one matrix of so many packed bytes: its file, the bytes, and its input."""
    rng = np.random.default_rng(0)
    least, most, step = WIDTHS[width]
    bits = 2 if width == "ternary" else int(width)
    outputs = (megabytes << 20) * 8 // (bits * DEPTH)
    codes = rng.integers(0, (most - least) // step + 1, (outputs, DEPTH), np.uint8)
    weights = (codes.astype(np.int16) * step + least).astype(np.int8)
    builder = Builder([("x", (1, DEPTH), X)])
    weight = builder.constant(weights, QuantParams((0.25,), 0, 8, -127, 127))
    sums = builder.linear(builder.inputs[0], weight, builder.constant(np.zeros(outputs, np.int32)))
    shift = int(16 + np.log2(max(-least, 1) * DEPTH**0.5))
    y = builder.requantize(sums, Y, multiplier=[30000], shift=[shift])
    module = builder.finish([("y", y)])
    path = build_library(module, folder).library
    x = rng.integers(-128, 128, (1, DEPTH)).astype(np.int8)
    library = load_library(path)
    wanted = reference.run(module, {"x": x})["y"]
    if not np.array_equal(library.run({"x": x})["y"], wanted):
        raise SystemExit(f"{width} bits: not the reference's result")
    return path, outputs * DEPTH * bits // 8, x


def reader(folder: Path) -> Any:
    """The loop in C."""
    (folder / "read.c").write_text(SOURCE)
    command = [
        "cc",
        "-O3",
        "-march=native",
        "-shared",
        "-fPIC",
        "-pthread",
        "read.c",
        "-o",
        "read.so",
    ]
    subprocess.run(command, cwd=folder, check=True)
    function = ctypes.CDLL(str(folder / "read.so")).read_all
    function.argtypes = [ctypes.c_void_p, *[ctypes.c_size_t] * 3]
    function.restype = ctypes.c_uint64
    return function


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(
    calls: Sequence[Callable[[], Any]], read: Any, size: int, threads: int, rounds: int
) -> tuple[list[float], dict[int, list[float]]]:
    """Bytes a second of each product, and of reads of as much memory, in turns."""
    memory = np.ones(size * len(calls) + 64, np.uint8)
    start = memory.ctypes.data + -memory.ctypes.data % 64
    products: list[float] = []
    reads: dict[int, list[float]] = {ahead: [] for ahead in DISTANCES}
    for _ in range(rounds):
        for number, call in enumerate(calls):
            products.append(size / seconds(call))
            for turn, (ahead, found) in enumerate(reads.items()):
                place = start + (number + turn * len(calls) // len(reads)) % len(calls) * size
                began = time.perf_counter()
                read(place, size, ahead, threads)
                found.append(size / (time.perf_counter() - began))
    return products, reads


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=16, help="packed weights of a copy (16)")
    parser.add_argument("--total", type=int, default=1536, help="of all copies, in MB (1536)")
    parser.add_argument("--rounds", type=int, default=4, help="turns through all copies (4)")
    parser.add_argument("--threads", type=int, action="append", help="of a product (1 and 2)")
    parser.add_argument("--width", action="append", choices=list(WIDTHS), help="only these weights")
    options = parser.parse_args()
    print(f"{date.today()}  {platform.machine()}, {os.cpu_count()} cores; numpy "
          f"{metadata.version('numpy')}; load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"{'bits':>8} {'threads':>7}  {'median':<29}fastest tenth")
    for width in options.width or WIDTHS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            path, size, x = built(width, options.megabytes, folder)
            libraries: list[Library] = []
            for number in range(max(1, (options.total << 20) // size)):
                copy = folder / f"copy{number}.so"
                shutil.copy(path, copy)
                libraries.append(load_library(copy))
            calls = [library.bound([x]) for library in libraries]
            for call in calls:
                call()
            read = reader(folder)
            for threads in options.threads or (1, 2):
                for library in libraries:
                    library.threads = threads
                products, reads = measure(calls, read, size, threads, options.rounds)
                best = max(reads, key=lambda ahead: statistics.median(reads[ahead]))
                cells = ""
                for percent in (50, 90):
                    ours, memory = (np.percentile(f, percent) for f in (products, reads[best]))
                    cells += f"  {ours / 1e9:6.1f} of {memory / 1e9:5.1f} GB/s {ours / memory:6.1%}"
                print(f"{width:>8} {threads:>7}{cells}", flush=True)
                for library in libraries:
                    library.threads = 1


if __name__ == "__main__":
    sys.exit(main())
