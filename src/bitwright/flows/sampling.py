"""Logits to the next token."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Args:
        temperature: the logits are divided by it; 0 takes the greatest (the first of equals).
        top_k: only the k most likely tokens; 0 for all.
        top_p: only the most likely tokens that together reach this probability.
        seed: of the random numbers.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0


class Sampler:
    """Draws tokens; equal seeds and logits give equal tokens."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def next(self, logits: NDArray[Any]) -> int:
        """The next token, from logits [vocabulary]."""
        options = self._sampling
        if options.temperature == 0:
            return int(logits.argmax())
        scaled = logits.astype(np.float64) / options.temperature
        order = np.argsort(-scaled, kind="stable")
        if options.top_k:
            order = order[: options.top_k]
        likely = np.exp(scaled[order] - scaled[order[0]])
        total = np.cumsum(likely / likely.sum())
        reached = (
            int(np.searchsorted(total, options.top_p)) + 1 if options.top_p < 1 else len(total)
        )
        total = total[:reached]
        draw = self._random.random() * total[-1]
        index = min(int(np.searchsorted(total, draw, side="right")), len(total) - 1)
        return int(order[index])
