"""From a quantized module to a machine that fits the target, its program and its Verilog."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.flows.folder import BuildFolder
from bitwright.fpga.errors import DoesNotFit
from bitwright.fpga.report import check_fits
from bitwright.hwgen.assemble import Assembled, assemble
from bitwright.hwgen.core import Core
from bitwright.hwgen.cycles import Prediction, predict
from bitwright.hwgen.resources import estimate
from bitwright.hwgen.tops import Axi4LiteTop, UartTop, WishboneTop
from bitwright.hwgen.verilog import emit
from bitwright.ir import serialize
from bitwright.ir.machine import Machine
from bitwright.passes.allocate import Allocate
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import Parts, partition
from bitwright.passes.space_to_depth import SpaceToDepth
from bitwright.passes.split_sums import SplitSums
from bitwright.passes.tile import Tile
from bitwright.targets.target import FpgaTarget, MachinePreset, Resources


class UnknownMachineParameter(BitwrightError):
    """A name that is no machine parameter."""

    exit_code = 5


@dataclass(frozen=True)
class OverlayBuild:
    """A program, its machine, and what both are predicted to cost."""

    parts: Parts
    legal: ir.Module
    program: ir.Module
    assembled: Assembled
    prediction: Prediction
    resources: Resources


def build_overlay(
    module: ir.Module, target: FpgaTarget, machine: Mapping[str, int] | None = None
) -> OverlayBuild:
    """The program of `module` on the largest preset of `target` that fits.

    Args:
        machine: parameters that are fixed; naming lanes or rows leaves the presets.

    Raises:
        UnsupportedOnOverlay: an operation without an instruction.
        DoesNotFit: the smallest preset (or the fixed machine) needs more than the target has.
    """
    fixed = dict(machine or {})
    _check_names(fixed)
    split = SplitSums().run(module)
    smallest = target.presets[-1]
    if "lanes" in fixed or "rows" in fixed:
        lanes = fixed.pop("lanes", smallest.lanes)
        rows = fixed.pop("rows", max(lanes, 8))
        presets = (MachinePreset(lanes=lanes, rows=rows, requant_lanes=smallest.requant_lanes),)
    else:
        presets = target.presets
    for preset in presets:
        parts = partition(SpaceToDepth(preset.lanes).run(split))
        legal = Legalize().run(parts.core)
        program = _program(legal, preset, dict(fixed))
        assembled = assemble(program)
        resources = estimate(assembled.machine, target.family)
        try:
            check_fits(_title(assembled.machine), resources, target)
        except DoesNotFit:
            if preset is presets[-1]:
                raise
            continue
        prediction = predict(assembled.machine, assembled.instructions)
        return OverlayBuild(parts, legal, program, assembled, prediction, resources)
    raise AssertionError("the last preset either fits or raises")


def _check_names(machine: Mapping[str, int]) -> None:
    known = [item.name for item in fields(Machine)]
    for name, value in machine.items():
        if name not in known:
            raise UnknownMachineParameter(
                f"Machine parameter {name}={value} is not known; expected one of {', '.join(known)}"
            )


def _program(legal: ir.Module, preset: MachinePreset, fixed: dict[str, int]) -> ir.Module:
    array: dict[str, Any] = {name: fixed.pop(name, value) for name, value in asdict(preset).items()}
    tile = Tile(
        **array,
        acc_bits=fixed.pop("acc_bits", 0),
        multiplier_bits=fixed.pop("multiplier_bits", 0),
    )
    return Allocate(**fixed).run(tile.run(legal))


def _title(machine: Machine) -> str:
    return f"a machine of {machine.lanes} lanes x {machine.rows} rows for this model"


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


def write_board_rtl(folder: BuildFolder, machine: Machine, *, clock_hz: int, baud: int) -> Path:
    """Write the serial top with the memories' contents in it; returns its folder."""
    divisor = serial_divisor(clock_hz, baud)
    top = UartTop(core=Core(machine=machine), divisor=divisor)
    emit(top, folder.board_rtl, name=UartTop.module_name, init_image=folder.image)
    return folder.board_rtl


def serial_divisor(clock_hz: int, baud: int) -> int:
    """Clock cycles per bit of the serial line."""
    return max(2, round(clock_hz / baud))
