"""What a user without PyTorch sees."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bitwright.cli import main
from bitwright.frontend import torch as frontend
from bitwright.frontend.torch.errors import MissingExtraError


def test_without_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError) as caught:
        frontend.load(None, None)  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == (
        "PyTorch models need PyTorch, which cannot be imported here (import of torch halted; None "
        "in sys.modules); install it with: pip install 'bitwright[torch]'"
    )
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "model.pt2")])
    assert result.exit_code == 7
    assert "pip install 'bitwright[torch]'" in result.stderr
