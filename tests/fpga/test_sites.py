"""Sites of blocks: neighbours side by side, each site once, the same every time."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bitwright import targets
from bitwright.fpga import sites
from bitwright.fpga.cells import BLOCK_RAM, MULTIPLIER

GROUPS = 6
IN_GROUP = 4


NAMES = {"MULT18X18D": r"MULT18_[0145]", "DP16KD": r"EBR[0123]"}


def _netlist(
    path: Path, groups: int = GROUPS, in_group: int = IN_GROUP, kinds: Sequence[str] = (MULTIPLIER,)
) -> Path:
    """Groups of blocks that share registers; a block of one group comes after one of another."""
    cells: dict[str, object] = {}
    for kind in kinds:
        for member in range(in_group):
            for group in range(groups):
                shared = [100 * group + bit for bit in range(18)]
                cells[f"{kind}{group}_{member}"] = {
                    "type": kind, "attributes": {}, "connections": {"A": shared, "C": ["0"]},
                    "port_directions": {"A": "input", "C": "input"},
                }  # fmt: skip
    for group in range(groups):
        for bit in range(18):
            cells[f"register{group}_{bit}"] = {
                "type": "TRELLIS_FF", "attributes": {}, "connections": {"Q": [100 * group + bit]},
                "port_directions": {"Q": "output"},
            }  # fmt: skip
    module = {"attributes": {"top": "1"}, "cells": cells, "ports": {}, "netnames": {}}
    path.write_text(json.dumps({"modules": {"top": module}}))
    return path


def _sites(path: Path) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for name, cell in json.loads(path.read_text())["modules"]["top"]["cells"].items():
        if cell["type"] in NAMES:
            match = re.fullmatch(rf"X(\d+)/Y(\d+)/{NAMES[cell['type']]}", cell["attributes"]["BEL"])
            assert match is not None
            found[name] = (int(match[1]), int(match[2]))
    return found


@pytest.mark.parametrize("device", ["--25k", "--um-45k", "--85k"])
def test_blocks_of_a_group_are_neighbours(tmp_path: Path, device: str) -> None:
    path = _netlist(tmp_path / "netlist.json")
    assert sites.assign(path, device) == GROUPS * IN_GROUP
    found = _sites(path)
    assert len(set(found.values())) == GROUPS * IN_GROUP
    for group in range(GROUPS):
        places = [found[f"{MULTIPLIER}{group}_{member}"] for member in range(IN_GROUP)]
        assert len({row for _, row in places}) == 1
        columns = [column for column, _ in places]
        assert max(columns) - min(columns) < 2 * 9  # two groups of sites


def test_both_kinds_of_blocks_are_arranged_together(tmp_path: Path) -> None:
    path = _netlist(tmp_path / "netlist.json", in_group=2, kinds=(MULTIPLIER, BLOCK_RAM))
    assert sites.assign(path, "--85k") == 2 * 2 * GROUPS
    found = _sites(path)
    assert len(set(found.values())) == len(found) == 2 * 2 * GROUPS
    rows = {kind: {found[name][1] for name in found if name.startswith(kind)} for kind in NAMES}
    assert rows[MULTIPLIER] <= {10, 34, 58}
    assert rows[BLOCK_RAM] <= {22, 46, 70, 82}
    middles = {
        kind: np.mean([[found[f"{kind}{g}_{n}"] for n in range(2)] for g in range(GROUPS)], axis=1)
        for kind in NAMES
    }
    apart = np.abs(middles[MULTIPLIER][:, None] - middles[BLOCK_RAM][None]).sum(axis=2)
    assert (apart.argmin(axis=1) == range(GROUPS)).all()  # a group's RAMs are nearest to its blocks


def test_same_netlist_same_sites(tmp_path: Path) -> None:
    first, second = (_netlist(tmp_path / name) for name in ("a.json", "b.json"))
    sites.assign(first, "--85k")
    sites.assign(second, "--85k")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(("groups", "in_group"), [(1, 1), (0, 0), (8, 4)])
def test_nothing_to_arrange(tmp_path: Path, groups: int, in_group: int) -> None:
    path = _netlist(tmp_path / "netlist.json", groups, in_group)
    before = path.read_bytes()
    assert sites.assign(path, "--25k") == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["ulx3s-12f", "ulx3s-25f", "ulx3s-85f"])
def test_a_board_has_a_site_for_each_of_its_blocks(tmp_path: Path, name: str) -> None:
    target = targets.get_fpga(name)
    have = {MULTIPLIER: target.resources.dsp, BLOCK_RAM: target.resources.bram}
    for kind, count in have.items():
        path = _netlist(tmp_path / "netlist.json", 1, count, (kind,))
        assert sites.assign(path, target.device_option) == count
        assert len(set(_sites(path).values())) == count
    path = _netlist(tmp_path / "netlist.json", 1, target.resources.dsp + 1)
    assert sites.assign(path, target.device_option) == 0
