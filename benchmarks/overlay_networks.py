"""The int8 models of MLPerf Tiny on the overlay: cycles, and how busy the multipliers are.

Prints, for each model on the fastest machine that fits a board: exact cycles of an inference,
images a second at a clock, and in which part of all cycles the matrix engine is fed by matrix
instructions and by any instruction (depthwise windows, pools and additions use its multipliers).
With `--layers` also what bounds each instruction. With `--check N` the programs run N samples on a
functional model of the machine, with `--simulate N` on the RTL in Verilator, and every element is
compared with LiteRT's answers (RTL: every cycle with the predicted one).
Models and answers are `<name>_int8.tflite` and `<name>_golden.npz` in DATA/mlperf_tiny.
"""

import argparse
import datetime
import os
import platform
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
from torch_mlir import ir

from bitwright import api
from bitwright.flows.models import import_model
from bitwright.flows.overlay import OverlayBuild, build_overlay
from bitwright.hwgen import golden
from bitwright.hwgen.isa import COMPUTE, MATRIX, output_cycles
from bitwright.ir import graph, reference
from bitwright.ir.types import shape_of
from bitwright.runtime.layout import tensor_to_words, words_to_tensor
from bitwright.targets import get_fpga

MODELS = {"ic": "ResNet8", "kws": "keyword spotting", "vww": "wake words", "ad": "autoencoder"}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("BITWRIGHT_DATA"))
    parser.add_argument("--target", default="ulx3s-85f")
    parser.add_argument("--clock", type=float, help="MHz; default: the target's")
    parser.add_argument("--models", default=",".join(MODELS), help="of ic,kws,vww,ad")
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--check", type=int, default=0, metavar="N")
    parser.add_argument("--simulate", type=int, default=0, metavar="N")
    return parser.parse_args()


def busy(build: OverlayBuild) -> tuple[int, int]:
    """Cycles in which a matrix instruction, and in which any issues a step that multiplies."""
    computes = [i for i in build.assembled.instructions if i.opcode in COMPUTE]
    steps = [(i.opcode, i.steps * i.tiles) for i in computes]
    return sum(n for opcode, n in steps if opcode in MATRIX), sum(n for _, n in steps)


def print_layers(build: OverlayBuild) -> None:
    assembled = build.assembled
    rows = zip(
        assembled.layers, assembled.instructions, build.prediction.per_instruction, strict=True
    )
    for layer, i, cycles in rows:
        if i.opcode not in COMPUTE:
            continue
        output = output_cycles(assembled.machine, i.opcode, i["pixels"])
        bound = "steps" if i.tile_steps >= output else "output stage"
        if cycles > 2 * i.tiles * max(i.tile_steps, output):
            bound = "start and drain"
        print(
            f"  {layer[-40:]:40} {i.opcode.name:11} {cycles:6}  {i.tiles:5} tiles of "
            f"{i.tile_steps:3} steps, {output:2} output groups: {bound}"
        )


def check(data: Path, name: str, build: OverlayBuild, module: ir.Module, samples: int) -> str:
    """Every element of some samples on the functional model of the machine."""
    assembled = build.assembled
    (item,) = graph.inputs(module)
    golden_file = np.load(data / f"{name}_golden.npz")
    x, wanted = golden_file["x"][:samples], golden_file["y"][:samples]
    entering = reference.run(
        build.parts.before, {item.name: x.reshape(len(x), *shape_of(item.value)[1:])}
    )
    (source,), (target,) = assembled.inputs, assembled.outputs
    leaving = []
    for sample in entering[source.name]:
        words = tensor_to_words(sample.reshape(source.shape), assembled.machine.lanes)
        found = golden.run(assembled.image, words)[target.base :]
        leaving.append(words_to_tensor(found, target.shape, assembled.machine.lanes))
    (after,) = graph.inputs(build.parts.after)
    core = {after.name: np.stack(leaving).reshape(len(x), *shape_of(after.value)[1:])}
    (found,) = reference.run(build.parts.after, core).values()
    same = np.array_equal(found.reshape(len(x), -1), wanted.reshape(len(x), -1))
    return f"  functional model, {len(x)} sample(s): {'equal to LiteRT' if same else 'DIFFERENT'}"


def simulate(data: Path, name: str, target: str, samples: int) -> str:
    """Every element and cycle of some samples on the RTL."""
    model = data / f"{name}_int8.tflite"
    module = import_model(model).module
    (item,), (result,) = graph.inputs(module), graph.outputs(module)
    golden = np.load(data / f"{name}_golden.npz")
    x, wanted = golden["x"][:samples], golden["y"][:samples]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        np.savez(path / "x.npz", **{item.name: x.reshape(len(x), *shape_of(item.value)[1:])})
        api.compile_model(model, target, output=path / "b", style="overlay")
        report = api.simulate(path / "b", path / "x.npz", path / "y.npz")
        found = np.load(path / "y.npz")[result.name]
    same = np.array_equal(found.reshape(len(x), -1), wanted.reshape(len(x), -1))
    cycles = report.cycles
    return (
        f"  RTL, {len(x)} sample(s): {'equal to LiteRT' if same else 'DIFFERENT'}, "
        f"{cycles.simulated} cycles simulated, {cycles.predicted} predicted"
    )


def main() -> None:
    given = options()
    if given.data is None:
        raise SystemExit("Give --data, or set BITWRIGHT_DATA to the folder that has mlperf_tiny")
    data, target = Path(given.data) / "mlperf_tiny", get_fpga(given.target)
    clock = given.clock or target.default_clock_mhz
    print(f"{target.title}, {clock:g} MHz; bitwright {metadata.version('bitwright')}, "
          f"{platform.processor() or platform.machine()}, {datetime.date.today()}")  # fmt: skip
    print(f"{'model':18} {'lanes x rows x pixels':22} {'cycles':>7} {'images/s':>9} "
          f"{'matrix busy':>12} {'array busy':>11} {'LUT':>6} {'BRAM':>5} {'DSP':>4}")  # fmt: skip
    for name in given.models.split(","):
        module = import_model(data / f"{name}_int8.tflite").module
        build = build_overlay(module, target)
        machine, cycles, used = build.assembled.machine, build.prediction.total, build.resources
        matrix, array = busy(build)
        shape = f"{machine.lanes} x {machine.rows} x {machine.pixels} {machine.engine}"
        print(f"{MODELS[name]:18} {shape:22} {cycles:7} {clock * 1e6 / cycles:9.0f} "
              f"{matrix / cycles:12.1%} {array / cycles:11.1%} {used.lut:6} {used.bram:5} "
              f"{used.dsp:4}", flush=True)  # fmt: skip
        if given.layers:
            print_layers(build)
        if given.check:
            print(check(data, name, build, module, given.check), flush=True)
        if given.simulate:
            print(simulate(data, name, given.target, given.simulate), flush=True)


if __name__ == "__main__":
    main()
