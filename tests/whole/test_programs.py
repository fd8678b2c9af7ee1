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

SHAPES = ((4, 8, 1), (8, 8, 2), (16, 32, 4), (8, 16, 8), (2, 8, 2))


@pytest.mark.parametrize("seed", range(1000, 1100))
def test_program(seed: int) -> None:
    module = random_network(seed)
    parts = partition(module)
    before = reference.run(parts.before, random_inputs(module, seed))
    core = {item.name: before[item.name] for item in graph.inputs(parts.core)}
    wanted = reference.run(parts.core, core)
    lanes, rows, requant_lanes = SHAPES[seed % len(SHAPES)]
    tile = Tile(lanes=lanes, rows=rows, requant_lanes=requant_lanes)
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
