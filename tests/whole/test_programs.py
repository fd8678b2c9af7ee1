"""Random networks as programs of machines that are just large enough, on the functional machine."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bitwright.hwgen import golden
from bitwright.hwgen.assemble import assemble
from bitwright.hwgen.isa import decode
from bitwright.ir import graph, reference
from bitwright.ir.context import parse
from bitwright.passes.allocate import Allocate
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import partition
from bitwright.passes.tile import Tile
from bitwright.runtime.layout import tensor_to_words, words_to_tensor

sys.path.insert(0, str(Path(__file__).parent))
from random_networks import random_inputs, random_network

TILES = (
    Tile(4, 8, 1), Tile(8, 8, 2), Tile(16, 32, 4), Tile(8, 16, 8), Tile(2, 8, 2),
    Tile(4, 16, 4, engine="dsp", pixels=4, banks=4), Tile(2, 8, 1, engine="dsp", pixels=2, banks=8),
    Tile(8, 16, 8, engine="dsp", pixels=4, banks=8), Tile(4, 8, 2, engine="dsp", pixels=8, banks=8),
    Tile(8, 8, 2, engine="dsp", pixels=4, banks=8, fused_adds=1),
)  # fmt: skip


@pytest.mark.parametrize("seed", range(1000, 1100))
def test_program(seed: int) -> None:
    module = random_network(seed)
    parts = partition(module)
    before = reference.run(parts.before, random_inputs(module, seed))
    core = {item.name: before[item.name] for item in graph.inputs(parts.core)}
    wanted = reference.run(parts.core, core)
    tile = TILES[seed % len(TILES)]
    lanes = tile.lanes
    program = Allocate().run(tile.run(Legalize().run(parts.core)))
    assembled = assemble(program)
    assert assemble(parse(str(program))) == assembled
    assert decode(assembled.image.program) == list(assembled.instructions)
    for sample in range(2):
        words = np.concatenate(
            [
                tensor_to_words(core[item.name][sample].reshape(item.shape), lanes)
                for item in assembled.inputs
            ]
        )
        found = golden.run(assembled.image, words)
        for item in assembled.outputs:
            tensor = words_to_tensor(found[item.base :], item.shape, lanes)
            assert (tensor == wanted[item.name][sample].reshape(item.shape)).all(), item.name
