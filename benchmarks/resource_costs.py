"""Fits the LUT and FF costs of `bitwright.hwgen.resources`, and says how far off they are.

`python benchmarks/resource_table.py` makes the table, `python benchmarks/resource_costs.py` prints
the errors on machines that were held out, all of one number of lanes (of one engine) at a time, and
writes the costs, fitted to all of them, to `hwgen/costs/`.

Two steps, both non-negative least squares of relative errors in which a factor tends to 1. Each
unit alone: a factor for each of its parts. Whole machines: one more for each unit, for what
synthesis saves where units meet, and for what the flow changes in the netlist of a whole machine.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from resource_table import TABLE
from scipy.optimize import nnls

from bitwright.hwgen import resources
from bitwright.hwgen.engines import dsp
from bitwright.hwgen.resources import memory_glue
from bitwright.hwgen.structure import Structure
from bitwright.ir.machine import Machine

Line = dict[str, Any]
Costs = dict[str, dict[str, float]]
CELLS = ("lut", "ff")
# A factor of 2 counts as much as such a relative error of one unit (of every machine).
PART_NEARNESS, UNIT_NEARNESS = 0.1, 0.02
# Modules that count as part of another unit.
PART_OF = {
    "sequencer": "fetch",
    "next_instruction": "handover",
    "input_banks": "core",
    "output_banks": "core",
    "output_requantizer": "requantizer",
    "datapath_dsp": "dsp",
    "datapath_window": "window",
    "datapath_tile_sums": "tile_sums",
}
HELD_OUT: dict[str, Callable[[Line], Any]] = {
    "lanes": lambda line: tuple(
        line["machine"].get(name) for name in ("engine", "lanes", "precision")
    ),
    "engine": lambda line: line["machine"]["engine"],
}


def units(line: Line) -> dict[str, Structure]:
    """The units of a line's machine as they state themselves."""
    found = resources.structure(Machine(**line["machine"]), line["bus"])
    shapes = [shape for unit in found.values() for shape in unit.memories]
    return {**found, "memories": memory_glue(line["family"], shapes)}


def measured(line: Line, cell: str) -> dict[str, int]:
    """What synthesis found for each unit."""
    sums = dict.fromkeys(units(line), 0)
    for module, counts in line["units"].items():
        if not any(counts):
            continue
        bridge = module.startswith("bridge")
        sums[line["bus"] if bridge else PART_OF.get(module, module)] += counts[CELLS.index(cell)]
    if cell == "ff" and "dsp" in sums:  # the table's units are as yosys leaves them
        sums["dsp"] -= dsp.block_registers(Machine(**line["machine"]))
    return sums


def fit(lines: Sequence[Line], cell: str, apart_too: Sequence[Line] = ()) -> Costs:
    """The factor of each part of each unit; of `apart_too` only the units are looked at."""
    stated = [units(line) for line in lines]
    apart = [(units(line), measured(line, cell)) for line in (*lines, *apart_too)
             if "units" in line]  # fmt: skip
    costs: Costs = {}
    for unit in dict.fromkeys(name for each, _ in apart for name in each):
        own = [(getattr(each[unit], cell), found[unit]) for each, found in apart if unit in each]
        names = list(dict.fromkeys(name for parts, _ in own for name in parts))
        goal = np.array([count for _, count in own], float)
        table = np.array([[parts.get(name, 0) for name in names] for parts, _ in own], float)
        factors = solve(table, np.maximum(goal, 10), goal, PART_NEARNESS)
        costs[unit] = dict(zip(names, factors, strict=True))
    names = list(costs)
    table = np.array(
        [[total({name: each[name]}, costs, cell) if name in each else 0 for name in names]
         for each in stated]
    )  # fmt: skip
    whole = np.array([line["whole"][cell] for line in lines], float)
    factors = solve(table, whole, whole, UNIT_NEARNESS * len(lines) ** 0.5)
    return {
        unit: {name: round(float(cost * factor), 4) for name, cost in costs[unit].items()}
        for unit, factor in zip(names, factors, strict=True)
    }


def solve(
    table: NDArray[np.float64], scale: NDArray[np.float64], goal: NDArray[np.float64], near: float
) -> NDArray[np.float64]:
    """Factors of the columns that make their sums the goal, as a share of `scale`, and near 1."""
    count = table.shape[1]
    rows = np.vstack([table / scale[:, None], near * np.eye(count)])
    return nnls(rows, np.concatenate([goal / scale, np.full(count, near)]))[0]


def total(parts: dict[str, Structure], costs: Costs, cell: str) -> float:
    """Sum of all parts, each times its factor; one that was never fitted counts as stated."""
    return sum(
        costs.get(name, {}).get(part, 1) * number
        for name, unit in parts.items()
        for part, number in getattr(unit, cell).items()
    )


def held_out_errors(lines: Sequence[Line], cell: str, by: str) -> list[tuple[float, Line]]:
    """Relative error of each line, of costs that were fitted without its group.

    Of a held-out engine only whole machines are: what its own units cost, only they can tell.
    """
    errors: list[tuple[float, Line]] = []
    group = HELD_OUT[by]
    for key in dict.fromkeys(map(group, lines)):
        held = [line for line in lines if group(line) == key]
        others = [line for line in lines if group(line) != key]
        if not others:
            continue
        costs = fit(others, cell, held if by == "engine" else ())
        errors += [
            (total(units(line), costs, cell) / line["whole"][cell] - 1, line) for line in held
        ]
    return errors


def machine_name(line: Line) -> str:
    """A line's machine in words."""
    machine = line["machine"]
    size = f"{machine['engine']} {machine['lanes']} x {machine['rows']}"
    bits, bus = machine.get("precision", 8), line["bus"] or "core"
    return f"{size} W{bits}, {line['whole']['lut']} LUT, {bus}"


def show(
    title: str, errors: Iterable[tuple[float, Line]], name: Callable[[Line], str] = machine_name
) -> None:
    """One line: how many, median, 95th percentile and worst of the absolute errors."""
    errors = sorted(errors, key=lambda item: abs(item[0]))
    sizes = 100 * np.abs([error for error, _ in errors])
    worst, line = errors[-1]
    print(f"{title:26} {len(errors):4}  {np.median(sizes):5.2f} {np.percentile(sizes, 95):6.2f} "
          f"{100 * worst:+6.2f}  {name(line)}")  # fmt: skip


def main() -> None:
    """Errors of held-out machines; then fit all and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    table: list[Line] = [json.loads(text) for text in TABLE.read_text().splitlines()]
    print("% of the synthesised         machines median   95 %  worst")
    for family in dict.fromkeys(line["family"] for line in table):
        lines = [line for line in table if line["family"] == family]
        for cell in CELLS:
            for by in HELD_OUT:
                if errors := held_out_errors(lines, cell, by):
                    show(f"{family} {cell}, by {by}", errors)
        costs = {cell: fit(lines, cell) for cell in CELLS}
        versions = sorted({line["yosys"] for line in lines})
        text = json.dumps({"yosys": versions, "machines": len(lines), "costs": costs}, indent=1)
        if not arguments.dry:
            resources.COSTS_FOLDER.mkdir(exist_ok=True)
            (resources.COSTS_FOLDER / f"{family}.json").write_text(text + "\n", encoding="utf-8")
        for cell in CELLS:
            show(f"{family} {cell}, fitted", ((total(units(line), costs[cell], cell)
                 / line["whole"][cell] - 1, line) for line in lines))  # fmt: skip
        for cell in ("bram", "dsp"):
            wrong = [line for line in lines if not _exact(line, cell)]
            print(f"{family} {cell}: {len(lines) - len(wrong)} of {len(lines)} exact")
    print(f"yosys of the table: {sorted({line['yosys'] for line in table})}, {date.today()}")


def _exact(line: Line, cell: str) -> bool:
    found = units(line).values()
    if cell == "dsp":
        blocks = sum(unit.dsp_of.get(line["family"], unit.dsp) for unit in found)
        return blocks == line["whole"].get("dsp", 0)
    shapes = [shape for unit in found for shape in unit.memories]
    blocks = sum(resources.block_rams(line["family"], *shape) for shape in shapes)
    return blocks == line["whole"].get("bram", 0)


if __name__ == "__main__":
    main()
