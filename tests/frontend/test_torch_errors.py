"""What the PyTorch importer refuses, and what it says."""

# pyright: reportMissingImports=false

import json
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitwright.frontend import torch as frontend
from bitwright.frontend.torch.errors import ModelError

sys.path.insert(0, str(Path(__file__).parent))


torch = pytest.importorskip("torch", reason="the extra torch is not installed")

from torch import nn  # noqa: E402
from torch_models import Call, randn  # noqa: E402

from bitwright.frontend.torch.importer import HANDLERS  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:::torch", "ignore:.*treespec:FutureWarning")
SUPPORTED = ", ".join(sorted(HANDLERS))


class Counter(nn.Module):
    """Counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Any) -> Any:
        """x plus the number of calls."""
        self.calls += 1
        return x + self.calls


def _broken() -> Any:
    module = nn.Linear(3, 3)
    module.weight.data[0, 0] = float("nan")
    return module


def _call(function: Callable[..., Any]) -> Any:
    return Call(function).eval()


REFUSED: dict[str, tuple[Callable[[], Any], tuple[int, ...], str]] = {
    "batch normalization in training": (
        lambda: nn.Sequential(nn.BatchNorm1d(3)), (2, 3),
        "Node 'batch_norm' (aten.batch_norm.default, in 0): argument training is True; expected "
        "a model in evaluation mode. Call model.eval() before the export",
    ),
    "dropout in training": (
        nn.Dropout, (2, 3),
        "Node 'dropout' (aten.dropout.default): argument train is True; expected a model in "
        "evaluation mode. Call model.eval() before the export",
    ),
    "attention that drops": (
        lambda: _call(
            lambda x: nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5)
        ), (1, 2, 3),
        "Node 'scaled_dot_product_attention' (aten.scaled_dot_product_attention.default): argument "
        "dropout_p is 0.5; supported: 0; call model.eval() before the export",
    ),
    "a branch on data": (
        lambda: _call(lambda x: x if x.sum() > 0 else -x), (3,),
        "torch.export cannot trace Call: Could not guard on data-dependent expression Eq(u0, 1) "
        "(unhinted: Eq(u0, 1)).  (Size-like symbols: none). Where the model branches on the "
        "values of tensors, rewrite that, with torch.where for example",
    ),
    "a kept branch": (
        lambda: _call(lambda x: torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,))), (3,),
        "Node 'cond' (cond) is not supported: it is control flow, or calculates with shapes; "
        "supported: a fixed sequence of operators. Rewrite it, with torch.where for example",
    ),
    "a shape that depends on data": (
        lambda: _call(lambda x: x[x > 0]), (3,),
        "Node 'index' (aten.index.Tensor) has shape ['u0']; expected fixed extents. Export the "
        "model without dynamic_shapes, and without operators whose result depends on the data in "
        "its shape",
    ),
    "an unknown operator": (
        lambda: _call(lambda x: x.topk(2)[0]), (3,),
        f"Node 'topk' (aten.topk.default) is not supported; supported: {SUPPORTED}. Replace it in "
        "the model before the export",
    ),
    "random numbers": (
        lambda: _call(lambda x: x + torch.rand(3)), (3,),
        "Node 'rand' (aten.rand.default) draws random numbers; expected a model without, in "
        "evaluation mode",
    ),
    "indices of a maximum": (
        lambda: _call(lambda x: x.max(0).indices), (3, 2),
        "Node 'max_1' (aten.max.dim): result 1 is used; supported: the results before it",
    ),
    "three axes": (
        lambda: nn.Conv3d(1, 1, 1), (1, 1, 2, 2, 2),
        "Node 'convolution' (aten.convolution.default): argument input has shape [1, 1, 2, 2, 2]; "
        "supported: 1-D [N, C, L] and 2-D [N, C, H, W]",
    ),
    "windows of unequal size": (
        lambda: nn.AdaptiveMaxPool2d(2), (1, 1, 3, 4),
        "Node 'adaptive_max_pool2d' (aten.adaptive_max_pool2d.default): argument output_size is "
        "[2, 2]; supported: divisors of the extents [3, 4]",
    ),
    "another type": (
        lambda: nn.Linear(3, 3).double(), (1, 3),
        "Node 'linear' (aten.linear.default): argument input has element type float64; supported: "
        "float32. Call model.float() before the export",
    ),
    "complex numbers": (
        lambda: _call(lambda x: torch.view_as_real(x.to(torch.complex64))), (1, 3),
        "Node '_to_copy' (aten._to_copy.default) has element type complex64; supported: float32, "
        "float64, float16, bfloat16, int8, uint8, int16, int32, int64, bool",
    ),
    "a broken weight": (
        _broken, (1, 3),
        "Parameter 'weight' of shape [3, 3] holds 1 NaN and 0 infinite values among 9; expected "
        "finite weights. Train or load the model again",
    ),
    "state": (
        Counter, (1, 3),
        "The model changes 'calls' (buffer_mutation); supported: models without state. Call "
        "model.eval() before the export, or return the new state as an output",
    ),
    "a number as an output": (
        lambda: _call(lambda x: (x, 3)), (1, 3),
        "Output 'output_1' is 3; supported: tensors. Return it another way",
    ),
    "an empty slice": (
        lambda: _call(lambda x: x[:, 3:]), (1, 3),
        "Node 'slice_1' (aten.slice.Tensor): argument end is 9223372036854775807; supported: a "
        "slice with elements in it",
    ),
    "another shape than the model takes": (
        lambda: nn.Linear(4, 3), (1, 3),
        "torch.export cannot trace Linear: a and b must have same reduction dim, but got [1, 3] X "
        "[4, 3]. Where the model branches on the values of tensors, rewrite that, with torch.where "
        "for example",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, shape, message = REFUSED[name]
    module = make()
    x = randn(*shape)
    parameters = list(module.parameters())
    x = x.to(parameters[0].dtype) if parameters else x
    with pytest.raises(ModelError) as caught:
        frontend.load(module, (x,))
    assert str(caught.value) == message
    assert capfd.readouterr() == ("", "")


def test_example_inputs_are_needed() -> None:
    with pytest.raises(ModelError) as caught:
        frontend.load(nn.Linear(3, 3))
    assert str(caught.value) == (
        "Linear needs example inputs, which fix the shapes: a tensor, a sequence of positional "
        "arguments or a mapping of keyword arguments"
    )
    with pytest.raises(ModelError) as caught:
        frontend.load(3, randn(1))  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == (
        "An object of type int is not a PyTorch model; expected a torch.nn.Module or a "
        "torch.export.ExportedProgram"
    )


def test_dynamic_shapes(tmp_path: Path) -> None:
    rows = torch.export.Dim("rows")
    program = torch.export.export(nn.Linear(3, 3), (randn(2, 3),), dynamic_shapes=({0: rows},))
    with pytest.raises(ModelError) as caught:
        frontend.load(program)
    assert re.sub(r"s\d+", "s0", str(caught.value)) == (
        "Input 'input' has shape ['s0', '3']; expected fixed extents. Export the model without "
        "dynamic_shapes, and without operators whose result depends on the data in its shape"
    )
    path = tmp_path / "model.pt2"
    torch.export.save(program, path)
    with pytest.raises(ModelError) as caught:
        frontend.load_file(path)
    assert re.sub(r" \(.*\)", "", str(caught.value)) == (
        f"{path}: model/models/model.json has symbolic shapes; expected fixed ones. Export the "
        "model again without dynamic_shapes"
    )


def _saved(path: Path) -> Path:
    torch.export.save(torch.export.export(nn.Linear(3, 3), (randn(1, 3),)), path)
    return path


def test_files_that_are_not_there_or_something_else(tmp_path: Path) -> None:
    advice = (
        "Make one with torch.export.save(torch.export.export(model, example_inputs), 'model.pt2')"
    )
    path = tmp_path / "model.pt2"
    cases: list[tuple[Callable[[], Any], int, str]] = [
        (
            lambda: None, 30,
            f"Cannot read {path}: No such file or directory; expected a file of torch.export.save",
        ),
        (lambda: path.write_text("text"), 31,
         f"{path} is not a file of torch.export.save: File is not a zip file. {advice}"),
        (lambda: torch.save({"a": 1}, path), 31,
         f"{path} is not a file of torch.export.save: it has no models/model.json. {advice}"),
    ]  # fmt: skip
    for prepare, code, message in cases:
        prepare()
        with pytest.raises(ModelError) as caught:
            frontend.load_file(path)
        assert (str(caught.value), caught.value.exit_code) == (message, code)


def test_a_file_with_pickles_is_not_opened(tmp_path: Path) -> None:
    path, changed = _saved(tmp_path / "model.pt2"), tmp_path / "changed.pt2"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("model_weights_config.json"):
                config = json.loads(data)
                config["config"]["weight"]["use_pickle"] = True
                data = json.dumps(config).encode()
            target.writestr(name, data)
    with pytest.raises(ModelError) as caught:
        frontend.load_file(changed)
    assert str(caught.value) == (
        f"{changed}: model/data/weights/model_weights_config.json has pickled tensors or objects, "
        "and reading those runs code that the file brings; expected raw weights. Load the program "
        "in Python, if you trust the file, and pass it to bitwright.load"
    )


def test_damaged_files_give_one_of_our_errors(tmp_path: Path) -> None:
    """Forty files, each with some bytes changed or cut off."""
    import random

    data = _saved(tmp_path / "model.pt2").read_bytes()
    path = tmp_path / "damaged.pt2"
    random.seed(0)
    refused = 0
    for number in range(40):
        damaged = bytearray(data)
        if number % 4 == 0:
            damaged = damaged[: random.randrange(len(damaged))]
        else:
            for _ in range(random.randrange(1, 200)):
                damaged[random.randrange(len(damaged))] = random.randrange(256)
        path.write_bytes(damaged)
        try:
            frontend.load_file(path)
        except ModelError:
            refused += 1
    assert refused > 10
