"""Sites of an ECP5's multiplier blocks and block RAMs, chosen before place and route.

The blocks stand in a few rows across the whole device. nextpnr moves cells one by one, and once
most sites are taken no block finds a way past the others: it stays far from its neighbours, and
the wires from it, up to the device's width long, crowd the rows of blocks until nothing routes.

Here the blocks alone are arranged. The netlist is read as a net of springs; all other cells are
eliminated from it, exactly, and what is left says how strongly each two blocks pull at each
other. Blocks go to sites of their kind such that the sum of pull times squared distance is small:
a quadratic assignment, first of the multipliers, then of the RAMs around them, then of both.

The springs say then where every other cell likes to be, by which `near` copies what has many
readers.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import quadratic_assignment
from scipy.sparse import linalg

from bitwright.fpga import near
from bitwright.fpga.cells import BLOCK_RAM, MULTIPLIER, Cell

Matrix = NDArray[np.float64]

_SITE = "BEL"  # the attribute by which nextpnr is told where a cell goes
_MAX_PINS = 64  # nets of more pins reach everywhere, and say nothing about neighbours
_TO_GROUND = 1e-4  # so that cells that no block is wired to have a place
_STARTS = 3  # random arrangements to begin with
_AT_ONCE = 64  # blocks whose pull is computed together
_GAIN = 1e-7  # of the sum, which a swap has to take off
_COLUMNS = {
    "12k": (4, 13, 22, 33, 42, 51, 60),
    "25k": (4, 13, 22, 33, 42, 51, 60),
    "45k": (4, 13, 22, 31, 42, 51, 60, 69, 78),
    "85k": (4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114),
}
"""Size of the device to where its groups of four blocks begin in each row."""


class _Kind(NamedTuple):
    """Blocks whose sites are alike: rows of each size of device, and of the blocks of a group the
    offset and the number."""

    name: str
    rows: Mapping[str, tuple[int, ...]]
    group: tuple[tuple[int, int], ...]

    def sites(self, size: str) -> list[tuple[int, int, str]]:
        """Column, row and name of each."""
        return [
            (column + offset, row, f"X{column + offset}/Y{row}/{self.name}{number}")
            for row in self.rows[size]
            for column in _COLUMNS[size]
            for offset, number in self.group
        ]


_KINDS = {
    MULTIPLIER: _Kind(
        "MULT18_",
        {"12k": (13,), "25k": (13,), "45k": (22, 46), "85k": (10, 34, 58)},
        ((0, 0), (1, 1), (4, 4), (5, 5)),
    ),
    BLOCK_RAM: _Kind(
        "EBR",
        {"12k": (25, 37), "25k": (25, 37), "45k": (10, 34, 58), "85k": (22, 46, 70, 82)},
        ((0, 0), (2, 1), (4, 2), (6, 3)),
    ),
}


def assign(netlist: Path, device: str) -> int:
    """Give every multiplier block and block RAM of a netlist of yosys its site, in place.

    Where any has one, `near.spread` changes the cells around them.

    Args:
        netlist: JSON file with one top module.
        device: the option of nextpnr that names the device, as `--85k` or `--um5g-85k`: what is
            behind its last hyphen is the size, and devices of one size have their blocks alike.

    Returns:
        The number of blocks that have a site now: of each kind none where there are fewer than
        two, or more than the device has. The same netlist gets the same sites.
    """
    design: dict[str, Any] = json.loads(netlist.read_text())
    module: dict[str, Any] = next(
        module
        for module in design["modules"].values()
        if int(module["attributes"].get("top", "0"), 2)
    )
    cells: list[Cell] = list(module["cells"].values())
    size = device.rpartition("-")[2]
    blocks: list[int] = []
    parts: list[tuple[range, list[tuple[int, int, str]]]] = []
    for kind, layout in _KINDS.items():
        mine = [number for number, cell in enumerate(cells) if cell["type"] == kind]
        sites = layout.sites(size)
        if 2 <= len(mine) <= len(sites):
            parts.append((range(len(blocks), len(blocks) + len(mine)), sites))
            blocks += mine
    if not blocks:
        return 0
    springs = _Springs(cells, np.array(blocks))
    chosen: list[tuple[int, int, str]] = []
    for (mine, sites), order in zip(parts, _arranged(springs.pull(), parts), strict=True):
        chosen += [sites[index] for index in order[: len(mine)]]
    for block, site in zip(blocks, chosen, strict=True):
        cells[block]["attributes"][_SITE] = site[2]
    near.spread(module, springs.places(np.array([site[:2] for site in chosen], float)))
    netlist.write_text(json.dumps(design))
    return len(blocks)


class _Springs:
    """The netlist as springs between its cells, the blocks held."""

    def __init__(self, cells: list[Cell], blocks: NDArray[np.intp]) -> None:
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
        between = sparse.coo_array(
            (stiffness, (a.astype(int), b.astype(int))), shape=(nodes, nodes)
        )
        between = (between + between.T).tocsr()
        laplacian = (sparse.diags_array(between.sum(axis=1) + _TO_GROUND) - between).tocsr()
        self._cells = len(cells)
        self._blocks = blocks
        self._others = np.setdiff1d(np.arange(nodes), blocks)
        self._coupling = laplacian[self._others][:, blocks].tocsc()
        self._direct = -laplacian[blocks][:, blocks].toarray()
        # Symmetric, positive definite: no pivoting, and an order that keeps the factors small.
        self._factors = linalg.splu(
            laplacian[self._others][:, self._others].tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )

    def pull(self) -> Matrix:
        """Stiffness between each two blocks, with all other cells where they like to be."""
        pull, coupling = self._direct.copy(), self._coupling
        for first in range(0, len(self._blocks), _AT_ONCE):
            columns = slice(first, first + _AT_ONCE)
            pull[:, columns] += coupling.T @ self._factors.solve(coupling[:, columns].toarray())
        np.fill_diagonal(pull, 0)
        return np.maximum((pull + pull.T) / 2, 0)

    def places(self, of_blocks: Matrix) -> Matrix:
        """Column and row where each cell likes to be, with the blocks where they are."""
        middle = of_blocks.mean(axis=0)
        found = np.zeros((len(self._blocks) + len(self._others), 2))
        found[self._blocks] = of_blocks
        found[self._others] = middle - self._factors.solve(self._coupling @ (of_blocks - middle))
        return found[: self._cells]


def _arranged(
    pull: Matrix, parts: Sequence[tuple[range, Sequence[tuple[int, int, str]]]]
) -> list[NDArray[np.intp]]:
    """For each block of each part (its numbers and its sites) the index of its site."""
    counts = [len(sites) for _, sites in parts]
    begins = np.cumsum([0, *counts])
    whole = np.zeros((begins[-1], begins[-1]))  # with a block that nothing pulls at on each site
    real = np.concatenate([b + np.arange(len(m)) for b, (m, _) in zip(begins, parts, strict=False)])
    whole[np.ix_(real, real)] = pull / pull.sum() if pull.any() else pull
    places = np.array([site[:2] for _, sites in parts for site in sites], float)
    distance = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    order = np.arange(0)
    for end in begins[1:]:
        order = _assigned(whole[:end, :end], distance[:end, :end], order)
    order = _swapped(whole, distance, order, np.repeat(np.arange(len(parts)), counts))
    return [order[a:b] - a for a, b in pairwise(begins)]


def _assigned(pull: Matrix, distance: Matrix, known: NDArray[np.intp]) -> NDArray[np.intp]:
    """The best of some arrangements in which the first blocks stay where they are known to be."""
    found = [
        quadratic_assignment(
            pull,
            distance,
            method="faq",
            options={
                "rng": np.random.default_rng(start),
                "P0": "randomized",
                "partial_match": np.column_stack((np.arange(len(known)), known)),
            },
        )
        for start in range(_STARTS)
    ]
    return min(found, key=lambda result: result.fun).col_ind


def _swapped(
    pull: Matrix, distance: Matrix, order: NDArray[np.intp], kinds: NDArray[np.intp]
) -> NDArray[np.intp]:
    """`order` after swaps of two blocks of one kind, the best one first, until none helps."""
    order = order.copy()
    other_kind = kinds[:, None] != kinds
    while True:
        here = distance[np.ix_(order, order)]
        force = pull @ here
        own = np.diag(force)
        change = force + force.T - own[:, None] - own + 2 * pull * here
        change[other_kind] = 0
        a, b = np.unravel_index(np.argmin(change), change.shape)
        if change[a, b] >= -_GAIN * (pull * here).sum():
            return order
        order[[a, b]] = order[[b, a]]
