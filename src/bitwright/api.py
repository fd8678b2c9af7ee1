"""The Python front door: what the commands do, as functions. No logic of its own.

import bitwright.api as bitwright
report = bitwright.compile_model(Path("m.onnx"), "cpu", Path("samples.npz"))
"""

from bitwright.flows.bitstream import bitstream
from bitwright.flows.compile import compile_model
from bitwright.flows.generate import generate, score
from bitwright.flows.inspect import inspect
from bitwright.flows.integer_weights import IntegerWeights
from bitwright.flows.optimise import optimise
from bitwright.flows.run import run
from bitwright.flows.sampling import Sampling
from bitwright.flows.simulate import simulate
from bitwright.frontend.torch import load
from bitwright.runtime.language_model import load_any as load_library

__all__ = [
    "IntegerWeights", "Sampling", "bitstream", "compile_model", "generate", "inspect", "load",
    "load_library", "optimise", "run", "score", "simulate",
]  # fmt: skip
