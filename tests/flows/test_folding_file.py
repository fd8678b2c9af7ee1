"""Foldings as files: what is written is read, and what is wrong with one is said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright.flows.folding_file import FoldingError, FoldingFile
from bitwright.ir.builder import Builder
from bitwright.ir.dataflow import Fold, Pipeline
from bitwright.ir.types import QuantParams
from bitwright.passes.dataflow import lower
from bitwright.passes.dataflow.fold import with_folds


@pytest.fixture
def pipeline() -> Pipeline:
    build = Builder([("x", (1, 4), QuantParams((0.5,), 3, 8, -128, 127))])
    weight = build.constant(np.ones((6, 4), np.int8), QuantParams((1.0,), 0, 4, -7, 7))
    bias = build.constant(np.zeros(6, np.int32))
    sums = build.named("fc").linear(build.inputs[0], weight, bias)
    return lower(build.finish([("y", sums)]))


def test_what_is_saved_is_loaded(tmp_path: Path, pipeline: Pipeline) -> None:
    fold = Fold(lanes=2, rows=3, out_lanes=3, engine="dsp")
    folded = with_folds(pipeline, [fold])
    FoldingFile.of(folded).save(tmp_path / "folding.json")
    found = FoldingFile.load(tmp_path / "folding.json")
    assert found == FoldingFile("model", 4, {"fc": fold})
    assert found.folds(pipeline) == [fold]


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"stages": {"fc": {"lanes": 2}}}')
    assert FoldingFile.load(path) == FoldingFile("mine", None, {"fc": Fold(lanes=2)})


def _error(path: Path, document: Any) -> str:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(FoldingError) as error:
        FoldingFile.load(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ({"stages": {"a": {"lanes": 0}}}, "lanes of a is 0, not a whole number from 1 on"),
        ({"stages": {"a": {"lane": 1}}}, "lane of a is no part of a fold"),
        (
            {"stages": {"a": {"lanes": 1, "engine": "fast"}}},
            "engine of a is 'fast', not one of ('lut', 'dsp', 'packed')",
        ),
        ({"interval": 3}, "'stages'"),
    ],
)
def test_what_is_no_folding_is_refused(tmp_path: Path, document: Any, reason: str) -> None:
    path = tmp_path / "f.json"
    assert _error(path, document) == (
        f'Folding file {path} is not of the form {{"interval": 8000, "stages": {{"conv1": '
        f'{{"lanes": 3, "rows": 8}}}}}}: {reason}; the folding.json of a build folder is one'
    )


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(FoldingError) as error:
        FoldingFile.load(tmp_path / "none.json")
    assert str(error.value) == (
        f"Folding file {tmp_path / 'none.json'} cannot be read: No such file or directory"
    )


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ({}, "The folding has no fold for 'fc'; expected one for each of fc"),
        (
            {"fc": Fold(lanes=1), "conv": Fold(lanes=1)},
            "The folding has no stage for 'conv'; expected one for each of fc",
        ),
    ],
)
def test_every_stage_has_one_fold(
    pipeline: Pipeline, stages: dict[str, Fold], message: str
) -> None:
    with pytest.raises(FoldingError) as error:
        FoldingFile("model", None, stages).folds(pipeline)
    assert str(error.value) == message
