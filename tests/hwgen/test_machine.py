"""Every parameter that a machine refuses, with its message."""

import gc
import zlib

import pytest

from bitwright.hwgen.ram import Ram
from bitwright.ir.machine import MachineError

NAMES = (
    "lanes", "rows", "requant_lanes", "requant_pixels", "acc_bits", "multiplier_bits", "engine",
    "pixels", "banks", "multiplier_blocks", "weight_columns", "act_words", "in_words", "out_words",
    "weight_words", "param_words", "program_words",
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lanes": 3}, "lanes is 3; expected a power of two from 2 to 64"),
        ({"lanes": 128}, "lanes is 128; expected a power of two from 2 to 64"),
        (
            {"rows": 4},
            "rows is 4; expected a power of two that is a multiple of lanes (4) and at least 8",
        ),
        (
            {"rows": 12},
            "rows is 12; expected a power of two that is a multiple of lanes (4) and at least 8",
        ),
        (
            {"requant_pixels": 2},
            "requant_pixels is 2; expected 1 with the engine weightserial",
        ),
        (
            {"requant_pixels": 3, "engine": "dsp", "pixels": 4, "banks": 4},
            "requant_pixels is 3; expected 1 or 2 with the engine dsp",
        ),
        (
            {"requant_lanes": 8},
            "requant_lanes is 8; expected a power of two that is at most lanes (4)",
        ),
        ({"acc_bits": 15}, "acc_bits is 15; expected 16 to 32"),
        ({"multiplier_bits": 18}, "multiplier_bits is 18; expected 16 or 31"),
        ({"in_words": 1}, "in_words is 1; expected 2 to 1048576"),
        ({"engine": "dps"}, "engine is 'dps'; expected one of weightserial, dsp"),
        ({"pixels": 2}, "pixels is 2; expected 1 with the engine weightserial"),
        ({"engine": "dsp"}, "pixels is 1; expected 2 to 8 with the engine dsp"),
        (
            {"engine": "dsp", "pixels": 4, "banks": 2},
            "banks is 2; expected a power of two from 4 to 16 with pixels = 4",
        ),
        (
            {"engine": "dsp", "pixels": 4, "banks": 4, "multiplier_blocks": 65},
            "multiplier_blocks is 65; expected 0 to 64, the pairs of products of the engine dsp",
        ),
        (
            {"precision": 4},
            "precision is 4; expected 8 with the engine weightserial and rows = 8",
        ),
        (
            {"engine": "dsp", "pixels": 4, "banks": 4, "precision": 2},
            "precision is 2; expected 4, 8 with the engine dsp and rows = 8",
        ),
        (
            {"weight_columns": 5},
            "weight_columns is 5; expected 0 to 4, the columns of 9 bits of a weight word of 32",
        ),
        ({"fused_adds": 2}, "fused_adds is 2; expected 0 or 1"),
        (
            {"fused_adds": 1},
            "fused_adds is 1; expected 0, or the engine dsp with rows = lanes and requant_pixels "
            "= 1",
        ),
        ({"tables": -1}, "tables is -1; expected 0 to 256"),
        ({"memory": "dram"}, "memory is 'dram'; expected one of none, fixed, sdram"),
        ({"memory_latency": 3}, 'memory_latency is 3; expected 0 with memory = "none"'),
        ({"memory": "fixed"}, 'memory_latency is 0; expected 1 to 1000 with memory = "fixed"'),
        (
            {"memory": "sdram", "memory_mhz": 150},
            'memory_mhz is 150; expected 20 to 133 with memory = "sdram"',
        ),
        (
            {"memory": "sdram", "memory_mhz": 80, "weight_words": 128},
            'weight_words is 128; expected a power of two, at least 256, with memory = "sdram"',
        ),
        (
            {"memory": "sdram", "memory_mhz": 80, "weight_words": 300},
            'weight_words is 300; expected a power of two, at least 256, with memory = "sdram"',
        ),
    ],
)
def test_machine_refuses(small_machine, changes, message):
    with pytest.raises(MachineError) as caught:
        small_machine(**changes)
    assert str(caught.value) == f"Machine parameter {message}"


@pytest.mark.filterwarnings("ignore:.*created but never used")  # what was refused is not used
def test_ram_refuses_no_words():
    with pytest.raises(MachineError) as caught:
        Ram(width=8, depth=0, contents="weights")
    message = str(caught.value)
    del caught
    gc.collect()
    assert message == "Ram weights has width 8 and depth 0; expected both to be at least 1"


def test_the_fingerprint_changes_with_every_parameter(small_machine):
    prints = {small_machine(act_words=depth).fingerprint for depth in range(64, 80)}
    assert len(prints) == 16


def test_the_fingerprint_changes_with_the_precision(small_machine):
    kind = {"engine": "dsp", "pixels": 2, "banks": 2, "rows": 16}
    assert len({small_machine(**kind, precision=bits).fingerprint for bits in (2, 4, 8)}) == 3


def test_the_fingerprint_of_a_machine_without_external_memory_has_none(small_machine):
    names = (*NAMES, "tables")
    machine = small_machine()
    text = ",".join(f"{name}={getattr(machine, name)}" for name in sorted(names))
    assert machine.fingerprint == zlib.crc32(text.encode())
    streamed = small_machine(memory="fixed", memory_latency=3, weight_words=256)
    assert streamed.fingerprint != small_machine(weight_words=256).fingerprint
