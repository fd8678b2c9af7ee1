"""The choice of a design for a model and a target, among those that each style offers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch_mlir import ir

from bitwright.errors import BitwrightError
from bitwright.flows.overlay import OverlayBuild, offer_overlay
from bitwright.passes.search.candidate import Candidate, Objective, Parameters, Style, ranked
from bitwright.progress import ProgressCallback, silent
from bitwright.targets.target import FpgaTarget

Build = OverlayBuild


class Offer(Protocol):
    """What one style has for a model."""

    @property
    def candidates(self) -> Sequence[Candidate]:
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


_STYLES: Mapping[Style, Callable[[ir.Module, FpgaTarget, Parameters, ProgressCallback], Offer]] = {
    "overlay": offer_overlay
}


def choose(
    module: ir.Module, target: FpgaTarget, *, fixed: Parameters | None = None,
    objective: Objective = "latency", style: Style | None = None,
    progress: ProgressCallback = silent,
) -> Choice:  # fmt: skip
    """The best design for a quantized `module` on `target`.

    Args:
        fixed: parameters of an overlay machine, which are kept; then only that style is asked.
        style: the only one to ask.

    Raises:
        BitwrightError: no style has a design; the error of the first one asked.
    """
    asked: list[Style] = ["overlay"] if fixed else list(_STYLES)
    if style is not None:
        asked = [style]
    offers: dict[Style, Offer] = {}
    refused: list[BitwrightError] = []
    for name in asked:
        try:
            offers[name] = _STYLES[name](module, target, fixed or {}, progress)
        except BitwrightError as error:
            refused.append(error)
    if not offers:
        raise refused[0]
    candidates = ranked([c for offer in offers.values() for c in offer.candidates], objective)
    best = candidates[0]
    return Choice(offers[best.style].build(best), tuple(candidates))
