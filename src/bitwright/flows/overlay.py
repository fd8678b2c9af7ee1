"""From a quantized module to a machine that fits the target, its program and its Verilog."""

from dataclasses import dataclass
from pathlib import Path

from torch_mlir import ir

from bitwright.fpga.errors import DoesNotFit
from bitwright.fpga.report import check_fits
from bitwright.hwgen.assemble import Assembled, assemble
from bitwright.hwgen.cycles import Prediction, predict
from bitwright.hwgen.resources import estimate
from bitwright.ir import graph, serialize
from bitwright.ir.types import shape_of
from bitwright.flows.folder import BuildFolder
from bitwright.passes.allocate import Allocate
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import Parts, partition
from bitwright.passes.tile import Tile
from bitwright.targets.target import FpgaTarget, MachinePreset, Resources


@dataclass(frozen=True)
class OverlayBuild:
    """A program, its machine and what both are predicted to cost."""

    parts: Parts
    program: ir.Module
    assembled: Assembled
    prediction: Prediction
    resources: Resources
