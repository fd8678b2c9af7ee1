"""Packages of language models: the same bits as in the process, their C interface, their files."""

import ctypes
import hashlib
import json
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bitwright.codegen.cpu import decoder_attention, decoder_kernels, decoder_library
from bitwright.codegen.cpu.decoder_library import BuiltDecoderLibrary, build_decoder_library
from bitwright.codegen.cpu.errors import CpuLevelError
from bitwright.codegen.cpu.level import CpuLevel, cpu_level
from bitwright.errors import BitwrightError
from bitwright.files import seal
from bitwright.flows.decoding import Session
from bitwright.flows.integer_weights import IntegerWeights, with_integers
from bitwright.frontend.llm.build import build
from bitwright.frontend.llm.decoder import Decoder
from bitwright.runtime.language_model import (
    DamagedModel,
    LanguageModel,
    SessionError,
    TokenError,
    load_any,
    load_language_model,
)
from bitwright.runtime.library import CpuTooOldError, LibraryError, load_library

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend" / "llm"))
import tiny_decoder as tiny

CONTEXT, ROWS = 20, 7
TOKENS = np.random.default_rng(0).integers(0, 300, CONTEXT).tolist()
PIECES = [b"", *(bytes([token % 26 + 97]) * (token % 3 + 1) for token in range(1, 300))]
LLAMA = tiny.decoder(tiny.config(), ("_bias", "head"))
GEMMA = tiny.decoder(
    tiny.config(
        windows=(4, None), activation="gelu_tanh", attention_softcap=2.0, logit_softcap=3.0,
        rope_pairs="halves", rope_frequencies_local=np.float32([1, 0.3]),
    ),
    ("q_norm", "k_norm", "attention_post_norm", "ffn_post_norm"),
)  # fmt: skip
FOUR = IntegerWeights("4")
TOO_NEW = CpuLevel("bulldozer", cpu_level("host").machine, ("sse3", "xop"))
"""No processor made since 2017 has `xop`."""


def package(
    decoder: Decoder, folder: Path, integers: IntegerWeights | None = None, **options: Any
) -> BuiltDecoderLibrary:
    if integers is not None:
        decoder = with_integers(decoder, integers)
    module = build(decoder, context=CONTEXT + ROWS - 1, prompt=ROWS, integer=integers is not None)
    return build_decoder_library(module, folder, **options)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuiltDecoderLibrary:
    """Of three levels, with texts, and with its weights inside."""
    levels = (TOO_NEW, cpu_level("host"), cpu_level("x86-64"))
    folder = tmp_path_factory.mktemp("built") / "lib"
    return package(LLAMA, folder, FOUR, model="my model", levels=levels, pieces=PIECES)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> BuiltDecoderLibrary:
    """With its weights in a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_library, "LARGEST_INSIDE", 0)
        return package(LLAMA, tmp_path_factory.mktemp("mapped"))


@pytest.fixture(scope="module")
def model(built: BuiltDecoderLibrary) -> LanguageModel:
    return load_language_model(built.library)


def in_process(decoder: Decoder, integers: IntegerWeights | None = None) -> NDArray[np.float32]:
    session = Session(decoder, context=CONTEXT, prompt=ROWS, target="cpu", integers=integers)
    return session.feed(TOKENS)


@pytest.fixture(scope="module")
def wanted() -> NDArray[np.float32]:
    """Of `model`."""
    return in_process(LLAMA, FOUR)


def message(error: type[BitwrightError], call: Any) -> str:
    with pytest.raises(error) as raised:
        call()
    return str(raised.value)


def test_logits_are_those_of_the_process(
    model: LanguageModel, wanted: NDArray[np.float32], tmp_path: Path
) -> None:
    gemma = load_language_model(package(GEMMA, tmp_path).library)
    for loaded, logits in ((model, wanted), (gemma, in_process(GEMMA))):
        session = loaded.session()
        np.testing.assert_array_equal(session.feed(TOKENS), logits)
        session.restart()  # the cache is not cleared
        steps = [session.step(token) for token in TOKENS[:5]]
        np.testing.assert_array_equal(np.stack(steps), logits[:5])
        np.testing.assert_array_equal(session.feed(TOKENS[5:]), logits[5:])
        assert session.position == session.context == CONTEXT
        short = loaded.session(3)
        np.testing.assert_array_equal(short.step(TOKENS[:3]), logits[2])


def test_threads_and_sessions_at_the_same_time(
    model: LanguageModel, wanted: NDArray[np.float32]
) -> None:
    model.threads = 2
    np.testing.assert_array_equal(model.session().feed(TOKENS), wanted)
    sessions = [model.session() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda session: session.feed(TOKENS), sessions):
            np.testing.assert_array_equal(found, wanted)
    model.threads = 1
    assert message(LibraryError, lambda: setattr(model, "threads", 0)) == (
        f"{model.path}: 0 threads are asked for; expected 1 to 256"
    )


@pytest.mark.parametrize(("decoder", "integers"), [(LLAMA, FOUR), (GEMMA, None)])
def test_every_number_of_threads_gives_the_same(
    decoder: Decoder, integers: IntegerWeights | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """With every operation shared that may be, however small."""
    wanted = in_process(decoder, integers)
    monkeypatch.setattr(decoder_kernels, "SHARED_FROM", 0)
    monkeypatch.setattr(decoder_attention, "SHARED_FROM", 0)
    model = load_language_model(package(decoder, tmp_path, integers).library)
    for threads in (1, 2, 5):
        model.threads = threads
        session = model.session()
        found = [session.feed(TOKENS[:9]), *(session.feed([token]) for token in TOKENS[9:])]
        np.testing.assert_array_equal(np.concatenate(found), wanted)
    model.threads = 1


def test_it_takes_the_level_that_this_processor_has(model: LanguageModel) -> None:
    assert model.cpu == cpu_level("host").name


def test_what_a_session_refuses(model: LanguageModel) -> None:
    session = model.session(4)
    logits = session.feed([5, 6, 7])
    tokens = {
        "Token 300 is none of {}; expected 0 to 299": [1, 300],
        "Token -1 is none of {}; expected 0 to 299": -1,
        "The tokens are int64 [1, 2]; expected a list of at least one whole number": [[1, 2]],
        "The tokens are float64 [0]; expected a list of at least one whole number": [],
        "The tokens are float64 [1]; expected a list of at least one whole number": [1.0],
    }
    for text, given in tokens.items():
        wanted = text.format(model.path)
        assert message(TokenError, lambda given=given: session.step(given)) == wanted
    assert message(SessionError, lambda: session.feed([1, 2])) == (
        "2 tokens from position 3 do not fit the context of 4; give a shorter text, or restart"
    )
    assert session.position == 3
    session.restart()
    np.testing.assert_array_equal(session.feed([5, 6, 7]), logits)
    for context in (0, 21):
        assert message(SessionError, lambda context=context: model.session(context)) == (
            f"A session of {context} positions is asked for; {model.path} has 1 to 20"
        )


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    weights = {**LLAMA.weights, "norm": np.full(16, np.inf, np.float32)}
    loaded = load_language_model(package(replace(LLAMA, weights=weights), tmp_path).library)
    session = loaded.session()
    assert message(DamagedModel, lambda: session.feed([1])) == (
        "The logits after position 0 are not finite numbers; the weights of "
        f"{loaded.path} are damaged, so compile the model again"
    )
    assert session.position == 0


def test_kinds_are_told_apart(built: BuiltDecoderLibrary) -> None:
    assert isinstance(load_any(built.library), LanguageModel)
    assert message(LibraryError, lambda: load_library(built.library)) == (
        f"{built.library} is a language model, and is run otherwise than a network: with "
        "`bitwright generate`, or from Python with `bitwright.api.load_library`"
    )


def test_a_processor_that_lacks_an_instruction(tmp_path: Path) -> None:
    path = package(LLAMA, tmp_path, levels=(TOO_NEW,)).library
    assert message(CpuTooOldError, lambda: load_language_model(path)) == (
        f"{path} is compiled for bulldozer and this processor lacks xop; compile the model on this "
        "machine"
    )


def test_another_architecture(tmp_path: Path) -> None:
    given = cpu_level("aarch64")
    assert message(CpuLevelError, lambda: package(LLAMA, tmp_path / "lib", levels=(given,))) == (
        f"The CPU level 'aarch64' is for aarch64, and this machine is a {platform.machine()}; "
        "language models are compiled for a machine's own architecture only. Compile on "
        "such a machine, or leave --cpu out"
    )
    assert not (tmp_path / "lib").exists()


def test_mapped_weights_give_the_same(mapped: BuiltDecoderLibrary) -> None:
    found = load_language_model(mapped.library).session().feed(TOKENS)
    np.testing.assert_array_equal(found, in_process(LLAMA))


def test_the_file_of_weights_is_checked(mapped: BuiltDecoderLibrary, tmp_path: Path) -> None:
    assert mapped.weights is not None
    assert mapped.weights.stat().st_size == mapped.weight_bytes + 40
    path, weights = tmp_path / "libmodel.so", tmp_path / "model.weights"
    path.write_bytes(mapped.library.read_bytes())
    again = "move the folder as a whole, or compile the model again"
    assert message(LibraryError, lambda: load_language_model(path)) == (
        f"{path} needs the file of weights {weights}, which is not there; {again}"
    )
    data = mapped.weights.read_bytes()
    changed = data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]
    for damaged in (data[:-1], changed, b""):
        weights.write_bytes(damaged)
        assert message(LibraryError, lambda: load_language_model(path)) == (
            f"{weights} is truncated or changed since it was made: it does not end with its "
            "checksum. Compile the model again"
        )
    weights.write_bytes(changed[:-40])
    seal(weights)
    loaded = load_language_model(path)
    assert message(LibraryError, loaded.session) == (
        f"The weights {weights} are not those that {path} was compiled with, or are truncated; "
        "take both from one folder, or compile the model again"
    )
    weights.unlink()
    assert message(LibraryError, loaded.session) == (
        f"The weights {weights} cannot be opened; they belong beside {path}, so {again}"
    )


PROGRAM = """
#include "model.h"
#include <stdio.h>
#include <string.h>
int main(int count, char **arguments) {
    static float logits[3][BW_VOCABULARY], again[BW_VOCABULARY];
    const int32_t tokens[] = {5, 6, 7}, none[] = {5, BW_VOCABULARY};
    bw_session *one, *two;
    const char *file = count > 1 ? arguments[1] : NULL;
    if (bw_session_create(file, BW_CONTEXT + 1, &one) != BW_BAD_ARGUMENT) return 1;
    if (bw_session_create(file, 0, NULL) != BW_BAD_ARGUMENT) return 2;
    int other = bw_session_create("nowhere", 0, &one);
    if (other != (bw_weights_file() ? BW_NO_WEIGHTS : BW_BAD_ARGUMENT)) return 3;
    if (bw_session_create(file, 4, &one) || bw_session_create(file, 0, &two)) return 4;
    if (bw_context(one) != 4 || bw_context(two) != BW_CONTEXT) return 5;
    if (bw_prefill(one, tokens, 3, &logits[0][0], 3) != BW_OK || bw_position(one) != 3) return 6;
    if (bw_prefill(one, tokens, 2, again, 1) != BW_CONTEXT_FULL) return 7;
    if (bw_prefill(one, none, 2, again, 1) != BW_BAD_TOKEN) return 8;
    if (bw_step(one, -1, again) != BW_BAD_TOKEN || bw_step(NULL, 1, again) != BW_BAD_ARGUMENT)
        return 9;
    if (bw_prefill(one, tokens, 0, again, 0) != BW_BAD_ARGUMENT) return 10;
    if (bw_prefill(one, tokens, 1, again, 2) != BW_BAD_ARGUMENT) return 11;
    if (bw_prefill(one, tokens, 1, NULL, 1) != BW_BAD_ARGUMENT || bw_position(one) != 3) return 12;
    for (int i = 0; i < 3; i++) {
        if (bw_step(two, tokens[i], again) != BW_OK) return 13;
        if (memcmp(again, logits[i], sizeof again)) return 14;
    }
    if (bw_prefill(one, tokens, 1, NULL, 0) || bw_reset(one) || bw_position(one)) return 15;
    if (bw_prefill(one, tokens, 3, again, 1) || memcmp(again, logits[2], sizeof again)) return 16;
    if (bw_set_threads(257) != BW_BAD_ARGUMENT || bw_reset(NULL) != BW_BAD_ARGUMENT) return 17;
    size_t length = 0;
    const char *text = bw_token_text(one, 28, &length);
    printf("%.*s\\n", (int)length, text == NULL ? "none" : text);
    if (bw_token_text(one, -1, NULL) || bw_token_text(one, BW_VOCABULARY, NULL)) return 18;
    bw_session_free(one);
    bw_session_free(two);
    bw_session_free(NULL);
    return bw_vocabulary() != BW_VOCABULARY || bw_largest_context() != BW_CONTEXT;
}
"""


@pytest.mark.parametrize(("compiler", "suffix"), [("cc", "c"), ("c++", "cpp")])
def test_header_in_a_program(
    built: BuiltDecoderLibrary, mapped: BuiltDecoderLibrary, tmp_path: Path, compiler: str,
    suffix: str,
) -> None:  # fmt: skip
    (tmp_path / f"main.{suffix}").write_text(PROGRAM)
    for made, text in ((built, "cc\n"), (mapped, "\n")):
        folder = made.library.parent
        subprocess.run(
            [compiler, "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"main.{suffix}",
             f"-I{folder}", str(made.library), f"-Wl,-rpath,{folder}", "-o", "main"],
            cwd=tmp_path, check=True,
        )  # fmt: skip
        files = ([], [] if made.weights is None else [made.weights])
        for arguments in files:
            done = subprocess.run(
                [tmp_path / "main", *arguments], capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stdout) == (0, text)


def test_the_example_generates(built: BuiltDecoderLibrary, model: LanguageModel) -> None:
    folder = built.library.parent
    command = (folder / "example.c").read_text().split("folder: ")[1].split(" */")[0]
    subprocess.run(["sh", "-c", f"{command} -Wall -Wextra -Werror"], cwd=folder, check=True)

    def run(*arguments: str) -> tuple[str, str]:
        done = subprocess.run(
            ["./example", *arguments], cwd=folder, capture_output=True, text=True, check=True
        )
        return done.stdout, done.stderr

    session = model.session()
    tokens = [int(session.step([5, 6]).argmax())]
    for _ in range(5):
        tokens.append(int(session.step(tokens[-1]).argmax()))
    text, speed = run("5", "6", "-n", "6")
    assert text == b"".join(PIECES[token] for token in tokens).decode() + "\n"
    assert speed.startswith(f"my model on {model.cpu}, 1 threads: prompt ")
    sampled = run("5", "6", "-n", "18", "-t", "2", "-s", "3")[0]
    assert sampled == run("5", "6", "-n", "18", "-t", "2", "-s", "3", "-j", "2")[0]
    assert sampled != run("5", "6", "-n", "18", "-t", "2", "-s", "4")[0]


def test_files_and_manifest(built: BuiltDecoderLibrary, mapped: BuiltDecoderLibrary) -> None:
    for made, weights in ((built, None), (mapped, "model.weights")):
        folder = made.library.parent
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["kind"] == "a language model"
        assert (manifest["vocabulary"], manifest["context"]) == (300, CONTEXT)
        assert manifest["weight_bytes"] == made.weight_bytes
        assert ("model.weights" in manifest["sha256"]) == (weights is not None)
        for name, digest in manifest["sha256"].items():
            data = (folder / name).read_bytes()
            assert hashlib.sha256(data).hexdigest() == digest
            assert manifest["bytes"][name] == len(data)
    assert not hasattr(ctypes.CDLL(str(built.library)), "prefill0")


def test_equal_models_give_equal_bytes(mapped: BuiltDecoderLibrary, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_library, "LARGEST_INSIDE", 0)
        again = package(LLAMA, tmp_path / "again")
    assert again.library.read_bytes() == mapped.library.read_bytes()
    assert again.weights is not None
    assert mapped.weights is not None
    assert again.weights.read_bytes() == mapped.weights.read_bytes()
