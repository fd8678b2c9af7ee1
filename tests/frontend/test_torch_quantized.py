"""PyTorch models that came quantized: PT2E to the native library, and torchao's `quantize_`."""

# pyright: reportMissingImports=false

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright import api
from bitwright.flows.models import import_model, prepare
from bitwright.frontend.torch import load
from bitwright.frontend.torch.errors import ModelError
from bitwright.ir import graph, reference
from bitwright.ir.types import value_params
from bitwright.passes.integer.errors import FloatBetweenMarkers
from bitwright.runtime.library import load_library

sys.path.insert(0, str(Path(__file__).parent))
torch = pytest.importorskip("torch", reason="the extra torch is not installed")
pytest.importorskip("torchao", reason="torchao is not installed", exc_type=ImportError)

from torch import nn  # noqa: E402
from torch_models import Call, agree, assert_close, randn, run  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # torchao's, of its own parts
SAMPLES = 32


class Network(nn.Module):
    """Convolutions of each kind, a residual sum, pooling and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU())
        self.last = nn.Linear(8, 10)

    def forward(self, x: Any) -> Any:
        """[N, 3, 8, 8] to [N, 10]."""
        x = self.first(x)
        x = nn.functional.max_pool2d(x + self.depthwise(x), 2)
        return self.last(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


def _quantized(module: Any, quantizer: Any, samples: Any) -> Any:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    traced = torch.export.export(module.eval(), (samples[:1],)).module()
    prepared = prepare_pt2e(traced, quantizer)
    for sample in samples.split(1):
        prepared(sample)
    return convert_pt2e(prepared)


def _xnnpack() -> Any:
    from torchao.testing.pt2e._xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    config = get_symmetric_quantization_config(is_per_channel=True)
    return XNNPACKQuantizer().set_global(config)


def _x86() -> Any:
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    return X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config())


@pytest.fixture(scope="module")
def samples() -> Any:
    """Inputs of `Network`."""
    return randn(SAMPLES, 3, 8, 8)


@pytest.fixture(scope="module")
def converted(samples: Any) -> Any:
    """`Network`, quantized."""
    torch.manual_seed(0)
    return _quantized(Network(), _xnnpack(), samples)


def _outputs(converted: Any, samples: Any) -> Any:
    return np.concatenate([converted(sample).detach().numpy() for sample in samples.split(1)])


def test_markers_compute_what_torch_does(converted: Any, samples: Any) -> None:
    module = load(converted, (samples[:1],))
    kinds = [operation.operation.name for operation in graph.operations(module)]
    assert kinds.count("bw.quantize") == 8
    assert kinds.count("bw.dequantize") == 9 + 3
    # PyTorch multiplies by the reciprocal of a scale; a value near a tie may go to the next step.
    found = np.concatenate([run(module, (sample,))[0] for sample in samples.split(1)])
    step = float(np.diff(np.unique(found)).min())
    steps = np.abs(found - _outputs(converted, samples)) / step
    assert steps.max() <= 1.01
    assert (steps < 0.01).mean() >= 0.95


def test_pt2e_to_the_native_library(converted: Any, samples: Any, tmp_path: Path) -> None:
    path, inputs = tmp_path / "net.pt2", tmp_path / "samples.npz"
    torch.export.save(torch.export.export(converted, (samples[:1],)), path)
    imported = import_model(path)
    assert imported.quantized
    (x,), (y,) = graph.inputs(imported.module), graph.outputs(imported.module)
    codes = {x.name: value_params(x.value).quantize(samples.numpy())}
    np.savez(inputs, **codes)

    found = reference.run(imported.module, codes)[y.name].astype(np.int64)
    params = value_params(y.value)
    wanted = np.rint(_outputs(converted, samples) / params.scale).astype(np.int64)
    wanted += params.zero_point
    assert (np.abs(found - wanted) <= 1).mean() >= 0.999
    assert (found == wanted).mean() >= 0.95

    build = tmp_path / "build"
    report = api.compile_model(path, "cpu", inputs, output=build)
    assert report.bit_exact.cpu is not None
    assert report.bit_exact.cpu.exact
    library = load_library(build / report.files["library"])
    assert np.array_equal(library.run(codes)[y.name], found)


def test_what_stays_float_is_named() -> None:
    torch.manual_seed(0)
    rows = randn(4, 3)
    dense = _quantized(nn.Sequential(nn.Linear(3, 4)), _x86(), rows)
    module = load(dense, (rows[:1],))
    assert_close(run(module, (rows[:1],)), [dense(rows[:1]).detach().numpy()])
    with pytest.raises(FloatBetweenMarkers) as caught:
        prepare(module)
    assert str(caught.value) == (
        "Output 'output' is a sum that is not quantized, with 4 scales; expected one scale, so "
        "that its integers compare. Quantize it"
    )


def test_scales_that_are_computed_are_refused() -> None:
    importlib.import_module("torch.ao.quantization.fx._decomposed")  # makes the operators

    def dynamic(x: Any) -> Any:
        scale, zero_point = torch.ops.quantized_decomposed.choose_qparams.tensor(
            x, 0, 255, 1e-5, torch.uint8
        )
        return torch.ops.quantized_decomposed.quantize_per_tensor.tensor(
            x, scale, zero_point, 0, 255, torch.uint8
        )

    with pytest.raises(ModelError) as caught:
        load(Call(dynamic), (randn(1, 3),))
    assert str(caught.value).startswith(
        "Node 'choose_qparams' (quantized_decomposed.choose_qparams.tensor) is not supported; "
        "supported: aten."
    )


@pytest.mark.parametrize("config", ["weights", "dynamic", "groups"])
def test_quantize_in_place(config: str) -> None:
    """torchao's `quantize_` exports as plain arithmetic on integers."""
    from torchao import quantization as ao

    made = {
        "weights": ao.Int8WeightOnlyConfig,
        "dynamic": ao.Int8DynamicActivationInt8WeightConfig,
        "groups": ao.Int8DynamicActivationIntxWeightConfig,
    }[config]()
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)).eval()
    ao.quantize_(module, made)
    # A dynamic scale puts the largest value on a tie: an activation may be one step away.
    agree(module, [randn(1, 32)], atol=1e-5 if config == "weights" else 0.01)
