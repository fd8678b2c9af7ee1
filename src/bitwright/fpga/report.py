"""What the tools say about a design: resources after synthesis and after routing, and timing."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitwright.fpga.errors import DoesNotFit, ReportUnreadable
from bitwright.targets.target import Family, FpgaTarget, Resources

_SYNTHESISED: dict[Family, dict[str, dict[str, int]]] = {
    "ecp5": {
        # A carry cell is two LUTs; a 16x4 RAM is four, and two more carry its write port.
        "lut": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
        "ff": {"TRELLIS_FF": 1},
        "bram": {"DP16KD": 1},
        "dsp": {"MULT18X18D": 1},
        "spram": {},
    },
    "ice40": {
        "lut": {"SB_LUT4": 1},
        "ff": {"SB_DFF*": 1},
        "bram": {"SB_RAM40_4K*": 1},
        "dsp": {"SB_MAC16": 1},
        "spram": {"SB_SPRAM256KA": 1},
    },
}
"""Resource to the netlist cells that take it, and how many each takes (`*`: any ending)."""

_ROUTED: dict[Family, dict[str, dict[str, int]]] = {
    "ecp5": {
        "lut": {"TRELLIS_COMB": 1, "TRELLIS_RAMW": 2},
        "ff": {"TRELLIS_FF": 1},
        "bram": {"DP16KD": 1},
        "dsp": {"MULT18X18D": 1},
        "spram": {},
    },
    "ice40": {
        "lut": {"ICESTORM_LC": 1},
        "bram": {"ICESTORM_RAM": 1},
        "dsp": {"ICESTORM_DSP": 1},
        "spram": {"ICESTORM_SPRAM": 1},
    },
}
"""The same for the sites that place and route counts; an iCE40 logic cell is LUT and flip-flop."""


@dataclass(frozen=True, kw_only=True)
class ClockTiming:
    """Timing of one clock.

    Attributes:
        name: name of the net.
        achieved_mhz: highest frequency at which all paths hold.
        required_mhz: frequency that the constraints ask for.
    """

    name: str
    achieved_mhz: float
    required_mhz: float

    @property
    def met(self) -> bool:
        """Whether the clock can run as fast as asked."""
        return self.achieved_mhz >= self.required_mhz


@dataclass(frozen=True, kw_only=True)
class SynthesisReport:
    """What synthesis made.

    Attributes:
        target: name of the target.
        top: name of the top module.
        resources: what the netlist takes. Routed, it takes a few more LUT, for constants and
            the like.
        cells: by type, of the same netlist.
        netlist_json: the netlist for place and route.
        netlist_verilog: the same netlist for simulation.
        tools: version text by program.
        seconds: time by step.
    """

    target: str
    top: str
    resources: Resources
    cells: dict[str, int]
    netlist_json: Path
    netlist_verilog: Path
    tools: dict[str, str]
    seconds: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """For `report.json`; paths are names inside the folder."""
        return {
            "top": self.top,
            "resources": dict(self.resources.items()),
            "cells": self.cells,
            "netlist": self.netlist_verilog.name,
            "tools": self.tools,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, kw_only=True)
class BitstreamReport:
    """What place and route made.

    Attributes:
        synthesis: the report of the step before.
        resources: what the routed design takes.
        clocks: timing of every clock.
        clock_mhz: the machine's clock as the board makes it.
        seed: the seed that the bitstream was placed with.
        bitstream: the file to load.
        tools: version text by program.
        seconds: time by step, synthesis included.
    """

    synthesis: SynthesisReport
    resources: Resources
    clocks: tuple[ClockTiming, ...]
    clock_mhz: float
    seed: int
    bitstream: Path
    tools: dict[str, str]
    seconds: dict[str, float]

    @property
    def fmax_mhz(self) -> float:
        """Highest machine clock at which all paths hold."""
        return min(clock.achieved_mhz for clock in self.clocks)

    @property
    def timing_met(self) -> bool:
        """Whether every clock can run as fast as the board runs it."""
        return all(clock.met for clock in self.clocks)

    def as_dict(self) -> dict[str, Any]:
        """For `report.json`; paths are names inside the folder."""
        return {
            "target": self.synthesis.target,
            "synthesised": self.synthesis.as_dict(),
            "routed": dict(self.resources.items()),
            "clocks": [
                {
                    "name": clock.name,
                    "achieved_mhz": round(clock.achieved_mhz, 3),
                    "required_mhz": round(clock.required_mhz, 3),
                    "met": clock.met,
                }
                for clock in self.clocks
            ],
            "clock_mhz": self.clock_mhz,
            "fmax_mhz": round(self.fmax_mhz, 3),
            "timing_met": self.timing_met,
            "seed": self.seed,
            "bitstream": self.bitstream.name,
            "tools": self.tools,
            "seconds": self.seconds,
        }


def check_fits(design: str, needed: Resources, target: FpgaTarget) -> None:
    """Raises `DoesNotFit`, with need and have of each resource that runs out."""
    have = dict(target.resources.items())
    shortages = [(name, need, have[name]) for name, need in needed.items() if need > have[name]]
    if shortages:
        raise DoesNotFit(design, target.name, shortages)


def read_cells(path: Path) -> dict[str, int]:
    """Cells of a netlist by type, from the statistics that yosys wrote."""
    try:
        cells = json.loads(path.read_text())["design"]["num_cells_by_type"]
    except (OSError, ValueError, KeyError) as error:
        raise ReportUnreadable(path, repr(error)) from error
    return {name: int(count) for name, count in cells.items() if not name.startswith("$")}


def synthesised_resources(family: Family, cells: dict[str, int]) -> Resources:
    """What a netlist needs."""
    return Resources(**_count(_SYNTHESISED[family], cells))


def read_routed(path: Path, family: Family, flip_flops: int) -> tuple[Resources, list[ClockTiming]]:
    """Resources and timing from the report of place and route.

    `flip_flops` is the count of synthesis: the iCE40's report does not give one.
    """
    try:
        report = json.loads(path.read_text())
        sites = {name: int(site["used"]) for name, site in report["utilization"].items()}
        clocks = [
            ClockTiming(
                name=name,
                achieved_mhz=float(clock["achieved"]),
                required_mhz=float(clock["constraint"]),
            )
            for name, clock in report["fmax"].items()
        ]
    except (OSError, ValueError, KeyError) as error:
        raise ReportUnreadable(path, repr(error)) from error
    if not clocks:
        raise ReportUnreadable(path, "it holds no clock")
    return Resources(**{"ff": flip_flops, **_count(_ROUTED[family], sites)}), clocks


def _count(table: dict[str, dict[str, int]], found: dict[str, int]) -> dict[str, int]:
    def matching(pattern: str) -> int:
        if pattern.endswith("*"):
            return sum(n for name, n in found.items() if name.startswith(pattern[:-1]))
        return found.get(pattern, 0)

    return {
        resource: sum(weight * matching(pattern) for pattern, weight in cells.items())
        for resource, cells in table.items()
    }
