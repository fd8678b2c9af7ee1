"""From a quantized module to a machine that fits the target, its program and its Verilog."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from amaranth.lib import wiring
from torch_mlir import ir

from bitwright.flows.folder import BuildFolder
from bitwright.fpga.errors import DoesNotFit
from bitwright.hwgen.assemble import Assembled, assemble
from bitwright.hwgen.core import Core
from bitwright.hwgen.cycles import Prediction, predict
from bitwright.hwgen.isa import Instruction
from bitwright.hwgen.resources import estimate
from bitwright.hwgen.spent import spent
from bitwright.hwgen.tops import Axi4LiteTop, UartTop, WishboneTop
from bitwright.hwgen.verilog import emit
from bitwright.ir import serialize
from bitwright.ir.machine import Machine, MachineError
from bitwright.passes.allocate import Allocate
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import Parts, partition
from bitwright.passes.search.bounds import least_weight_bits
from bitwright.passes.search.candidate import Candidate, Objective, Parameters, budget, ranked
from bitwright.passes.search.overlay import Array, Found, Price, search
from bitwright.passes.space_to_depth import SpaceToDepth
from bitwright.passes.split_sums import SplitSums
from bitwright.passes.tile import Tile
from bitwright.passes.tile_program import MIN_ACC_BITS
from bitwright.progress import ProgressCallback, silent
from bitwright.targets.target import FpgaTarget, Resources

DEPTHS = ("act_words", "in_words", "out_words", "weight_words", "param_words", "program_words")


@dataclass(frozen=True)
class OverlayBuild:
    """A program, its machine, and what both are predicted to cost.

    `candidates` are all machines that fit, the best first: this one.
    """

    parts: Parts
    legal: ir.Module
    program: ir.Module
    assembled: Assembled
    prediction: Prediction
    resources: Resources
    candidates: tuple[Candidate, ...] = ()


class OverlayMaker:
    """Machines and programs for one model on one target; see `passes.search.overlay.Maker`.

    `fixed` holds parameters of the machine: of memories, accumulators and tables they are the
    least, since a program may need more.
    """

    def __init__(self, module: ir.Module, target: FpgaTarget, fixed: Mapping[str, Any]) -> None:
        self._target, self._fixed = target, fixed
        self._split = SplitSums().run(module)
        self._instructions: dict[Array, tuple[Instruction, ...]] = {}
        self._prepared = cache(self._prepare)

    def _prepare(self, lanes: int) -> tuple[Parts, ir.Module, int]:
        parts = partition(SpaceToDepth(lanes).run(self._split))
        legal = Legalize().run(parts.core)
        return parts, legal, least_weight_bits(legal)

    def least(self, array: Array) -> Machine:
        """See `Maker`."""
        least = {**dict.fromkeys(DEPTHS, 2), "requant_lanes": 1, "acc_bits": MIN_ACC_BITS}
        machine = Machine(**{**least, **self._fixed, **array._asdict()})
        words = -(-self._prepared(array.lanes)[2] // machine.weight_bits)
        return replace(machine, weight_words=max(machine.weight_words, words))

    def machine(self, array: Array) -> Machine:
        """See `Maker`."""
        assembled = assemble(self._program(array, 1, {**self._fixed, "param_words": 0})[2])
        self._instructions[array] = assembled.instructions
        return assembled.machine

    def resources(self, machine: Machine) -> Resources:
        """See `Maker`."""
        return estimate(machine, self._target.family)

    def price(self, machine: Machine) -> Price:
        """See `Maker`."""
        instructions = self._instructions[Array(machine.lanes, machine.rows)]
        prediction = predict(machine, instructions)
        counts = spent(machine, instructions, prediction)
        return Price(prediction.total, prediction.interval, counts)

    def build(self, array: Array, requant_lanes: int) -> OverlayBuild:
        """The program and the machine with the parameters that are fixed."""
        parts, legal, program = self._program(array, requant_lanes, dict(self._fixed))
        assembled = assemble(program)
        machine = assembled.machine
        prediction = predict(machine, assembled.instructions)
        return OverlayBuild(parts, legal, program, assembled, prediction, self.resources(machine))

    def _program(
        self, array: Array, requant_lanes: int, fixed: dict[str, Any]
    ) -> tuple[Parts, ir.Module, ir.Module]:
        parts, legal, _ = self._prepared(array.lanes)
        widths = {name: fixed[name] for name in ("acc_bits", "multiplier_bits") if name in fixed}
        tile = Tile(array.lanes, array.rows, requant_lanes, **widths)
        depths = {name: fixed[name] for name in (*DEPTHS, "tables") if name in fixed}
        return parts, legal, Allocate(**depths).run(tile.run(legal))


def build_overlay(
    module: ir.Module, target: FpgaTarget, machine: Parameters | None = None,
    objective: Objective = "latency", progress: ProgressCallback = silent,
) -> OverlayBuild:  # fmt: skip
    """The best machine for `module` that fits `target`, with its program.

    Args:
        machine: parameters that are fixed; with lanes and rows, all that the device has may be
            taken, else what `budget` leaves for place and route, as long as anything fits there.

    Raises:
        UnsupportedOnOverlay: an operation without an instruction.
        DoesNotFit: no machine fits; it names what the nearest one lacks.
    """
    fixed = dict(machine or {})
    maker = OverlayMaker(module, target, fixed)
    whole, found = target.resources, Found()
    for have in (whole,) if {"lanes", "rows"} <= set(fixed) else (budget(whole), whole):
        found = search(maker, fixed, have, progress)
        if found.machines:
            break
    if not found.machines:
        _raise_why(found, target)
    candidates = ranked(found.candidates(), objective)
    best = Machine(**candidates[0].parameters)  # pyright: ignore[reportArgumentType]
    built = maker.build(Array(best.lanes, best.rows), best.requant_lanes)
    assert built.assembled.machine == best, "the search prices the machine that is built"
    assert built.prediction.total == candidates[0].cycles, "and its program"
    return replace(built, candidates=tuple(candidates))


def _raise_why(found: Found, target: FpgaTarget) -> NoReturn:
    """A program that cannot be written is the model's; else the device is too small."""
    errors = sorted(found.errors.values(), key=lambda error: isinstance(error, MachineError))
    if errors and not (found.short and isinstance(errors[0], MachineError)):
        raise errors[0]
    (array, _), short = min(
        found.short.items(), key=lambda item: item[1][0].need / max(item[1][0].have, 1)
    )
    raise DoesNotFit(
        f"the nearest machine for this model, {array.lanes} lanes x {array.rows} rows", target.name,
        [(item.name, item.need, item.have) for item in short],
    )  # fmt: skip


def write_overlay(build: OverlayBuild, folder: BuildFolder) -> list[Path]:
    """Write the parts, the program, the image and the Verilog; returns the Verilog files.

    The Verilog has the machine on Wishbone (`bitwright_wb`) and on AXI4-Lite (`bitwright_axil`);
    it loads its memories through that port.
    """
    serialize.save(build.parts.before, folder.before)
    serialize.save(build.legal, folder.core)
    serialize.save(build.parts.after, folder.after)
    serialize.save(build.program, folder.program)
    build.assembled.image.save(folder.image)
    machine = build.assembled.machine
    files: list[Path] = []
    for top in (WishboneTop, Axi4LiteTop):
        top_folder = folder.rtl / top.module_name.removeprefix("bitwright_")
        files += emit(top(core=Core(machine=machine)), top_folder, name=top.module_name)
    return files


def write_board_rtl(
    folder: BuildFolder, core: wiring.Component, *, clock_hz: int, baud: int
) -> Path:
    """Write the serial top with the memories' contents in it; returns its folder."""
    divisor = serial_divisor(clock_hz, baud)
    image = folder.image if folder.image.exists() else None  # a pipeline has none
    emit(UartTop(core=core, divisor=divisor), folder.board_rtl, name=UartTop.module_name,
         init_image=image)  # fmt: skip
    return folder.board_rtl


def serial_divisor(clock_hz: int, baud: int) -> int:
    """Clock cycles per bit of the serial line."""
    return max(2, round(clock_hz / baud))
