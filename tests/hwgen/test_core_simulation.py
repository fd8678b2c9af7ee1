"""Random programs on the simulated core: outputs as golden says, cycles as predicted."""

import dataclasses
import random

import numpy as np
import pytest

from bitwright.hwgen import golden
from bitwright.hwgen.core import Core
from bitwright.hwgen.cycles import predict
from bitwright.hwgen.image import Image, pack_params
from bitwright.hwgen.isa import Instruction, InstructionError, check, encode
from bitwright.hwgen.overlap import hand_over
from bitwright.hwgen.tops import WishboneTop
from bitwright.hwgen.verilog import emit, lint_arguments
from bitwright.ir.instructions import FIELD_NAMES, ChannelOp, Opcode, Space
from bitwright.ir.machine import Machine
from bitwright.rtl_sim import toolchain
from bitwright.rtl_sim.bus import open_bus
from bitwright.runtime.driver import MachineDriver, time_limit


def random_instruction(rng: random.Random, machine: Machine) -> Instruction:
    """Any legal instruction that does not overwrite its own source."""
    while True:
        instruction, source_fits = _candidate(rng, machine)
        try:
            check(machine, instruction)
        except InstructionError:
            continue
        if source_fits:
            return instruction


def _candidate(rng: random.Random, machine: Machine) -> tuple[Instruction, bool]:
    matmul = rng.random() < 0.5
    adds = matmul and machine.fused_adds and rng.random() < 0.6
    planes = (1 if machine.dsp else 8) if matmul else rng.choice([1, 3]) if machine.dsp else 1
    f = dict.fromkeys(FIELD_NAMES, 0)
    window = machine.window_rows > 0 and rng.random() < 0.4
    kernel = 1 if rng.random() < 0.4 else 3  # tiny tiles wait for the output stage
    for name in ("n_cb", "n_ky", "n_kx"):
        f[name] = rng.randint(1, kernel)
    for name, low, high in (
        ("n_block", 1, 3), ("n_oy", 1, 5), ("n_ox", 1, 5), ("n_plane", 1, planes),
        ("y_oy", 0, 3), ("x_ox", 0, 3), ("y_ky", 0, 2), ("x_kx", 0, 2), ("height", 1, 8),
        ("width", 1, 8), ("y0", -3, 2), ("x0", -3, 2), ("pad_value", -128, 127),
        ("channel_op", 0, 1), ("zero_point", -128, 127), ("clamp_min", -128, 0),
        ("clamp_max", 0, 127), ("src_space", 0, 1), ("table_enable", 0, min(machine.tables, 1)),
        ("table", 0, max(machine.tables - 1, 0)),
        ("dst_words", 1, machine.rows // machine.lanes if matmul else 1),
        ("dst_words_last", 1, machine.rows // machine.lanes if matmul else 1),
        ("w_base", 0, machine.weight_words - 1), ("p_base", 0, machine.param_words - 1),
    ):  # fmt: skip
        f[name] = rng.randint(low, high)
    f["n_plane"] = 1 if f["channel_op"] and not matmul else f["n_plane"]
    f["w_same_steps"], f["w_same_blocks"] = rng.choice([0, 0, 1]), rng.choice([0, 0, 1])
    _choose_pixels(rng, machine, f, window and not matmul)
    f["dst_space"] = rng.choice([0, 2])
    depth = machine.in_words if f["src_space"] else machine.act_words
    plane = f["height"] * f["width"]
    f["s_cb"], f["s_block"] = plane, rng.choice([0, plane * f["n_cb"]])
    f["s_oy"], f["s_ky"] = f["y_oy"] * f["width"], f["y_ky"] * f["width"]
    f["s_ox"], f["s_kx"], f["s_pixel"] = f["x_ox"], f["x_kx"], f["x_pixel"]
    used = plane * f["n_cb"] + f["s_block"] * (f["n_block"] - 1)
    base = rng.randrange(depth)
    f["src_base"] = base + f["y0"] * f["width"] + f["x0"]
    pixels = f["n_oy"] * Instruction(Opcode.MATMUL, f).row_pixels
    f["dst_word_stride"] = pixels + rng.randint(0, 2)
    target = machine.out_words if f["dst_space"] else machine.act_words
    f["dst_base"] = rng.randrange(target)
    fits = base + used <= depth
    if f["src_space"] == f["dst_space"] == Space.MAIN:  # one below, one above the middle
        half = depth // 2
        fits &= base + used <= half <= f["dst_base"] or (
            base >= half and f["dst_base"] + f["dst_word_stride"] * f["n_block"] * f["dst_words"]
            + f["dst_word_stride"] * f["dst_words_last"] <= half
        )  # fmt: skip
    if adds:
        f["src_space"] = Space.MAIN
        f["add_base"] = rng.randrange(depth)
        f["add_own"], f["add_other"] = (rng.randrange(1 << rng.randint(20, 25)) for _ in range(2))
        f["add_offset"] = rng.randrange(-1 << 31, 1 << 31) >> rng.randint(0, 8)
        end = f["add_base"] + pixels * f["n_block"]
        fits &= f["dst_space"] != Space.MAIN or (
            end <= f["dst_base"] or f["add_base"] >= f["dst_base"] + pixels * f["n_block"] * 2
        )
    opcode = Opcode.MATMUL_ADD if adds else Opcode.MATMUL if matmul else Opcode.CHANNELWISE
    return Instruction(opcode, f), fits


def _choose_pixels(rng: random.Random, machine: Machine, f: dict[str, int], window: bool) -> None:
    """How many pixels a tile has, and for a window all that goes with it."""
    count = rng.choice([1, machine.pixels, rng.randint(1, machine.pixels)])
    f |= dict.fromkeys(("pixels", "pixels_first"), count)
    f["pixels_last"] = rng.randint(1, count)
    if f["n_ox"] == 1:
        f["pixels_first"] = f["pixels_last"]
    f["x_pixel"] = rng.choice([1, 1, 2, 3]) if machine.pixels > 1 else 0
    if window and rng.random() < 0.2:
        names = ("n_ox", "n_plane", "x_pixel", "pixels", "pixels_first", "pixels_last")
        f |= dict.fromkeys(names, 1)
        f["channel_op"] = ChannelOp.COLUMNS
    elif window:
        stride = rng.choice([1, 2]) if machine.pixels % 2 == 0 else 1
        f |= dict.fromkeys(("n_cb", "n_kx", "n_plane", "x_pixel"), 1)
        f["channel_op"], f["x_ox"] = ChannelOp.WINDOW, machine.pixels
        f["n_ky"] = rng.randint(1, machine.window_rows if f["w_same_steps"] else 3)
        f["pixels"] = machine.pixels // stride
        first = -(-(machine.pixels - 2) // stride)
        f["pixels_first"] = first if f["n_ox"] > 1 else rng.randint(min(1, first), first)
        f["pixels_last"] = rng.randint(1, f["pixels"])


def random_image(rng: random.Random, machine: Machine, count: int) -> Image:
    instructions = [
        Instruction(Opcode.LOAD),
        *(random_instruction(rng, machine) for _ in range(count)),
        Instruction(Opcode.STORE),
        Instruction(Opcode.END),
    ]
    if rng.random() < 0.8:
        instructions = hand_over(machine, instructions)
    half = 1 << machine.acc_bits - 1
    channels = [
        (rng.randrange(-half, half) >> rng.randrange(machine.acc_bits), rng.randint(1, 65535),
         rng.choice([rng.randint(1, 46), rng.randint(14, 30)]))
        for _ in range(machine.param_words * machine.requant_lanes)
    ]  # fmt: skip
    return Image(
        machine,
        encode(machine, instructions),
        [rng.getrandbits(machine.weight_bits) for _ in range(machine.weight_words)],
        pack_params(machine, channels),
        [rng.getrandbits(8) for _ in range(256 * machine.tables)],
    )


def machine(lanes: int, rows: int, requant_lanes: int, acc_bits: int, tables: int) -> Machine:
    return Machine(
        lanes=lanes, rows=rows, requant_lanes=requant_lanes, acc_bits=acc_bits, tables=tables,
        act_words=500, in_words=100, out_words=50, weight_words=400, param_words=128,
        program_words=256,
    )  # fmt: skip


def whole_weights(rows: int, requant_lanes: int, **engine: int) -> Machine:
    """A small machine with the engine `dsp`."""
    return dataclasses.replace(machine(4, rows, requant_lanes, 24, 1), engine="dsp", **engine)


def adding(requant_lanes: int, **engine: int) -> Machine:
    """A small machine that adds to what a convolution makes."""
    base = machine(8, 8, requant_lanes, 24, requant_lanes % 4 // 2)
    return dataclasses.replace(base, engine="dsp", fused_adds=1, program_words=300, **engine)


MACHINES = [
    machine(4, 8, 1, 24, 2),
    whole_weights(8, 4, pixels=4, banks=8, multiplier_blocks=50),
    pytest.param(machine(2, 8, 2, 16, 0), marks=pytest.mark.slow),
    pytest.param(machine(8, 16, 4, 32, 1), marks=pytest.mark.slow),
    pytest.param(machine(16, 32, 4, 24, 1), marks=pytest.mark.slow),
    pytest.param(
        whole_weights(16, 2, pixels=2, banks=2, multiplier_blocks=64), marks=pytest.mark.slow
    ),
    whole_weights(8, 4, pixels=5, banks=8, requant_pixels=2, multiplier_blocks=20),
    pytest.param(
        whole_weights(8, 2, pixels=6, banks=8, multiplier_blocks=64), marks=pytest.mark.slow
    ),
    pytest.param(
        whole_weights(8, 4, pixels=4, banks=4, requant_pixels=2, multiplier_blocks=20),
        marks=pytest.mark.slow,
    ),
    whole_weights(16, 4, pixels=3, banks=4, multiplier_blocks=30, precision=2),
    pytest.param(
        whole_weights(16, 2, pixels=4, banks=4, multiplier_blocks=90, precision=2),
        marks=pytest.mark.slow,
    ),
    whole_weights(8, 4, pixels=4, banks=8, multiplier_blocks=40, precision=4),
    pytest.param(
        adding(8, pixels=6, banks=8, multiplier_blocks=50, precision=4), marks=pytest.mark.slow
    ),
    adding(2, pixels=2, banks=4, multiplier_blocks=64),
    pytest.param(
        adding(8, pixels=6, banks=8, multiplier_blocks=128, multiplier_bits=31),
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize("design", MACHINES)
def test_random_programs(design, tmp_path):
    files = emit(WishboneTop(core=Core(machine=design)), tmp_path, name="bitwright_wb")
    memory = {Space.MAIN: np.zeros((design.act_words, design.lanes), np.int8)}
    banks = [np.zeros((design.out_words, design.lanes), np.int8)] * 2
    with open_bus(files, "bitwright_wb") as bus:
        for seed in range(100):
            rng = random.Random(seed)
            image = random_image(rng, design, rng.randint(1, 5))
            total = predict(design, image.instructions).total
            driver = MachineDriver(bus, design, timeout_cycles=time_limit(total))
            driver.load_image(image)
            random_words = np.random.default_rng(seed)
            inputs = [
                random_words.integers(-128, 128, (design.in_words, design.lanes), np.int8)
                for _ in range(2)
            ]
            for words, found in zip(inputs, driver.run(inputs), strict=True):
                before = {**memory, Space.OUTPUT: banks[0]}
                after = golden.run_memories(image, words, before)
                memory = {Space.MAIN: after[Space.MAIN]}
                banks = [banks[1], after[Space.OUTPUT]]
                np.testing.assert_array_equal(
                    found.words, after[Space.OUTPUT], err_msg=f"{design} with seed {seed}"
                )
                assert found.cycles == total, f"{design} with seed {seed}"


@pytest.mark.parametrize(
    "design",
    [
        machine(4, 8, 1, 24, 2), machine(2, 8, 2, 16, 0), machine(8, 16, 4, 32, 1),
        whole_weights(8, 2, pixels=4, banks=8, multiplier_blocks=50),
    ],
)  # fmt: skip
def test_lint(design, tmp_path):
    files = emit(Core(machine=design), tmp_path, name="bitwright_core")
    command = [*toolchain.verilator(), "--lint-only", *lint_arguments()]
    command += ["--top-module", "bitwright_core", *map(str, files)]
    toolchain.call("Verilator", command, tmp_path, toolchain.verilator_environment())
