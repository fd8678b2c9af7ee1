"""The functional interpreter against a plain loop, one step at a time."""

import numpy as np
import pytest

from bitwright.hwgen import golden
from bitwright.hwgen.image import Image, pack_params
from bitwright.hwgen.isa import InstructionError, encode
from bitwright.ir.instructions import Opcode
from bitwright.passes import pack


def step_by_step(image, inputs):
    """Every step as the machine takes it; input bank to output bank only."""
    machine, out = image.machine, np.zeros((image.machine.out_words, image.machine.lanes), int)
    bias, multiplier, shift = golden._channel_params(image).T
    bits = golden.matrix_weights(golden.weight_bytes(image.weights, machine), machine)
    for i in image.instructions[1:-2]:
        matmul = i.opcode == Opcode.MATMUL
        channels = machine.rows if matmul else machine.lanes
        for block in range(i["n_block"]):
            for pixel in range(i["n_oy"] * i["n_ox"]):
                oy, ox = divmod(pixel, i["n_ox"])
                acc = np.zeros(channels, int)
                position = i["w_base"] + block * i.steps
                for plane, cb, ky, kx in np.ndindex(i["n_plane"], i["n_cb"], i["n_ky"], i["n_kx"]):
                    y = i["y0"] + oy * i["y_oy"] + ky * i["y_ky"]
                    x = i["x0"] + ox * i["x_ox"] + kx * i["x_kx"]
                    word = np.full(machine.lanes, i["pad_value"])
                    if 0 <= y < i["height"] and 0 <= x < i["width"]:
                        place = [block, oy, ox, cb, ky, kx]
                        names = ("s_block", "s_oy", "s_ox", "s_cb", "s_ky", "s_kx")
                        steps = [i[name] for name in names]
                        word = inputs[i["src_base"] + np.dot(place, steps)].astype(int)
                    if plane and (cb, ky, kx) == (0, 0, 0):
                        acc *= -2 if plane == 1 else 2
                    if matmul:
                        term = bits[position].astype(int) @ word
                        acc += -term if i["n_plane"] == 1 else term
                    elif i["channel_op"]:
                        first = (cb, ky, kx) == (0, 0, 0)
                        acc = word if first else np.maximum(acc, word)
                    else:
                        own = np.packbits(bits[position].reshape(-1), bitorder="little")
                        acc += own.view(np.int8)[: machine.lanes] * word
                    position += 1
                start = i["p_base"] * machine.requant_lanes + block * channels
                words = i["dst_words_last" if block == i["n_block"] - 1 else "dst_words"]
                for c in range(words * machine.lanes):
                    total = golden.wrap(acc[c] + bias[start + c], machine.acc_bits)
                    y = (total * multiplier[start + c] + (1 << shift[start + c] >> 1)) >> shift[
                        start + c
                    ]
                    y = min(max(y + i["zero_point"], i["clamp_min"]), i["clamp_max"])
                    if i["table_enable"]:
                        y = np.array(image.tables, np.uint8).view(np.int8)[y + 128]
                    j, lane = divmod(c, machine.lanes)
                    word = (block * i["dst_words"] + j) * i["dst_word_stride"]
                    out[i["dst_base"] + word + pixel, lane] = y
    return out.astype(np.int8)


@pytest.mark.parametrize(
    ("opcode", "changes"),
    [
        (3, {"n_plane": 1, "n_cb": 3, "s_cb": 5}),
        (3, {"n_plane": 4, "n_block": 2, "dst_words": 2, "dst_words_last": 1, "n_ox": 3}),
        (3, {"n_plane": 8, "n_ky": 3, "n_kx": 2, "n_oy": 2, "n_ox": 2, "y0": -1, "x0": -1,
             "src_base": -4, "s_oy": 3, "s_ox": 1, "s_ky": 3, "s_kx": 1, "y_oy": 1, "x_ox": 1,
             "y_ky": 1, "x_kx": 1, "height": 4, "width": 3, "pad_value": -9}),
        (4, {"n_ky": 3, "n_kx": 3, "s_ky": 4, "s_kx": 1, "y_ky": 1, "x_kx": 1, "height": 3,
             "width": 4, "n_ox": 2, "x_ox": 1, "s_ox": 1, "x0": -1, "src_base": -1}),
        (4, {"n_plane": 4, "n_cb": 2, "s_cb": 7, "n_ox": 3, "s_ox": 1, "x_ox": 1, "width": 3}),
        (4, {"channel_op": 1, "n_ky": 2, "n_kx": 2, "s_ky": 4, "s_kx": 1, "y_ky": 1, "x_kx": 1,
             "height": 2, "width": 2, "n_block": 2, "s_block": 8, "table_enable": 1}),
    ],
)  # fmt: skip
def test_golden_agrees_with_a_plain_loop(small_machine, compute, program, opcode, changes):
    machine = small_machine()
    random = np.random.default_rng(opcode * 100 + len(changes))
    changes = {"dst_word_stride": 4, "zero_point": 3, "clamp_min": -100, **changes}
    instructions = program(compute(Opcode(opcode), **changes))
    params = [
        (int(random.integers(-5000, 5000)), int(random.integers(1, 1 << 16)), 20 + c % 5)
        for c in range(machine.param_words * machine.requant_lanes)
    ]
    image = Image(
        machine,
        encode(machine, instructions),
        [int(word) for word in random.integers(0, 1 << 32, machine.weight_words)],
        pack_params(machine, params),
        [int(entry) for entry in random.integers(0, 256, 256)],
    )
    inputs = random.integers(-128, 128, (machine.in_words, machine.lanes)).astype(np.int8)
    expected = step_by_step(image, inputs)
    assert expected.any()
    np.testing.assert_array_equal(golden.run(image, inputs), expected)


def test_golden_sees_a_read_outside_of_the_source(small_machine, compute, program):
    machine = small_machine()
    image = Image(machine, encode(machine, program(compute(src_base=-1))), [0], [0] * 4, [])
    with pytest.raises(InstructionError) as caught:
        golden.run(image, np.zeros((32, 4), np.int8))
    assert str(caught.value) == (
        "MATMUL reads words 63 to 63 of its source in block 0; the memory has 32 words"
    )


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_packed_weights_come_back(small_machine, bits):
    machine = small_machine(rows=16, engine="dsp", pixels=2, banks=2, precision=bits)
    low = -(1 << bits - 1)
    weights = np.random.default_rng(bits).integers(low, -low, (20, 6, 3, 2)).astype(np.int8)
    words = pack.whole_weights(weights, machine.lanes, machine.rows, bits)
    assert words.shape == (2 * 2 * 3 * 2, machine.weight_bits // 8)
    found = golden.matrix_weights(words, machine).reshape(2, 2, 3, 2, machine.rows, machine.lanes)
    padded = np.pad(weights, ((0, 12), (0, 2), (0, 0), (0, 0)))
    for row, lane in np.ndindex(32, 8):
        np.testing.assert_array_equal(
            found[row // 16, lane // 4, :, :, row % 16, lane % 4], padded[row, lane]
        )
