"""Quantized operators, and those of the domain com.microsoft, against ONNX Runtime's kernels."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from bitwright.frontend.onnx import ModelError, load, quantized, quantized_products
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


def _message(name: str, **changes: object) -> str:
    data, _ = model_of(replace(CASES[name], **changes))
    with pytest.raises(ModelError) as caught:
        load(data)
    return str(caught.value)


NBITS = "Node 'n' (MatMulNBits, domain com.microsoft): "


def test_weights_in_blocks_that_are_not_supported() -> None:
    case = CASES["matmul_4_bits"]
    group = (*case.operands, None, np.zeros(96, np.int32))
    assert _message("matmul_4_bits", operands=group) == (
        f"{NBITS}input 4 ('x4') is a g_idx; supported: none; quantize without reordering the input "
        "channels"
    )
    assert _message("matmul_4_bits", attributes={**case.attributes, "bits": 3}) == (
        f"{NBITS}attribute bits is 3; supported: 2, 4, 8"
    )
    assert _message("matmul_4_bits", attributes={**case.attributes, "N": 7}) == (
        f"{NBITS}input 1 ('x1') has shape [6, 3, 16]; supported: a packed weight of [7, 48]"
    )
    assert _message("matmul_4_bits", attributes={**case.attributes, "K": "x"}) == (
        f"{NBITS}attribute K is 'x'; supported: an integer"
    )


def test_scales_that_do_not_fit() -> None:
    x, scale, zero = CASES["quantize"].operands
    where = "Node 'n' (QuantizeLinear, domain com.microsoft): "
    assert _message("quantize", operands=(x, np.float32(0), zero)) == (
        f"{where}scale 'x1' holds 0.0; expected positive finite numbers. Train or export the model "
        "again"
    )
    assert _message("quantize", operands=(x, np.ones(5, np.float32), zero)) == (
        f"{where}input 1 ('x1') has shape [5] for [2, 3, 4]; supported: one number, or shape [3]"
    )
    assert _message(
        "dequantize", operands=(CASES["dequantize"].operands[0], scale, np.int8(3))
    ) == (
        "Node 'n' (DequantizeLinear, domain com.microsoft): input 2 ('x2') is a zero point of type "
        "int8; supported: uint8, as the integers"
    )


def test_an_attribute_of_another_type() -> None:
    assert _message("average_pool", attributes={"kernel_shape": 3}) == (
        "Node 'n' (QLinearAveragePool, domain com.microsoft): attribute kernel_shape is 3; "
        "supported: a list of integers"
    )
