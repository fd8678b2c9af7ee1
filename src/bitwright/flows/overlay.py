"""From a quantized module to a machine that fits the target, its program and its Verilog."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from amaranth.lib import wiring
from torch_mlir import ir

from bitwright.flows.folder import BuildFolder
from bitwright.fpga.errors import DoesNotFit
from bitwright.hwgen.assemble import Assembled, assemble
from bitwright.hwgen.core import Core
from bitwright.hwgen.cycles import Prediction, predict
from bitwright.hwgen.image import Image
from bitwright.hwgen.isa import Instruction
from bitwright.hwgen.memory_model import Sdram
from bitwright.hwgen.overlap import hand_over
from bitwright.hwgen.ram import EXTERNAL
from bitwright.hwgen.resources import estimate
from bitwright.hwgen.simulated_system import SimulatedSystem
from bitwright.hwgen.spent import spent
from bitwright.hwgen.tops import Axi4LiteTop, UartTop, WishboneTop, emit_buses
from bitwright.hwgen.verilog import emit
from bitwright.ir import graph, serialize
from bitwright.ir.checks import ints
from bitwright.ir.machine import DSP, NO_MEMORY, Machine, MachineError, burst_weights, word_bits
from bitwright.ir.types import shape_of
from bitwright.passes.allocate import Allocate
from bitwright.passes.kernel_columns import KernelColumns
from bitwright.passes.legalize import Legalize
from bitwright.passes.long_rows import long_rows
from bitwright.passes.partition import Parts, partition
from bitwright.passes.search.bounds import least_precision, least_weight_bits
from bitwright.passes.search.candidate import ROUTED_LUT, Candidate, Parameters, budget, ranked
from bitwright.passes.search.overlay import Array, Found, Price, search
from bitwright.passes.space_to_depth import SpaceToDepth
from bitwright.passes.split_sums import SplitSums
from bitwright.passes.stream import Stream
from bitwright.passes.tile import Tile
from bitwright.passes.tile_program import MIN_ACC_BITS
from bitwright.progress import ProgressCallback, silent
from bitwright.targets.target import FpgaTarget, Resources

DEPTHS = ("act_words", "in_words", "out_words", "weight_words", "param_words", "program_words")
_MEMORIES = (*DEPTHS, "tables")
_STREAM = ("weight_words", "memory", "memory_latency", "memory_mhz")
_MADE = ("multiplier_blocks", "weight_columns")
_REQUANT = ("requant_lanes", "requant_pixels")
_NEEDED = (*_MEMORIES, "acc_bits", "multiplier_bits")


@dataclass(frozen=True)
class OverlayBuild:
    """A program, its machine, and what both are predicted to cost."""

    parts: Parts
    legal: ir.Module
    program: ir.Module
    assembled: Assembled
    prediction: Prediction
    resources: Resources


class OverlayMaker:
    """Machines and programs for one model on one target; see `passes.search.overlay.Maker`.

    `fixed` holds parameters of the machine: of memories, accumulators and tables they are the
    least, since a program may need more; 0 is what the program needs.
    """

    def __init__(self, module: ir.Module, target: FpgaTarget, fixed: Mapping[str, Any]) -> None:
        self._target = target
        self._fixed = {n: value for n, value in fixed.items() if value or n not in _NEEDED}
        Allocate(**_only(_MEMORIES, fixed))
        self._split = SplitSums().run(module)
        self._instructions: dict[Array, tuple[Instruction, ...]] = {}
        self._legal: dict[tuple[tuple[int, ...], ...], tuple[Parts, ir.Module, int]] = {}
        self._prepared = cache(self._prepare)

    @property
    def adds(self) -> bool:
        """See `Maker`."""
        kinds = {operation.operation.name for operation in graph.operations(self._split)}
        return bool(kinds & {"bw.add", "bw.scaled_add"})

    @property
    def stride(self) -> int:
        """See `Maker`."""
        operations = (operation.attributes for operation in graph.operations(self._split))
        strides = [s for found in operations if "stride" in found for s in ints(found["stride"])]
        return max((stride & -stride for stride in strides), default=1)

    @property
    def precision(self) -> int:
        """See `Maker`."""
        return least_precision(self._prepared(int(self._fixed.get("lanes", 8)))[1])

    @property
    def _streams(self) -> bool:
        """Whether weights are to be in external memory."""
        return self._fixed.get("memory", NO_MEMORY) != NO_MEMORY

    def _prepare(self, lanes: int) -> tuple[Parts, ir.Module, int]:
        moved = KernelColumns(lanes).run(SpaceToDepth(lanes).run(self._split))
        shapes = tuple(shape_of(operation.result) for operation in graph.operations(moved))
        if shapes not in self._legal:
            parts = partition(moved)
            parts = long_rows(replace(parts, core=Legalize().run(parts.core)))
            self._legal[shapes] = parts, parts.core, least_weight_bits(parts.core)
        return self._legal[shapes]

    def least(self, array: Array) -> Machine:
        """See `Maker`."""
        least: dict[str, Any] = dict.fromkeys(DEPTHS, 2)
        least |= dict.fromkeys(_REQUANT, 1) | {"acc_bits": MIN_ACC_BITS}
        given: dict[str, Any] = {**self._fixed, **array._asdict()}
        given |= {"multiplier_blocks": 0, "weight_columns": 0}
        if array.engine != DSP:
            given["requant_pixels"] = 1
        if self._streams:
            bits = word_bits(array.lanes, array.rows, array.engine, array.precision)
            given.setdefault("weight_words", 4 * burst_weights(bits))
            return Machine(**{**least, **given})
        machine = Machine(**{**least, **given})
        words = -(-self._prepared(array.lanes)[2] // machine.weight_bits)
        return replace(machine, weight_words=max(machine.weight_words, words))

    def machine(self, array: Array) -> Machine:
        """See `Maker`."""
        smallest = {**self._fixed, "param_words": 0, "multiplier_blocks": 0}
        assembled = assemble(self._program(array, {}, smallest)[2])
        self._instructions[array] = assembled.instructions
        return assembled.machine

    def resources(self, machine: Machine) -> Resources:
        """See `Maker`."""
        return estimate(machine, self._target.family)

    def price(self, machine: Machine) -> Price:
        """See `Maker`."""
        instructions = hand_over(machine, self._instructions[Array.of(machine)])
        prediction = predict(machine, instructions)
        counts = spent(machine, instructions, prediction)
        return Price(prediction.total, prediction.interval, counts)

    def build(self, machine: Machine) -> OverlayBuild:
        """The program for a machine that was found; its memories are sized anew."""
        made = {name: getattr(machine, name) for name in _MADE}
        requant = {name: getattr(machine, name) for name in _REQUANT}
        parts, legal, program = self._program(Array.of(machine), requant, self._fixed | made)
        assembled = assemble(program)
        machine = assembled.machine
        prediction = predict(machine, assembled.instructions)
        return OverlayBuild(parts, legal, program, assembled, prediction, self.resources(machine))

    def _program(
        self, array: Array, requant: dict[str, int], fixed: dict[str, Any]
    ) -> tuple[Parts, ir.Module, ir.Module]:
        parts, legal, _ = self._prepared(array.lanes)
        rest = _only(("acc_bits", "multiplier_bits", *_MADE), fixed)
        tile = Tile(**requant, **array._asdict(), **rest)
        program = tile.run(legal)
        if self._streams:
            program = Stream(**_only(_STREAM, fixed)).run(program)
        return parts, legal, Allocate(**_only(_MEMORIES, fixed)).run(program)


def _only(names: Sequence[str], parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: parameters[name] for name in names if name in parameters}


@dataclass(frozen=True)
class OverlayOffer:
    """All machines for a model that fit a target."""

    candidates: tuple[Candidate, ...]
    maker: OverlayMaker

    def build(self, chosen: Candidate) -> OverlayBuild:
        """One of them with its program: what the search has priced."""
        machine = Machine(**chosen.parameters)  # pyright: ignore[reportArgumentType]
        built = self.maker.build(machine)
        assert built.assembled.machine == machine, "the search prices the machine that is built"
        assert built.prediction.total == chosen.cycles, "and its program"
        return built


def offer_overlay(
    module: ir.Module, target: FpgaTarget, machine: Parameters | None = None,
    progress: ProgressCallback = silent,
) -> OverlayOffer:  # fmt: skip
    """The machines for `module` that fit `target`.

    Args:
        machine: parameters that are fixed; with lanes and rows, all that the device has may be
            taken, else what `budget` leaves for place and route, as long as anything fits there.

    Raises:
        UnsupportedOnOverlay: an operation without an instruction.
        DoesNotFit: no machine fits; it names what the nearest one lacks.
        MachineError: `machine` is not what a machine can have.
    """
    fixed = dict(machine or {})
    maker = OverlayMaker(module, target, fixed)
    whole, found = target.resources, Found()
    if not {"lanes", "rows"} <= set(fixed):
        found = search(maker, fixed, budget(whole), progress, most_lut=ROUTED_LUT)
    if not found.machines:
        found = search(maker, fixed, whole, progress)
    if not found.machines:
        _raise_why(found, target)
    return OverlayOffer(tuple(found.candidates()), maker)


def in_memory(
    target: FpgaTarget, machine: Parameters, clock_mhz: float | None = None
) -> Parameters | None:
    """`machine` with its weights in the target's external memory.

    None where the target has none, or `machine` says where weights are. The memory's cycles are
    for the clock, rounded up (see `mt48lc16m16`).
    """
    memory = target.memory
    if memory is None or "memory" in machine:
        return None
    clock, (slowest, fastest) = clock_mhz or target.default_clock_mhz, memory.clock_mhz
    mhz = min(max(math.ceil(clock - 1e-6), slowest), fastest)
    return {**machine, "memory": memory.kind, "memory_mhz": mhz}


def build_overlay(
    module: ir.Module, target: FpgaTarget, machine: Parameters | None = None
) -> OverlayBuild:
    """The fastest machine of `offer_overlay`, with its program."""
    offer = offer_overlay(module, target, machine)
    return offer.build(ranked(offer.candidates, "latency")[0])


def _raise_why(found: Found, target: FpgaTarget) -> NoReturn:
    """A program that cannot be written is the model's; else the device is too small."""
    errors = sorted(found.errors.values(), key=lambda error: isinstance(error, MachineError))
    if errors and not (found.short and isinstance(errors[0], MachineError)):
        raise errors[0]
    nearest, short = min(
        found.short.items(), key=lambda item: item[1][0].need / max(item[1][0].have, 1)
    )
    raise DoesNotFit(
        f"the nearest machine for this model, {nearest.array.lanes} lanes x "
        f"{nearest.array.rows} rows",
        target.name,
        [(item.name, item.need, item.have) for item in short],
    )  # fmt: skip


def write_overlay(build: OverlayBuild, folder: BuildFolder) -> None:
    """Write the parts, the program, the image and the Verilog.

    The Verilog has the machine on Wishbone (`bitwright_wb`) and on AXI4-Lite (`bitwright_axil`);
    it loads its memories through that port.
    """
    serialize.save(build.parts.before, folder.before)
    serialize.save(build.legal, folder.core)
    serialize.save(build.parts.after, folder.after)
    serialize.save(build.program, folder.program)
    build.assembled.image.save(folder.image)
    emit_buses(Core(machine=build.assembled.machine), folder.rtl)


def write_simulated_system(
    machine: Machine, folder: Path, *, words: int,
    top: type[WishboneTop] | type[Axi4LiteTop] = WishboneTop,
) -> list[Path]:  # fmt: skip
    """Write a machine with an external memory of at least `words`; returns the Verilog files.

    What the memory holds is read from the folder in which it is simulated (`write_external`).
    """
    depth = 1 << (words - 1).bit_length()
    system = SimulatedSystem(top=top(core=Core(machine=machine)), machine=machine, words=depth)
    return emit(system, folder, name=SimulatedSystem.module_name)


def write_external(image: Image, folder: Path) -> int:
    """Write what a simulated external memory holds; returns how many of its words that is."""
    words = np.frombuffer(image.external, "<u4")
    lines = "".join(f"{word:08x}\n" for word in words)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{EXTERNAL}.hex").write_text(lines, encoding="ascii")
    return len(words)


def write_board_rtl(
    folder: BuildFolder, core: wiring.Component, *, clock_hz: int, baud: int,
    sdram: Sdram | None = None,
) -> Path:  # fmt: skip
    """Write the serial top with the memories' contents in it; returns its folder.

    `sdram`: of a core with external memory, its cycles.
    """
    image = folder.image if folder.image.exists() else None  # a pipeline has none
    top = UartTop(core=core, divisor=serial_divisor(clock_hz, baud), sdram=sdram)
    emit(top, folder.board_rtl, name=UartTop.module_name, init_image=image)
    return folder.board_rtl


def serial_divisor(clock_hz: int, baud: int) -> int:
    """Clock cycles per bit of the serial line."""
    return max(2, round(clock_hz / baud))
