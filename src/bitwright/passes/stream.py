"""Put a program's weights into external memory, in the order of their use: `accel` --> `accel`.

    accel.memory {memory = "weights", value = ...}, accel.matmul {n_block = 8, w_base = 40, ...}
    -->  accel.memory {memory = "external", value = ...},
         accel.matmul {n_block = 4, w_base = 0, ...}, accel.matmul {n_block = 4, w_base = 72, ...}

An instruction whose weights take more than half of the buffer becomes several, each for some of
its blocks of output channels, so that the next one's weights are loaded while one runs. The memory
ends with a whole burst.

Requires: a program from `tile`, before `allocate`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.ir import accel
from bitwright.ir.builder import attribute
from bitwright.ir.context import clone, entered, verify
from bitwright.ir.machine import SDRAM_MEMORY, Machine, burst_weights
from bitwright.passes.tile_program import UnsupportedOnOverlay

_BUFFER_BYTES = 1 << 14
_DEPTHS = ("act_words", "in_words", "out_words", "param_words", "program_words")


@dataclass(frozen=True)
class Stream:
    """See the module's description.

    Attributes:
        weight_words: of the buffer; 0 takes 16 KiB, or more where a layer needs more to be split.
        memory, memory_latency, memory_mhz: see `bitwright.ir.machine.Machine`.
    """

    weight_words: int = 0
    memory: str = SDRAM_MEMORY
    memory_latency: int = 0
    memory_mhz: int = 0

    def run(self, module: ir.Module) -> ir.Module:
        """Return a copy of `module` whose weights are in external memory.

        Raises:
            MachineError: there is no such machine.
            UnsupportedOnOverlay: one block of a layer has more weights than the buffer holds.
        """
        module = clone(module)
        attributes = {i.name: i.attr for i in module.operation.attributes["accel.machine"]}
        given = {name: value.value for name, value in attributes.items()}  # pyright: ignore
        operations = list(module.body.operations)
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        own["weight_words"] = self.weight_words or _enough(operations)
        machine = Machine(**dict.fromkeys(_DEPTHS, 2), **{**given, **own})  # pyright: ignore
        memories = [op for op in operations if isinstance(op, accel.MemoryOp)]
        (weights,) = (op for op in memories if op.memory.value == "weights")
        words = np.asarray(weights.value)
        used: list[NDArray[np.int8]] = []
        first = 0
        with entered(module):
            for operation in operations:
                if not isinstance(operation, accel.COMPUTE):
                    continue
                base = operation.w_base.value
                for part in _split(machine, operation):
                    count = _words(part)
                    used.append(words[base : base + count])
                    base += count
                    part.attributes["w_base"] = attribute(first)
                    first += count
            used.append(np.zeros((-first % machine.burst_weights, words.shape[1]), np.int8))
            weights.attributes["memory"] = attribute("external")
            weights.attributes["value"] = ir.DenseElementsAttr.get(
                np.ascontiguousarray(np.concatenate(used))
            )
            attributes |= {name: attribute(value) for name, value in own.items()}
            module.operation.attributes["accel.machine"] = ir.DictAttr.get(attributes)
        verify(module)
        return module


def _enough(operations: list[Any]) -> int:
    """A buffer in which every layer is split so that two of its parts have room."""
    (size,) = (
        np.asarray(op.value).shape[1]
        for op in operations
        if isinstance(op, accel.MemoryOp) and op.memory.value == "weights"
    )
    largest = max(_block_words(op) for op in operations if isinstance(op, accel.COMPUTE))
    spare = 2 * burst_weights(8 * size)
    words = max(_BUFFER_BYTES // size, 2 * largest + spare)
    return 1 << (words - 1).bit_length()


def _field(operation: Any, name: str) -> int:
    return operation.attributes[name].value


def _block_words(operation: Any) -> int:
    """Weight words of one block of an instruction."""
    if _field(operation, "w_same_steps"):
        return 1
    return int(np.prod([_field(operation, f"n_{loop}") for loop in ("plane", "cb", "ky", "kx")]))


def _words(operation: Any) -> int:
    blocks = 1 if _field(operation, "w_same_blocks") else _field(operation, "n_block")
    return blocks * _block_words(operation)


def _split(machine: Machine, operation: Any) -> list[Any]:
    """`operation`, or several that do the same one after the other and take its place."""
    each, blocks = _block_words(operation), _field(operation, "n_block")
    if each > machine.most_weights:
        raise UnsupportedOnOverlay(
            f"Layer {operation.layer.value!r} has {each} weight words for one block of outputs; "
            f"with weight_words = {machine.weight_words} an instruction can use "
            f"{machine.most_weights} from external memory; make weight_words larger, or compile "
            f"with --target cpu"
        )
    most = max(1, machine.most_weights // 2 // each)
    if _field(operation, "w_same_blocks") or blocks <= most:
        return [operation]
    matmul = not isinstance(operation, accel.ChannelwiseOp)
    groups = machine.matmul_groups if matmul else machine.channelwise_groups
    parts: list[Any] = []
    with ir.InsertionPoint(operation):
        for begin in range(0, blocks, most):
            part = operation.operation.clone().opview
            count = min(most, blocks - begin)
            moved = {
                "src_base": begin * _field(operation, "s_block"),
                "p_base": begin * groups,
                "dst_base": begin * _field(operation, "dst_words")
                * _field(operation, "dst_word_stride"),
            }  # fmt: skip
            if isinstance(operation, accel.MatmulAddOp):
                moved["add_base"] = moved["dst_base"]
            for name, words in moved.items():
                part.attributes[name] = attribute(_field(operation, name) + words)
            part.attributes["n_block"] = attribute(count)
            if begin + count < blocks:
                part.attributes["dst_words_last"] = operation.attributes["dst_words"]
            if count == 1:
                part.attributes["s_block"] = attribute(0)
            parts.append(part)
    operation.operation.erase()
    return parts
