"""Quantized operators, and those of the domain com.microsoft, against ONNX Runtime's kernels."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from bitwright.frontend.onnx import load, quantized, quantized_products
from bitwright.frontend.onnx.domains import DOMAINS
from bitwright.ir import reference

sys.path.insert(0, str(Path(__file__).parent))

from onnx_quantized_cases import CASES, model_of


@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_onnx_runtime_does(name):
    case = CASES[name]
    data, feeds = model_of(case)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
    found = reference.run(load(data), feeds)
    for (key, ours), theirs in zip(found.items(), session.run(None, feeds), strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), key
        if theirs.dtype.kind in "iu":
            off = np.abs(ours.astype(int) - theirs.astype(int))
            assert off.max() <= case.steps
            assert theirs.size == 1 or np.unique(theirs).size > 2, "the case must not saturate"
        else:
            np.testing.assert_allclose(ours, theirs, rtol=case.rtol, atol=1e-5)


def test_every_operator_has_a_case():
    kinds = {"": set[str](), "com.microsoft": set[str]()}
    for case in CASES.values():
        kinds[case.domain].add(case.kind)
    assert kinds["com.microsoft"] == set(DOMAINS["com.microsoft"])
    assert kinds[""] == {*quantized.HANDLERS, *quantized_products.HANDLERS}
