"""`bitwright inspect` of a language model."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bitwright.cli import main
from bitwright.flows.inspect_decoder import inspection_of

sys.path.insert(0, str(Path(__file__).parents[1] / "frontend" / "llm"))
import tiny_decoder as tiny

# q, k, v, o, gate, up, down of two layers
MATRICES = 2 * (16 * 16 + 2 * 8 * 16 + 16 * 16 + 3 * 16 * 24)
NORMS = 5 * 16
EMBEDDING = 300 * 16


def invoke(path: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["inspect", str(path), *options], prog_name="bitwright")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.bin"
    path.write_bytes(tiny.write_version0(tiny.decoder(tiny.config(), ("head",))))
    return path


def test_json_and_table(model: Path) -> None:
    found = json.loads(invoke(model, "--json").stdout)
    parameters = MATRICES + NORMS + 2 * EMBEDDING
    assert found == {
        "model": str(model),
        "family": "llama", "vocabulary": 300, "width": 16, "hidden": 24, "layers": 2, "heads": 4,
        "kv_heads": 2, "head_width": 4, "context": 20, "activation": "silu",
        "embedding": "its own head",
        "parameters": parameters, "weight_bytes": 4 * parameters, "bits_per_parameter": 32.0,
        "macs_per_token": MATRICES + EMBEDDING,
        "attention_macs_at_full_context": 2 * 2 * 16 * 20,
        "cache_bytes_at_full_context": 2 * 2 * 20 * 8 * 4,
        "tokenizer": "none in its files", "notes": [],
    }  # fmt: skip
    printed = invoke(model).stdout
    assert f"{parameters:,}" in printed
    assert "attention macs at full context" in printed


def test_blocks_windows_and_a_tied_head() -> None:
    decoder = tiny.decoder(tiny.config(windows=(3, None)))
    weights = dict(decoder.weights)
    for name in ("q", "o"):
        weight = weights[f"layers.0.{name}"]
        assert isinstance(weight, np.ndarray)
        weights[f"layers.0.{name}"] = tiny.blocks(weight, 8, signed=name == "q")
    rows = inspection_of(replace(decoder, weights=weights, notes=("a note",)), "m").rows
    floats = MATRICES + NORMS + EMBEDDING - 2 * 256
    # 4 bits a number, a scale for 8 of them, for one of both also a zero point of 4 bits
    assert rows["weight_bytes"] == 4 * floats + 2 * (128 + 4 * 32) + 16
    assert rows["macs_per_token"] == MATRICES + EMBEDDING
    assert rows["embedding"] == "tied to the head"
    assert rows["windows"] == "3 positions in 1 layers"
    assert rows["attention_macs_at_full_context"] == 2 * 16 * (3 + 20)


OTHERS = "is for other networks; leave it out, and see `bitwright generate --help`"


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        (
            "--target",
            "cpu",
            OTHERS,
        ),
        (
            "--shape",
            "n=1",
            OTHERS,
        ),
        ("--html", "page.html", "draws other networks; leave it out"),
    ],
)
def test_options_that_it_does_not_have(
    option: str, value: str, advice: str, model: Path, tmp_path: Path
) -> None:
    result = invoke(model, option, str(tmp_path / value) if option == "--html" else value)
    assert result.exit_code == 2
    assert result.stderr == f"error: {model} is a language model, and {option} {advice}\n"
