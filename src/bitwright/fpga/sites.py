"""Sites of an ECP5's multiplier blocks, chosen before place and route.

The blocks stand in a few rows across the whole device. nextpnr moves cells one by one, and once
most sites are taken no block finds a way past the others: it stays far from its neighbours, and
the wires from it, up to the device's width long, crowd the rows of blocks until nothing routes.

Here the blocks alone are arranged. The netlist is read as a net of springs; all other cells are
eliminated from it, exactly, and what is left says how strongly each two blocks pull at each
other. Blocks go to sites such that the sum of pull times squared distance is small: a quadratic
assignment.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import quadratic_assignment
from scipy.sparse import linalg

from bitwright.fpga.cells import MULTIPLIER

_SITE = "BEL"  # the attribute by which nextpnr is told where a cell goes
_MAX_PINS = 64  # nets of more pins reach everywhere, and say nothing about neighbours
_TO_GROUND = 1e-4  # so that cells that no block is wired to have a place
_STARTS = 3  # random arrangements to begin with
_COLUMNS = {
    "12k": (4, 13, 22, 33, 42, 51, 60),
    "25k": (4, 13, 22, 33, 42, 51, 60),
    "45k": (4, 13, 22, 31, 42, 51, 60, 69, 78),
    "85k": (4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114),
}
"""Size of the device to where its groups of four blocks begin in each row."""
_ROWS = {"12k": (13,), "25k": (13,), "45k": (22, 46), "85k": (10, 34, 58)}
_IN_GROUP = (0, 1, 4, 5)  # offsets of the four blocks, which are also their numbers


def assign(netlist: Path, device: str) -> int:
    """Give every multiplier block of a netlist of yosys its site, in place.

    Args:
        netlist: JSON file with one top module.
        device: the option of nextpnr that names the device, as `--85k` or `--um5g-85k`: what is
            behind its last hyphen is the size, and devices of one size have their blocks alike.

    Returns:
        The number of blocks that have a site now: none where there are fewer than two, or more
        than the device has. The same netlist gets the same sites.
    """
    design: dict[str, Any] = json.loads(netlist.read_text())
    cells: dict[str, Any] = next(
        module["cells"]
        for module in design["modules"].values()
        if int(module["attributes"].get("top", "0"), 2)
    )
    blocks = [cell for cell in cells.values() if cell["type"] == MULTIPLIER]
    size = device.rpartition("-")[2]
    sites = [
        (column + offset, row, offset)
        for row in _ROWS[size]
        for column in _COLUMNS[size]
        for offset in _IN_GROUP
    ]
    if not 2 <= len(blocks) <= len(sites):
        return 0
    pull = np.zeros((len(sites), len(sites)))
    pull[: len(blocks), : len(blocks)] = _pull(list(cells.values()))
    order = _arranged(pull, np.array([site[:2] for site in sites], float))
    for block, index in zip(blocks, order, strict=False):
        x, y, number = sites[index]
        block["attributes"][_SITE] = f"X{x}/Y{y}/MULT18_{number}"
    netlist.write_text(json.dumps(design))
    return len(blocks)


def _pull(cells: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Stiffness between each two blocks, with all other cells where they like to be."""
    nets: dict[int, set[int]] = defaultdict(set)
    for number, cell in enumerate(cells):
        for bits in cell["connections"].values():
            for bit in bits:
                if isinstance(bit, int):
                    nets[bit].add(number)
    springs: list[tuple[int, int, float]] = []
    nodes = len(cells)
    for pins in nets.values():
        if len(pins) == 2:
            a, b = sorted(pins)
            springs.append((a, b, 1.0))
        elif 2 < len(pins) <= _MAX_PINS:  # a star is lighter than all pairs
            springs += [(pin, nodes, len(pins) / (len(pins) - 1)) for pin in sorted(pins)]
            nodes += 1
    a, b, stiffness = np.array(springs, float).reshape(-1, 3).T
    between = sparse.coo_array((stiffness, (a.astype(int), b.astype(int))), shape=(nodes, nodes))
    between = (between + between.T).tocsr()
    laplacian = (sparse.diags_array(between.sum(axis=1) + _TO_GROUND) - between).tocsr()
    is_block = np.zeros(nodes, bool)
    is_block[[n for n, cell in enumerate(cells) if cell["type"] == MULTIPLIER]] = True
    others, blocks = np.flatnonzero(~is_block), np.flatnonzero(is_block)
    coupling = laplacian[others][:, blocks].toarray()
    # Symmetric, positive definite: no pivoting, and an order that keeps the factors small.
    factors = linalg.splu(
        laplacian[others][:, others].tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    pull = coupling.T @ factors.solve(coupling) - laplacian[blocks][:, blocks].toarray()
    np.fill_diagonal(pull, 0)
    return np.maximum((pull + pull.T) / 2, 0)


def _arranged(pull: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.intp]:
    """For each block the index of its place."""
    distance = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    scaled = pull / pull.sum() if pull.any() else pull
    found = [
        quadratic_assignment(
            scaled,
            distance,
            method="faq",
            options={"rng": np.random.default_rng(start), "P0": "randomized"},
        )
        for start in range(_STARTS)
    ]
    best = min(found, key=lambda result: result.fun)
    swapped = quadratic_assignment(
        scaled,
        distance,
        method="2opt",
        options={
            "rng": np.random.default_rng(0),
            "partial_guess": np.column_stack((np.arange(len(places)), best.col_ind)),
        },
    )
    return swapped.col_ind
