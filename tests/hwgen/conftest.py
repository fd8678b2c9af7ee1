"""Machines and instructions for the tests of this folder, as functions that fixtures return."""

from collections.abc import Callable

import pytest

from bitwright.hwgen.isa import Instruction
from bitwright.ir.instructions import FIELD_NAMES, Opcode
from bitwright.ir.machine import Machine


def _small_machine(**changes: int) -> Machine:
    parameters = {
        "lanes": 4,
        "rows": 8,
        "requant_lanes": 2,
        "acc_bits": 20,
        "act_words": 64,
        "in_words": 32,
        "out_words": 16,
        "weight_words": 64,
        "param_words": 32,
        "tables": 1,
        "program_words": 128,
    }
    return Machine(**(parameters | changes))


def _compute(opcode: Opcode = Opcode.MATMUL, **changes: int) -> Instruction:
    """One tile of one step, from word 0 of the input to word 0 of the output."""
    values = dict.fromkeys(FIELD_NAMES, 0)
    ones = ("n_block", "n_oy", "n_ox", "n_plane", "n_cb", "n_ky", "n_kx", "height", "width")
    pixels = ("pixels", "pixels_first", "pixels_last")
    values |= dict.fromkeys((*ones, *pixels, "src_space", "dst_words", "dst_words_last"), 1)
    values |= {"dst_space": 2, "clamp_min": -128, "clamp_max": 127, "dst_word_stride": 1}
    return Instruction(opcode, values | changes)


def _program(*instructions: Instruction) -> list[Instruction]:
    ends = (Instruction(Opcode.STORE), Instruction(Opcode.END))
    return [Instruction(Opcode.LOAD), *instructions, *ends]


@pytest.fixture
def small_machine() -> Callable[..., Machine]:
    """A machine of 4 lanes and 8 rows; keywords replace parameters."""
    return _small_machine


@pytest.fixture
def compute() -> Callable[..., Instruction]:
    """A compute instruction of one step; keywords replace fields."""
    return _compute


@pytest.fixture
def program() -> Callable[..., list[Instruction]]:
    """LOAD, the given instructions, STORE, END."""
    return _program
