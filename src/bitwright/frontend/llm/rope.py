"""Frequencies of rotary position embeddings [rotated / 2], in radians per position.

Sources: RoFormer (arXiv 2104.09864, section 3.2.2); linear scaling: position interpolation (arXiv
2306.15595); Llama 3.1's scaling by wavelength as in its release.
"""

import math

import numpy as np
from numpy.typing import NDArray

Frequencies = NDArray[np.float64]


def frequencies(base: float, rotated: int) -> Frequencies:
    """base^(-2i / rotated) for each pair i."""
    return base ** (-np.arange(0, rotated, 2) / rotated)


def llama3(
    unscaled: Frequencies, factor: float, low: float, high: float, context: float
) -> Frequencies:
    """Wavelengths above context / low are stretched by `factor`, below context / high kept."""
    turns = context * unscaled / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return unscaled * (kept + (1 - kept) / factor)
