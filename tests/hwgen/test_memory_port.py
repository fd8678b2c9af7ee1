# amaranth: UnusedElaboratable=no
"""The parameters of the units for external memory, and cycles that can be counted by hand."""

from random import Random

import pytest

from bitwright.hwgen.memory_model import (
    FixedLatency,
    MemoryState,
    Sdram,
    mt48lc16m16,
    wishbone_transfers,
)
from bitwright.hwgen.ports.axi4_master import Axi4Master
from bitwright.hwgen.ports.memory_port import MemoryPortSignature
from bitwright.hwgen.ports.wishbone_master import WishboneMaster
from bitwright.hwgen.sdram import SdramController
from bitwright.hwgen.stream_buffer import StreamBuffer
from bitwright.ir.machine import MachineError

SDRAM = {
    "banks": 4, "columns": 512, "columns_per_word": 2, "cas_latency": 2, "t_rcd": 3, "t_rp": 3,
    "t_wr": 2, "t_rfc": 7, "refresh_interval": 773,
}  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: StreamBuffer(width=8, depth=1),
            "StreamBuffer has depth 1; expected at least 2, with which it passes an element every "
            "cycle",
        ),
        (
            lambda: MemoryPortSignature(data_bits=24, address_bits=20, words_bits=10),
            "Memory port has words of 24 bits; expected a power of two, at least 8",
        ),
        (
            lambda: MemoryPortSignature(data_bits=32, address_bits=20, words_bits=21),
            "Memory port has commands of 21 bits of words and 20 bits of address; expected at "
            "least 1 and no more than the address",
        ),
        (
            lambda: WishboneMaster(burst_words=0),
            "WishboneMaster has bursts of 0 words; expected at least 1",
        ),
        (
            lambda: Axi4Master(burst_words=12),
            "Axi4Master has bursts of 12 words of 32 bits; expected a power of two, at most 256",
        ),
        (
            lambda: Axi4Master(data_bits=256, burst_words=256),
            "Axi4Master has bursts of 256 words of 256 bits; expected a power of two, at most 128",
        ),
        (
            lambda: Axi4Master(outstanding=0),
            "Axi4Master has 0 outstanding bursts; expected at least 1",
        ),
        (
            lambda: FixedLatency(first=3, following=0),
            "FixedLatency has following = 0 cycles; expected at least 1",
        ),
        (lambda: Sdram(**SDRAM | {"t_rp": 0}), "Sdram has t_rp = 0; expected at least 1"),
        (lambda: Sdram(**SDRAM | {"banks": 3}), "Sdram has banks = 3; expected a power of two"),
        (
            lambda: Sdram(**SDRAM | {"refresh_interval": 24}),
            "Sdram has a refresh every 24 cycles and beats of up to 24; expected the beats to be "
            "shorter: check the times or raise the clock frequency",
        ),
        (
            lambda: SdramController(timing=Sdram(**SDRAM | {"columns_per_word": 4})),
            "SdramController has a timing with columns_per_word = 4; expected 2, which its words "
            "of 32 bits take",
        ),
        (
            lambda: SdramController(timing=Sdram(**SDRAM | {"registers": 4})),
            "SdramController has a timing with registers = 4; expected 5, which its words of 32 "
            "bits take",
        ),
        (
            lambda: SdramController(timing=Sdram(**SDRAM | {"t_wr": 3})),
            "SdramController has cas_latency = 2, t_rfc = 7 and t_wr = 3; expected a latency of 2 "
            "or 3, at least 2, and at most 2",
        ),
        (
            lambda: mt48lc16m16(150),
            "The SDRAM MT48LC16M16 has a clock of 150 MHz; expected 20 to 133 MHz",
        ),
    ],
)
def test_parameters_that_no_unit_has(make, message: str) -> None:
    with pytest.raises(MachineError) as caught:
        make()
    assert str(caught.value) == message


def test_the_sdram_of_the_ulx3s() -> None:
    assert mt48lc16m16(100) == Sdram(**SDRAM)
    fast = {"cas_latency": 3, "t_rfc": 9, "refresh_interval": 1031}
    assert mt48lc16m16(133) == Sdram(**SDRAM | fast)


def test_a_burst_is_its_beats() -> None:
    random = Random(1)
    corners = Sdram(**SDRAM | {"banks": 2, "columns": 16, "refresh_interval": 41})
    for timing in (FixedLatency(first=3, following=2), Sdram(**SDRAM), corners):
        beats, bursts, cycle = MemoryState(timing), MemoryState(timing), 0
        for _ in range(500):
            address, words = random.randrange(2000), random.choice((1, 2, 64, 99))
            ends = list[int]()
            for number in range(words):
                begin = ends[-1] if number else cycle
                ends.append(beats.beat(begin, address + number, announced=number > 0))
            assert bursts.burst(cycle, address, words) == ends
            cycle = ends[-1] + random.randint(1, 60)


def test_a_row_is_opened_once() -> None:
    # Taken in cycle 0, first beat in 2: row (3), registers (5), CAS latency (2), two columns.
    first = 2 + 3 + 5 + 2 + 2
    assert wishbone_transfers(Sdram(**SDRAM), [(0, 16)], burst_words=16) == [first + 15 * 2]
    # A second burst has the latency again, a second row of the bank is opened after the first.
    again = first + 15 * 2 + 2 + 5 + 2 + 2
    assert wishbone_transfers(Sdram(**SDRAM), [(0, 17)], burst_words=16) == [again]
    other = first + 3 + 3 + 3 + 5 + 2 + 2
    two = [(0, 1), (4 * 256, 1)]
    assert wishbone_transfers(Sdram(**SDRAM), two, burst_words=16) == [first, other]
