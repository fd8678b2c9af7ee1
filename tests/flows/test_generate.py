"""`bitwright generate`: sampling, streaming, endings, scores, the command; a real small model."""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bitwright.cli import main
from bitwright.errors import BitwrightError
from bitwright.flows import generate as flow
from bitwright.flows.decoding import ContextFull, NotFinite, Session, Target
from bitwright.flows.generate import TextError, generate, score
from bitwright.flows.language_source import NoTokenizer
from bitwright.flows.models import LanguageModel, read_model
from bitwright.flows.sampling import Sampler, Sampling, SamplingError
from bitwright.frontend.llm import llama2c_tokenizer, readers
from bitwright.frontend.llm.errors import ModelFileNotFoundError
from bitwright.frontend.llm.readers import READERS, NotALanguageModel, load, reader_of

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend" / "llm"))
import numpy_decoder
import tiny_decoder as tiny

DECODER = tiny.decoder(tiny.config())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.bin"
    path.write_bytes(tiny.write_version0(DECODER))
    return path


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(tiny.write_tokenizer())
    return path


def greedy(tokens: list[int], count: int) -> list[int]:
    """By the decoder in plain NumPy."""
    tokens = list(tokens)
    for _ in range(count):
        tokens.append(int(numpy_decoder.logits(DECODER, tokens)[-1].argmax()))
    return tokens


def test_greedy_text_is_that_of_a_plain_decoder(model: Path, tokenizer: Path) -> None:
    words = llama2c_tokenizer.load(tokenizer, DECODER.config.vocabulary)
    given = words.encode("abcd the")
    tokens = greedy(given, 8)
    assert not words.stops & set(tokens[1:]), "choose another seed"
    after = tokens[len(given) - 1 :]
    pieces = [words.piece(after[i], after[i + 1]) for i in range(8)]
    written: list[str] = []
    made = generate(model, "abcd the", tokenizer=tokenizer, tokens=8, write=written.append)
    assert made.text == "".join(written) == b"".join(pieces).decode("utf-8", "replace")
    assert (made.ending, made.prompt_tokens, made.new_tokens) == ("tokens", len(given), 8)


def test_it_ends_where_the_context_is_full(model: Path, tokenizer: Path) -> None:
    made = generate(model, "ab", tokenizer=tokenizer, tokens=100)
    assert made.ending == "context"
    # the last token comes from the last position and has none of its own
    assert made.prompt_tokens + made.new_tokens == DECODER.config.context + 1


def test_it_ends_at_a_stop_text(model: Path, tokenizer: Path) -> None:
    whole = generate(model, "ab", tokenizer=tokenizer, tokens=15).text
    stop = whole[6:9]
    made = generate(model, "ab", tokenizer=tokenizer, tokens=15, stop=("\0never", stop))
    assert made.ending == "stop text"
    assert made.text == whole[: whole.index(stop)]


def test_it_ends_at_a_stop_token(
    model: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sampler, "next", lambda self, logits: 2)  # pyright: ignore
    made = generate(model, "ab", tokenizer=tokenizer)
    assert (made.text, made.ending, made.new_tokens) == ("", "stop token", 0)


@pytest.mark.parametrize("stop", [("<end>",), ("<end>", "<en", "x")])
def test_nothing_of_a_stop_text_is_written(stop: tuple[str, ...]) -> None:
    written: list[str] = []
    output = flow._Output(stop, written.append)  # pyright: ignore[reportPrivateUsage]
    data = "caf\u00e9 <e <<en".encode()
    assert not any(output.add(data[i : i + 1]) for i in range(len(data) - 1))
    assert "".join(written) == "caf\u00e9 <e <"
    if "<en" in stop:
        assert output.add(b"n")
        assert output.finish() == "caf\u00e9 <e <"
    else:
        assert not output.add(b"n")
        assert output.finish() == "caf\u00e9 <e <<en"


def test_half_a_character_is_replaced_at_the_end() -> None:
    output = flow._Output((), None)  # pyright: ignore[reportPrivateUsage]
    output.add(b"a\xe4\xbd")
    assert output.finish() == "a\ufffd"


def drawn(sampling: Sampling, logits: list[float], count: int = 4000) -> dict[int, float]:
    sampler = Sampler(sampling)
    tokens = [sampler.next(np.float32(logits)) for _ in range(count)]
    return {token: tokens.count(token) / count for token in sorted(set(tokens))}


def test_sampling_follows_the_probabilities() -> None:
    logits = [math.log(p) for p in (0.1, 0.5, 0.15, 0.25)]
    for sampling, wanted in (
        (Sampling(), {1: 1.0}),
        (Sampling(1), {0: 0.1, 1: 0.5, 2: 0.15, 3: 0.25}),
        (Sampling(0.5), {0: 1 / 34.5, 1: 25 / 34.5, 2: 2.25 / 34.5, 3: 6.25 / 34.5}),
        (Sampling(1, top_k=2), {1: 2 / 3, 3: 1 / 3}),
        (Sampling(1, top_p=0.7), {1: 2 / 3, 3: 1 / 3}),
        (Sampling(1, top_p=0.76), {1: 0.5 / 0.9, 2: 0.15 / 0.9, 3: 0.25 / 0.9}),
        (Sampling(1, top_k=1, top_p=0.1), {1: 1.0}),
    ):
        found = drawn(sampling, logits)
        assert found.keys() == wanted.keys(), sampling
        for token, probability in wanted.items():
            assert abs(found[token] - probability) < 0.03, sampling


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": math.nan}, "temperature is nan; expected a finite number from 0 on"),
        ({"temperature": math.inf}, "temperature is inf; expected a finite number from 0 on"),
        ({"temperature": -1.0}, "temperature is -1.0; expected a finite number from 0 on"),
        ({"top_k": -1}, "top_k is -1; expected a whole number from 0 on, 0 for all tokens"),
        ({"top_p": math.nan}, "top_p is nan; expected a number above 0 and at most 1"),
        ({"seed": -1}, "seed is -1; expected a whole number from 0 on"),
    ],
)
def test_sampling_out_of_range(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(SamplingError) as raised:
        Sampling(**options)
    assert str(raised.value) == expected


def test_a_seed_gives_a_text(model: Path, tokenizer: Path) -> None:
    texts = [
        generate(
            model, "ab", tokenizer=tokenizer, tokens=15, sampling=Sampling(1.5, 50, 0.95, seed)
        ).text
        for seed in (1, 2, 1)
    ]
    assert texts[0] == texts[2] != texts[1]


def test_score(model: Path, tokenizer: Path, tmp_path: Path) -> None:
    """Two texts, the second longer than the context: a window of 20 tokens and one of the rest."""
    words = llama2c_tokenizer.load(tokenizer, DECODER.config.vocabulary)
    texts = ["the cab", "xyz, abc. " * 3]
    path = tmp_path / "texts.txt"
    path.write_text(f"{texts[0]}\n<|endoftext|>\n \n<|endoftext|>\n{texts[1]}<|endoftext|>\n")
    long = words.encode(texts[1].strip())
    assert 20 < len(long) < 39
    total, count = 0.0, 0
    for tokens in (words.encode(texts[0]), long[:20], long[19:]):
        logits = numpy_decoder.logits(DECODER, tokens)
        for row, token in zip(logits[:-1], tokens[1:], strict=True):
            total -= row[token] - math.log(np.exp(row).sum())
            count += 1
    found = score(model, path, tokenizer=tokenizer)
    assert (found.tokens, found.texts) == (count, 2)
    assert found.per_token == pytest.approx(total / count, rel=1e-5)


def message(call: object, kind: type[BitwrightError]) -> str:
    with pytest.raises(kind) as raised:
        call()  # pyright: ignore
    assert type(raised.value) is kind
    return str(raised.value)


def test_errors(model: Path, tokenizer: Path, tmp_path: Path) -> None:
    assert message(lambda: generate(model), NoTokenizer) == (
        f"{model} has no tokenizer; name its file with --tokenizer, such as tokenizer.bin"
    )
    long = "a b " * 30
    assert message(lambda: generate(model, long, tokenizer=tokenizer), ContextFull).endswith(
        " tokens; the model's context is 20. Give a shorter prompt"
    )
    text = tmp_path / "text.txt"
    assert message(lambda: score(model, text, tokenizer=tokenizer), TextError) == (
        f"Cannot read the text {text}: No such file or directory; expected a text file"
    )
    text.write_bytes(b"\xff\xfe")
    assert message(lambda: score(model, text, tokenizer=tokenizer), TextError) == (
        f"Cannot read the text {text}: it is not UTF-8; expected a text file"
    )
    text.write_text(" <|endoftext|> ")
    assert message(lambda: score(model, text, tokenizer=tokenizer), TextError) == (
        f"The text {text} has nothing to predict; expected at least two tokens"
    )


def test_readers(tmp_path: Path) -> None:
    missing, foreign = tmp_path / "none.bin", tmp_path / "a.onnx"
    assert message(lambda: load(missing), ModelFileNotFoundError) == (
        f"Cannot read the model {missing}: it does not exist; name an existing file or folder"
    )
    foreign.write_bytes(b"onnx")
    assert message(lambda: load(foreign), NotALanguageModel) == (
        f"{foreign} is not a language model that is known; expected: GGUF; folder with "
        "config.json and safetensors; llama2.c. `bitwright compile` is for other networks"
    )
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "unnamed").write_bytes(tiny.write_version(DECODER, 1))
    (tmp_path / "gguf").write_bytes(b"GGUF\3")
    for path, name in (
        (tmp_path, READERS[1].name),
        (tmp_path / "unnamed", "llama2.c"),
        (tmp_path / "gguf", "GGUF"),
        (Path("model.GGUF"), "GGUF"),
    ):
        reader = reader_of(path)
        assert reader is not None
        assert reader.name == name
    assert readers.load(tmp_path / "unnamed").config.width == 16


def test_other_commands_name_this_one(model: Path) -> None:
    with pytest.raises(LanguageModel) as raised:
        read_model(model)
    assert str(raised.value) == (
        f"{model} is a language model (llama2.c); expected an ONNX, TFLite or .pt2 file. "
        "`bitwright generate` compiles it and runs it"
    )


def test_a_session_refuses_what_does_not_fit() -> None:
    session = Session(DECODER, context=6, prompt=4)
    logits = session.feed([5, 6, 7, 8, 9])
    assert message(lambda: session.feed([1, 2]), ContextFull) == (
        "2 tokens from position 5 do not fit the context of 6; give a shorter text"
    )
    session.restart()
    assert np.array_equal(session.feed([5, 6, 7, 8, 9]), logits)
    with pytest.raises(ValueError, match=r"^token 300 is outside of 0 to 299$"):
        session.feed([300])


def test_damaged_weights_are_named() -> None:
    decoder = tiny.decoder(tiny.config())
    decoder.weights["norm"][3] = np.nan  # pyright: ignore
    session = Session(decoder, context=6, prompt=1)
    assert message(lambda: session.feed([1]), NotFinite) == (
        "The logits after position 0 are not finite numbers; the model's weights are damaged, or "
        "its family is not what the file says"
    )


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["generate", *map(str, arguments)], prog_name="bitwright")


def test_command(model: Path, tokenizer: Path, tmp_path: Path) -> None:
    wanted = generate(model, "ab", tokenizer=tokenizer, tokens=100).text
    result = invoke(model, "-p", "ab", "--tokenizer", tokenizer, "-n", "100")
    assert result.exit_code == 0, result.output
    assert result.stdout == wanted
    first, second = result.stderr.splitlines()
    assert first.startswith("prompt: 2 tokens, ")
    assert first.endswith(" tokens/s")
    assert second.startswith("generated: 19 tokens, ")
    assert second.endswith(" tokens/s; ended: the model's context is full")
    result = invoke(model, "-p", "ab", "--tokenizer", tokenizer, "-n", "100", "--target", "cpu")
    assert result.stdout == wanted
    text = tmp_path / "text.txt"
    text.write_text("the cab")
    result = invoke(model, "--tokenizer", tokenizer, "--score", text)
    assert float(result.stdout) == pytest.approx(score(model, text, tokenizer=tokenizer).per_token)
    result = invoke(model)
    assert result.exit_code == 3
    assert "has no tokenizer" in result.stderr


@pytest.mark.parametrize("target", ["reference", "cpu"])
def test_stories_260k(target: Target, data_folder: Path) -> None:
    folder = data_folder / "stories260k"
    model, tokenizer = folder / "stories260K.bin", folder / "tok512.bin"
    made = generate(model, tokenizer=tokenizer, tokens=200, target=target)
    assert made.text.encode() == (folder / "golden_t0_200steps.txt").read_bytes()
    found = score(model, folder / "tinystories_sample.txt", tokenizer=tokenizer, target=target)
    assert found.tokens == 1804
    assert found.per_token == pytest.approx(1.2664, abs=0.0005)
