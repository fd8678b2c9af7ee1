"""uint8 models against LiteRT's reference kernels: each element, interpreted and native."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bitwright.codegen.cpu.library import build_library
from bitwright.frontend.tflite import arithmetic, load
from bitwright.ir import fixed_point, graph, reference
from bitwright.ir.types import shape_of
from bitwright.passes.widths import prove
from bitwright.runtime.library import load_library

sys.path.insert(0, str(Path(__file__).parent))

import tflite_unsigned_cases as cases

NATIVE = ("network", "conv_same_strided", "depthwise_low", "dense_rows", "average_valid")


@pytest.mark.parametrize("name", cases.CASES)
def test_reference_and_library_equal_litert(name: str, tmp_path: Path) -> None:
    module = load(cases.CASES[name]())
    prove(module)
    (source,), (result,) = graph.inputs(module), graph.outputs(module)
    codes = (cases.inputs(name, shape_of(source.value)) ^ 128).view(np.int8)
    with np.load(cases.GOLDEN) as golden:
        wanted = (golden[name] ^ 128).view(np.int8)
    library = load_library(build_library(module, tmp_path).library) if name in NATIVE else None
    for sample, answer in zip(codes, wanted, strict=True):
        given = {source.name: sample[None]}
        np.testing.assert_array_equal(reference.run(module, given)[result.name], answer)
        if library is not None:
            np.testing.assert_array_equal(library.run(given)[result.name], answer)


@pytest.mark.parametrize("count", [1, 2, 6, 9, 49, 64, 100, 960])
def test_averages_round_half_up(count: int) -> None:
    multiplier, shift = arithmetic.average_multiplier(count)
    sums = np.arange(255 * count + 1)
    found = fixed_point.scale_once(sums, multiplier, shift)
    np.testing.assert_array_equal(found, (sums + count // 2) // count)
