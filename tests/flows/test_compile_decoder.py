"""`bitwright compile` of language models, and `generate` with what it made."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from click.testing import CliRunner, Result

from bitwright import api
from bitwright.cli import main
from bitwright.codegen.cpu.errors import CpuLevelError
from bitwright.errors import BitwrightError
from bitwright.flows.compile import OnlyForLanguageModels, compile_model
from bitwright.flows.compile_decoder import NotForLanguageModel
from bitwright.flows.decoding import ContextFull, Session
from bitwright.flows.generate import generate, score
from bitwright.flows.integer_weights import IntegerWeights, IntegerWeightsError
from bitwright.flows.language_source import NotForPackage, NoTokenizer
from bitwright.flows.run import run
from bitwright.flows.sampling import Sampling
from bitwright.frontend.llm.readers import load
from bitwright.report import Report
from bitwright.runtime.language_model import LanguageModel
from bitwright.runtime.library import LibraryError

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend" / "llm"))
import tiny_decoder as tiny

THREE = IntegerWeights("3", 0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and its tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    model, tokenizer = folder / "tiny.bin", folder / "words.bin"
    model.write_bytes(tiny.write_version0(tiny.decoder(tiny.config())))
    tokenizer.write_bytes(tiny.write_tokenizer())
    return model, tokenizer


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], prog_name="bitwright")


@pytest.fixture(scope="module")
def build(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("build") / "build"
    result = invoke(
        "compile", files[0], "-t", "cpu", "--tokenizer", files[1], "--weights", "3",
        "--group", "0", "-o", output,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "W3A8" in result.stdout
    assert f"library: {(output / 'lib/libmodel.so').stat().st_size:,} bytes, " in result.stdout
    return output


def message(error: type[BitwrightError], call: Any) -> str:
    with pytest.raises(error) as raised:
        call()
    return str(raised.value)


def test_the_build_folder(build: Path) -> None:
    names = {path.name for path in (build / "lib").iterdir()}
    assert names == {
        "libmodel.so", "model.h", "example.c", "tiny-config.cmake", "tiny.pc", "manifest.json",
        "tokenizer.json",
    }  # fmt: skip
    report = Report.load(build)
    parameters = 300 * 16 + 2 * (16 * 16 + 2 * 8 * 16 + 16 * 16 + 3 * 16 * 24) + 5 * 16
    assert (report.model.parameters, report.model.macs) == (parameters, parameters - 5 * 16)
    assert report.files == {
        "library": "lib/libmodel.so", "header": "lib/model.h", "tokenizer": "lib/tokenizer.json"
    }  # fmt: skip
    assert report.seconds.keys() == {"compile"}
    manifest = json.loads((build / "lib" / "manifest.json").read_text())
    assert manifest["sha256"].keys() == names - {"manifest.json"}


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0.9, 40, 0.95, 7)], ids=["greedy", "sampled"]
)
def test_it_generates_what_the_model_generates(
    files: tuple[Path, Path], build: Path, sampling: Sampling
) -> None:
    wanted = generate(
        files[0], "ab the", tokenizer=files[1], tokens=12, target="cpu", integers=THREE,
        sampling=sampling,
    )  # fmt: skip
    written: list[str] = []
    for package in (build, build / "lib", build / "lib" / "libmodel.so"):
        made = generate(package, "ab the", tokens=12, sampling=sampling, write=written.append)
        assert (made.text, made.ending) == (wanted.text, wanted.ending)
        assert made.new_tokens == wanted.new_tokens
    assert "".join(written) == 3 * wanted.text


def test_command(files: tuple[Path, Path], build: Path, tmp_path: Path) -> None:
    wanted = generate(build, "ab", tokens=100)
    assert wanted.ending == "context"
    result = invoke("generate", build, "-p", "ab", "-n", "100", "--threads", "2", "-t", "cpu")
    assert (result.exit_code, result.stdout) == (0, wanted.text)
    text = tmp_path / "text.txt"
    text.write_text("the cab<|endoftext|>ab cd the")
    result = invoke("generate", build, "--score", text)
    likelihood = score(files[0], text, tokenizer=files[1], target="cpu", integers=THREE)
    assert float(result.stdout) == pytest.approx(likelihood.per_token, abs=1e-6)
    loaded = api.load_library(build / "lib" / "libmodel.so")
    assert isinstance(loaded, LanguageModel)
    assert loaded.threads == 1


def test_what_was_decided_when_it_was_compiled(files: tuple[Path, Path], build: Path) -> None:
    for option, given in (
        ("--target", {"target": "reference"}), ("--weights", {"integers": THREE})
    ):  # fmt: skip
        found = message(NotForPackage, lambda given=given: generate(build, "ab", **given))
        assert found == (
            f"{option} is given, and {build} is compiled already; leave it out, or give the model "
            "file"
        )
    assert message(NotForPackage, lambda: generate(files[0], "ab", threads=2)) == (
        f"--threads is 2, and {files[0]} is not compiled; `bitwright compile` makes a library of "
        "it that has threads"
    )
    assert message(ContextFull, lambda: generate(build, "ab" * 30)) == (
        "The prompt has 31 tokens; the model's context is 20. Give a shorter prompt"
    )
    assert message(LibraryError, lambda: run(build, files[1])) == (
        f"{build / 'lib' / 'libmodel.so'} is a language model, and is run otherwise than a "
        "network: with `bitwright generate`, or from Python with `bitwright.api.load_library`"
    )


def test_a_model_without_a_tokenizer(files: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "build"
    compile_model(files[0], "cpu", output=output)
    assert Report.load(output).quantization.weight_bits == 32
    assert message(NoTokenizer, lambda: generate(output, "ab")) == (
        f"{output / 'lib'} has no tokenizer.json, since the model came without; name a file with "
        "--tokenizer, such as tokenizer.bin"
    )
    wanted = generate(files[0], "ab", tokenizer=files[1], tokens=9, target="cpu")
    assert generate(output, "ab", tokenizer=files[1], tokens=9).text == wanted.text


def test_a_folder(tmp_path: Path) -> None:
    """Its name is not cut at a point, and its own tokenizer goes with it."""
    fixtures = Path(__file__).parents[1] / "frontend" / "llm" / "fixtures"
    model, output = tmp_path / "model-0.5", tmp_path / "build"
    shutil.copytree(fixtures / "qwen2", model)
    letters = {character: token for token, character in enumerate("Ġabcdefghijklmnopqrstuvwxyz")}
    words = tokenizers.Tokenizer(tokenizers.models.BPE(letters, []))
    words.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = tokenizers.decoders.ByteLevel()
    words.save(str(model / "tokenizer.json"))
    report = compile_model(model, "cpu", output=output)
    assert report.model.name == "model-0.5"
    assert (output / "lib" / "model_0_5.pc").exists()
    wanted = generate(model, "the cat", tokens=5, target="cpu").text
    assert generate(output, "the cat", tokens=5).text == wanted


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ({"calibration": Path("c.npz")}, "--calibration", "c.npz"),
        ({"activations": 4}, "--activations", "4"),
        ({"ranges": "mse"}, "--ranges", "mse"),
        ({"machine": {"lanes": 8}}, "--machine", "{'lanes': 8}"),
        ({"fps": 30.0}, "--fps", "30.0"),
        ({"shapes": {"N": (1,)}}, "--shape", "{'N': (1,)}"),
        ({"tune": True}, "--tune", "True"),
    ],
)
def test_options_of_other_networks(
    files: tuple[Path, Path], tmp_path: Path, options: Any, name: str, value: str
) -> None:
    found = message(
        NotForLanguageModel,
        lambda: compile_model(files[0], "cpu", output=tmp_path / "b", **options),
    )
    assert found == (
        f"{name} is {value}, and {files[0]} is a language model (llama2.c), which does not have "
        "it; leave it out"
    )
    assert not (tmp_path / "b").exists()


def test_what_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "b"
    fpga = message(NotForLanguageModel, lambda: compile_model(files[0], "ulx3s-85f", output=output))
    assert fpga == (
        f"{files[0]} is a language model (llama2.c), and the target 'ulx3s-85f' is an FPGA; "
        "expected: cpu"
    )
    found = message(
        CpuLevelError, lambda: compile_model(files[0], "cpu", cpu="aarch64", output=output)
    )
    assert found.startswith("The CPU level 'aarch64' is for aarch64, and this machine is a ")
    assert not output.exists()
    found = message(
        IntegerWeightsError, lambda: compile_model(files[0], "cpu", output=output, group=32)
    )
    assert found == "group is 32, and floats have no groups; give weights, too, such as 4"
    other = tmp_path / "m.onnx"
    for weights in ("ternary", 1):
        found = message(
            OnlyForLanguageModels,
            lambda weights=weights: compile_model(other, "cpu", weights=weights, output=output),
        )
        assert found == f"--weights is {weights}, and {other} is no language model; expected 2 to 8"
    found = message(
        OnlyForLanguageModels, lambda: compile_model(other, "cpu", group=32, output=output)
    )
    assert found == f"--group is 32, and {other} is no language model; leave it out"


@pytest.mark.parametrize("weights", [None, "4"])
def test_stories_260k(weights: str | None, data_folder: Path, tmp_path: Path) -> None:
    folder, output = data_folder / "stories260k", tmp_path / "build"
    model, tokenizer = folder / "stories260K.bin", folder / "tok512.bin"
    api.compile_model(model, "cpu", tokenizer=tokenizer, weights=weights, output=output)
    if weights is None:
        text = generate(output, tokens=200).text
        assert text.encode() == (folder / "golden_t0_200steps.txt").read_bytes()
    integers = None if weights is None else IntegerWeights(weights)
    decoder = load(model)
    session = Session(decoder, context=128, prompt=64, target="cpu", integers=integers)
    tokens = np.random.default_rng(0).integers(0, 512, 100).tolist()
    loaded = api.load_library(output / "lib" / "libmodel.so")
    assert isinstance(loaded, LanguageModel)
    np.testing.assert_array_equal(loaded.session().feed(tokens), session.feed(tokens))
