"""Damaged files: one of our errors says what is wrong, soon and in little memory."""

import random
import resource
import sys
import time
from pathlib import Path

import pytest

from bitwright.frontend.tflite import ModelError, load

sys.path.insert(0, str(Path(__file__).parent))

from tflite_cases import CASES

MUTATIONS = 60
SEEDS = ("conv_grouped", "depthwise_multiplier", "dense", "add", "softmax", "mean", "network")


def _mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes, words or whole stretches replaced, or the end cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed))
        match rng.randrange(5):
            case 0:
                changed[at] = rng.randrange(256)
            case 1:
                changed[at] ^= 1 << rng.randrange(8)
            case 2:
                word = rng.choice((0, 1, -1, 2**31 - 1, -(2**31), rng.randrange(1 << 16)))
                changed[at : at + 4] = (word & 0xFFFFFFFF).to_bytes(4, "little")
            case 3:
                other = rng.randrange(len(changed))
                changed[at : at + 8] = changed[other : other + 8]
            case _:
                del changed[max(8, at) :]
    return bytes(changed)


@pytest.mark.parametrize("name", SEEDS)
def test_mutated_files(name: str) -> None:
    data = CASES[name]()
    load(data)
    rng = random.Random(name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for _ in range(MUTATIONS):
        start = time.process_time()
        try:
            load(_mutated(data, rng))
        except ModelError:
            refused += 1
        assert time.process_time() - start < 5
    assert refused > MUTATIONS // 4
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000, f"{grown} KiB"


def test_truncated_files() -> None:
    data = CASES["network"]()
    for end in (*range(8, 200, 7), *range(200, len(data), 97)):
        with pytest.raises(ModelError):
            load(data[:end])
