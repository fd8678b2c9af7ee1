"""`bw.rescale`: against Python's integers, as text, and what its verifier refuses."""

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.ir import reference, serialize
from bitwright.ir.builder import Builder
from bitwright.ir.context import IrError

INT16, INT32, INT64 = np.dtype(np.int16), np.dtype(np.int32), np.dtype(np.int64)


def _module(dtype: np.dtype = INT64, **changes) -> ir.Module:
    builder = Builder([("x", (1, 2, 500), dtype)])
    given = {
        "multiplier": [20000, 32767], "shift": [30, 15], "axis": 1, "minimum": -30000,
        "maximum": 32767, "rounding": "half_up", **changes,
    }  # fmt: skip
    return builder.finish([("y", builder.rescale(builder.inputs[0], INT16, **given))])


def test_equals_integers_of_any_size(tmp_path) -> None:
    module = _module()
    x = np.random.default_rng(0).integers(-(1 << 31), 1 << 31, (1, 2, 500))
    x[0, 1] >>= 15
    wanted = np.empty_like(x)
    for channel, (multiplier, shift) in enumerate(((20000, 30), (32767, 15))):
        for column in range(500):
            scaled = (int(x[0, channel, column]) * multiplier + (1 << (shift - 1))) >> shift
            wanted[0, channel, column] = min(max(scaled, -30000), 32767)
    path = tmp_path / "rescale.mlir"
    serialize.save(module, path)
    for one in (module, serialize.load(path)):
        found = reference.run(one, {"x": x})["y"]
        assert found.dtype == np.int16
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounding": "up"}, "rounding 'up' is not one of half_up, tflite"),
        ({"rounding": "tflite"},
         "input is tensor<1x2x500xsi64>, expected at most 32 bits for tflite"),
        ({"axis": 3}, "axis 3 is outside of (1, 2, 500)"),
        ({"shift": [1]}, "2 multipliers and 1 shifts; expected 1 of both, or 2"),
        ({"multiplier": [1, 32768]},
         "multiplier 32768, shift 15; expected 0 to 32767 and 1 to 46"),
        ({"maximum": 32768},
         "range [-30000, 32768] leaves that of tensor<1x2x500xsi16>: [-32768, 32767]"),
    ],
)  # fmt: skip
def test_refuses(changes, message: str) -> None:
    with pytest.raises(IrError) as raised:
        _module(**changes)
    assert f"bw.rescale: {message}" in str(raised.value)
