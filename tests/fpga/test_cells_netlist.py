"""Adders, counters and small memories as carry chains and tables, against their plain bodies."""

import json
from pathlib import Path
from typing import Any

import pytest

from bitwright import targets
from bitwright.fpga import carry, flow, netlist
from bitwright.hwgen.add import COUNT_LUTS, chain_luts, ram16_luts
from bitwright.hwgen.handwritten import used

WIDTHS = (2, 3, 10, 11)
SUM_WIDTHS = (6, 7, 8, 9)
RAM_WIDTHS = (10, 4)


def _rtl() -> str:
    """Module `cells`: every form of every unit, each with a result of its own."""
    units: list[tuple[str, str, int]] = []
    for width in WIDTHS:
        for and_a in (0, 1):
            for and_b in (0, 1):
                form = f"bitwright_add #(.WIDTH({width}), .AND_A({and_a}), .AND_B({and_b}))"
                pins = (
                    f".a(held[{width - 1}:0]), .a_control(held[32]), .b(held[{width + 15}:16]), "
                    ".b_control(held[33]), .carry(held[34]), .sum"
                )
                units.append((form, pins, width))
    for equal in (0, 1):
        form = f"bitwright_count7 #(.EQUAL({equal}))"
        units.append((form, ".a(held[6:0]), .b(held[22:16]), .count", 3))
    for width in RAM_WIDTHS:
        pins = (
            ".clk(clk), .write_enable(held[40]), .write_address(held[44:41]), "
            f".write_data(held[{width - 1}:0]), .read_address(held[48:45]), .read_data"
        )
        units.append((f"bitwright_lutram #(.WIDTH({width}))", pins, width))
    bits = 36 * len(units)
    body = "".join(
        f"    {form} unit{n} ({pins}(next[{36 * n} +: {width}]));\n"
        f"    assign next[{36 * n + 35}:{36 * n + width}] = 0;\n"
        for n, (form, pins, width) in enumerate(units)
    )
    return (
        f"module cells(input clk, input [255:0] stimulus, output reg [{bits - 1}:0] results);\n"
        f"    reg [48:0] held;\n    wire [{bits - 1}:0] next;\n"
        "    always @(posedge clk) begin held <= stimulus[48:0]; results <= next; end\n"
        f"{body}endmodule\n" + "".join(path.read_text() for path in used(body))
    )


@pytest.mark.slow
def test_bodies_are_equal(tmp_path: Path, bench) -> None:
    target = targets.get_fpga("ulx3s-85f")
    text = _rtl()
    source = tmp_path / "cells.v"
    source.write_text(text)
    report = flow.synthesise([source], "cells", target, tmp_path / "synthesis")
    assert 2 * report.cells["CCU2C"] == 4 * sum(chain_luts(width) for width in WIDTHS)
    assert report.cells["LUT4"] == 2 * COUNT_LUTS
    assert 6 * report.cells["TRELLIS_DPR16X4"] == sum(ram16_luts(width) for width in RAM_WIDTHS)
    pins = [
        cell["connections"]
        for cell in json.loads(report.netlist_json.read_text())["modules"]["cells"][
            "cells"
        ].values()
        if cell["type"] == "CCU2C"
    ]
    chains = 4 * len(WIDTHS)
    assert [p["CIN"] for p in pins].count(["x"]) == chains
    assert [p["COUT"] for p in pins].count(["x"]) == chains
    count = chains + 2 + len(RAM_WIDTHS)
    sources = netlist.simulation_sources(report, target)
    assert bench(text, sources, "cells", count, cycles=300_000) == set()


def _sums() -> tuple[str, int]:
    """Module `sums`: plain sums and differences of several widths; and how many."""
    sums = [(sign, width) for sign in "+-" for width in SUM_WIDTHS]
    body = "".join(
        f"    wire [{width - 1}:0] sum{n} = "
        f"held[{n} +: {width}] {sign} held[{2 * n + 24} +: {width}];\n"
        f"    always @(posedge clk) results[{36 * n} +: 36] <= {{{36 - width}'b0, sum{n}}};\n"
        for n, (sign, width) in enumerate(sums)
    )
    text = (
        f"module sums(input clk, input [255:0] stimulus, output reg [{36 * len(sums) - 1}:0] "
        "results);\n    reg [48:0] held;\n    always @(posedge clk) held <= stimulus[48:0];\n"
        f"{body}endmodule\n"
    )
    return text, len(sums)


@pytest.mark.slow
def test_chains_make_their_carry(tmp_path: Path, bench) -> None:
    target = targets.get_fpga("ulx3s-85f")
    text, count = _sums()
    source = tmp_path / "sums.v"
    source.write_text(text)
    report = flow.synthesise([source], "sums", target, tmp_path / "synthesis")
    module = json.loads(report.netlist_json.read_text())["modules"]["sums"]
    pins = [c["connections"] for c in module["cells"].values() if c["type"] == "CCU2C"]
    assert [p["CIN"] for p in pins].count(["x"]) == count
    assert not [p for p in pins if p["CIN"][0] in ("0", "1")]
    # A chain of an even number of bits has a cell more than synthesis made, and the report says so.
    assert report.cells["CCU2C"] == len(pins) == sum(chain_luts(width) for width in SUM_WIDTHS)
    sources = netlist.simulation_sources(report, target)
    assert bench(text, sources, "sums", count, cycles=100_000) == set()


def _cell(cin: object, a0: object, table: str, cout: object, s0: object) -> dict[str, object]:
    return {
        "type": "CCU2C",
        "parameters": {"INIT0": table},
        "connections": {
            "A0": [a0], "B0": ["1"], "C0": ["1"], "D0": ["1"],
            "CIN": [cin], "COUT": [cout], "S0": [s0],
        },
    }  # fmt: skip


def test_pins_that_nothing_needs_go(tmp_path: Path) -> None:
    silent, passing = "0000000000001010", "1000000000001010"
    cells = {
        "start": _cell("0", 2, silent, 3, 4),
        "end": _cell(3, 5, silent, 6, 7),
        "driven": _cell(8, 5, silent, 9, 10),
        "passes": _cell("0", 5, passing, 11, 12),
        "shown": _cell("0", 5, silent, 13, 14),
    }
    ports = {"out": {"bits": [9, 11, 13, 14]}, "in": {"bits": [2, 5, 8]}}
    path = tmp_path / "netlist.json"
    path.write_text(json.dumps({"modules": {"top": {"cells": cells, "ports": ports}}}))
    assert carry.trim(path) == 4
    left = json.loads(path.read_text())["modules"]["top"]["cells"]
    assert {
        (name, pin)
        for name, cell in left.items()
        for pin in ("CIN", "COUT")
        if cell["connections"][pin] == ["x"]
    } == {("start", "CIN"), ("end", "COUT"), ("$carry_start15", "CIN"), ("$carry_start16", "CIN")}
    carries = {name: cell["connections"]["COUT"] for name, cell in left.items()}
    assert left["passes"]["connections"]["CIN"] == carries["$carry_start15"]
    assert left["shown"]["connections"]["CIN"] == carries["$carry_start16"]
    assert carry.trim(path) == 0


@pytest.mark.parametrize("pin", "ABCD")
def test_zeros_become_ones(tmp_path: Path, pin: str) -> None:
    table = 0x6CA9
    cell: dict[str, dict[str, Any]] = {
        "parameters": {"INIT0": f"{table:016b}", "INJECT1_0": "NO"},
        "connections": {f"{p}0": ["0" if p == pin else n] for n, p in enumerate("ABCD", 2)}
        | {"CIN": [6], "COUT": [7], "S0": [8]},
    }
    ports = {"ends": {"bits": [2, 3, 4, 5, 6, 7, 8]}}
    path = tmp_path / "netlist.json"
    cells = {"cell": {"type": "CCU2C", **cell}}
    path.write_text(json.dumps({"modules": {"top": {"cells": cells, "ports": ports}}}))
    assert carry.trim(path) == 1
    changed = json.loads(path.read_text())["modules"]["top"]["cells"]["cell"]
    assert changed["connections"] == cell["connections"] | {f"{pin}0": ["1"]}
    found, place = int(changed["parameters"]["INIT0"], 2), "ABCD".index(pin)
    # The sum's table, and the carry's, which is the lowest four bits and reads A and B alone.
    for address in (a for a in range(16) if not a >> place & 1):
        assert found >> (address | 1 << place) & 1 == table >> address & 1
        one = (address | 1 << place) & 3
        assert found >> one & 1 == table >> (address & 3) & 1
