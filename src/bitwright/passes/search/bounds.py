"""What every program of a model needs, whatever the machine."""

import hashlib

import numpy as np
from torch_mlir import ir

from bitwright.ir import graph
from bitwright.ir.types import shape_of
from bitwright.passes.pack import planes_needed


def least_precision(module: ir.Module) -> int:
    """Bits of the widest weight of all convolutions but depthwise ones."""
    widest = 1
    for operation in graph.operations(module):
        if operation.operation.name == "bw.conv2d":
            groups, weight = operation.groups.value, graph.constant_of(operation.weight)
            if weight is not None and not 1 < groups == len(weight) == shape_of(operation.input)[1]:
                widest = max(widest, planes_needed(weight))
    return widest


def least_weight_bits(module: ir.Module) -> int:
    """Bits of weight memory that no machine does without: of different convolutions' weights.

    The memory holds equal words once. Words are only equal where the weights are the same numbers
    (padding apart), so weights of the same numbers in any order are counted once here.
    """
    found: dict[bytes, int] = {}
    for operation in graph.operations(module):
        if operation.operation.name != "bw.conv2d":
            continue
        weight = graph.constant_of(operation.weight)
        if weight is not None:
            key = hashlib.sha256(np.sort(weight[weight != 0]).tobytes()).digest()
            bits = weight.size * planes_needed(weight)
            found[key] = min(bits, found.get(key, bits))
    return sum(found.values())
