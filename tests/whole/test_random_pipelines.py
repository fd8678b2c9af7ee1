"""Random networks as pipelines whose RTL once gave other values than the reference."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from random_machines import random_pipeline, run_dataflow
from random_networks import random_inputs, random_network

WRONG_ONCE = {
    28: "padding with an integer that the padded tensor's bits do not hold",
    116: "sums of fewer bits than the adder of their bias, that left their range without it",
}


@pytest.mark.parametrize("seed", WRONG_ONCE, ids=str)
def test_network(seed: int, tmp_path: Path) -> None:
    module = random_network(seed)
    build = random_pipeline(module, seed)
    outcome = run_dataflow(module, random_inputs(module, seed), build, tmp_path)
    assert not outcome.wrong
    assert outcome.simulated == outcome.predicted
    assert not outcome.late
