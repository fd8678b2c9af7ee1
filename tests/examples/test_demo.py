"""`make demo` as a test: every rung on the digits, down to the netlist, and the bitstream."""

import importlib.util
from pathlib import Path

import pytest

from bitwright.progress import silent

DEMO = Path(__file__).parents[2] / "examples" / "digits" / "demo.py"


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cpu, fpga = module.demo(tmp_path, silent)
    for report in (cpu, fpga):
        assert report.accuracy.float_model >= 0.98
        assert report.accuracy.quantized >= 0.97
    assert cpu.bit_exact.cpu.exact
    assert cpu.bit_exact.cpu.samples == 360
    assert fpga.bit_exact.rtl.exact
    assert fpga.bit_exact.netlist.exact
    assert fpga.cycles.simulated == fpga.cycles.predicted
    assert fpga.fmax_mhz >= fpga.clock_mhz
    resources = fpga.resources
    for kind in ("bram", "dsp"):
        counts = getattr(resources, kind)
        assert counts.predicted == counts.synthesised == counts.routed <= counts.available
    assert 0 < resources.lut.synthesised <= resources.lut.routed <= resources.lut.available
    bitstream = tmp_path / "build-fpga" / fpga.files["bitstream"]
    assert bitstream.stat().st_size > 100_000
