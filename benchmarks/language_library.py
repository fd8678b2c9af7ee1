"""Packages of language models: seconds of `bitwright compile`, sizes, tokens a second.

`python benchmarks/language_library.py` writes random models of several sizes as GGUF files of type
Q8_0, compiles each with `--weights 8` in a process of its own, and runs the library from Python: a
prompt of 64 tokens, then token by token. Printed are the medians of the rounds and the fastest
token, for each number of threads. stories260K is added where BITWRIGHT_DATA names its folder.
"""

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray
from random_language_models import SHAPES, random_decoder, write

from bitwright.report import Report
from bitwright.runtime.language_model import LanguageModel, LanguageSession, load_language_model

STORIES = Path(os.environ.get("BITWRIGHT_DATA", ".")) / "stories260k"
PROMPT = 64


def compile_(model: Path, weights: str | None, folder: Path) -> None:
    """By the command line, as a child; prints what it took."""
    options = [] if weights is None else ["--weights", weights]
    command = [sys.executable, "-m", "bitwright.cli", "compile", str(model), "-t", "cpu"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, *options, "-o", str(folder)], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = Report.load(folder)
    sizes = [
        f"{role} {(folder / report.files[role]).stat().st_size / 1e6:,.1f} MB"
        for role in ("library", "weights")
        if role in report.files
    ]
    size = model.stat().st_size
    seconds = report.seconds["compile"]
    print(
        f"{model.stem:>12}: {size / 1e6:,.0f} MB; compiled in {seconds:.1f} s "
        f"({after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.1f} s of CPU, at "
        f"most {after.ru_maxrss / 1e6:.1f} GB so far), {1e9 * seconds / size:.1f} s a GB; "
        + ", ".join(sizes),
        flush=True,
    )


def speed(model: LanguageModel, threads: int, tokens: int, rounds: int) -> None:
    """Prints tokens a second."""
    model.threads = threads
    session = model.session(PROMPT + tokens)
    prompt = np.random.default_rng(0).integers(0, model.vocabulary, PROMPT)
    prompts: list[float] = []
    steps: list[float] = []
    for _ in range(rounds):
        session.restart()
        prompts.append(_seconds(session, prompt))
        steps += [_seconds(session, [token]) for token in range(tokens)]
    print(
        f"{threads:>12} threads: prompt {PROMPT / statistics.median(prompts):,.1f} tokens/s, "
        f"generation {1 / statistics.median(steps):,.1f}, fastest token {1 / min(steps):,.1f}",
        flush=True,
    )


def _seconds(session: LanguageSession, tokens: NDArray[Any] | Sequence[int]) -> float:
    start = time.perf_counter()
    session.step(tokens)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", nargs="*", choices=SHAPES, default=["15M", "110M"])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--tokens", type=int, default=16, help="generated a round (16)")
    parser.add_argument("--rounds", type=int, default=20, help="of the medians (20)")
    options = parser.parse_args()
    print(
        f"{date.today()}  {platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        models: list[tuple[Path, str | None]] = [(STORIES / "stories260K.bin", "8")]
        models = [item for item in models if item[0].exists()]
        for size in options.sizes:
            models.append((Path(folder) / f"{size}.gguf", "8"))
            write(models[-1][0], random_decoder(size), Type.Q8_0)
        for number, (model, weights) in enumerate(models):
            build = Path(folder) / f"build{number}"
            compile_(model, weights, build)
            library = load_language_model(build / "lib" / "libmodel.so")
            for threads in options.threads:
                speed(library, threads, options.tokens, options.rounds)


if __name__ == "__main__":
    sys.exit(main())
