"""What of a float model a target does not support, and why: asked of the passes themselves.

Where every operation has an integer form, the model is quantized with random samples (support
depends on operations, shapes and weights, hardly on ranges) and taken as far as `compile` takes it,
short of writing anything. Otherwise only the kind of each operation is looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch_mlir import ir

from bitwright.codegen.cpu.level import cpu_level
from bitwright.codegen.cpu.lower import lower
from bitwright.errors import BitwrightError
from bitwright.flows.overlay import build_overlay, in_memory
from bitwright.fpga.errors import DoesNotFit
from bitwright.ir import bw, graph
from bitwright.ir.types import quant_params, shape_of
from bitwright.passes.legalize import Legalize
from bitwright.passes.partition import partition
from bitwright.passes.quantize import Quantize
from bitwright.passes.quantize.ties import check_quantizable, kind_of
from bitwright.passes.split_sums import SplitSums
from bitwright.passes.tile import Tile, has_instruction
from bitwright.targets.target import CpuTarget, FpgaTarget

PASSES = "passes"
KINDS = "operator kinds"
_SEED = 0
# The float operations whose integer form has a name of its own.
_INTEGER_KINDS = {
    "avg_pool2d": "sum_pool2d", "reduce_mean": "sum_pool2d", "relu": "table", "clip": "table",
    "leaky_relu": "table", "hard_sigmoid": "table", "hard_swish": "table", "sigmoid": "table",
    "tanh": "table",
}  # fmt: skip
# What the host computes at a model's border, and what is a matter of addresses only.
_ELSEWHERE = ("reshape", "transpose", "softmax")


@dataclass(frozen=True)
class Verdict:
    """What a target makes of a model.

    Attributes:
        layers: why a layer is not supported, by the layer's number.
        model: what is wrong with the model as a whole.
        checked_by: how far the check went: all passes that `compile` runs (on random calibration
            samples), or only the kinds of the operations.
    """

    target: str
    kind: str
    checked_by: Literal["passes", "operator kinds"]
    layers: Mapping[int, str] = field(default_factory=dict[int, str])
    model: tuple[str, ...] = ()

    @property
    def supported(self) -> bool:
        """Whether nothing was found."""
        return not self.layers and not self.model


def check_target(module: ir.Module, device: CpuTarget | FpgaTarget) -> Verdict:
    """Check a float module after `fold`, or one that came quantized."""
    operations = [
        operation
        for operation in graph.operations(module)
        if operation.operation.name != bw.ConstantOp.OPERATION_NAME
    ]
    if all(quant_params(item.value.type) is not None for item in graph.inputs(module)):
        return _verdict(module, device, operations)
    by_kind = _by_kind(operations, device)
    if by_kind:
        return Verdict(device.name, device.kind, KINDS, by_kind)
    random = np.random.default_rng(_SEED)
    samples = {
        item.name: random.normal(size=shape_of(item.value)).astype(np.float32)
        for item in graph.inputs(module)
    }
    try:
        quantized = Quantize(samples=samples).run(module)
    except BitwrightError as error:
        return Verdict(device.name, device.kind, KINDS, {}, (f"On random samples: {error}",))
    return _verdict(quantized, device, operations)


def _verdict(
    quantized: ir.Module, device: CpuTarget | FpgaTarget, operations: list[Any]
) -> Verdict:
    """What the passes say of `quantized`, by the numbers of the model's own `operations`."""
    try:
        found = _by_passes(quantized, device)
    except BitwrightError as error:
        return Verdict(device.name, device.kind, PASSES, {}, (str(error),))
    numbers = {graph.location_name(op): number for number, op in enumerate(operations)}
    return Verdict(
        device.name, device.kind, PASSES,
        {numbers[name]: why for name, why in found.items() if name in numbers},
        tuple(dict.fromkeys(why for name, why in found.items() if name not in numbers)),
    )  # fmt: skip


def _by_kind(operations: list[Any], device: CpuTarget | FpgaTarget) -> dict[int, str]:
    found: dict[int, str] = {}
    for number, operation in enumerate(operations):
        try:
            check_quantizable(operation)
        except BitwrightError as error:
            found[number] = str(error)
    if not found or isinstance(device, CpuTarget):
        return found
    for number, operation in enumerate(operations):
        kind = kind_of(operation)
        integer = f"bw.{_INTEGER_KINDS.get(kind, kind)}"
        if number not in found and kind not in _ELSEWHERE and not has_instruction(integer):
            found[number] = f"the overlay has no instruction for {integer}; compile for cpu"
    return dict(sorted(found.items()))


def _by_passes(quantized: ir.Module, device: CpuTarget | FpgaTarget) -> dict[str, str]:
    """What is refused, by the operation's name.

    Raises:
        BitwrightError: what is wrong with the model as a whole.
    """
    if isinstance(device, CpuTarget):
        lower(quantized, cpu_level("host"))
        return {}
    found = Tile().unsupported(Legalize().run(partition(SplitSums().run(quantized)).core))
    if found:
        return found
    try:
        build_overlay(quantized, device)
    except DoesNotFit:
        external = in_memory(device, {})
        if external is None:
            raise
        build_overlay(quantized, device, external)
    return {}
