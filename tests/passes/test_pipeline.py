"""The text of pipelines, the table of passes, and the errors of both."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import pytest

from bitwright.ir.context import IrError, parse
from bitwright.passes import pipeline

MODULE = """
func.func @main(%x: tensor<1x3xf32> {bw.name = "x"}) -> (tensor<1x3xf32> {bw.name = "y"}) {
  %0 = "bw.relu"(%x) : (tensor<1x3xf32>) -> tensor<1x3xf32>
  %1 = "bw.relu"(%0) : (tensor<1x3xf32>) -> tensor<1x3xf32>
  return %1 : tensor<1x3xf32>
}
"""


@dataclass(frozen=True)
class Example:
    """A pass with an option of every kind."""

    weights: int = 8
    ratio: float = 0.5
    exact: bool = False
    ranges: Literal["minmax", "mse"] = "minmax"
    seed: int | None = None

    def __post_init__(self):
        if self.weights > 8:
            raise ValueError(f"weights is {self.weights}; expected at most 8")

    def run(self, module):
        """Return the module as it is."""
        return module


@pytest.fixture(autouse=True)
def _example(monkeypatch):
    monkeypatch.setattr(pipeline, "PASSES", {"example": f"{__name__}:Example", "fold": FOLD})
    monkeypatch.setattr(pipeline.importlib, "import_module", _import_module)


FOLD = pipeline.PASSES["fold"]
ALL = dict(pipeline.PASSES)
_import = pipeline.importlib.import_module


def _import_module(name):
    if name == __name__:
        import types

        return types.SimpleNamespace(Example=Example)
    return _import(name)


def test_every_row_is_a_frozen_dataclass_with_run(monkeypatch):
    monkeypatch.setattr(pipeline, "PASSES", ALL)
    for name in ALL:
        class_ = pipeline.load_pass(name)
        assert dataclasses.is_dataclass(class_)
        assert class_.__dataclass_params__.frozen
        assert callable(class_.run)
        assert class_.__doc__


def test_options_of_every_kind():
    text = " example , example{weights=4 ratio=0.25  exact=true ranges=mse seed=3},"
    text += "example{seed=none}"
    assert pipeline.parse(text) == [
        Example(), Example(4, 0.25, True, "mse", 3), Example(seed=None),
    ]  # fmt: skip


def test_run():
    folded = pipeline.run_pipeline(parse(MODULE), "example,fold")
    assert str(folded).count("bw.relu") == 1


ERRORS = {
    "": (
        pipeline.PipelineSyntaxError,
        "The pipeline '' cannot be read from '' on; expected passes like "
        "fold,quantize{weights=4 activations=8}",
    ),
    "fold,": (
        pipeline.PipelineSyntaxError,
        "The pipeline 'fold,' cannot be read from '' on; expected passes like "
        "fold,quantize{weights=4 activations=8}",
    ),
    "fold example": (
        pipeline.PipelineSyntaxError,
        "The pipeline 'fold example' cannot be read from 'fold example' on; expected passes like "
        "fold,quantize{weights=4 activations=8}",
    ),
    "example{weights": (
        pipeline.PipelineSyntaxError,
        "The pipeline 'example{weights' cannot be read from 'example{weights' on; expected passes "
        "like fold,quantize{weights=4 activations=8}",
    ),
    "example{weights}": (
        pipeline.PipelineSyntaxError,
        "Option 'weights' of pass example cannot be read; expected option=value",
    ),
    "folt": (
        pipeline.UnknownPassError, "There is no pass 'folt'; the passes are: example, fold",
    ),
    "fold{weights=4}": (
        pipeline.UnknownOptionError,
        "Pass fold has no option 'weights'; its options are: dequantize",
    ),
    "example{bits=4}": (
        pipeline.UnknownOptionError,
        "Pass example has no option 'bits'; its options are: exact, ranges, ratio, seed, weights",
    ),
    "example{weights=few}": (
        pipeline.OptionValueError, "Option weights of pass example is 'few'; expected int",
    ),
    "example{exact=maybe}": (
        pipeline.OptionValueError, "Option exact of pass example is 'maybe'; expected bool",
    ),
    "example{ranges=all}": (
        pipeline.OptionValueError, "Option ranges of pass example is 'all'; expected minmax, mse",
    ),
    "example{seed=x}": (
        pipeline.OptionValueError, "Option seed of pass example is 'x'; expected int",
    ),
    "example{weights=9}": (
        pipeline.OptionValueError,
        "Pass example cannot be made: weights is 9; expected at most 8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", ERRORS)
def test_error(text):
    error, message = ERRORS[text]
    with pytest.raises(pipeline.PipelineError) as raised:
        pipeline.parse(text)
    assert type(raised.value) is error
    assert str(raised.value) == message
    assert raised.value.exit_code == 2


def test_a_pass_that_leaves_an_invalid_module_is_caught():
    @dataclass(frozen=True)
    class Spoil:
        def run(self, module):
            from torch_mlir import ir

            with module.context:
                function = module.body.operations[0]
                relu = function.regions[0].blocks[0].operations[0]
                relu.operands[0].set_type(ir.Type.parse("tensor<1x4xf32>"))
            return module

    with pytest.raises(IrError, match="does not verify"):
        pipeline.run_passes(parse(MODULE), [Spoil()])
