"""Synthesises random machines, whole and unit by unit: the table that costs are fitted to.

`python benchmarks/resource_table.py` adds what `resource_table.jsonl` has not yet; a machine whose
Verilog, whose yosys or whose changes of the netlist are others now is made anew, one that the
script does not ask for is dropped. A machine takes 10 to 200 s; a run that is stopped goes on where
it was. `resource_costs.py` fits.

Each line: the family, the machine's parameters, its bus, a digest of the Verilog, the yosys,
`whole` (resources as the flow synthesises it, flattened, with the changes that the flow makes to
the netlist) and, but for the large machines, `units` (LUT and FF of each module where the hierarchy
is kept, modules of one name but for its numbers taken together, with the flow's changes of carry
chains; registers do not go into blocks, whose operands come from other modules).
"""

import argparse
import hashlib
import inspect
import json
import random
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bitwright.fpga import blocks, carry, cells, choices, flow, near, sites, tools
from bitwright.fpga.flow import SYNTHESIS
from bitwright.fpga.report import synthesised_resources
from bitwright.hwgen.core import Core
from bitwright.hwgen.tops import Axi4LiteTop, UartTop, WishboneTop
from bitwright.hwgen.verilog import emit
from bitwright.ir.machine import (
    COLUMN_BITS,
    DSP,
    PRECISIONS,
    WEIGHT_SERIAL,
    Machine,
    least_banks,
    precisions,
    word_bits,
)
from bitwright.targets import get_fpga
from bitwright.targets.target import Family

TABLE = Path(__file__).with_name("resource_table.jsonl")
TOP = "machine"
BOARDS: dict[Family, str] = {"ecp5": "ulx3s-85f", "ice40": "icebreaker"}
# What changes the netlist of yosys.
_CHANGES = (blocks, carry, cells, choices, near, sites)
# Engine, lanes and precision of the random machines of a round.
KINDS: dict[Family, tuple[tuple[str, int, int], ...]] = {
    "ice40": ((WEIGHT_SERIAL, 2, 8), (WEIGHT_SERIAL, 4, 8)),
    "ecp5": (
        (WEIGHT_SERIAL, 2, 8), (DSP, 2, 8), (WEIGHT_SERIAL, 4, 8), (WEIGHT_SERIAL, 8, 8),
        (DSP, 4, 8), (DSP, 4, 4), (DSP, 4, 2),
    ),
}  # fmt: skip
# Engine, lanes, rows, pixels and precision of the large machines after the last round.
LARGE = (
    (WEIGHT_SERIAL, 16, 16, 1, 8), (DSP, 8, 8, 3, 8), (WEIGHT_SERIAL, 16, 32, 1, 8),
    (DSP, 8, 8, 6, 8), (DSP, 8, 16, 4, 2), (DSP, 16, 16, 2, 4), (WEIGHT_SERIAL, 8, 128, 1, 8),
)  # fmt: skip
MOST_PRODUCTS = {(WEIGHT_SERIAL, 8): 128, (DSP, 8): 32, (DSP, 4): 64, (DSP, 2): 64}
# Keeps the hierarchy but for what stands in a unit many times: it is the unit's own tables. abc9
# cannot tell a wire "x[0]" from a bit of a port "x", and stops (YosysHQ/yosys issue 4349).
_UNITS = (
    f"hierarchy -top {TOP}; setattr -mod -set keep_hierarchy 1 *; "
    "setattr -mod -unset keep_hierarchy "
    "*bitwright_gated_add* *bitwright_add* *bitwright_choose*; rename -hide w:*[*]*"
)
# Of a module's name: where it is, and which of several.
_PLACE = re.compile(rf"^{TOP}(_core)?_?|_?\d+$")


def _machine(
    rng: random.Random, engine: str, lanes: int, rows: int, pixels: int, precision: int
) -> Machine:
    def words(low: int, high: int) -> int:
        return int(low * (high / low) ** rng.random())

    banks = least_banks(pixels) * rng.choice((1, 2)) if pixels > 1 else 1
    pairs = pixels * rows * lanes // 2 if engine == DSP else 0
    columns = word_bits(lanes, rows, engine, precision) // COLUMN_BITS
    return Machine(
        lanes=lanes,
        rows=rows,
        requant_lanes=rng.choice([v for v in (1, 1, 2, 2, 4, 8) if v <= lanes]),
        acc_bits=rng.randint(16, 32),
        multiplier_bits=rng.choice((16, 31)),
        engine=engine,
        precision=precision,
        pixels=pixels,
        banks=banks,
        multiplier_blocks=min(pairs, rng.choice((pairs, pairs // 2, 100))),
        act_words=words(200, 16384),
        in_words=words(50, 4096),
        out_words=words(8, 512),
        weight_words=words(128, 4096),
        param_words=words(32, 2048),
        tables=rng.choice((0, 0, 1, 2, 3)),
        program_words=words(128, 2048),
        weight_columns=rng.choice((0, 0, columns // 2, columns)),
    )


def wanted(rounds: int, large: int) -> Iterator[tuple[Family, Machine, str, bool]]:
    """Family, machine and bus of each line, and whether its units are looked at too.

    A round has a machine of each kind, and its number gives the same ones.
    """
    for number in range(rounds):
        for family, kinds in KINDS.items():
            for engine, lanes, precision in kinds:
                bits = f" W{precision}" if precision < PRECISIONS[-1] else ""
                rng = random.Random(f"{family} {engine} {lanes}{bits} {number}")
                most = MOST_PRODUCTS[engine, precision]
                rows = [
                    r for r in (8, 16) if r * lanes <= most and precision in precisions(engine, r)
                ]
                pixels = rng.choice((2, 3, 4, 5)) if engine == DSP else 1
                machine = _machine(rng, engine, lanes, rng.choice(rows), pixels, precision)
                bus = rng.choice(("", "", "wishbone", "axi4lite", "uart"))
                yield family, machine, bus, True
    for number, kind in enumerate(LARGE[:large]):
        yield "ecp5", _machine(random.Random(number), *kind), "", False


def write_verilog(machine: Machine, bus: str, folder: Path) -> list[Path]:
    """The machine behind a bus, or for no bus the core alone."""
    core = Core(machine=machine)
    tops = {
        "": lambda: core,
        "wishbone": lambda: WishboneTop(core=core),
        "axi4lite": lambda: Axi4LiteTop(core=core),
        "uart": lambda: UartTop(core=core, divisor=80),
    }
    return emit(tops[bus](), folder, name=TOP)


def digest(family: Family, files: list[Path], yosys: str) -> str:
    """Of all that the resources follow from: the Verilog, and what the flow makes of it."""
    recipe = f"{SYNTHESIS[family]} {yosys}\n"
    if family == "ecp5":
        recipe += "".join(map(inspect.getsource, _CHANGES))
    text = b"".join(file.read_bytes() for file in files)
    return hashlib.sha256(recipe.encode() + text).hexdigest()[:16]


def synthesise(family: Family, files: list[Path], folder: Path, *, units: bool) -> dict[str, Any]:
    """Resources of the flattened design, and of each module of one that keeps its hierarchy.

    Runs in `folder`, which holds the files.
    """
    whole = flow.synthesise(files, TOP, get_fpga(BOARDS[family]), folder).resources
    found: dict[str, Any] = {"whole": {name: count for name, count in whole.items() if count}}
    if units:
        recipe = f"{_UNITS}; {SYNTHESIS[family].format(top=TOP)}"
        define = f"-D BITWRIGHT_{family.upper()}"
        script = [f"read_verilog {define} -defer {file.name}" for file in files]
        script += [recipe, "write_json units.json"]
        command = [*tools.find("yosys").command, "-q", "-p", "; ".join(script)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        if family == "ecp5":
            carry.trim(folder / "units.json")
        sums: dict[str, list[int]] = {}
        modules = json.loads((folder / "units.json").read_text())["modules"]
        for name, module in modules.items():
            part = "memories" if "bitwright_ram" in name else _PLACE.sub("", name) or "core"
            types = Counter(cell["type"] for cell in module["cells"].values())
            count = synthesised_resources(family, types)
            before = sums.get(part, [0, 0])
            sums[part] = [before[0] + count.lut, before[1] + count.ff]
        found["units"] = {part: counts for part, counts in sorted(sums.items()) if any(counts)}
    return found


def main() -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="machines of each kind (2)")
    parser.add_argument("--large", type=int, default=5, help="how many large machines (5)")
    arguments = parser.parse_args()
    version = tools.find("yosys").version
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    known = {line["key"]: line for line in map(json.loads, lines)}
    asked: dict[str, dict[str, Any]] = {}
    for family, machine, bus, units in wanted(arguments.rounds, arguments.large):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            files = write_verilog(machine, bus, folder)
            key = digest(family, files, version)
            if key not in known:
                line = {"key": key, "family": family, "yosys": version, "bus": bus}
                line |= {"machine": vars(machine)}
                known[key] = line | synthesise(family, files, folder, units=units)
                with TABLE.open("a") as table:
                    table.write(json.dumps(known[key]) + "\n")
                print(
                    family,
                    machine.engine,
                    machine.lanes,
                    machine.rows,
                    known[key]["whole"],
                    flush=True,
                )
        asked[key] = known[key]
    TABLE.write_text("".join(json.dumps(line) + "\n" for line in asked.values()))


if __name__ == "__main__":
    main()
