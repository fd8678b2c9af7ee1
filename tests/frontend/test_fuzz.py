"""The fuzzer itself finds what it is there to find."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fuzz
import fuzz_faulty

SEED, INPUTS = 43, 12


@pytest.mark.parametrize("name", sorted(fuzz.FORMATS))
def test_every_row_has_what_the_fuzzer_calls(name):
    module = fuzz.format_module(name)
    assert module.SUFFIX.startswith(".")
    for function in (module.corpus, module.load, module.mutate):
        assert callable(function)


def test_every_kind_of_fault_is_found(tmp_path):
    inputs = [
        fuzz.make_input(fuzz_faulty, fuzz_faulty.corpus(), "fuzz_faulty", SEED, number)
        for number in range(INPUTS)
    ]
    counts = [inputs.count(fault) for fault in fuzz_faulty.FAULTS]
    assert min(counts) > 0
    found = fuzz.try_inputs("fuzz_faulty", SEED, range(INPUTS), tmp_path)
    assert found.tried == INPUTS
    assert found.accepted == inputs.count(b"good")
    assert found.refused == INPUTS - found.accepted - sum(counts) > 0
    text = "\n".join(found.findings)
    signs = ("raise ZeroDivisionError", "exit code -6", "MemoryError", "Timeout (0:00:03)")
    assert [text.count(sign) for sign in signs] == counts
    kept = {path.read_bytes() for path in tmp_path.iterdir()}
    assert kept == set(fuzz_faulty.FAULTS)
    number = inputs.index(b"crash")
    path = tmp_path / f"fuzz_faulty-{SEED}-{number}.txt"
    assert f"fuzz_faulty --seed {SEED} --only {number}, {path}\nexit code -6" in text
