"""What the hardware cannot build is refused, with what to do next."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitwright.hwgen.dataflow.check import PipelineError
from bitwright.hwgen.dataflow.schedule import schedule
from bitwright.ir.dataflow import (
    AddStage,
    Fold,
    MatrixStage,
    Pipeline,
    Requantize,
    Sums,
    Tensor,
    Window,
)

INPUT = Tensor(name="x", channels=4, height=1, width=1, bits=8, signed=True)
RESULT = replace(INPUT, name="y", channels=8, bits=20)
LINEAR = MatrixStage(
    sources=("x",), result=RESULT, window=Window(), weights=np.ones((8, 1, 1, 4), np.int64),
    weight_bits=8, acc_bits=20, output=Sums(bias=np.zeros(8, np.int64)),
    fold=Fold(lanes=2, rows=4, out_lanes=2),
)  # fmt: skip
REQUANTIZE = Requantize(
    bias=np.zeros(8, np.int64), multiplier=np.full(8, 1 << 15), shift=np.full(8, 20),
    zero_point=0, clamp=(0, 255), rounding="half_up",
)  # fmt: skip
ADD = AddStage(
    sources=("x", "x"), result=replace(INPUT, name="y", bits=20), factors=(1, 1), acc_bits=20,
    output=Sums(bias=np.zeros(4, np.int64)), fold=Fold(lanes=4, rows=2, out_lanes=4),
)  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            replace(LINEAR, fold=Fold(lanes=3, rows=4)),
            "lanes of y is 3; expected a divisor of 4",
        ),
        (
            replace(LINEAR, fold=Fold(lanes=2, rows=9)),
            "rows of y is 9; expected 1 to 8, its channels",
        ),
        (
            replace(LINEAR, fold=Fold(lanes=2, rows=6, out_lanes=3)),
            "out_lanes of y is 3; expected a divisor of 2",
        ),
        (
            replace(LINEAR, fold=Fold(lanes=2, rows=4, out_lanes=1)),
            "Stage y makes 4 result words in a tile of 2 steps; expected at most one a step: "
            "fold.out_lanes must be larger than 1",
        ),
        (
            replace(LINEAR, fold=Fold(lanes=2, rows=1, engine="packed")),
            "Stage y has engine packed, 1 rows and weights of 8 bits; expected an even number of "
            "rows and at least 2 bits",
        ),
        (
            replace(LINEAR, sources=("z",)),
            "Stage y reads z, which no stage before it makes; order the stages so that each comes "
            "after its sources",
        ),
        (
            replace(LINEAR, output=REQUANTIZE),
            "Stage y has results of 20 bits; expected at most 8, or sums",
        ),
        (
            replace(LINEAR, output=REQUANTIZE, result=replace(RESULT, bits=8)),
            "Stage y clamps to (0, 255); expected integers from -128 to 127",
        ),
        (ADD, "Stage y works on lanes and has fold.rows 2; expected 1"),
    ],
)
def test_refused_stages(stage: Any, message: str) -> None:
    pipeline = Pipeline(name="p", input=INPUT, input_lanes=2, stages=(stage,), interval=100)
    with pytest.raises(PipelineError) as caught:
        schedule(pipeline)
    assert str(caught.value) == message


def test_a_wide_source() -> None:
    second = replace(
        LINEAR, sources=("y",), result=replace(RESULT, name="z"),
        weights=np.ones((8, 1, 1, 8), np.int64),
    )  # fmt: skip
    pipeline = Pipeline(name="p", input=INPUT, input_lanes=2, stages=(LINEAR, second), interval=100)
    with pytest.raises(PipelineError) as caught:
        schedule(pipeline)
    assert str(caught.value) == "Stage z reads y of 20 bits; expected at most 8"


def test_words_that_do_not_fit_each_other() -> None:
    wide = replace(INPUT, channels=12)
    stage = replace(
        LINEAR, weights=np.ones((8, 1, 1, 12), np.int64), fold=Fold(lanes=4, rows=2, out_lanes=1)
    )
    pipeline = Pipeline(name="p", input=wide, input_lanes=6, stages=(stage,), interval=100)
    with pytest.raises(PipelineError) as caught:
        schedule(pipeline)
    assert str(caught.value) == (
        "Stage y reads x 4 channels at a time, which comes in words of 6; one of them must divide "
        "the other"
    )
