"""What synthesis for an ECP5 makes of an overlay and of a pipeline: reference = netlist, with the
predicted cycles.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.flows.dataflow import build_dataflow
from bitwright.flows.folding_file import FoldingFile
from bitwright.ir.builder import Builder
from bitwright.ir.dataflow import Fold
from bitwright.ir.machine import DSP
from bitwright.ir.types import QuantParams, shape_of
from bitwright.passes.allocate import Allocate
from bitwright.passes.tile import Tile
from bitwright.rtl_sim.verilate import PortKind
from bitwright.targets import get_fpga

sys.path.insert(0, str(Path(__file__).parent))
from random_machines import Machines, Style, netlist, run_dataflow, run_overlay
from random_networks import random_inputs

pytestmark = pytest.mark.slow

STYLE = Style(
    Tile(2, 8, 1, requant_pixels=2, engine=DSP, pixels=2, banks=2, multiplier_blocks=12,
         weight_columns=2),
    PortKind.WISHBONE,
    depths=Allocate(weight_words=2049),
)  # fmt: skip
FOLDS = {
    "stem": Fold(lanes=4, rows=1, engine="dsp"),
    "depthwise": Fold(lanes=1, engine="dsp"),
    "thresholds": Fold(lanes=2, rows=1),
    "inner": Fold(lanes=1, rows=4, engine="packed"),
    "residual": Fold(lanes=1),
    "dense": Fold(lanes=1, rows=2),
}
CHANGES = ("$carry_start", "$moved", "$near", '"OUTREG"', '"BEL"')
"""What a netlist has where `fpga.carry`, `choices`, `near`, `blocks` and `sites` changed it."""
CODES = QuantParams((0.1,), 3, 8, -128, 127)


class _Network:
    """Layers of random weights, with results that spread over their codes."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(1)
        self.builder = Builder([("x", (1, 4, 6, 7), CODES)])

    def constants(self, *shape: int) -> tuple[ir.Value, ir.Value]:
        """Weights and biases of a layer."""
        weights = self.random.integers(-127, 128, shape)
        scales = QuantParams((0.01,) * shape[0], 0, 8, -127, 127, axis=0)
        biases = self.random.integers(-2000, 2001, shape[0])
        return self.builder.constant(weights, scales), self.builder.constant(biases)

    def requantize(self, acc: ir.Value, spread: float) -> ir.Value:
        """Sums of about `spread` as codes, each channel with a scale of its own."""
        channels = shape_of(acc)[1]
        multiplier = 2**20 * 60 / spread * self.random.uniform(0.5, 1.5, channels)
        return self.builder.requantize(
            acc, CODES, multiplier=multiplier.astype(int).tolist(), shift=[20] * channels, axis=1
        )


def _network(outputs: int) -> ir.Module:
    """A convolution with a stride, a depthwise one, one with thresholds, a residual, and a dense
    layer of so many outputs.
    """
    network = _Network()
    builder, around = network.builder, {"padding": [1, 1, 1, 1]}
    builder.named("stem")
    acc = builder.conv2d(builder.inputs[0], *network.constants(8, 4, 3, 3), stride=[2, 1], **around)
    stem = network.requantize(acc, 6 * 74 * 74)
    builder.named("depthwise")
    acc = builder.conv2d(stem, *network.constants(8, 1, 3, 3), groups=8, **around)
    depthwise = network.requantize(acc, 3 * 74 * 60)
    builder.named("thresholds")
    acc = builder.conv2d(depthwise, *network.constants(6, 8, 1, 1))
    steps = 8000 * np.arange(-3, 4) + network.random.integers(-500, 500, (6, 1))
    counts = builder.multi_threshold(acc, QuantParams((0.1,), 0, 4, -8, 7), steps)
    builder.named("inner")
    acc = builder.conv2d(counts, *network.constants(8, 6, 3, 3), **around)
    inner = network.requantize(acc, 7 * 74 * 4)
    builder.named("residual")
    residual = network.requantize(builder.add(stem, inner, 90, 73), 110 * 60)
    builder.named("dense")
    length = int(np.prod(shape_of(residual)))
    acc = builder.linear(
        builder.reshape(residual, (1, length)), *network.constants(outputs, length)
    )
    return builder.finish([("y", network.requantize(acc, 13 * 74 * 60))])


def test_overlay(tmp_path: Path) -> None:
    """A `dsp` machine, with more weight words than a block RAM has."""
    module = _network(200)
    outcome = run_overlay(module, random_inputs(module, 1), STYLE, Machines(tmp_path, netlist))
    (changed,) = tmp_path.rglob("netlist.json")
    assert all(change in changed.read_text() for change in CHANGES)
    assert not outcome.wrong
    assert outcome.simulated == outcome.predicted


def test_pipeline(tmp_path: Path) -> None:
    """Every engine, and weights in block RAM."""
    module = _network(10)
    folding = FoldingFile("model", None, FOLDS)
    build = build_dataflow(module, get_fpga("ulx3s-85f"), folding=folding)
    outcome = run_dataflow(module, random_inputs(module, 1), build, tmp_path, netlist)
    assert not outcome.wrong
    assert outcome.simulated == outcome.predicted
