"""The order of candidates, and what of a device they may take."""

from dataclasses import replace

import pytest

from bitwright.passes.search.candidate import (
    Candidate,
    Objective,
    Shortage,
    budget,
    ranked,
    shortages,
)
from bitwright.targets.target import Resources

HAVE = Resources(lut=1000, ff=1000, bram=10, dsp=8)


def candidate(name: str, cycles: int, interval: int, lut: int) -> Candidate:
    return Candidate(
        style="overlay", parameters={"name": name}, cycles=cycles, interval=interval,
        resources=replace(HAVE, lut=lut), spent={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("objective", "order"),
    [("latency", "dbac"), ("throughput", "acbd"), ("luts", "bacd")],
)
def test_ranked_by_objective_then_by_look_up_tables(objective: Objective, order: str) -> None:
    all_of_them = [
        candidate("a", 200, 90, 50),
        candidate("b", 200, 200, 40),
        candidate("c", 300, 90, 50),
        candidate("d", 100, 300, 60),
    ]
    assert "".join(str(c.parameters["name"]) for c in ranked(all_of_them, objective)) == order


def test_what_is_equal_is_ordered_by_its_parameters() -> None:
    twins = [candidate("b", 1, 1, 1), candidate("a", 1, 1, 1)]
    assert [c.parameters["name"] for c in ranked(twins, "latency")] == ["a", "b"]


def test_a_budget_leaves_room_for_routing() -> None:
    assert budget(HAVE) == Resources(lut=780, ff=800, bram=10, dsp=8)


def test_shortages_the_worst_first() -> None:
    need = Resources(lut=1100, ff=10, bram=10, dsp=16, spram=1)
    found = shortages(need, HAVE, at_least=True)
    assert [item.name for item in found] == ["dsp", "lut", "spram"]
    assert str(found[1]) == "1,100+ LUT"
    assert str(Shortage("bram", 11, 10)) == "11 BRAM"
