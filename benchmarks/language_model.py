"""Language models in integers beside llama.cpp: tokens a second of one thread, and likelihood.

`python benchmarks/language_model.py` writes one model as GGUF files of types Q8_0 and Q4_0, which
both read: llama.cpp through `llama-cpp-python`, ours with `--weights` 8 and 4, which keeps the
integers and scales of the file (rows that have no whole number of blocks are float32 there; we make
them integers too). Both get a prompt, then generate greedily, in turns. Printed are the medians of
the rounds, the fastest token of all (where other processes take turns on the cores, it tells more),
and their ratios. A token of ours is a call from Python, and so is one of llama.cpp, with its own
sampler.

`--model stories260K` needs the folder that BITWRIGHT_DATA names and prints the mean negative
log-likelihood of a token of its sample text as well. `--model 110M` has llama2.c's shape of that
size and random weights, which no cache holds. Peer:
`CC=clang CXX=clang++ pip install llama-cpp-python`.
"""

import argparse
import ctypes
import importlib
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray
from random_language_models import random_decoder, write

from bitwright.flows.decoding import Session
from bitwright.flows.generate import END_OF_TEXT
from bitwright.flows.integer_weights import IntegerWeights
from bitwright.frontend.llm import llama2c_tokenizer, readers

llama_cpp: Any = importlib.import_module("llama_cpp")

PAIRS = ((Type.Q8_0, "8"), (Type.Q4_0, "4"))
STORIES = Path(os.environ.get("BITWRIGHT_DATA", ".")) / "stories260k"

Texts = list[list[int]]


class Engine(Protocol):
    """A model at work in one thread."""

    def start(self, prompt: Sequence[int]) -> None:
        """A new text."""
        ...

    def next(self) -> None:
        """One token more, the most likely one."""
        ...

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """After each token of a new text."""
        ...


class Ours:
    """`bitwright generate --target cpu --weights`."""

    def __init__(self, path: Path, weights: str, context: int) -> None:
        self._session = Session(
            readers.load(path), context=context, prompt=context, target="cpu",
            integers=IntegerWeights(weights),
        )  # fmt: skip

    def start(self, prompt: Sequence[int]) -> None:
        self._session.restart()
        self._token = int(self._session.feed(prompt)[-1].argmax())

    def next(self) -> None:
        self._token = int(self._session.feed([self._token])[-1].argmax())

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        self._session.restart()
        return self._session.feed(tokens)


class Llama:
    """llama.cpp by its own functions, one thread, its greedy sampler."""

    def __init__(self, path: Path, context: int) -> None:
        self._model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch = context, context, context
        options.n_threads = options.n_threads_batch = 1
        self._context = llama_cpp.llama_init_from_model(self._model, options)
        self._sampler = llama_cpp.llama_sampler_init_greedy()
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(vocabulary)

    def _feed(self, tokens: Any) -> None:
        batch = llama_cpp.llama_batch_get_one(tokens, len(tokens))
        if llama_cpp.llama_decode(self._context, batch):
            raise SystemExit("llama.cpp: llama_decode failed")

    def _restart(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)

    def _sample(self) -> None:
        self._token = llama_cpp.llama_sampler_sample(self._sampler, self._context, -1)

    def start(self, prompt: Sequence[int]) -> None:
        self._restart()
        self._feed((llama_cpp.llama_token * len(prompt))(*prompt))
        self._sample()

    def next(self) -> None:
        self._feed((llama_cpp.llama_token * 1)(self._token))
        self._sample()

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        self._restart()
        found: list[NDArray[np.float32]] = []
        for token in tokens:
            self._feed((llama_cpp.llama_token * 1)(token))
            pointer = llama_cpp.llama_get_logits(self._context)
            found.append(np.ctypeslib.as_array(pointer, (self._vocabulary,)).copy())
        return np.stack(found)


def loss(logits: Callable[[Sequence[int]], NDArray[np.float32]], texts: Texts) -> float:
    """Mean negative log-likelihood of all tokens but the first of each text."""
    total, count = 0.0, 0
    for tokens in texts:
        rows = logits(tokens)[:-1].astype(np.float64)
        rows -= rows.max(axis=1, keepdims=True)
        chosen = rows[np.arange(len(rows)), tokens[1:]]
        total -= float((chosen - np.log(np.exp(rows).sum(axis=1))).sum())
        count += len(rows)
    return total / count


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(
    engines: Sequence[Engine], prompt: Sequence[int], tokens: int, rounds: int
) -> list[tuple[float, float, float]]:
    """Of each: median seconds of the prompt and of a generated token, those of the fastest one."""
    prompts: list[list[float]] = [[] for _ in engines]
    each: list[list[list[float]]] = [[] for _ in engines]
    for engine in engines:
        engine.start(prompt)
    for _ in range(rounds):
        for number, engine in enumerate(engines):
            prompts[number].append(seconds(lambda engine=engine: engine.start(prompt)))
            each[number].append([seconds(engine.next) for _ in range(tokens)])
    return [
        (
            statistics.median(prompts[n]),
            statistics.median(sum(taken) / tokens for taken in each[n]),
            min(min(taken) for taken in each[n]),
        )
        for n in range(len(engines))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", choices=["stories260K", "110M"], default="stories260K")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of the prompt (64)")
    parser.add_argument("--tokens", type=int, help="tokens generated (200; 16 for 110M)")
    parser.add_argument("--rounds", type=int, default=20, help="of the medians (20)")
    options = parser.parse_args()
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    print(
        f"{date.today()}  {platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; llama-cpp-python {metadata.version('llama-cpp-python')}, numpy "
        f"{metadata.version('numpy')}; one thread"
    )
    texts: Texts = []
    if options.model == "110M":
        decoder, tokens = random_decoder("110M"), options.tokens or 16
    else:
        decoder, tokens = readers.load(STORIES / "stories260K.bin"), options.tokens or 200
        words = llama2c_tokenizer.load(STORIES / "tok512.bin", decoder.config.vocabulary)
        sample = (STORIES / "tinystories_sample.txt").read_text("utf-8").split(END_OF_TEXT)
        texts = [words.encode(text.strip())[: decoder.config.context] for text in sample if text]
        floats = Session(decoder, context=decoder.config.context, prompt=64, target="cpu")

        def plain(given: Sequence[int]) -> NDArray[np.float32]:
            floats.restart()
            return floats.feed(given)

        print(f"float32: {loss(plain, texts):.4f} per token")
    prompt = np.random.default_rng(0).integers(3, decoder.config.vocabulary, options.prompt)
    context = options.prompt + tokens + 1
    context = max(context, *map(len, texts)) if texts else context
    with tempfile.TemporaryDirectory() as folder:
        for kind, weights in PAIRS:
            path = Path(folder) / f"{kind.name}.gguf"
            write(path, decoder, kind)
            ours, peer = Ours(path, weights, context), Llama(path, context)
            results = measure([ours, peer], prompt.tolist(), tokens, options.rounds)
            for name, engine, times in zip(
                (f"W{weights}A8 ours", f"{kind.name} llama.cpp"), (ours, peer), results, strict=True
            ):
                line = f"{name:>16}"
                for what, size, time_, peers in zip(
                    ("prompt", "generation", "fastest token"), (len(prompt), 1, 1), times,
                    results[1], strict=True,
                ):  # fmt: skip
                    line += f"  {what} {size / time_:9,.1f} tokens/s ({peers / time_:5.2f} x)"
                if texts:
                    line += f"  {loss(engine.logits, texts):.4f} per token"
                print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
