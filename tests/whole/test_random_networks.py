"""Random networks through the whole way: reference = native library = RTL, cycles as predicted.

More of them, from another seed on:
    pytest tests/whole/test_random_networks.py --networks 1000 --first-seed 51
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from bitwright.codegen.cpu.library import build_library
from bitwright.ir import reference
from bitwright.ir.machine import DSP
from bitwright.passes.tile import Tile
from bitwright.rtl_sim.verilate import PortKind
from bitwright.runtime.library import load_library

sys.path.insert(0, str(Path(__file__).parent))
from random_machines import Machines, Style, run_overlay
from random_networks import needs_wide_machine, random_inputs, random_network

NARROW = Style(Tile(8, 8, 2, acc_bits=32, multiplier_bits=16), PortKind.WISHBONE)
# The second one for networks whose sums it can fuse (`random_networks.has_residuals`).
WIDE = (
    Style(Tile(4, 16, 1, acc_bits=32, multiplier_bits=31), PortKind.AXI4LITE),
    Style(Tile(8, 8, 2, acc_bits=32, multiplier_bits=31, engine=DSP, pixels=2, banks=4,
               multiplier_blocks=32, fused_adds=1), PortKind.AXI4LITE),
    Style(Tile(16, 16, 8, acc_bits=32, multiplier_bits=31), PortKind.WISHBONE),
    Style(Tile(4, 8, 2, acc_bits=32, multiplier_bits=31, engine=DSP, precision=4, pixels=2,
               banks=4, multiplier_blocks=24), PortKind.WISHBONE),
)  # fmt: skip


def style_of(seed: int) -> Style:
    """The machine for a network."""
    return WIDE[seed % len(WIDE)] if needs_wide_machine(seed) else NARROW


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Machines:
    return Machines(tmp_path_factory.mktemp("machines"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    count = int(str(metafunc.config.getoption("--networks")))
    first = int(str(metafunc.config.getoption("--first-seed")))
    metafunc.parametrize("seed", range(first, first + count))


def test_network(seed: int, machines: Machines, tmp_path: Path) -> None:
    style = style_of(seed)
    module = random_network(seed, style.tile.precision)
    inputs = random_inputs(module, seed)
    wanted = reference.run(module, inputs)

    library = load_library(build_library(module, tmp_path).library)
    for name, array in library.run(inputs).items():
        assert (array == wanted[name]).all(), f"CPU differs in {name}, network {seed}"

    outcome = run_overlay(module, inputs, style, machines)
    assert not outcome.wrong, f"RTL differs in {outcome.wrong}, network {seed}"
    assert outcome.simulated == outcome.predicted, f"cycles of network {seed}"
    assert all(np.asarray(array).size for array in wanted.values())
