"""Small whole networks in PyTorch, through the importer, and through a file to a library."""

# pyright: reportMissingImports=false

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright import api
from bitwright.ir import graph
from bitwright.ir.types import shape_of

sys.path.insert(0, str(Path(__file__).parent))
torch = pytest.importorskip("torch", reason="the extra torch is not installed")

from torch import nn  # noqa: E402
from torch_models import agree, expected, randn, run  # noqa: E402

import bitwright  # noqa: E402
from bitwright.frontend.torch import load_file  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:::torch", "ignore:.*treespec:FutureWarning")


class Residual(nn.Module):
    """A ResNet block that halves the plane, with in-place activations."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        """[N, C, H, W] to [N, O, H / 2, W / 2]."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.shortcut(x)
        return self.relu(y)


class InvertedResidual(nn.Module):
    """A MobileNetV3 block with squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 3 * channels
        self.expand = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.Hardswish(True)
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(wide, wide, 3, 1, 1, groups=wide, bias=False), nn.BatchNorm2d(wide),
            nn.ReLU6(True),
        )  # fmt: skip
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, 2, 1), nn.ReLU(), nn.Conv2d(2, wide, 1),
            nn.Hardsigmoid(),
        )  # fmt: skip
        self.project = nn.Sequential(nn.Conv2d(wide, channels, 1), nn.Dropout(0.2))

    def forward(self, x: Any) -> Any:
        """[N, C, H, W] to the same shape."""
        y = self.depthwise(self.expand(x))
        return x + self.project(y * self.squeeze(y))


class Vision(nn.Module):
    """A small vision transformer: patches, a class token, positions, encoder layers, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.positions = nn.Parameter(torch.randn(1, 5, 16))
        layer = nn.TransformerEncoderLayer(
            16, 4, 32, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 10)

    def forward(self, image: Any) -> Any:
        """[N, 3, 8, 8] to [N, 10]."""
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.encoder(x)[:, 0])


class Language(nn.Module):
    """Tokens to logits, with rotary positions, grouped heads and a gated feed-forward."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 16)
        self.norm = nn.RMSNorm(16)
        self.query, self.key_value = nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False)
        self.gate, self.up, self.down = nn.Linear(16, 24), nn.Linear(16, 24), nn.Linear(24, 16)

    def forward(self, tokens: Any) -> Any:
        """[1, T] to [1, T, 20]."""
        length = tokens.shape[1]
        x = self.table(tokens)
        angle = torch.outer(torch.arange(length), 0.1 ** torch.arange(2)).float()
        cosine, sine = angle.cos(), angle.sin()

        def turned(y: Any) -> Any:
            first, second = y.unflatten(-1, (2, 2)).unbind(-2)
            return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)

        y = self.norm(x)
        query = turned(self.query(y).unflatten(-1, (4, 4)).transpose(1, 2))
        key, value = self.key_value(y).unflatten(-1, (4, 4)).transpose(1, 2).chunk(2, 1)
        y = nn.functional.scaled_dot_product_attention(
            query, turned(key), value, is_causal=True, enable_gqa=True
        )
        x = x + y.transpose(1, 2).flatten(2)
        x = x + self.down(nn.functional.silu(self.gate(x)) * self.up(x))
        return x @ self.table.weight.T


class Recurrent(nn.Module):
    """An LSTM over the samples of a signal; torch unrolls it."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 2)

    def forward(self, x: Any) -> Any:
        """[N, T, 3] to [N, 2]."""
        return self.head(self.lstm(x)[0][:, -1])


NETWORKS: dict[str, tuple[Any, Any]] = {
    "mlp": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)),
            (1, 3, 4)),
    "residual": (lambda: Residual(3, 6), (1, 3, 8, 8)),
    "inverted_residual": (lambda: InvertedResidual(4), (1, 4, 6, 6)),
    "vision": (Vision, (1, 3, 8, 8)),
    "encoder": (lambda: nn.TransformerEncoderLayer(16, 2, 24, batch_first=True), (1, 5, 16)),
    "recurrent": (Recurrent, (2, 3, 3)),
    "gated_recurrent": (lambda: nn.GRU(3, 4, batch_first=True), (1, 2, 3)),
}  # fmt: skip


def _trained(module: Any) -> Any:
    """With statistics that a batch normalization would have after training."""
    for name, buffer in module.named_buffers():
        if "running" in name:
            buffer.copy_(randn(*buffer.shape, seed=3).abs() + 0.5)
    return module.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str) -> None:
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    agree(_trained(make()), [randn(*shape)])


def test_tokens() -> None:
    torch.manual_seed(0)
    agree(Language(), [torch.tensor([[3, 1, 4, 1, 5]])])


def test_names_of_inputs_outputs_and_layers() -> None:
    class Named(nn.Module):
        """Two inputs, outputs in a structure."""

        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 3)

        def forward(self, image: Any, *, state: Any) -> Any:
            """A dictionary with a tuple."""
            return {"y": self.first(image), "rest": (state + 1, None, image * 2)}

    module = bitwright.load(Named(), {"image": randn(1, 3), "state": randn(2)})
    assert [item.name for item in graph.inputs(module)] == ["image", "state"]
    assert [item.name for item in graph.outputs(module)] == ["y", "rest_0", "rest_2"]
    names = {
        operation.operation.name: graph.location_name(operation)
        for operation in graph.operations(module)
    }
    assert names["bw.linear"] == "first"
    module = bitwright.load(nn.Linear(3, 2), randn(1, 3))
    assert [item.name for item in graph.outputs(module)] == ["output"]
    assert api.load is not None


def test_a_program_that_was_exported_before() -> None:
    module = nn.Linear(3, 2).eval()
    inputs = (randn(1, 3),)
    imported = bitwright.load(torch.export.export(module, inputs))
    np.testing.assert_allclose(run(imported, inputs)[0], expected(module, inputs)[0], rtol=1e-5)


def test_a_file_to_a_native_library(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        Residual(3, 6), InvertedResidual(6), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 4),
    )  # fmt: skip
    program = torch.export.export(_trained(module), (randn(1, 3, 8, 8),))
    path, samples = tmp_path / "net.pt2", tmp_path / "samples.npz"
    torch.export.save(program, path)
    (item,) = graph.inputs(load_file(path))
    assert shape_of(item.value) == (1, 3, 8, 8)
    np.savez(samples, **{item.name: randn(32, 3, 8, 8).numpy()})
    report = api.compile_model(path, "cpu", samples, output=tmp_path / "build")
    assert report.bit_exact.cpu is not None
    assert report.bit_exact.cpu.exact
    assert api.inspect(path).outputs == {"output": (1, 4)}


def test_the_documented_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(__file__).parents[2] / "docs" / "pytorch.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(page), "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["(1, 10)", "True"]


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = (
        "import sys, bitwright; "
        "assert callable(bitwright.load); "
        "heavy = {'torch', 'onnx', 'numpy', 'torch_mlir', 'amaranth'} & set(sys.modules); "
        "assert not heavy, heavy; "
        "import bitwright.api; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
