"""Synthesises random stages of pipelines, whole and unit by unit: a table to fit costs to.

`python benchmarks/stage_table.py` adds what `stage_table.jsonl` has not yet; a stage whose Verilog
or whose yosys has changed is made anew, one that the script does not ask for is dropped. A stage
takes 5 to 30 s; a run that is stopped goes on where it was. `stage_costs.py` fits.

Each line: the stage's kind and number, of which `random_stage` makes it again; a digest of the
Verilog, the yosys, `whole` (resources as the flow synthesises it, flattened) and `units` (LUT and
FF of each module where the hierarchy is kept).
"""

import argparse
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from resource_table import TOP, digest, synthesise

from bitwright.fpga import tools
from bitwright.hwgen.dataflow.schedule import least_interval, schedule
from bitwright.hwgen.dataflow.unit import StageUnit
from bitwright.hwgen.verilog import emit
from bitwright.ir.dataflow import (
    AddStage,
    ChannelwiseStage,
    Fold,
    MatrixStage,
    Output,
    Pipeline,
    Requantize,
    Stage,
    Sums,
    Tensor,
    Thresholds,
    Window,
)
from bitwright.passes.dataflow.options import divisors, folds

TABLE = Path(__file__).with_name("stage_table.jsonl")
FAMILY = "ecp5"
KINDS = ("matrix lut", "matrix dsp", "matrix packed", "mac lut", "mac dsp", "sum", "max", "add")
MOST_PRODUCTS = {"lut": 96, "dsp": 24, "packed": 32}


def random_stage(kind: str, number: int) -> Pipeline:
    """A pipeline whose last stage is the one; of an addition one before it makes an operand."""
    return _Random(kind, number).pipeline()


class _Random:
    def __init__(self, kind: str, number: int) -> None:
        self.op, _, self.engine = kind.partition(" ")
        self.rng = random.Random(f"{kind} {number}")
        self.draw = np.random.default_rng(self.rng.getrandbits(32))

    def pipeline(self) -> Pipeline:
        rng = self.rng
        linear = self.op == "matrix" and rng.random() < 0.4
        size = 1 if linear else rng.randint(4, 12)
        signed = rng.random() < 0.5
        bits = rng.choice((2, 3, 4, 4, 8, 8, 8))
        source = Tensor(
            name="x", channels=rng.choice((8, 12, 16, 24, 32, 64)), height=size, width=size,
            bits=bits, signed=signed, zero_point=rng.randint(-3, 3) if signed and bits > 3 else 0,
        )  # fmt: skip
        stage = self._folded(self._stage(source))
        wider = rng.choice((1, 1, 1, 2, 4))
        lanes = stage.fold.lanes
        other = lanes * wider if source.channels % (lanes * wider) == 0 else lanes
        if rng.random() < 0.5:
            other = rng.choice([n for n in divisors(lanes) if lanes // n <= 4])
        first = (self._copy(source, lanes),) if self.op == "add" else ()
        made = Pipeline(
            name="stage", input=source, input_lanes=other, stages=(*first, stage), interval=0,
            pace=rng.choice((1, 1, 2)),
        )  # fmt: skip
        return replace(made, interval=least_interval(made))

    def _copy(self, source: Tensor, lanes: int) -> Stage:
        """What makes the tensor "z" of the tensor "x"."""
        ones = np.ones(source.channels, np.int64)
        output = Requantize(
            bias=0 * ones, multiplier=ones << 15, shift=15 * ones, zero_point=source.zero_point,
            clamp=(source.range[0], min(source.range[1], 127)), rounding="half_up",
        )  # fmt: skip
        return ChannelwiseStage(
            sources=("x",), result=replace(source, name="z"), window=Window(), op="max",
            weights=None, weight_bits=1, pad_value=0, acc_bits=source.bits + 1, output=output,
            fold=Fold(lanes=lanes, out_lanes=lanes),
        )  # fmt: skip

    def _folded(self, stage: Stage) -> Stage:
        """One of its folds that is of a random size, but small."""
        most = MOST_PRODUCTS[self.engine or "dsp"]
        goal = most * self.rng.random() ** 1.5
        bits = stage.weight_bits if isinstance(stage, MatrixStage) and self.engine == "lut" else 1

        def products(fold: Fold) -> float:
            return abs(fold.rows * fold.lanes * (1 + bits) / 4 - goal)

        found = [
            fold for fold in folds(stage)
            if fold.out_lanes <= 4 and self.engine in ("", fold.engine)
        ]  # fmt: skip
        self.rng.shuffle(found)
        return replace(stage, fold=sorted(found, key=products)[self.rng.randrange(3) % len(found)])

    def _window(self, source: Tensor) -> tuple[Window, int]:
        rng, size = self.rng, source.height
        if size == 1 or (self.op == "matrix" and rng.random() < 0.4):
            return Window(), size
        kernel, stride = rng.choice((2, 3, 3)), rng.choice((1, 1, 2))
        pad = rng.choice((0, 1)) if kernel == 3 else 0
        window = Window(kernel=(kernel, kernel), stride=(stride, stride), padding=(pad, pad))
        return window, (size + 2 * pad - kernel) // stride + 1

    def _stage(self, source: Tensor) -> Stage:
        rng = self.rng
        fold = Fold(lanes=1)
        if self.op == "add":
            factors = rng.randint(-127, 127), rng.randint(-127, 127)
            acc_bits, output, result = self._output(source, source.channels, source.height, 40000)
            return AddStage(
                sources=("x", "z"), result=result, factors=factors, acc_bits=acc_bits,
                output=output, fold=fold,
            )  # fmt: skip
        window, size = self._window(source)
        most = max(map(abs, source.range))
        wide = rng.choice((1, 2, 3, 4, 8)) if self.engine == "lut" else rng.choice((2, 4, 6, 8, 8))
        if self.op == "matrix":
            outs = rng.choice((8, 10, 12, 16, 32))
            weights = self._weights(wide, (outs, *window.kernel, source.channels))
            reach = int(np.abs(weights).sum(axis=(1, 2, 3)).max()) * most
            acc_bits, output, result = self._output(source, outs, size, reach)
            return MatrixStage(
                sources=("x",), result=result, window=window, weights=weights, weight_bits=wide,
                acc_bits=acc_bits, output=output, fold=fold,
            )  # fmt: skip
        weights = self._weights(wide, (*window.kernel, source.channels))
        reach = window.kernel[0] ** 2 * most * (1 << wide if self.op == "mac" else 1)
        acc_bits, output, result = self._output(source, source.channels, size, reach)
        return ChannelwiseStage(
            sources=("x",), result=result, window=window, op=self.op,  # pyright: ignore
            weights=weights if self.op == "mac" else None, weight_bits=wide,
            pad_value=source.range[0] if self.op == "max" else source.zero_point,
            acc_bits=acc_bits, output=output, fold=fold,
        )  # fmt: skip

    def _weights(self, bits: int, shape: tuple[int, ...]) -> np.ndarray:
        if bits == 1:
            return self.draw.integers(0, 2, shape) * 2 - 1
        return self.draw.integers(-(1 << bits - 1), 1 << bits - 1, shape)

    def _output(
        self, source: Tensor, channels: int, size: int, reach: int
    ) -> tuple[int, Output, Tensor]:
        rng, draw = self.rng, self.draw
        result = replace(source, name="y", channels=channels, height=size, width=size)
        acc_bits = (2 * reach + 2).bit_length() + 1
        bias = draw.integers(-reach - 1, reach + 2, channels)
        kind = rng.choice(("thresholds", "requantize", "requantize", "sums"))
        if kind == "sums" and rng.random() < 0.7:
            kind = "requantize"
        if kind == "sums":
            return acc_bits, Sums(bias=bias), replace(
                result, bits=acc_bits, signed=True, zero_point=0
            )  # fmt: skip
        if kind == "thresholds":
            count = rng.choice((1, 3, 7, 7, 15))
            levels = np.sort(draw.integers(-reach, reach, (channels, count)), axis=1)
            result = replace(result, bits=count.bit_length(), signed=False, zero_point=0)
            return acc_bits, Thresholds(bias=bias, levels=levels, least=0), result
        rounding = rng.choice(("half_up", "half_up", "half_even", "half_away", "tflite"))
        wide = rounding != "half_up" or rng.random() < 0.2
        low = 1 << 30 if wide else 1 << 15
        one = rng.random() < 0.3  # scale for all channels
        multiplier = draw.integers(low, 2 * low, 1 if one else channels) + np.zeros(channels, int)
        shift = np.maximum(1, np.log2(multiplier * (2.0 * reach + 2) / 200).astype(int))
        if rounding == "tflite":
            shift = np.maximum(shift, 31)
        signed = rng.random() < 0.7
        bits = 8 if signed else 7
        result = replace(result, bits=bits, signed=signed, zero_point=rng.randint(-9, 9) * signed)
        table = draw.integers(-128, 128, 256) if signed and rng.random() < 0.15 else None
        output = Requantize(
            bias=bias, multiplier=multiplier, shift=shift, zero_point=result.zero_point,
            clamp=result.range, rounding=rounding, table=table,
        )  # fmt: skip
        return acc_bits, output, result


def write_verilog(pipeline: Pipeline, folder: Path) -> list[Path]:
    """The unit of the last stage."""
    times = schedule(pipeline).stages[-1]
    unit = StageUnit(pipeline=pipeline, stage=pipeline.stages[-1], times=times)
    return emit(unit, folder, name=TOP)


def wanted(rounds: int, kinds: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Kind and number of each line."""
    return ((kind, number) for number in range(rounds) for kind in kinds)


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="stages of each kind (10)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="only these")
    arguments = parser.parse_args()
    version = tools.find("yosys").version
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    known = {line["key"]: line for line in map(json.loads, lines)}
    asked = {key: line for key, line in known.items() if line["kind"] not in arguments.kinds}
    for kind, number in wanted(arguments.rounds, arguments.kinds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            files = write_verilog(random_stage(kind, number), folder)
            key = digest(FAMILY, files, version)
            if key not in known:
                line = {"key": key, "family": FAMILY, "yosys": version}
                line |= {"kind": kind, "number": number}
                known[key] = line | synthesise(FAMILY, files, folder, units=True)
                with TABLE.open("a") as table:
                    table.write(json.dumps(known[key]) + "\n")
                print(kind, number, known[key]["whole"], flush=True)
        asked[key] = known[key]
    TABLE.write_text("".join(json.dumps(line) + "\n" for line in asked.values()))


if __name__ == "__main__":
    main()
