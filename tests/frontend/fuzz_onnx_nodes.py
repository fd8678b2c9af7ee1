"""The ONNX standard's node tests for `fuzz.py`: every operator that the importer has."""

import functools
import warnings
from typing import Any

from fuzz_onnx import SUFFIX as SUFFIX
from fuzz_onnx import load as load
from fuzz_onnx import mutate as mutate
from onnx.backend.test.loader import load_model_tests

from bitwright.errors import BitwrightError
from bitwright.frontend.onnx import load as load_onnx

_LARGEST = 4000


@functools.cache
def corpus() -> dict[str, bytes]:
    """The small models among them that load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the standard computes its expected outputs here
        tests: list[Any] = load_model_tests(kind="node")
    found: dict[str, bytes] = {}
    for test in tests:
        data = test.model.SerializeToString()
        if len(data) < _LARGEST and _loads(data):
            found[test.name] = data
    return found


def _loads(data: bytes) -> bool:
    try:
        load_onnx(data)
    except BitwrightError:
        return False
    return True
