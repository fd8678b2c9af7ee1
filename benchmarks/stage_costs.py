"""Fits the LUT and FF costs of `bitwright.hwgen.dataflow.resources`, and says how far off they are.

`python benchmarks/stage_table.py` makes the table, `python benchmarks/stage_costs.py` prints the
errors on stages that were held out (one random round, or a whole kind, at a time) and writes the
costs, fitted to all of them, to `hwgen/costs/`.

One non-negative least squares of relative errors: those of whole stages, those of the units alone,
and how far each factor is from 1. Of requantizers and constants only whole
stages tell: synthesis makes one of units whose operands are constants.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from resource_costs import show, solve
from stage_table import TABLE, random_stage

from bitwright.hwgen.dataflow.resources import structure
from bitwright.hwgen.dataflow.schedule import schedule
from bitwright.hwgen.dataflow.structures.parts import Parts
from bitwright.hwgen.resources import COSTS_FOLDER

Line = dict[str, Any]
Costs = dict[str, dict[str, float]]
CELLS = ("lut", "ff")
NEARNESS = 0.02  # a factor of 2 counts as much as such a relative error of a stage
UNIT_WEIGHT = 1  # of a unit's error, against that of a stage
# Units of one name but for their numbers, and those of a stage's own modules.
PART_OF = {"core": "stage", "window0_loops": "loops", "window1_loops": "loops",
           "window0_buffer": "buffer", "window1_buffer": "buffer"}  # fmt: skip
ENGINES = ("lut", "dsp", "packed", "add", "lanes")
HELD_OUT: dict[str, Callable[[Line], Any]] = {
    "round": lambda line: line["number"],
    "kind": lambda line: line["kind"],
}


def parts(line: Line) -> Parts:
    """The units of a line's stage as they state themselves."""
    return _parts(line["kind"], line["number"], line["family"])


@cache
def _parts(kind: str, number: int, family: str) -> Parts:
    pipeline = random_stage(kind, number)
    times = schedule(pipeline).stages[-1]
    return structure(pipeline, pipeline.stages[-1], family, times)


def stated(found: Parts, cell: str) -> dict[tuple[str, str], float]:
    """What the parts state, units of one name together."""
    sums: dict[tuple[str, str], float] = {}
    for unit, part in found.items():
        for name, count in getattr(part, cell).items():
            key = unit.rstrip("01"), name
            sums[key] = sums.get(key, 0) + count
    return sums


def absorbed(found: Parts, cell: str) -> int:
    """What is counted in units, and not in the whole."""
    return sum(part.absorbed for part in found.values()) if cell == "ff" else 0


def measured(line: Line, found: Parts, cell: str) -> dict[str, int]:
    """What synthesis found for each unit that it made alone."""
    engine = next(name for name in ENGINES if name in found)
    names = PART_OF | {"products": engine, "lanes": engine}
    sums: dict[str, int] = {}
    for module, counts in line["units"].items():
        name = names.get(module, module)
        if name in ("stage", "loops", "window", "buffer", "accumulators", engine):
            sums[name] = sums.get(name, 0) + counts[CELLS.index(cell)]
    return sums


def fit(lines: Sequence[Line], cell: str) -> Costs:
    """The factor of each part of each unit."""
    rows: list[dict[tuple[str, str], float]] = []
    goals: list[float] = []
    scales: list[float] = []
    for line in lines:
        found = parts(line)
        own = stated(found, cell)
        rows.append(own)
        goals.append(line["whole"][cell] + absorbed(found, cell))
        scales.append(line["whole"][cell])
        for unit, count in measured(line, found, cell).items():
            rows.append({key: value for key, value in own.items() if key[0] == unit})
            goals.append(count)
            scales.append(max(count, 20) / UNIT_WEIGHT)
    names = list(dict.fromkeys(key for row in rows for key in row))
    table = np.array([[row.get(name, 0) for name in names] for row in rows], float)
    factors = solve(table, np.array(scales), np.array(goals, float), NEARNESS)
    costs: Costs = {}
    for (unit, name), factor in zip(names, factors, strict=True):
        costs.setdefault(unit, {})[name] = round(float(factor), 4)
    return costs


def total(line: Line, costs: Costs, cell: str) -> float:
    """Sum of all parts, each times its factor; one that was never fitted counts as stated."""
    found = parts(line)
    own = stated(found, cell)
    whole = sum(costs.get(unit, {}).get(name, 1) * count for (unit, name), count in own.items())
    return whole - absorbed(found, cell)


def error(line: Line, costs: Costs, cell: str) -> float:
    """Relative."""
    return total(line, costs, cell) / line["whole"][cell] - 1


def held_out_errors(lines: Sequence[Line], cell: str, by: str) -> list[tuple[float, Line]]:
    """Relative error of each line, of costs that were fitted without its group."""
    errors: list[tuple[float, Line]] = []
    group = HELD_OUT[by]
    for key in dict.fromkeys(map(group, lines)):
        costs = fit([line for line in lines if group(line) != key], cell)
        errors += [(error(line, costs, cell), line) for line in lines if group(line) == key]
    return errors


def stage_name(line: Line) -> str:
    """A line's stage in words."""
    return f"{line['kind']} {line['number']}, {line['whole']['lut']} LUT"


def exact(line: Line) -> bool:
    """Whether block RAMs and multiplier blocks are as stated."""
    found = parts(line).values()
    blocks = [sum(part.bram for part in found), sum(part.dsp for part in found)]
    return blocks == [line["whole"].get(kind, 0) for kind in ("bram", "dsp")]


def main() -> None:
    """Errors of held-out stages; then fit all and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    table: list[Line] = [json.loads(text) for text in TABLE.read_text().splitlines()]
    print("% of the synthesised         stages median   95 %  worst")
    for family in dict.fromkeys(line["family"] for line in table):
        lines = [line for line in table if line["family"] == family]
        for cell in CELLS:
            for by in HELD_OUT:
                errors = held_out_errors(lines, cell, by)
                show(f"{family} {cell}, by {by}", errors, stage_name)
                if by == "round":
                    for kind in dict.fromkeys(line["kind"] for line in lines):
                        own = [item for item in errors if item[1]["kind"] == kind]
                        show(f"  {kind}", own, stage_name)
        costs = {cell: fit(lines, cell) for cell in CELLS}
        for cell in CELLS:
            fitted = ((error(line, costs[cell], cell), line) for line in lines)
            show(f"{family} {cell}, fitted", fitted, stage_name)
        print(f"{family} bram, dsp: {sum(map(exact, lines))} of {len(lines)} exact")
        versions = sorted({line["yosys"] for line in lines})
        text = json.dumps({"yosys": versions, "stages": len(lines), "costs": costs}, indent=1)
        if not arguments.dry:
            path = COSTS_FOLDER / f"pipeline_{family}.json"
            path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
