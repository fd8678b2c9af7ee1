"""An unrolled layer after synthesis: sums side by side in carry chains, and what they cost."""

from pathlib import Path

import numpy as np
import pytest
from amaranth.back import verilog
from amaranth.hdl import unsigned

from bitwright import targets
from bitwright.fpga import flow, netlist
from bitwright.hwgen.engines.constant import Constant, Layer, unroll
from bitwright.hwgen.verilog import emit
from bitwright.ir.dataflow import Tensor, Thresholds

pytestmark = pytest.mark.slow
LANES, ROWS, BITS = 16, 18, 2


def _layer() -> Layer:
    rng = np.random.default_rng(1)
    weights = rng.integers(-1, 2, (ROWS, LANES))
    levels = np.tile([-3, 1, 5], (ROWS, 1))
    output = Thresholds(bias=rng.integers(-4, 5, ROWS), levels=levels, least=0)
    result = Tensor(name="y", channels=ROWS, height=1, width=1, bits=2, signed=False)
    return unroll(weights, [(0, 3)] * LANES, output, result)


def _cells(unit: str) -> str:
    """Module `cells`: random bits to the layer's activations, its results beside each other."""
    bits = LANES * BITS
    return (
        "module cells(input clk, input [255:0] stimulus, output [35:0] results);\n"
        f"    layer unit(.clk(clk), .rst(1'b0), .activations(stimulus[{bits - 1}:0]), "
        f".results(results));\nendmodule\n{unit}"
    )


def test_netlist_is_the_layer_and_as_large_as_predicted(tmp_path: Path, bench) -> None:
    layer, target = _layer(), targets.get_fpga("ulx3s-85f")
    plain = Constant(layer=layer, activation_shape=unsigned(BITS))
    text = _cells(verilog.convert(plain, name="layer", emit_src=False))
    emitted = Constant(layer=layer, activation_shape=unsigned(BITS))
    files = emit(emitted, tmp_path / "rtl", name="layer")
    cells = tmp_path / "cells.v"
    cells.write_text(_cells(""))
    report = flow.synthesise([*files, cells], "cells", target, tmp_path / "synthesis")
    assert abs(report.resources.lut / layer.luts - 1) < 0.1
    sources = netlist.simulation_sources(report, target)
    assert bench(text, sources, "cells", 1, cycles=20_000) == set()
