"""What one overlay machine is: its parameters, as data.

The program (`accel` dialect) is only meaningful for one machine, so the description stands
beside the dialects; the hardware generator, the passes and the driver all read it.
"""

import zlib
from dataclasses import asdict, dataclass

from bitwright.errors import BitwrightError

NARROW_MULTIPLIER_BITS = 16
WIDE_MULTIPLIER_BITS = 31
WEIGHT_SERIAL, DSP = ENGINES = ("weightserial", "dsp")
WINDOW_TAPS = 3  # kernel columns that the channelwise window takes at once
SHIFT_BITS = 6
TABLE_ENTRIES = 256
MAX_WORDS = 1 << 20  # the host's window of 16 MB, at 16 bytes a word
MAX_TABLES = 256
MAX_PIXELS = 8
PRECISIONS = (2, 4, 8)
TAP_BITS = 8  # of a channelwise weight
COLUMN_BITS = 9  # of a column of the weight memory: an ECP5's block RAM of 2048 words
NO_MEMORY, FIXED_MEMORY, SDRAM_MEMORY = MEMORIES = ("none", "fixed", "sdram")
MEMORY_BITS = 32  # of a word of external memory
BURST_WORDS = 64  # words of external memory that are asked for at once
SDRAM_MHZ = (20, 133)


def plane_bits(engine: str) -> int:
    """Bits that one plane of channelwise weights counts more than the next."""
    return 7 if engine == DSP else 1


def precisions(engine: str, rows: int) -> tuple[int, ...]:
    """Those that a matrix engine can have: a weight word holds a row of a channelwise window."""
    found = PRECISIONS if engine == DSP else PRECISIONS[-1:]
    return tuple(bits for bits in found if rows * bits >= WINDOW_TAPS * TAP_BITS)


def word_bits(lanes: int, rows: int, engine: str, precision: int) -> int:
    """Bits of a weight word: `rows x lanes` weights, or one bit plane of them."""
    return rows * lanes * (precision if engine == DSP else 1)


def burst_weights(weight_bits: int) -> int:
    """Weight words that are asked for at once from external memory."""
    return max(1, BURST_WORDS * MEMORY_BITS // max(weight_bits, MEMORY_BITS))


def least_banks(pixels: int) -> int:
    """The fewest banks that are read for so many pixels."""
    return 1 << (pixels - 1).bit_length()


class MachineError(BitwrightError):
    """A machine parameter outside of what the hardware generator can build."""

    exit_code = 5


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Parameters of an overlay machine.

    Attributes:
        lanes: activations (channels of one pixel) read per cycle; a power of two.
        rows: output channels that the matrix engine computes side by side; lanes times a power
            of two, at least 8.
        requant_lanes: channels that the output stage requantizes per cycle; divides `lanes`.
        requant_pixels: pixels of a tile that the output stage takes side by side: 1, or 2 for
            `dsp`.
        acc_bits: accumulator width, 16 to 32.
        multiplier_bits: width of the output stage's multipliers: 16 rounds half up only, 31 (with
            two more multiplier blocks a requantize lane, but not on ECP5 for up to 24 acc_bits)
            has every rounding.
        engine: matrix engine: `weightserial` (one bit of every weight a cycle) or `dsp` (whole
            weights, in multiplier blocks and look-up tables).
        precision: bits of a weight of a matrix product on `dsp`, 2, 4 or 8; channelwise weights,
            and all on `weightserial`, have 8 whatever it is.
        pixels: neighbouring pixels that are computed side by side, with the same weights: 2 to 8
            for `dsp`, else 1.
        banks: banks of each activation memory that is read, neighbouring words in neighbouring
            banks; a power of two, at least `pixels`.
        multiplier_blocks: pairs of products that the `dsp` engine makes in multiplier blocks; the
            others are made of look-up tables.
        weight_columns: of 9 bits of a weight word that are a memory each, of narrow and deep block
            RAMs; of the rest synthesis makes the fewest blocks it can, with more wires.
        act_words: depth of the activation memory, in words of `lanes` bytes.
        in_words, out_words: depth of one of the two input (output) banks.
        weight_words: depth of the weight memory, in words of `weight_bits`.
        param_words: depth of the parameter memory, in words of `requant_lanes` channels.
        tables: number of 256-entry activation tables, 0 for none.
        program_words: depth of the program memory, in 32-bit words.
        fused_adds: 1 for an instruction that adds another tensor to a convolution's result while
            it is made; for `dsp` with rows = lanes and requant_pixels = 1.
        memory: where weights are: `none` (all in the weight memory), or in an external memory, from
            which they go through the weight memory in the order of their use; its cycles are those
            of `fixed` (every burst takes as long) or `sdram` (that of the ULX3S).
        memory_latency: cycles to the first word of a burst of the memory `fixed`, else 0.
        memory_mhz: clock that the cycles of the memory `sdram` are for, else 0.
    """

    lanes: int
    rows: int
    requant_lanes: int = 1
    requant_pixels: int = 1
    acc_bits: int = 24
    multiplier_bits: int = NARROW_MULTIPLIER_BITS
    engine: str = WEIGHT_SERIAL
    precision: int = PRECISIONS[-1]
    pixels: int = 1
    banks: int = 1
    multiplier_blocks: int = 0
    weight_columns: int = 0
    act_words: int
    in_words: int
    out_words: int
    weight_words: int
    param_words: int
    tables: int = 0
    program_words: int
    fused_adds: int = 0
    memory: str = NO_MEMORY
    memory_latency: int = 0
    memory_mhz: int = 0

    def __post_init__(self) -> None:
        if not _is_power_of_two(self.lanes) or not 2 <= self.lanes <= 64:
            raise MachineError(
                f"Machine parameter lanes is {self.lanes}; expected a power of two from 2 to 64"
            )
        if self.rows < 8 or self.rows % self.lanes or not _is_power_of_two(self.rows):
            raise MachineError(
                f"Machine parameter rows is {self.rows}; expected a power of two that is a "
                f"multiple of lanes ({self.lanes}) and at least 8"
            )
        if not _is_power_of_two(self.requant_lanes) or self.requant_lanes > self.lanes:
            raise MachineError(
                f"Machine parameter requant_lanes is {self.requant_lanes}; expected a power of two "
                f"that is at most lanes ({self.lanes})"
            )
        if not 16 <= self.acc_bits <= 32:
            raise MachineError(f"Machine parameter acc_bits is {self.acc_bits}; expected 16 to 32")
        if self.multiplier_bits not in (NARROW_MULTIPLIER_BITS, WIDE_MULTIPLIER_BITS):
            raise MachineError(
                f"Machine parameter multiplier_bits is {self.multiplier_bits}; expected "
                f"{NARROW_MULTIPLIER_BITS} or {WIDE_MULTIPLIER_BITS}"
            )
        self._check_engine()
        for name in (
            "act_words", "in_words", "out_words", "weight_words", "param_words", "program_words"
        ):  # fmt: skip
            value = getattr(self, name)
            if not 2 <= value <= MAX_WORDS:
                raise MachineError(
                    f"Machine parameter {name} is {value}; expected 2 to {MAX_WORDS}"
                )
        if not 0 <= self.tables <= MAX_TABLES:
            raise MachineError(
                f"Machine parameter tables is {self.tables}; expected 0 to {MAX_TABLES}"
            )
        if not 0 <= self.fused_adds <= 1:
            raise MachineError(
                f"Machine parameter fused_adds is {self.fused_adds}; expected 0 or 1"
            )
        if self.fused_adds and not self.can_fuse_adds:
            raise MachineError(
                "Machine parameter fused_adds is 1; expected 0, or the engine dsp with rows = "
                "lanes and requant_pixels = 1"
            )
        self._check_memory()

    def _check_engine(self) -> None:
        if self.engine not in ENGINES:
            raise MachineError(
                f"Machine parameter engine is {self.engine!r}; expected one of {', '.join(ENGINES)}"
            )
        known = precisions(self.engine, self.rows)
        if self.precision not in known:
            raise MachineError(
                f"Machine parameter precision is {self.precision}; expected "
                f"{', '.join(map(str, known))} with the engine {self.engine} and rows = {self.rows}"
            )
        if not (2 <= self.pixels <= MAX_PIXELS if self.dsp else self.pixels == 1):
            raise MachineError(
                f"Machine parameter pixels is {self.pixels}; expected "
                f"{f'2 to {MAX_PIXELS}' if self.dsp else '1'} with the engine {self.engine}"
            )
        if not 1 <= self.requant_pixels <= (2 if self.dsp else 1):
            raise MachineError(
                f"Machine parameter requant_pixels is {self.requant_pixels}; expected "
                f"{'1 or 2' if self.dsp else '1'} with the engine {self.engine}"
            )
        least, most = least_banks(self.pixels), 4 * self.pixels if self.dsp else 1
        if not _is_power_of_two(self.banks) or not least <= self.banks <= most:
            raise MachineError(
                f"Machine parameter banks is {self.banks}; expected a power of two from "
                f"{least} to {most} with pixels = {self.pixels}"
            )
        if not 0 <= self.multiplier_blocks <= self.product_pairs:
            raise MachineError(
                f"Machine parameter multiplier_blocks is {self.multiplier_blocks}; expected 0 to "
                f"{self.product_pairs}, the pairs of products of the engine {self.engine}"
            )

        most = -(-self.weight_bits // COLUMN_BITS)
        if not 0 <= self.weight_columns <= most:
            raise MachineError(
                f"Machine parameter weight_columns is {self.weight_columns}; expected 0 to {most}, "
                f"the columns of {COLUMN_BITS} bits of a weight word of {self.weight_bits}"
            )

    def _check_memory(self) -> None:
        if self.memory not in MEMORIES:
            raise MachineError(
                f"Machine parameter memory is {self.memory!r}; expected one of "
                f"{', '.join(MEMORIES)}"
            )
        for name, kind, low, high in (
            ("memory_latency", FIXED_MEMORY, 1, 1000), ("memory_mhz", SDRAM_MEMORY, *SDRAM_MHZ)
        ):  # fmt: skip
            value, used = getattr(self, name), self.memory == kind
            if not (low <= value <= high if used else value == 0):
                expected = f"{low} to {high}" if used else "0"
                raise MachineError(
                    f"Machine parameter {name} is {value}; expected {expected} with memory = "
                    f'"{self.memory}"'
                )
        if self.streams and (
            not _is_power_of_two(self.weight_words) or self.weight_words < 4 * self.burst_weights
        ):
            raise MachineError(
                f"Machine parameter weight_words is {self.weight_words}; expected a power of two, "
                f'at least {4 * self.burst_weights}, with memory = "{self.memory}"'
            )

    @property
    def can_fuse_adds(self) -> bool:
        """Whether there is such a machine with `fused_adds`."""
        return self.dsp and self.rows == self.lanes and self.requant_pixels == 1

    @property
    def streams(self) -> bool:
        """Whether weights come from external memory."""
        return self.memory != NO_MEMORY

    @property
    def burst_weights(self) -> int:
        """Weight words that are asked for at once."""
        return burst_weights(self.weight_bits)

    @property
    def most_weights(self) -> int:
        """Weight words that one instruction may use."""
        return self.weight_words - (2 * self.burst_weights if self.streams else 0)

    @property
    def dsp(self) -> bool:
        """Whether the matrix engine multiplies by whole weights."""
        return self.engine == DSP

    @property
    def product_pairs(self) -> int:
        """Pairs of products that the `dsp` engine makes in each cycle."""
        return self.pixels * self.rows * self.lanes // 2 if self.dsp else 0

    @property
    def window_rows(self) -> int:
        """Kernel rows of a channelwise window that one weight word holds."""
        return self.rows * self.precision // (WINDOW_TAPS * TAP_BITS) if self.dsp else 0

    @property
    def out_lanes(self) -> int:
        """Bytes of a word of the output banks."""
        return self.lanes

    @property
    def in_flight(self) -> int:
        """Inputs that the machine takes before it gives the first result: one in each bank."""
        return 2

    @property
    def activation_bits(self) -> int:
        """Width of one activation word."""
        return 8 * self.lanes

    @property
    def weight_bits(self) -> int:
        """Width of one weight word: `rows x lanes` weights, or one bit plane of them."""
        return word_bits(self.lanes, self.rows, self.engine, self.precision)

    @property
    def channel_param_bits(self) -> int:
        """Width of one channel's bias, multiplier and shift."""
        return self.acc_bits + self.multiplier_bits + SHIFT_BITS

    @property
    def param_bits(self) -> int:
        """Width of one parameter word."""
        return self.requant_lanes * self.channel_param_bits

    @property
    def wide(self) -> bool:
        """Whether the output stage has the wide multiplier and every rounding."""
        return self.multiplier_bits == WIDE_MULTIPLIER_BITS

    @property
    def matmul_groups(self) -> int:
        """Cycles that the output stage needs for one pixel of a matrix tile."""
        return self.rows // self.requant_lanes

    @property
    def channelwise_groups(self) -> int:
        """Cycles that the output stage needs for one pixel of a channelwise tile."""
        return self.lanes // self.requant_lanes

    def pixel_turns(self, pixels: int) -> int:
        """How many times the output stage takes pixels of a tile that has so many."""
        return -(-pixels // self.requant_pixels)

    @property
    def fingerprint(self) -> int:
        """CRC-32 over all parameters; the machine shows it in a register, drivers compare it."""
        items = sorted(asdict(self).items())
        if not self.fused_adds:
            items = [item for item in items if item[0] != "fused_adds"]
        if self.precision == PRECISIONS[-1]:
            items = [item for item in items if item[0] != "precision"]
        if not self.streams:
            items = [item for item in items if not item[0].startswith("memory")]
        text = ",".join(f"{name}={value}" for name, value in items)
        return zlib.crc32(text.encode())
