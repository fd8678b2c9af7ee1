"""Instructions as program words.

One program word per field in the order of `bitwright.ir.instructions.fields_of`; signed fields are
32-bit two's complement. The machine keeps only the low `field_bits` bits of each field, so what
can be encoded depends on the machine, and `check` says what does not fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import gcd

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from bitwright.errors import BitwrightError
from bitwright.ir.instructions import (
    ADD_BITS,
    ADD_FIELD_NAMES,
    ADD_FIELDS,
    ADD_OFFSET_BITS,
    FIELDS,
    ChannelOp,
    Opcode,
    Rounding,
    Space,
    fields_of,
)
from bitwright.ir.machine import WINDOW_TAPS, Machine

WORD_BITS = 32
SOURCE_FIELDS = ("src_base", "s_block", "s_oy", "s_ox", "s_cb", "s_ky", "s_kx", "s_pixel")
PIXEL_FIELDS = ("pixels", "pixels_first", "pixels_last")
MATRIX = (Opcode.MATMUL, Opcode.MATMUL_ADD)
BASIC = (Opcode.MATMUL, Opcode.CHANNELWISE)  # of every machine
COMPUTE = (*BASIC, Opcode.MATMUL_ADD)
STEP_BITS = 6
HANDOVER_BITS = 6
PLANE_BITS = 4
OPCODE_BITS = 3
STREAM_BITS = 18  # of the number of bursts that the weights of an inference are


class InstructionError(BitwrightError):
    """An instruction that the machine cannot hold or that leaves its memories."""

    exit_code = 5


@dataclass(frozen=True)
class Instruction:
    """One instruction; `fields` has every field of its opcode (`fields_of`)."""

    opcode: Opcode
    fields: Mapping[str, int] = field(default_factory=dict[str, int])

    def __getitem__(self, name: str) -> int:
        return self.fields[name]

    @property
    def steps(self) -> int:
        """Steps of one tile that multiply."""
        return self["n_plane"] * self["n_cb"] * self["n_ky"] * self["n_kx"]

    @property
    def adds(self) -> bool:
        return self.opcode == Opcode.MATMUL_ADD

    @property
    def tile_steps(self) -> int:
        """Steps of one tile, with the one that reads what is added."""
        return self.steps + self.adds

    @property
    def tiles(self) -> int:
        return self["n_block"] * self["n_oy"] * self["n_ox"]

    @property
    def window(self) -> bool:
        return self.opcode == Opcode.CHANNELWISE and self["channel_op"] == ChannelOp.WINDOW

    @property
    def columns(self) -> bool:
        return self.opcode == Opcode.CHANNELWISE and self["channel_op"] == ChannelOp.COLUMNS

    @property
    def weight_words(self) -> int:
        """Weight words of one block."""
        return 1 if self["w_same_steps"] else self.steps

    @property
    def all_weight_words(self) -> int:
        """Weight words of all blocks."""
        return (1 if self["w_same_blocks"] else self["n_block"]) * self.weight_words

    @property
    def last_pixels(self) -> int:
        """Pixels of the last tile of a row."""
        return self["pixels_first" if self["n_ox"] == 1 else "pixels_last"]

    @property
    def row_pixels(self) -> int:
        """Output pixels of a row."""
        inner = max(self["n_ox"] - 2, 0) * self["pixels"]
        return inner + self.last_pixels + (self["pixels_first"] if self["n_ox"] > 1 else 0)


def groups(machine: Machine, opcode: Opcode) -> int:
    """Cycles that the output stage spends on a pixel of a tile."""
    return machine.matmul_groups if opcode in MATRIX else machine.channelwise_groups


def output_cycles(machine: Machine, opcode: Opcode, pixels: int) -> int:
    """Cycles that the output stage spends on a tile of so many pixels."""
    return groups(machine, opcode) * machine.pixel_turns(pixels)


def address_bits(depth: int) -> int:
    """Width of an address into `depth` words."""
    return max(1, (depth - 1).bit_length())


def spatial_bits(machine: Machine) -> int:
    """Width of a row or column count."""
    words = max(machine.act_words, machine.in_words, machine.out_words)
    return min(words.bit_length(), 12)


def coordinate_bits(machine: Machine) -> int:
    """Width of an input row or column (two's complement), padding included."""
    return spatial_bits(machine) + 2


@lru_cache(maxsize=64)
def field_bits(machine: Machine) -> Mapping[str, int]:
    """How many low bits of each field the machine keeps."""
    source = address_bits(max(machine.act_words, machine.in_words))
    result = address_bits(max(machine.act_words, machine.out_words))
    spatial, coordinate = spatial_bits(machine), coordinate_bits(machine)
    kernel = min(spatial, 8)
    words = (machine.rows // machine.lanes).bit_length()
    bits = {
        "src_space": 1,
        "dst_space": 2,
        "n_block": min(machine.param_words.bit_length(), 10),
        "n_oy": spatial,
        "n_ox": spatial,
        "n_plane": PLANE_BITS,
        "n_cb": min(max(machine.act_words, machine.in_words).bit_length(), 10),
        "n_ky": kernel,
        "n_kx": kernel,
        "y0": coordinate,
        "x0": coordinate,
        "y_oy": STEP_BITS,
        "x_ox": STEP_BITS,
        "y_ky": STEP_BITS,
        "x_kx": STEP_BITS,
        "height": spatial,
        "width": spatial,
        "w_base": address_bits(machine.weight_words),
        "w_same_steps": 1,
        "w_same_blocks": 1,
        "channel_op": 2 if machine.dsp else 1,
        "p_base": address_bits(machine.param_words),
        "dst_base": result,
        "dst_word_stride": result,
        "dst_words": words,
        "dst_words_last": words,
        "rounding": max(Rounding).bit_length(),
        "table_enable": 1,
        "table": address_bits(max(machine.tables, 1)),
    }
    for name in SOURCE_FIELDS:
        bits[name] = source
    bits["x_pixel"] = STEP_BITS
    bits["handover"] = HANDOVER_BITS
    for name in PIXEL_FIELDS:
        bits[name] = machine.pixels.bit_length()
    for name in ("pad_value", "clamp_min", "clamp_max", "zero_point"):
        bits[name] = 8
    bits |= {"add_base": source, "add_own": ADD_BITS, "add_other": ADD_BITS}
    bits["add_offset"] = ADD_OFFSET_BITS
    return {item.name: bits[item.name] for item in (*FIELDS, *ADD_FIELDS)}


@lru_cache(maxsize=64)
def kept_bits(machine: Machine) -> Mapping[str, tuple[int, int]]:
    """Where in its program word each field's register is: (first bit, bits); 0 bits for none."""
    kept = {name: (0, bits) for name, bits in field_bits(machine).items()}
    kept["dst_space"] = (1, 1)  # 1: output bank
    if not machine.fused_adds:
        kept = {name: place for name, place in kept.items() if name not in ADD_FIELD_NAMES}
    if not machine.wide:
        kept["rounding"] = (0, 0)
    if not machine.dsp:
        kept |= dict.fromkeys((*PIXEL_FIELDS, "s_pixel", "x_pixel"), (0, 0))
    if machine.streams:
        kept["w_base"] = (0, 0)
    if machine.tables < 2:
        kept["table"] = (0, 0)
    if not machine.tables:
        kept["table_enable"] = (0, 0)
    return kept


def program_bits(machine: Machine) -> int:
    """Width of the program memory: no register keeps a higher bit of a program word."""
    fields = max(offset + bits for offset, bits in kept_bits(machine).values())
    return max(OPCODE_BITS + count_bits(machine), fields)


def count_bits(machine: Machine) -> int:
    """Width of the count beside an opcode: bursts or weight words from external memory."""
    return max(STREAM_BITS, address_bits(machine.weight_words)) if machine.streams else 0


def field_layout(machine: Machine, names: Sequence[str]) -> data.StructLayout:
    """The named fields as the machine keeps them, in the order of the instruction."""
    bits = kept_bits(machine)
    return data.StructLayout(
        {
            item.name: signed(bits[item.name][1]) if item.signed else unsigned(bits[item.name][1])
            for item in (*FIELDS, *ADD_FIELDS)
            if item.name in names and item.name in bits and bits[item.name][1]
        }
    )


def _field_range(machine: Machine, name: str, bits: int, signed: bool) -> tuple[int, int]:
    if name == "src_base" or name.startswith("s_"):  # kept modulo the memory
        return -(1 << bits) + 1, (1 << bits) - 1
    if name == "w_base" and machine.streams:  # counted from the start of external memory
        return 0, (1 << WORD_BITS - 1) - 1
    if name == "rounding":
        return 0, max(Rounding) if machine.wide else 0
    if name == "dst_space":
        return 0, 2
    if name == "table":
        return 0, max(machine.tables - 1, 0)
    low = -(1 << bits - 1) if signed else 0
    ones = ("height", "width", "dst_words", "dst_words_last", "pixels", "pixels_last")
    if name.startswith("n_") or name in ones:
        low = 1
    if name in PIXEL_FIELDS:
        return low if machine.dsp else 1, machine.pixels
    return low, (1 << bits - signed) - 1


def check(machine: Machine, instruction: Instruction) -> None:
    """Raise `InstructionError` if the machine cannot run the instruction as it is written.

    Source addresses are not covered (only those inside of the source count): `golden` sees them.
    """
    if instruction.opcode not in COMPUTE:
        return
    name = instruction.opcode.name
    bits = field_bits(machine)
    if instruction.adds and not machine.fused_adds:
        raise InstructionError(f"{name} needs fused_adds = 1; the machine has fused_adds = 0")
    for item in fields_of(instruction.opcode):
        if item.name not in instruction.fields:
            raise InstructionError(f"{name} has no field {item.name}; every field must be given")
        value = instruction[item.name]
        low, high = _field_range(machine, item.name, bits[item.name], item.signed)
        if not low <= value <= high:
            raise InstructionError(
                f"{name} field {item.name} ({item.meaning}) is {value}; this machine holds {low} "
                f"to {high}"
            )
    channelwise = instruction.opcode == Opcode.CHANNELWISE
    maximum = channelwise and instruction["channel_op"] == ChannelOp.MAX
    if maximum and instruction["n_plane"] != 1:
        raise InstructionError(
            f"CHANNELWISE field n_plane is {instruction['n_plane']} with a maximum; expected 1"
        )
    if not channelwise and machine.dsp and instruction["n_plane"] != 1:
        raise InstructionError(
            f"{name} field n_plane is {instruction['n_plane']}; the engine dsp has whole weights, "
            "expected 1"
        )
    _check_pixels(machine, instruction)
    if instruction["dst_space"] == Space.INPUT:
        raise InstructionError(f"{name} field dst_space is 1 (INPUT); expected 0 or 2")
    if instruction.adds and instruction["src_space"] != Space.MAIN:
        raise InstructionError(f"{name} field src_space is 1 (INPUT); expected 0")
    if instruction["table_enable"] and not machine.tables:
        raise InstructionError(f"{name} field table_enable is 1, but the machine has no tables")
    words = 1 if channelwise else machine.rows // machine.lanes
    for key in ("dst_words", "dst_words_last"):
        if instruction[key] > words:
            raise InstructionError(
                f"{name} field {key} is {instruction[key]}; a tile has {words} word(s)"
            )
    for axis, outer, kernel in (("y", "oy", "ky"), ("x", "ox", "kx")):
        last = (
            instruction[f"{axis}0"]
            + (instruction[f"n_{outer}"] - 1) * instruction[f"{axis}_{outer}"]
            + (instruction[f"n_{kernel}"] - 1) * instruction[f"{axis}_{kernel}"]
        )
        if axis == "x":
            every = instruction.window or instruction.columns
            pixels = machine.pixels if every else instruction.last_pixels
            last += (pixels - 1) * instruction["x_pixel"]
        if last >= 1 << coordinate_bits(machine) - 1:
            raise InstructionError(
                f"{name} reaches {axis} = {last}; this machine counts to "
                f"{(1 << coordinate_bits(machine) - 1) - 1}"
            )
    blocks, stride = instruction["n_block"], instruction["dst_word_stride"]
    first_weight = 2 * machine.burst_weights if machine.streams else instruction["w_base"]
    last_word = (blocks - 1) * instruction["dst_words"] + instruction["dst_words_last"] - 1
    pixels = instruction["n_oy"] * instruction.row_pixels
    other = [("act_words", instruction["add_base"] + blocks * pixels)] if instruction.adds else []
    uses = (
        *other,
        ("weight_words", first_weight + instruction.all_weight_words),
        ("param_words", instruction["p_base"] + blocks * groups(machine, instruction.opcode)),
        (
            "act_words" if instruction["dst_space"] == Space.MAIN else "out_words",
            instruction["dst_base"] + last_word * stride + pixels,
        ),
    )
    for memory, needed in uses:
        if needed > getattr(machine, memory):
            raise InstructionError(
                f"{name} needs {memory} = {needed}; the machine has {getattr(machine, memory)}"
            )


def _check_pixels(machine: Machine, instruction: Instruction) -> None:
    """Raise `InstructionError` where a tile's pixels cannot be read or made side by side."""
    if instruction.window:
        limits = {"n_cb": 1, "n_kx": 1, "n_plane": 1}
        if instruction["w_same_steps"]:
            limits["n_ky"] = machine.window_rows
        for name, most in limits.items():
            if instruction[name] > most:
                raise InstructionError(
                    f"CHANNELWISE field {name} is {instruction[name]} with a window; this machine "
                    f"holds 1 to {most}"
                )
        stride = machine.pixels // instruction["pixels"]
        most = -(-(machine.pixels + 1 - WINDOW_TAPS) // stride)
        if stride > 2 or instruction["pixels"] * stride != machine.pixels:
            raise InstructionError(
                f"CHANNELWISE field pixels is {instruction['pixels']} with a window; expected "
                f"{machine.pixels} or {machine.pixels // 2}"
            )
        if instruction["pixels_first"] > most:
            raise InstructionError(
                f"CHANNELWISE field pixels_first is {instruction['pixels_first']} with a window; "
                f"a row's first tile has at most {most}"
            )
    if instruction.window or instruction.columns:
        ones = ("s_pixel", "x_pixel")
        ones += ("n_ox", "n_plane", "pixels", "pixels_first") if instruction.columns else ()
        for name in ones:
            if instruction[name] != 1:
                raise InstructionError(
                    f"CHANNELWISE field {name} is {instruction[name]} with a window or columns; "
                    "expected 1"
                )
    elif instruction["n_ox"] > 1 and instruction["pixels_first"] != instruction["pixels"]:
        raise InstructionError(
            f"{instruction.opcode.name} field pixels_first is {instruction['pixels_first']}; "
            f"expected {instruction['pixels']}, the field pixels, without a window"
        )
    if instruction.last_pixels < 1:
        raise InstructionError(
            f"{instruction.opcode.name} field pixels_first is 0 with one tile a row; expected 1 to "
            f"{machine.pixels}"
        )
    used = max(instruction[name] for name in PIXEL_FIELDS)
    if used > instruction["pixels"]:
        raise InstructionError(
            f"{instruction.opcode.name} has a tile of {used} pixels; expected at most "
            f"{instruction['pixels']}, the field pixels"
        )
    if used > 1 and used > conflict_free(machine, instruction["s_pixel"]):
        raise InstructionError(
            f"{instruction.opcode.name} reads {used} pixels at distances of "
            f"{instruction['s_pixel']} words; {machine.banks} banks hold "
            f"{conflict_free(machine, instruction['s_pixel'])} of them side by side"
        )


def conflict_free(machine: Machine, step: int) -> int:
    """How many words at multiples of `step` lie in different banks, `pixels` at most."""
    return min(machine.pixels, machine.banks // gcd(step, machine.banks))


def encode(machine: Machine, instructions: Sequence[Instruction]) -> list[int]:
    """The program words of `instructions`, each checked against the machine."""
    words: list[int] = []
    counts = stream_counts(machine, instructions)
    for instruction, count in zip(instructions, counts, strict=True):
        check(machine, instruction)
        words.append(int(instruction.opcode) | count << OPCODE_BITS)
        if instruction.opcode in COMPUTE:
            words.extend(
                instruction[item.name] & 0xFFFFFFFF for item in fields_of(instruction.opcode)
            )
    if len(words) > machine.program_words:
        raise InstructionError(
            f"The program has {len(words)} words; the machine has "
            f"program_words = {machine.program_words}"
        )
    return words


def stream_counts(machine: Machine, instructions: Sequence[Instruction]) -> list[int]:
    """What stands beside each opcode, for a machine whose weights come from external memory.

    LOAD: the bursts of an inference; a compute instruction: the weight words that it takes from
    there, the last one with what fills the last burst; else 0.
    """
    counts = [0] * len(instructions)
    if not machine.streams:
        return counts
    total, last = 0, 0
    for number, instruction in enumerate(instructions):
        if instruction.opcode not in COMPUTE:
            continue
        if instruction["w_base"] != total:
            raise InstructionError(
                f"Instruction {number}, {instruction.opcode.name}, has w_base = "
                f"{instruction['w_base']}; expected {total}: weights in external memory follow "
                f"each other in the order of their use"
            )
        counts[number], last = instruction.all_weight_words, number
        total += counts[number]
    bursts = -(-total // machine.burst_weights)
    if bursts >> STREAM_BITS:
        raise InstructionError(
            f"The program has {total} weight words in external memory; expected fewer than "
            f"{machine.burst_weights << STREAM_BITS}"
        )
    counts[last] += bursts * machine.burst_weights - total
    return [
        bursts if instruction.opcode == Opcode.LOAD else count
        for instruction, count in zip(instructions, counts, strict=True)
    ]


def decode(words: Sequence[int], *, counted: bool = False) -> list[Instruction]:
    """The instructions of a program, up to and with its END.

    `counted`: the program is for a machine with external memory (see `stream_counts`).
    """
    instructions: list[Instruction] = []
    position = 0
    while position < len(words):
        number = words[position] & ((1 << OPCODE_BITS) - 1 if counted else -1)
        if number not in list(Opcode):
            raise InstructionError(
                f"Program word {position} is {words[position]}; expected an opcode from 0 to "
                f"{max(Opcode)}"
            )
        opcode = Opcode(number)
        if opcode not in COMPUTE:
            instructions.append(Instruction(opcode))
            position += 1
            if opcode == Opcode.END:
                return instructions
            continue
        fields = fields_of(opcode)
        raw = words[position + 1 : position + 1 + len(fields)]
        if len(raw) < len(fields):
            raise InstructionError(
                f"The program ends inside of the {opcode.name} at word {position}; expected "
                f"{len(fields)} fields, got {len(raw)}"
            )
        values = {
            item.name: word - (1 << WORD_BITS) if item.signed and word >> 31 else word
            for item, word in zip(fields, raw, strict=True)
        }
        instructions.append(Instruction(opcode, values))
        position += 1 + len(fields)
    raise InstructionError(f"The program of {len(words)} words has no END")
