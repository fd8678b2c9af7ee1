"""Program words and images: round trips, and every error's message."""

import numpy as np
import pytest

from bitwright.hwgen.image import Image, ImageError, pack_params
from bitwright.hwgen.isa import (
    Instruction,
    InstructionError,
    decode,
    encode,
    kept_bits,
    stream_counts,
)
from bitwright.ir.instructions import ADD_FIELD_NAMES, INSTRUCTION_WORDS, Opcode


def test_encode_and_decode_are_inverse(small_machine, compute, program):
    instructions = program(
        compute(y0=-2, x0=-3, src_base=-9, pad_value=-128, zero_point=-5),
        compute(Opcode.CHANNELWISE, s_cb=-4, channel_op=1, table_enable=1),
    )
    words = encode(small_machine(), instructions)
    assert len(words) == 3 + 2 * INSTRUCTION_WORDS
    assert all(0 <= word < 1 << 32 for word in words)
    assert decode(words) == instructions


def test_the_machine_keeps_every_bit_of_a_legal_field(small_machine, compute):
    kept = kept_bits(small_machine())
    words = encode(small_machine(), [compute(y0=-2, dst_space=2, dst_words=2, clamp_min=-7)])
    names = ["opcode", *kept]
    for name, expected in (("y0", -2), ("dst_space", 1), ("dst_words", 2), ("clamp_min", -7)):
        offset, bits = kept[name]
        assert words[names.index(name)] >> offset & (1 << bits) - 1 == expected & (1 << bits) - 1


@pytest.mark.parametrize(
    ("opcode", "changes", "message"),
    [
        (
            3,
            {"n_plane": 0},
            "MATMUL field n_plane (trip count: weight bit planes (weight precision); channelwise: "
            "of int8 weights) is 0; this machine holds 1 to 15",
        ),
        (
            3,
            {"pad_value": 128},
            "MATMUL field pad_value (int8 that stands for every lane outside of the source) is "
            "128; this machine holds -128 to 127",
        ),
        (3, {"dst_space": 1}, "MATMUL field dst_space is 1 (INPUT); expected 0 or 2"),
        (3, {"dst_words": 3}, "MATMUL field dst_words is 3; a tile has 2 word(s)"),
        (4, {"dst_words": 2}, "CHANNELWISE field dst_words is 2; a tile has 1 word(s)"),
        (
            4,
            {"n_plane": 2, "channel_op": 1},
            "CHANNELWISE field n_plane is 2 with a maximum; expected 1",
        ),
        (3, {"w_base": 63, "n_kx": 2}, "MATMUL needs weight_words = 65; the machine has 64"),
        (3, {"p_base": 29}, "MATMUL needs param_words = 33; the machine has 32"),
        (3, {"dst_base": 15, "n_ox": 2}, "MATMUL needs out_words = 17; the machine has 16"),
        (
            3,
            {"y_oy": 60, "n_oy": 16, "dst_space": 0},
            "MATMUL reaches y = 900; this machine counts to 255",
        ),
        (
            3,
            {"rounding": 1},
            "MATMUL field rounding (0 half_up, 1 tflite, 2 half_away, 3 half_even) is 1; this "
            "machine holds 0 to 0",
        ),
    ],
)
def test_check_names_field_and_bound(small_machine, compute, opcode, changes, message):
    with pytest.raises(InstructionError) as caught:
        encode(small_machine(), [compute(Opcode(opcode), **changes)])
    assert str(caught.value) == message


WINDOW = {
    "channel_op": 2, "w_same_steps": 1, "s_pixel": 1, "x_pixel": 1, "pixels": 4, "pixels_first": 2,
    "n_ox": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("opcode", "changes", "message"),
    [
        (3, {"n_plane": 2},
         "MATMUL field n_plane is 2; the engine dsp has whole weights, expected 1"),
        (3, {"n_ox": 2, "pixels": 4, "pixels_first": 2, "s_pixel": 1},
         "MATMUL field pixels_first is 2; expected 4, the field pixels, without a window"),
        (3, {"pixels_first": 0},
         "MATMUL field pixels_first is 0 with one tile a row; expected 1 to 4"),
        (3, {"pixels": 2, "pixels_first": 3, "s_pixel": 1},
         "MATMUL has a tile of 3 pixels; expected at most 2, the field pixels"),
        (3, {"pixels": 4, "pixels_first": 4, "s_pixel": 2},
         "MATMUL reads 4 pixels at distances of 2 words; 4 banks hold 2 of them side by side"),
        (4, WINDOW | {"n_ky": 3},
         "CHANNELWISE field n_ky is 3 with a window; this machine holds 1 to 2"),
        (4, WINDOW | {"w_same_steps": 0, "n_plane": 2},
         "CHANNELWISE field n_plane is 2 with a window; this machine holds 1 to 1"),
        (4, WINDOW | {"pixels": 3},
         "CHANNELWISE field pixels is 3 with a window; expected 4 or 2"),
        (4, WINDOW | {"pixels_first": 3},
         "CHANNELWISE field pixels_first is 3 with a window; a row's first tile has at most 2"),
        (4, WINDOW | {"x_pixel": 2},
         "CHANNELWISE field x_pixel is 2 with a window or columns; expected 1"),
        (4, WINDOW | {"channel_op": 3},
         "CHANNELWISE field n_ox is 2 with a window or columns; expected 1"),
    ],
)  # fmt: skip
def test_pixels_that_a_machine_cannot_read_or_make(
    small_machine, compute, opcode, changes, message
):
    machine = small_machine(engine="dsp", pixels=4, banks=4)
    with pytest.raises(InstructionError) as caught:
        encode(machine, [compute(Opcode(opcode), **changes)])
    assert str(caught.value) == message


def test_columns_are_those_of_the_pixels_that_a_tile_has(small_machine, compute, program):
    machine = small_machine(engine="dsp", pixels=4, banks=4, act_words=2, in_words=2, out_words=2)
    instructions = program(compute(x_pixel=3))
    assert decode(encode(machine, instructions)) == instructions
    with pytest.raises(InstructionError) as caught:
        encode(machine, [compute(x_pixel=3, s_pixel=1, pixels=4, pixels_first=4)])
    assert str(caught.value) == "MATMUL reaches x = 9; this machine counts to 7"


@pytest.mark.parametrize(
    ("machine", "changes", "message"),
    [
        ({"fused_adds": 0}, {}, "MATMUL_ADD needs fused_adds = 1; the machine has fused_adds = 0"),
        ({}, {"src_space": 1}, "MATMUL_ADD field src_space is 1 (INPUT); expected 0"),
        ({}, {"add_base": 63, "n_block": 2}, "MATMUL_ADD needs act_words = 65; the machine has 64"),
        ({}, {"add_own": 1 << 25},
         "MATMUL_ADD field add_own (what the result is multiplied with) is 33554432; this machine "
         "holds 0 to 33554431"),
        ({}, {"n_plane": 2},
         "MATMUL_ADD field n_plane is 2; the engine dsp has whole weights, expected 1"),
    ],
)  # fmt: skip
def test_sums_that_a_machine_cannot_make(small_machine, compute, machine, changes, message):
    machine = small_machine(
        **{"lanes": 8, "engine": "dsp", "pixels": 2, "banks": 4, "fused_adds": 1, **machine}
    )
    fields = dict.fromkeys(ADD_FIELD_NAMES, 0) | {"src_space": 0} | changes
    with pytest.raises(InstructionError) as caught:
        encode(machine, [compute(Opcode.MATMUL_ADD, **fields)])
    assert str(caught.value) == message


def test_a_table_needs_tables(small_machine, compute):
    with pytest.raises(InstructionError) as caught:
        encode(small_machine(tables=0), [compute(table_enable=1)])
    assert str(caught.value) == "MATMUL field table_enable is 1, but the machine has no tables"


def test_a_missing_field(small_machine):
    with pytest.raises(InstructionError) as caught:
        encode(small_machine(), [Instruction(Opcode.MATMUL, {})])
    assert str(caught.value) == "MATMUL has no field src_space; every field must be given"


def test_a_program_that_is_too_long(small_machine, compute, program):
    with pytest.raises(InstructionError) as caught:
        encode(small_machine(), program(*[compute()] * 4))
    assert str(caught.value) == ("The program has 191 words; the machine has program_words = 128")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([1, 9], "Program word 1 is 9; expected an opcode from 0 to 5"),
        ([1, 2], "The program of 2 words has no END"),
        (
            [1, 3, 0],
            "The program ends inside of the MATMUL at word 1; expected 46 fields, got 1",
        ),
    ],
)
def test_decode_errors(words, message):
    with pytest.raises(InstructionError) as caught:
        decode(words)
    assert str(caught.value) == message


def test_image_round_trip(small_machine, compute, program, tmp_path):
    machine = small_machine()
    image = Image(
        machine,
        encode(machine, program(compute(x0=-1))),
        [0xDEADBEEF, 1],
        pack_params(machine, [(-3, 65535, 46), (5, 1, 1), (0, 7, 9)]),
        list(range(256)),
    )
    image.save(tmp_path)
    assert Image.load(tmp_path, machine) == image
    assert (tmp_path / "weights.hex").read_text() == "deadbeef\n00000001\n"


def test_image_errors(small_machine, tmp_path):
    machine = small_machine()
    with pytest.raises(ImageError) as caught:
        Image(machine, [], [0] * 65, [], [])
    assert str(caught.value) == "Image memory weights has 65 words; the machine holds 64"
    with pytest.raises(ImageError) as caught:
        Image(machine, [], [1 << 32], [], [])
    assert str(caught.value) == "Image memory weights word 0 is 0x100000000; expected 32 bits"
    with pytest.raises(ImageError, match=r"^Image file .*program.hex cannot be read: .*"):
        Image.load(tmp_path, machine)
    with pytest.raises(ImageError) as caught:
        pack_params(machine, [(0, 1, 1), (0, 1, 0)])
    assert str(caught.value) == (
        "Channel 1 has bias 0, multiplier 1, shift 0; expected a bias of 20 bits, a multiplier "
        "below 65536 and a shift of 1 to 46"
    )


def test_weights_in_external_memory(small_machine, compute, program, tmp_path):
    machine = small_machine(memory="fixed", memory_latency=3, weight_words=256)
    many = compute(n_block=2, n_cb=3, w_base=0, dst_words_last=1)
    last = compute(Opcode.CHANNELWISE, w_base=6)
    words = encode(machine, program(many, last))
    # One burst of 64 words: 6 for the first instruction, the rest for the last.
    assert words[0] == Opcode.LOAD | 1 << 3
    assert words[1] == Opcode.MATMUL | 6 << 3
    assert words[1 + INSTRUCTION_WORDS] == Opcode.CHANNELWISE | 58 << 3
    image = Image(machine, words, list(range(1, 65)), [7], [8])
    assert image.instructions == program(many, last)
    image.save(tmp_path)
    assert Image.load(tmp_path, machine) == image
    assert not (tmp_path / "weights.hex").exists()
    assert (tmp_path / "external.bin").read_bytes() == np.arange(1, 65, dtype="<u4").tobytes()
    (tmp_path / "external.bin").unlink()
    with pytest.raises(ImageError) as caught:
        Image.load(tmp_path, machine)
    assert str(caught.value) == (
        f"Image file {tmp_path / 'external.bin'} cannot be read: No such file or directory; "
        "expected the contents of the external memory"
    )


def test_weights_that_external_memory_cannot_give(small_machine, compute, program):
    machine = small_machine(memory="fixed", memory_latency=3, weight_words=256)
    with pytest.raises(InstructionError) as caught:
        encode(machine, program(compute(), compute(w_base=3)))
    assert str(caught.value) == (
        "Instruction 2, MATMUL, has w_base = 3; expected 1: weights in external memory follow each "
        "other in the order of their use"
    )
    with pytest.raises(InstructionError) as caught:
        encode(machine, program(compute(n_cb=43, n_ky=3)))
    assert str(caught.value) == "MATMUL needs weight_words = 257; the machine has 256"
    with pytest.raises(InstructionError) as caught:
        stream_counts(machine, [compute(n_block=1 << 24)])
    assert str(caught.value) == (
        "The program has 16777216 weight words in external memory; expected fewer than 16777216"
    )
