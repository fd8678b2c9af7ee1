"""The choice of a design for a model and a target, among those that each style offers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.flows.dataflow import DataflowBuild, offer_dataflow
from bitwright.flows.folding_file import FoldingFile
from bitwright.flows.overlay import OverlayBuild, in_memory, offer_overlay
from bitwright.fpga.errors import DoesNotFit
from bitwright.passes.search.candidate import Candidate, Objective, Parameters, Style, ranked
from bitwright.progress import ProgressCallback, silent
from bitwright.targets.target import FpgaTarget

Build = OverlayBuild | DataflowBuild


@dataclass(frozen=True)
class Fixed:
    """What a user fixes: parameters of an overlay, or the folding or interval of a pipeline."""

    machine: Parameters = field(default_factory=dict[str, int | str])
    folding: FoldingFile | None = None
    interval: int | None = None

    @property
    def styles(self) -> list[Style]:
        """The styles that have what is fixed; all where nothing is."""
        if self.machine:
            return ["overlay"]
        pipeline = self.folding is not None or self.interval is not None
        return ["dataflow"] if pipeline else ["overlay", "dataflow"]


class Offer(Protocol):
    """What one style has for a model."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All of its designs that fit."""
        ...

    def build(self, chosen: Candidate) -> Any:
        """One of them, ready to be written."""
        ...


@dataclass(frozen=True)
class Choice:
    """The design that is built, and all that fit, best first: the first one is that."""

    build: Build
    candidates: tuple[Candidate, ...]


def choose(
    module: ir.Module, target: FpgaTarget, *, name: str = "model", fixed: Fixed | None = None,
    objective: Objective | None = None, style: Style | None = None,
    clock_mhz: float | None = None, progress: ProgressCallback = silent,
) -> Choice:  # fmt: skip
    """The best design for a quantized `module` on `target`.

    Where none fits, the best overlay with its weights in the target's external memory.

    Args:
        name: of the model.
        objective: by default latency, or throughput where only pipelines are asked for.
        style: the only one to ask; else those that have what is `fixed`.
        clock_mhz: of the machine; by default the target's. The external memory's cycles are for it.

    Raises:
        BitwrightError: no style has a design; the error of the first one asked.
    """
    fixed = fixed or Fixed()
    kinds: list[Style] = fixed.styles if style is None else [style]
    goal = objective or ("throughput" if kinds == ["dataflow"] else "latency")
    asked: Mapping[Style, Callable[[], Offer]] = {
        "overlay": lambda: offer_overlay(module, target, fixed.machine, progress),
        "dataflow": lambda: offer_dataflow(
            module, target, name, fixed.folding, fixed.interval, goal, progress
        ),
    }
    offers: dict[Style, Offer] = {}
    refused: list[BitwrightError] = []
    for kind in kinds:
        try:
            offers[kind] = asked[kind]()
        except BitwrightError as error:
            refused.append(error)
    external = in_memory(target, fixed.machine, clock_mhz)
    if not offers and "overlay" in kinds and external and isinstance(refused[0], DoesNotFit):
        try:
            offers["overlay"] = offer_overlay(module, target, external, progress)
        except BitwrightError as error:
            refused.append(error)
    if not offers:
        raise refused[0]
    candidates = ranked([c for offer in offers.values() for c in offer.candidates], goal)
    best = candidates[0]
    return Choice(offers[best.style].build(best), tuple(candidates))
