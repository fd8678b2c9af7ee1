"""Closed forms of the cycle count; that simulation agrees is tested with the whole core."""

import pytest

from bitwright.hwgen.address import issue_cycles
from bitwright.hwgen.cycles import ProgramError, instruction_cycles, predict
from bitwright.ir.instructions import INSTRUCTION_WORDS, Opcode


def test_a_tile_takes_its_steps_or_its_groups(compute):
    many = compute(n_plane=8, n_cb=2, n_oy=3, n_ox=5)
    few = compute(n_cb=2, n_oy=3, n_ox=5)
    assert issue_cycles(many, 8) == 15 * 16
    assert issue_cycles(few, 8) == 2 + 14 * 8


def test_one_more_step_is_one_more_cycle(small_machine, compute):
    machine = small_machine()
    short = instruction_cycles(machine, compute(n_cb=10))
    assert instruction_cycles(machine, compute(n_cb=11)) == short + 1


def test_the_shares_add_up_to_the_total(small_machine, compute, program):
    instructions = program(
        compute(n_cb=100, n_ky=2), compute(Opcode.CHANNELWISE), compute(n_oy=9, n_plane=8)
    )
    prediction = predict(small_machine(), instructions)
    assert sum(prediction.per_instruction) == prediction.total
    assert len(prediction.per_instruction) == len(instructions)
    assert prediction.interval > prediction.total


def test_short_instructions_wait_for_their_words(small_machine, compute, program):
    machine, tiny = small_machine(), compute(Opcode.CHANNELWISE)
    alone = predict(machine, program(tiny)).total
    assert predict(machine, program(tiny, tiny)).total - alone == INSTRUCTION_WORDS + 4


def test_tables_make_the_way_two_cycles_longer(small_machine, compute):
    with_tables = instruction_cycles(small_machine(), compute())
    assert with_tables == instruction_cycles(small_machine(tables=0), compute()) + 2


def test_an_instruction_that_hands_over_early_is_shorter(small_machine, compute, program):
    machine = small_machine()
    whole = instruction_cycles(machine, compute(n_cb=10))
    early = instruction_cycles(machine, compute(n_cb=10, handover=3))
    assert early == 10 + 2 + 3 + 1 < whole


def test_a_store_waits_for_the_last_result(small_machine, compute, program):
    with pytest.raises(ProgramError) as caught:
        predict(small_machine(), program(compute(), compute(handover=9)))
    assert str(caught.value) == (
        "The last MATMUL has the field handover = 9; expected 0, since STORE gives its results away"
    )


@pytest.mark.parametrize(
    ("keep", "shown"),
    [(slice(0), "empty"), (slice(1, None), "MATMUL STORE END"), (slice(2), "LOAD MATMUL")],
)
def test_only_whole_programs_have_cycles(small_machine, compute, program, keep, shown):
    with pytest.raises(ProgramError) as caught:
        predict(small_machine(), program(compute())[keep])
    assert str(caught.value) == (
        f"The program is {shown}; expected LOAD, compute instructions, STORE, END"
    )
