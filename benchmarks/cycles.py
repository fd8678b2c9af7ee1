"""Predicted cycles against simulated ones, on random networks and random machines.

`python benchmarks/cycles.py` compiles 10 random networks for each of 24 random overlay machines,
and 240 networks into pipelines of their own, where they can be one, with random boards and
intervals. It simulates the RTL in Verilator on two inputs, and compares its cycle counter and the
cycles in which a pipeline's images begin with the prediction, and its results with the reference
interpreter. A seed gives the same pairs. What is done
is kept in `cycles.jsonl`, and a run that is stopped goes on there. The exit code is 1 if anything
differs.

The networks have convolutions (kernels 1 to 5, strides, padding, dilation, groups), depthwise and
linear layers, pooling, sums, concatenation, tables, every rounding, weights of 1 to 8 bits and
activations of 2 to 8.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

from bitwright.passes.dataflow import UnsupportedInDataflow

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "whole"))
from random_machines import (
    Machines,
    Outcome,
    random_pipeline,
    random_style,
    run_dataflow,
    run_overlay,
)
from random_networks import needs_wide_machine, random_inputs, random_network

Pairs = Iterator[tuple[int, str, Outcome]]
"""For each network: its seed, the machine in words, what came of them."""


def overlay(machine: int, networks: list[int], folder: Path) -> Pairs:
    """Several networks on one machine, which its number gives."""
    machines = Machines(folder)
    wide = any(map(needs_wide_machine, networks))
    style = random_style(machine, wide)
    for seed in networks:
        module = random_network(seed, style.tile.precision)
        inputs = random_inputs(module, seed)
        yield seed, str(style), run_overlay(module, inputs, style, machines)


def dataflow(machine: int, networks: list[int], folder: Path) -> Pairs:
    """A pipeline for each of the networks that can be one."""
    del machine  # there is one for each network
    for seed in networks:
        module = random_network(seed)
        try:
            build = random_pipeline(module, seed)
        except UnsupportedInDataflow:
            continue
        stages = build.pipeline.stages
        name = f"{'+'.join(sorted({stage.fold.engine for stage in stages}))} {len(stages)} stages"
        inputs = random_inputs(module, seed)
        yield seed, name, run_dataflow(module, inputs, build, folder / str(seed))


STYLES: dict[str, Callable[[int, list[int], Path], Pairs]] = {
    "overlay": overlay,
    "dataflow": dataflow,
}


def main() -> int:
    """Simulate what is missing, print a line for each pair and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--styles", nargs="+", choices=list(STYLES), default=list(STYLES))
    parser.add_argument("--machines", type=int, default=24, help="machines of each style")
    parser.add_argument("--networks", type=int, default=10, help="networks on each machine")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("cycles.jsonl"))
    arguments = parser.parse_args()
    lines = arguments.results.read_text().splitlines() if arguments.results.exists() else []
    rows: list[dict[str, Any]] = [row for row in map(json.loads, lines) if "late" in row]
    start = time.perf_counter()
    for style in arguments.styles:
        for number in range(arguments.machines):
            machine = arguments.seed * 1000 + number
            first = machine * arguments.networks
            done = {row["network"] for row in rows if row["style"] == style}
            networks = [n for n in range(first, first + arguments.networks) if n not in done]
            with tempfile.TemporaryDirectory() as folder:
                for seed, name, outcome in STYLES[style](machine, networks, Path(folder)):
                    row = {"style": style, "network": seed, "machine": name, **vars(outcome)}
                    rows.append(row)
                    with arguments.results.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(f"{style:9} {name:28} network {seed:6} {outcome.predicted[0]:9,}"
                          f" {'' if _equal(row) else f'simulated {outcome.simulated}'}"
                          f" {'' if not outcome.wrong else f'wrong {outcome.wrong}'}"
                          f" {'' if not outcome.late else f'begun in {outcome.late}'}",
                          flush=True)  # fmt: skip
    different = _table(rows, arguments.styles)
    print(f"{time.perf_counter() - start:.0f} s; {platform.processor() or platform.machine()}, "
          f"Verilator {metadata.version('verilator')}, {date.today()}")  # fmt: skip
    return int(different > 0)


def _equal(row: dict[str, Any]) -> bool:
    in_time = not row["late"] and list(row["simulated"]) == list(row["predicted"])
    return in_time and not row["wrong"]


def _table(rows: list[dict[str, Any]], styles: list[str]) -> int:
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["style"] in styles:
            kinds[row["style"], row["machine"].split()[0]].append(row)
    print("\nstyle     engine         pairs  machines  cycles             differences")
    for (style, engine), found in sorted(kinds.items()):
        cycles = [max(row["predicted"]) for row in found]
        machines = len({row["machine"] for row in found})
        print(f"{style:9} {engine:14} {len(found):5}  {machines:8}  {min(cycles):,} to "
              f"{max(cycles):,}   {sum(not _equal(row) for row in found)}")  # fmt: skip
    return sum(not _equal(row) for found in kinds.values() for row in found)


if __name__ == "__main__":
    sys.exit(main())
