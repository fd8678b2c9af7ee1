"""The instruction set of the overlay: opcodes, and the fields of a compute instruction in order.

Both the `accel` dialect (attributes of its operations) and the encoder (one program word per
field) are made from this one table.
"""

from dataclasses import dataclass
from enum import IntEnum


class Opcode(IntEnum):
    """First program word of an instruction. From MATMUL on they are followed by fields."""

    END = 0
    LOAD = 1
    STORE = 2
    MATMUL = 3
    CHANNELWISE = 4
    MATMUL_ADD = 5


class Space(IntEnum):
    """Which memory an activation address means: source (MAIN or INPUT), result (MAIN or OUTPUT)."""

    MAIN = 0
    INPUT = 1
    OUTPUT = 2


class ChannelOp(IntEnum):
    """What a lane of the channelwise engine does at each step."""

    MAC = 0
    MAX = 1
    WINDOW = 2
    COLUMNS = 3


class Rounding(IntEnum):
    """How the output stage rounds; names as in `bw.requantize`, in lower case."""

    HALF_UP = 0
    TFLITE = 1
    HALF_AWAY = 2
    HALF_EVEN = 3


@dataclass(frozen=True)
class Field:
    """One field of a compute instruction."""

    name: str
    meaning: str
    signed: bool = False


def _u(name: str, meaning: str) -> Field:
    return Field(name, meaning)


def _s(name: str, meaning: str) -> Field:
    return Field(name, meaning, signed=True)


FIELDS: tuple[Field, ...] = (
    _u("src_space", "memory the steps read: 0 main, 1 input bank"),
    _u("dst_space", "memory the words go to: 0 main, 2 output bank"),
    _u("n_block", "trip count: blocks of output channels"),
    _u("n_oy", "trip count: output rows"),
    _u("n_ox", "trip count: tiles of an output row"),
    _u("n_plane", "trip count: weight bit planes (weight precision); channelwise: of int8 weights"),
    _u("n_cb", "trip count: blocks of input channels, or sources"),
    _u("n_ky", "trip count: kernel rows"),
    _u("n_kx", "trip count: kernel columns"),
    _s("src_base", "word address of the first step, padding included"),
    _s("s_block", "address step per block"),
    _s("s_oy", "address step per output row"),
    _s("s_ox", "address step per tile of a row"),
    _s("s_cb", "address step per input channel block"),
    _s("s_ky", "address step per kernel row"),
    _s("s_kx", "address step per kernel column"),
    _s("y0", "input row of the first step (minus the top padding)"),
    _s("x0", "input column of the first step (minus the left padding)"),
    _u("y_oy", "rows per output row (stride)"),
    _u("x_ox", "columns per tile of a row"),
    _u("y_ky", "rows per kernel row (dilation)"),
    _u("x_kx", "columns per kernel column (dilation)"),
    _u("height", "rows of the source; outside of them pad_value is read"),
    _u("width", "columns of the source; outside of them pad_value is read"),
    _s("pad_value", "int8 that stands for every lane outside of the source"),
    _u("w_base", "first weight word"),
    _u("w_same_steps", "1: all steps of a tile use one weight word"),
    _u("w_same_blocks", "1: all blocks use the same weight words"),
    _u("channel_op", "channelwise only: 0 multiply-accumulate, 1 maximum, 2 window, 3 columns"),
    _s("s_pixel", "address step per pixel of a tile"),
    _u("x_pixel", "columns per pixel of a tile"),
    _u("pixels", "pixels that a tile gives"),
    _u("pixels_first", "pixels that the first tile of a row gives"),
    _u("pixels_last", "pixels that the last tile of a row gives, where it is not the first"),
    _u("p_base", "first parameter word"),
    _u("dst_base", "first result word"),
    _u("dst_word_stride", "distance of the words of one tile"),
    _u("dst_words", "words written per tile"),
    _u("dst_words_last", "words written per tile of the last block"),
    _s("clamp_min", "lower bound of the result, int8"),
    _s("clamp_max", "upper bound of the result, int8"),
    _s("zero_point", "zero point of the result, int8"),
    _u("rounding", "0 half_up, 1 tflite, 2 half_away, 3 half_even"),
    _u("table_enable", "1: the result goes through an activation table"),
    _u("table", "number of that table"),
    _u("handover", "cycles from the last step to the next start; 0: it waits for the last result"),
)
ADD_FIELDS: tuple[Field, ...] = (
    _u("add_base", "first word of the tensor that is added"),
    _u("add_own", "what the result is multiplied with"),
    _u("add_other", "what the tensor that is added is multiplied with"),
    _s("add_offset", "what is added to both products, before they are divided by 2^23"),
)
"""They follow the others in a MATMUL_ADD."""
FIELD_NAMES = tuple(field.name for field in FIELDS)
ADD_FIELD_NAMES = tuple(field.name for field in ADD_FIELDS)
INSTRUCTION_WORDS = 1 + len(FIELDS)
ADD_SHIFT = 23  # of the weighted sum of a MATMUL_ADD
ADD_BITS = ADD_SHIFT + 2  # of its factors: below 4
ADD_OFFSET_BITS = 32  # signed


def fields_of(opcode: Opcode) -> tuple[Field, ...]:
    """Those that follow an opcode."""
    if opcode < Opcode.MATMUL:
        return ()
    return FIELDS + ADD_FIELDS if opcode == Opcode.MATMUL_ADD else FIELDS
