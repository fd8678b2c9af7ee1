"""What a device is: frozen data that the passes, the hardware generator and the drivers read."""

from dataclasses import dataclass, fields
from typing import ClassVar, Literal

Family = Literal["ecp5", "ice40"]


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Counts of what an FPGA has, or of what a design needs.

    Attributes:
        lut: four-input look-up tables.
        ff: flip-flops of the logic fabric.
        bram: block RAMs (see `BlockRam` for their size).
        dsp: multiplier blocks (18x18 on ECP5, 16x16 on iCE40).
        spram: large single-port RAMs (256 Kbit, iCE40 UltraPlus only).
    """

    lut: int
    ff: int
    bram: int
    dsp: int
    spram: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        counts = zip(self.items(), other.items(), strict=True)
        return Resources(**{kind: one + more for (kind, one), (_, more) in counts})

    def items(self) -> list[tuple[str, int]]:
        """The counts by name, in the order of the fields."""
        return [(field.name, int(getattr(self, field.name))) for field in fields(self)]


@dataclass(frozen=True, kw_only=True)
class BlockRam:
    """Shapes of one block RAM used with one read port and one write port.

    Attributes:
        shapes: the (depth, width) pairs, from widest to narrowest.
    """

    shapes: tuple[tuple[int, int], ...]

    def count(self, *, depth: int, width: int) -> int:
        """Fewest blocks that hold `depth` words of `width` bits, all blocks in one shape."""
        return min(-(-depth // d) * -(-width // w) for d, w in self.shapes)


@dataclass(frozen=True, kw_only=True)
class PllLimits:
    """Frequencies, in MHz, that a phase-locked loop allows (data sheet values)."""

    input_mhz: tuple[float, float]
    phase_detector_mhz: tuple[float, float]
    vco_mhz: tuple[float, float]
    output_mhz: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One package pin.

    Attributes:
        site: name of the ball or pin in the package.
        inverted: the level low means active.
        io_type: I/O standard in the words of the family's constraint file; empty for its default.
        pull: "up" or "down" where the pin needs a pull resistor.
        drive_ma: drive strength of an output; 0 for the default.
    """

    site: str
    inverted: bool = False
    io_type: str = ""
    pull: Literal["", "up", "down"] = ""
    drive_ma: int = 0


@dataclass(frozen=True, kw_only=True)
class BoardPins:
    """The pins that a Bitwright board design uses.

    Attributes:
        clock: the board's oscillator.
        reset: a push button.
        uart_rx: serial data from the host into the FPGA.
        uart_tx: serial data from the FPGA to the host.
        leds: light-emitting diodes, first one first.
    """

    clock: Pin
    reset: Pin
    uart_rx: Pin
    uart_tx: Pin
    leds: tuple[Pin, ...]


@dataclass(frozen=True, kw_only=True)
class SdramPins:
    """The pins of an SDRAM chip of 16 bits.

    Attributes:
        clk, cke: clock and its enable.
        csn, rasn, casn, wen: the command, low active.
        a, ba: address and bank, bit 0 first.
        dqm: masks of the low and the high byte.
        d: data.
    """

    clk: Pin
    cke: Pin
    csn: Pin
    rasn: Pin
    casn: Pin
    wen: Pin
    a: tuple[Pin, ...]
    ba: tuple[Pin, ...]
    dqm: tuple[Pin, ...]
    d: tuple[Pin, ...]

    def outputs(self) -> list[tuple[str, tuple[Pin, ...]]]:
        """All pins that only the FPGA drives, by name, but the clock."""
        single = [(name, (getattr(self, name),)) for name in ("cke", "csn", "rasn", "casn", "wen")]
        return [*single, ("a", self.a), ("ba", self.ba), ("dqm", self.dqm)]


@dataclass(frozen=True, kw_only=True)
class ExternalMemory:
    """A memory chip beside the FPGA.

    Attributes:
        part: its part number.
        kind: as in the parameter `memory` of a machine.
        size: bytes.
        clock_mhz: lowest and highest clock for which its cycles are known.
        pins: where it is on the package.
    """

    part: str
    kind: str
    size: int
    clock_mhz: tuple[int, int]
    pins: SdramPins


@dataclass(frozen=True, kw_only=True)
class Target:
    """What every target has.

    Attributes:
        name: what the user writes after `--target`.
        title: one line for people.
    """

    kind: ClassVar[Literal["fpga", "cpu"]]
    name: str
    title: str


@dataclass(frozen=True, kw_only=True)
class CpuTarget(Target):
    """A processor that runs compiled native code.

    Attributes:
        cpu: the processor in LLVM's words; "native" is the one that compiles.
    """

    kind = "cpu"
    cpu: str = "native"


@dataclass(frozen=True, kw_only=True)
class FpgaTarget(Target):
    """An FPGA on a board.

    Attributes:
        family: picks synthesis, place and route, and the format of the constraints.
        device: part number.
        device_option: the option that names the device to place and route.
        package: package name as place and route takes it.
        speed_grade: speed grade of the part; empty where the family has only one.
        resources: what the data sheet promises for the part.
        block_ram: the shapes of one block RAM.
        board_clock_mhz: frequency of the oscillator.
        pll: limits of the phase-locked loop.
        default_clock_mhz: the machine's clock when the user asks for none.
        uart_baud: default speed of the serial port.
        pins: where things are on the package.
        programmer: command that loads a bitstream, `{bitstream}` stands for the file.
        memory: memory beside the FPGA, for weights that do not fit in it.
    """

    kind = "fpga"
    family: Family
    device: str
    device_option: str
    package: str
    speed_grade: str
    resources: Resources
    block_ram: BlockRam
    board_clock_mhz: float
    pll: PllLimits
    default_clock_mhz: float
    uart_baud: int
    pins: BoardPins
    programmer: str
    memory: ExternalMemory | None = None
