"""The search over overlay machines, against a look at every machine, and its reasons."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from bitwright.errors import BitwrightError
from bitwright.ir.machine import (
    DSP,
    ENGINES,
    PRECISIONS,
    WEIGHT_SERIAL,
    Machine,
    MachineError,
    least_banks,
)
from bitwright.passes.search.overlay import Array, Found, Price, Shape, search
from bitwright.targets.target import Resources

HAVE = Resources(lut=2000, ff=2000, bram=60, dsp=40)
WORDS = ("act_words", "in_words", "out_words", "weight_words", "program_words")
DEPTHS: dict[str, Any] = dict.fromkeys(WORDS, 64)
POWERS = [1 << bit for bit in range(7)]


class Unwritable(BitwrightError):
    """As when a field of an instruction does not hold a number."""


class FakeMaker:
    """A model of 20 x 20 products in which everything is a formula; it notes what it made."""

    def __init__(self, adds: bool = False, stride: int = 4, precision: int = 8) -> None:
        self.adds, self.stride, self.precision = adds, stride, precision
        self.made: list[Array] = []

    def least(self, array: Array) -> Machine:
        return Machine(**array._asdict(), **dict.fromkeys(WORDS, 2), param_words=2)

    def machine(self, array: Array) -> Machine:
        self.made.append(array)
        if array[:2] == (2, 16):
            raise Unwritable("no")
        return Machine(**array._asdict(), **DEPTHS, param_words=128, tables=1)

    def resources(self, machine: Machine) -> Resources:
        memory = sum(asdict(machine)[name] for name in (*WORDS, "param_words"))
        products = machine.pixels * machine.lanes * machine.rows
        return Resources(
            lut=8 * products - 10 * machine.multiplier_blocks, ff=100,
            bram=memory * machine.rows * machine.banks // 150,
            dsp=(0 if machine.dsp else machine.lanes) + 4 * machine.requant_lanes
            * machine.requant_pixels + machine.multiplier_blocks,
        )  # fmt: skip

    def price(self, machine: Machine) -> Price:
        assert Array.of(machine) in self.made
        steps = -(-20 // machine.lanes) * -(-20 // machine.rows) * 8 // machine.pixels
        waits = 4 * -(-machine.rows // machine.requant_lanes)
        return Price(steps + waits, steps + waits + 1, {"matrix": steps, "output": waits})


def everything(maker: FakeMaker) -> set[Shape]:
    """All that fits, without any bound."""
    found: set[Shape] = set()
    kinds = [(engine, p, b) for engine in ENGINES for p in POWERS for b in POWERS]
    arrays = [Array(a, b, *kind) for a in POWERS for b in POWERS for kind in kinds]
    for shape in (Shape(array, v, n) for array in arrays for v in POWERS for n in (1, 2)):
        array, lanes, pixels = shape
        if pixels == 2 and lanes < array.lanes:
            continue
        try:
            made = replace(maker.machine(array), requant_lanes=lanes, requant_pixels=pixels)
        except BitwrightError:
            continue
        blocks = min(made.product_pairs, max(0, HAVE.dsp - 4 * lanes * pixels))
        words = max(2, 128 // shape.requant_lanes)
        machine = replace(made, param_words=words, multiplier_blocks=blocks)
        need = dict(maker.resources(machine).items())
        if all(need[name] <= count for name, count in HAVE.items()):
            found.add(shape)
    return found


def shape(lanes: int, rows: int, requant_lanes: int) -> Shape:
    return Shape(Array(lanes, rows), requant_lanes)


@pytest.fixture(scope="module")
def found() -> Found:
    return search(FakeMaker(), {}, HAVE)


def test_all_that_fits_is_found(found: Found) -> None:
    assert set(found.machines) == everything(FakeMaker())
    assert len(found.machines) > 10


def test_engines_may_take_less_than_there_is(found: Found) -> None:
    most = {(WEIGHT_SERIAL, 8): 500, (DSP, 8): HAVE.lut + 1}
    less = search(FakeMaker(), {}, HAVE, most_lut=most).machines
    assert set(less) == {
        key
        for key, item in found.machines.items()
        if key.array.engine == DSP or item.resources.lut <= 500
    }
    assert 0 < len(less) < len(found.machines)


def test_products_are_made_in_all_the_multiplier_blocks_there_are(found: Found) -> None:
    blocks = {
        key: item.parameters["multiplier_blocks"]
        for key, item in found.machines.items() if key.array.engine == "dsp"
    }  # fmt: skip
    assert blocks[Shape(Array(2, 8, "dsp", 2, 2), 2)] == 16, "all products"
    assert blocks[Shape(Array(8, 8, "dsp", 2, 2), 2)] == 32, "all blocks that are left"
    assert len(blocks) > 5


def test_sums_are_fused_where_the_model_has_them(found: Found) -> None:
    both = search(FakeMaker(adds=True), {}, HAVE).machines
    assert {key for key in both if not key.array.fused_adds} == set(found.machines)
    fused = {key for key in both if key.array.fused_adds}
    assert fused == {
        key._replace(array=key.array._replace(fused_adds=1)) for key in found.machines
        if key.array.engine == "dsp" and key.array.lanes == key.array.rows
        and key.requant_pixels == 1
    }  # fmt: skip
    assert fused
    assert set(search(FakeMaker(adds=True), {"fused_adds": 1}, HAVE).machines) == fused
    assert set(search(FakeMaker(adds=True), {"fused_adds": 0}, HAVE).machines) == set(
        found.machines
    )


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 8])
def test_weights_have_as_few_bits_as_the_model_and_the_rows_allow(found: Found, bits: int) -> None:
    arrays = {key.array for key in search(FakeMaker(precision=bits), {}, HAVE).machines}
    for array in arrays:
        wanted = next(p for p in PRECISIONS if p >= bits and p * array.rows >= 24)
        assert array.precision == (wanted if array.engine == DSP else 8)
    assert {array._replace(precision=8) for array in arrays} == {
        key.array for key in found.machines
    }


def test_no_more_banks_than_strides_ask_for() -> None:
    every, fewer = FakeMaker(), FakeMaker(stride=1)
    search(every, {}, HAVE)
    search(fewer, {}, HAVE)
    least = {array for array in every.made if array.banks == least_banks(array.pixels)}
    assert set(fewer.made) == least < set(every.made)


def test_programs_are_only_made_where_the_least_machine_fits() -> None:
    maker = FakeMaker()
    search(maker, {}, HAVE)
    assert len(maker.made) == len(set(maker.made))
    fewest = [replace(least, multiplier_blocks=min(36, least.product_pairs))
              for least in map(maker.least, maker.made)]  # fmt: skip
    assert all(maker.resources(machine).lut <= HAVE.lut for machine in fewest)


def test_a_candidate_makes_its_machine_again(found: Found) -> None:
    for key, item in found.machines.items():
        machine = Machine(**item.parameters)  # pyright: ignore[reportArgumentType]
        assert (Array.of(machine), machine.requant_lanes, machine.requant_pixels) == key
        assert machine.param_words == max(2, 128 // machine.requant_lanes)
        assert item.resources == FakeMaker().resources(machine)
        assert sum(item.spent.values()) == item.cycles == item.interval - 1


def test_reasons(found: Found) -> None:
    limits = dict(zip(found.machines, (c.limits for c in found.candidates()), strict=True))
    assert limits[shape(8, 16, 8)] == ("16 lanes: 2,048+ LUT", "32 rows: 2,048+ LUT")
    assert limits[shape(4, 16, 4)] == ("32 rows: 75 BRAM",)
    assert limits[shape(2, 8, 2)] == ("16 rows: no program",)
    assert limits[shape(8, 8, 1)] == ("16 lanes: 2,048+ LUT", "16 rows: no faster")


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        ({"lanes": 4}, {4}),
        ({"engine": "dsp", "pixels": 2, "banks": 2}, {2, 4, 8}),
        ({"rows": 16, "requant_lanes": 2}, {4, 8}),
        ({"lanes": 8, "rows": 16, "requant_lanes": 1}, {8}),
    ],
)
def test_what_is_fixed_is_kept(
    found: Found, fixed: dict[str, int | str], expected: set[int]
) -> None:
    kept = search(FakeMaker(), fixed, HAVE)
    assert {key.array.lanes for key in kept.machines} == expected
    agree = [
        key for key, item in found.machines.items()
        if all(item.parameters[name] == value for name, value in fixed.items())
    ]  # fmt: skip
    assert list(kept.machines) == agree


def test_a_fixed_depth_is_the_least_one() -> None:
    kept = search(FakeMaker(), {"lanes": 8, "rows": 8, "param_words": 100}, HAVE)
    words = {key[1]: item.parameters["param_words"] for key, item in kept.machines.items()}
    assert words == {1: 128, 2: 100, 4: 100, 8: 100}


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"lanes": 7}, "Machine parameter lanes is 7; expected a power of two from 2 to 64"),
        ({"rows": 12}, "Machine parameter rows is 12; expected a power of two that is a multiple "
         "of lanes (8) and at least 8"),
        ({"engine": "cpu"}, "Machine parameter engine is 'cpu'; expected one of weightserial, dsp"),
        ({"pixels": 2, "engine": "weightserial"}, "Machine parameter pixels is 2; expected 1 with "
         "the engine weightserial"),
        ({"fused_adds": 1, "engine": "weightserial"}, "Machine parameter fused_adds is 1; expected "
         "0, or the engine dsp with rows = lanes and requant_pixels = 1"),
        ({"lanes": 16, "rows": 8}, "Machine parameter rows is 8; expected a power of two that is a "
         "multiple of lanes (16) and at least 8"),
    ],
)  # fmt: skip
def test_what_no_machine_has(fixed: dict[str, int | str], message: str) -> None:
    with pytest.raises(MachineError) as caught:
        search(FakeMaker(), fixed, HAVE)
    assert str(caught.value) == message


def test_what_stands_in_the_way_of_all() -> None:
    found = search(FakeMaker(), {"requant_lanes": 3}, HAVE)
    assert not found.machines
    assert {str(error) for error in found.errors.values()} >= {
        "Machine parameter requant_lanes is 3; expected a power of two that is at most lanes (8)"
    }
    small = search(FakeMaker(), {}, replace(HAVE, bram=0))
    assert not small.machines
    assert list(map(str, small.short[shape(2, 8, 1)])) == ["23 BRAM"]
