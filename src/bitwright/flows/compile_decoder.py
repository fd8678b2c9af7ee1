"""`bitwright compile` of a language model: a library with sessions, its weights, its tokenizer."""

import hashlib
import time
from pathlib import Path
from typing import Any

from bitwright import report as reports
from bitwright.codegen.cpu.decoder_library import build_decoder_library, check_levels
from bitwright.codegen.cpu.level import cpu_levels
from bitwright.codegen.cpu.package import HEADER
from bitwright.errors import BitwrightError
from bitwright.flows.decoding import PROMPT_ROWS
from bitwright.flows.folder import check_writable, new_build
from bitwright.flows.integer_weights import IntegerWeights, with_integers
from bitwright.frontend.llm import llama2c_tokenizer, tokenizer_file
from bitwright.frontend.llm.build import build
from bitwright.frontend.llm.check import check_names
from bitwright.frontend.llm.decoder import Decoder, Tokenizer
from bitwright.frontend.llm.readers import Reader
from bitwright.progress import ProgressCallback
from bitwright.report import Report
from bitwright.runtime.language_model import load_language_model
from bitwright.targets import get
from bitwright.targets.target import CpuTarget

TOOLS = ("torch-mlir", "numpy")
FLOAT_BITS = 32


class NotForLanguageModel(BitwrightError):
    """An option, or a target, that language models do not have."""

    exit_code = 2


def compile_decoder(
    model: Path, reader: Reader, target: str, *, output: Path, integers: IntegerWeights | None,
    tokenizer: Path | None, cpu: str | None, versions: dict[str, str], progress: ProgressCallback,
    others: dict[str, Any],
) -> Report:  # fmt: skip
    """Build the library of a language model into the folder `output`; see `compile_model`.

    Args:
        integers: compute linear layers in integers, on weights like these.
        tokenizer: a tokenizer file of llama2.c; other formats bring theirs.
        others: options of other networks by name, all None here.

    Raises:
        NotForLanguageModel: an option that is given nevertheless, or an FPGA as target.
        ModelError: a model that cannot be read.
        BitwrightError: one class for each thing that can be wrong; nothing is written then.
    """
    for option, value in others.items():
        if value is not None:
            raise NotForLanguageModel(
                f"{option} is {value}, and {model} is a language model ({reader.name}), which does "
                "not have it; leave it out"
            )
    device = get(target)
    if not isinstance(device, CpuTarget):
        raise NotForLanguageModel(
            f"{model} is a language model ({reader.name}), and the target {device.name!r} is an "
            "FPGA; expected: cpu"
        )
    levels = cpu_levels(cpu or "host")
    check_levels(levels)
    check_writable(output)
    start = time.perf_counter()
    progress("import the model", 0, 0)
    decoder = reader.load(model)
    config = decoder.config
    words = decoder.tokenizer
    if tokenizer is not None:
        words = llama2c_tokenizer.load(tokenizer, config.vocabulary)
    made = Report(
        model=_model_section(model, decoder),
        target=reports.Target(name=device.name, kind=device.kind),
        quantization=_quantization(integers),
        tools=versions,
    )
    if integers is not None:
        decoder = with_integers(decoder, integers)
    rows = min(PROMPT_ROWS, config.context)
    module = build(
        decoder, context=config.context + rows - 1, prompt=rows, integer=integers is not None
    )
    with new_build(output) as folder:
        progress("compile the native library", 0, 0)
        pieces = None if words is None else _pieces(words, config.vocabulary)
        texts = {} if words is None else {tokenizer_file.NAME: tokenizer_file.text_of(words)}
        built = build_decoder_library(
            module, folder.library, model=made.model.name, levels=levels, pieces=pieces, files=texts
        )
        files = {"library": built.library, "header": folder.library / HEADER}
        if built.weights is not None:
            files["weights"] = built.weights
        if words is not None:
            files["tokenizer"] = folder.library / tokenizer_file.NAME
        progress("check the library", 0, 0)
        load_language_model(built.library).session(1).feed([0])
        made.files = {role: str(path.relative_to(folder.path)) for role, path in files.items()}
        made.seconds["compile"] = time.perf_counter() - start
        made.save(folder.path)
    return made


def _pieces(words: Tokenizer, vocabulary: int) -> list[bytes]:
    """The text of every token, where it is not the first."""
    return [words.piece(-1, token) for token in range(vocabulary)]


def _quantization(integers: IntegerWeights | None) -> reports.Quantization:
    if integers is None:
        return reports.Quantization(weight_bits=FLOAT_BITS, activation_bits=FLOAT_BITS)
    return reports.Quantization(weight_bits=integers.bits, activation_bits=8)


def _model_section(path: Path, decoder: Decoder) -> reports.Model:
    shapes = check_names(decoder)
    sizes = {name: _product(shapes[name]) for name in decoder.weights}
    matrices = [name for name in sizes if len(shapes[name]) == 2]
    if "head" in sizes:
        matrices.remove("embedding")
    vocabulary = decoder.config.vocabulary
    return reports.Model(
        name=path.resolve().name if path.is_dir() else path.stem,
        file=path.name,
        sha256=_sha256(path),
        parameters=sum(sizes.values()),
        macs=sum(sizes[name] for name in matrices),
        inputs=(reports.Tensor(name="tokens", shape=(1, 1), type="i32"),),
        outputs=(reports.Tensor(name="logits", shape=(1, vocabulary), type="f32"),),
    )


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for extent in shape:
        total *= extent
    return total


def _sha256(path: Path) -> str:
    """Of a file, or of the names and checksums of a folder's files."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    lines = [f"{_sha256(each)}  {each.name}\n" for each in sorted(path.iterdir()) if each.is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
