"""Density, and with `--route` the clock, of array machines of the table and bit-serial engines.

A machine is the whole of it: engine, memories, control, accumulators, and a Wishbone port; what is
stated, by the units' own `resources`, is of engine and accumulators only. A bit
product is one weight bit times one activation bit in one cycle. `TRELLIS_COMB` is what nextpnr
counts after packing; a 16x4 LUT RAM is six of them, two of which its write port takes. A route
takes many minutes; native tools are taken where PATH has them.
"""

import argparse
import json
import platform
import re
import subprocess
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bitwright import targets
from bitwright.fpga import flow, tools
from bitwright.hwgen.array import row_sum, weighted_sum
from bitwright.hwgen.array.bit_machine import BitArray
from bitwright.hwgen.array.machine import TableArray
from bitwright.hwgen.array.shape import ArrayShape
from bitwright.hwgen.engines import acttable, bitserial, weighttable
from bitwright.hwgen.engines.acttable import ActTable
from bitwright.hwgen.engines.weighttable import WeightTable
from bitwright.hwgen.tops import WishboneTop
from bitwright.hwgen.verilog import emit

SHAPES = {
    "acttable": ArrayShape(engine="acttable", rows=18, lanes=128, weight_bits=4),
    "weighttable": ArrayShape(engine="weighttable", rows=32, lanes=128, weight_bits=4),
    "bitserial": ArrayShape(engine="bitserial", rows=6, columns=5, lanes=256),
}
GOALS = {"acttable": 2.0, "weighttable": 2.5, "bitserial": 5.0}
TARGET = "ulx3s-85f"


def bit_products(shape: ArrayShape) -> int:
    """Bit products of a cycle: activations in parallel, weights in parallel, or neither."""
    width = {
        "acttable": shape.activation_bits, "weighttable": shape.weight_bits, "bitserial": 1,
    }[shape.engine]  # fmt: skip
    return shape.results * shape.lanes * width


def stated(shape: ArrayShape) -> int:
    """Look-up tables of the engine and of what adds its sums up, as they state themselves."""
    rows, lanes, acc_bits = shape.rows, shape.lanes, shape.acc_bits
    if shape.engine == "bitserial":
        columns = shape.columns
        engine = bitserial.resources(rows=rows, columns=columns, lanes=lanes)
        count = bitserial.count_bits(lanes)
        one = weighted_sum.resources(count_bits=count, depth=shape.depth, acc_bits=acc_bits)
        return engine + rows * columns * one
    if shape.engine == "acttable":
        bits, planes = shape.activation_bits, shape.weight_bits
        unit = ActTable(rows=rows, lanes=lanes, activation_bits=bits)
        engine = acttable.resources(
            rows=rows, lanes=lanes, activation_bits=bits, activation_signed=True
        )
    else:
        bits, planes = shape.weight_bits, shape.activation_bits
        unit = WeightTable(rows=rows, lanes=lanes, weight_bits=bits)
        engine = weighttable.resources(rows=rows, lanes=lanes, weight_bits=bits)
    term_bits = unit.sums[0].shape().width + planes
    return engine + rows * row_sum.resources(term_bits=term_bits, acc_bits=acc_bits)


def measure(
    shape: ArrayShape, folder: Path, *, seed: int, mhz: float, route: bool
) -> tuple[dict[str, int], float | None]:
    """What nextpnr counts after packing, and with `route` the clock after routing."""
    target = targets.get_fpga(TARGET)
    core = BitArray(shape=shape) if shape.engine == "bitserial" else TableArray(shape=shape)
    top = WishboneTop(core=core)
    files = emit(top, folder / "rtl", name=top.module_name)
    flow.synthesise(files, top.module_name, target, folder)
    command = [
        *tools.find("nextpnr-ecp5").command, target.device_option, "--package", target.package,
        "--speed", target.speed_grade, "--json", "netlist.json", "--lpf-allow-unconstrained",
        "--timing-allow-fail", "--seed", str(seed), "--freq", str(mhz),
        *(["--report", "timing.json"] if route else ["--pack-only"]),
    ]  # fmt: skip
    with (folder / "nextpnr.log").open("w") as sink:
        subprocess.run(command, cwd=folder, stdout=sink, stderr=subprocess.STDOUT, check=True)
    log = (folder / "nextpnr.log").read_text()
    used = {name: int(count) for name, count in re.findall(r"(\w+): +(\d+)/ *\d+ +\d+%", log)}
    if not route:
        return used, None
    clocks = json.loads((folder / "timing.json").read_text())["fmax"]
    return used, min(clock["achieved"] for clock in clocks.values())


def main() -> None:
    parser = argparse.ArgumentParser(description="Density of the table and bit-serial engines")
    parser.add_argument("engines", nargs="*", choices=[*SHAPES, []], help="all by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mhz", type=float, default=110, help="clock that is asked for")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--pack", action="store_true", help="counts only, the default: minutes")
    how.add_argument("--route", action="store_true", help="the clock too: half an hour a machine")
    parser.add_argument("--folder", type=Path, default=Path("build/density"))
    options = parser.parse_args()
    table = Table(
        "engine", "rows x columns x lanes", "bit products", "stated", "TRELLIS_COMB",
        "of them LUT RAM", "TRELLIS_FF", "DP16KD", "LUT per bit product", "goal", "Fmax MHz",
        title=f"LFE5U-85F-6, seed {options.seed}, {tools.find('yosys').version}, "
        f"{tools.find('nextpnr-ecp5').version}, {platform.node()}, {date.today()}",
    )  # fmt: skip
    for engine in options.engines or SHAPES:
        shape = SHAPES[engine]
        used, clock = measure(
            shape, options.folder / engine, seed=options.seed, mhz=options.mhz, route=options.route
        )
        luts, products = used["TRELLIS_COMB"], bit_products(shape)
        table.add_row(
            engine, f"{shape.rows} x {shape.columns} x {shape.lanes}", str(products),
            str(stated(shape)), str(luts),
            str(6 * used["TRELLIS_RAMW"]), str(used["TRELLIS_FF"]), str(used["DP16KD"]),
            f"{luts / products:.3f}", f"{GOALS[engine]}", f"{clock:.1f}" if clock else "-",
        )  # fmt: skip
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
