"""The image: what is written into the memories of a machine before it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bitwright.errors import BitwrightError
from bitwright.hwgen.isa import WORD_BITS, Instruction, decode
from bitwright.ir.machine import MEMORY_BITS, TABLE_ENTRIES, Machine

EXTERNAL_FILE = "external.bin"
MAX_EXTERNAL = 1 << 30  # weight words


class ImageError(BitwrightError):
    """An image that does not belong to the machine, or is not readable as one."""

    exit_code = 5


@dataclass(frozen=True)
class Image:
    """What is written into the memories of a machine before it runs; unsigned memory words.

    Attributes:
        weights: words of `weight_bits`. MATMUL: bit `r * lanes + l` is one bit plane of the weight
            of row r and lane l; for the engine `dsp` number `r * lanes + l` of `precision` bits is
            that weight. CHANNELWISE: byte l is the weight of lane l; the window's tap (ky, kx) of
            it is byte `(3 * ky + kx) * lanes + l`, with a word for each step byte
            `kx * lanes + l`. With external memory, what lies there.
        params: words of `requant_lanes` channels, from the lowest bit: bias (acc_bits, signed),
            multiplier (multiplier_bits), shift (6).
        tables: bytes, entry `256 * table + (y + 128)` is the (signed) result for y.
    """

    machine: Machine
    program: list[int]
    weights: list[int]
    params: list[int]
    tables: list[int]

    def __post_init__(self) -> None:
        for name, (bits, depth) in self._shapes().items():
            words = getattr(self, name)
            if len(words) > depth:
                raise ImageError(
                    f"Image memory {name} has {len(words)} words; the machine holds {depth}"
                )
            for position, word in enumerate(words):
                if not 0 <= word < 1 << bits:
                    raise ImageError(
                        f"Image memory {name} word {position} is {word:#x}; expected {bits} bits"
                    )

    def _shapes(self) -> dict[str, tuple[int, int]]:
        shapes = on_chip(self.machine)
        if self.machine.streams:
            shapes["weights"] = (self.machine.weight_bits, MAX_EXTERNAL)
        return shapes

    @property
    def instructions(self) -> list[Instruction]:
        return decode(self.program, counted=self.machine.streams)

    @property
    def external(self) -> bytes:
        """Contents of the external memory, from address 0 on."""
        stride = _weight_stride(self.machine)
        return b"".join(word.to_bytes(stride, "little") for word in self.weights)

    def save(self, folder: str | Path) -> None:
        """Write `program.hex weights.hex params.hex tables.hex`, one word per line.

        With external memory `external.bin` instead of the weights: its bytes from address 0 on.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        if self.machine.streams:
            (path / EXTERNAL_FILE).write_bytes(self.external)
        for name, (bits, _) in on_chip(self.machine).items():
            digits = (bits + 3) // 4
            lines = "".join(f"{word:0{digits}x}\n" for word in getattr(self, name))
            (path / f"{name}.hex").write_text(lines or f"{0:0{digits}x}\n", encoding="ascii")

    @classmethod
    def load(cls, folder: str | Path, machine: Machine) -> Self:
        """Read what `save` wrote."""
        memories: dict[str, list[int]] = {}
        if machine.streams:
            memories["weights"] = _external_words(Path(folder) / EXTERNAL_FILE, machine)
        for name in on_chip(machine):
            path = Path(folder) / f"{name}.hex"
            try:
                memories[name] = [int(line, 16) for line in path.read_text("ascii").split()]
            except (OSError, ValueError) as error:
                raise ImageError(
                    f"Image file {path} cannot be read: {error}; expected one hexadecimal memory "
                    f"word per line"
                ) from error
        if not machine.tables:
            memories["tables"] = []
        return cls(machine, **memories)


def on_chip(machine: Machine) -> dict[str, tuple[int, int]]:
    """Bits and depth of each memory that is written before the machine runs."""
    shapes = {  # program words are saved whole, `program_bits` of them are kept
        "program": (WORD_BITS, machine.program_words),
        "weights": (machine.weight_bits, machine.weight_words),
        "params": (machine.param_bits, machine.param_words),
        "tables": (8, TABLE_ENTRIES * machine.tables),
    }
    if machine.streams:
        del shapes["weights"]
    return shapes


def _weight_stride(machine: Machine) -> int:
    """Bytes from one weight word to the next in external memory."""
    return max(machine.weight_bits, MEMORY_BITS) // 8


def _external_words(path: Path, machine: Machine) -> list[int]:
    stride = _weight_stride(machine)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"Image file {path} cannot be read: {error.strerror}; expected the contents of the "
            f"external memory"
        ) from error
    return [
        int.from_bytes(content[start : start + stride], "little")
        for start in range(0, len(content), stride)
    ]


def pack_params(machine: Machine, channels: Sequence[tuple[int, int, int]]) -> list[int]:
    """Parameter words from (bias, multiplier, shift) of each channel; the last word zero-filled."""
    words: list[int] = []
    bits, furthest = machine.multiplier_bits, 62 if machine.wide else 46
    for start in range(0, len(channels), machine.requant_lanes):
        word = 0
        for v, (bias, multiplier, shift) in enumerate(
            channels[start : start + machine.requant_lanes]
        ):
            if (
                not -(1 << machine.acc_bits - 1) <= bias < 1 << machine.acc_bits - 1
                or not 0 <= multiplier < 1 << bits
                or not 1 <= shift <= furthest
            ):
                raise ImageError(
                    f"Channel {start + v} has bias {bias}, multiplier {multiplier}, shift {shift}; "
                    f"expected a bias of {machine.acc_bits} bits, a multiplier below {1 << bits} "
                    f"and a shift of 1 to {furthest}"
                )
            value = bias & (1 << machine.acc_bits) - 1
            value |= (multiplier | shift << bits) << machine.acc_bits
            word |= value << v * machine.channel_param_bits
        words.append(word)
    return words
