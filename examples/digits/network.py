"""A small convolutional network trainer in NumPy: layers with forward, backward and ONNX export.

Images travel as [N, H, W, C] inside, and leave as [N, C, H, W] in the exported model.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

Array = NDArray[np.float32]


class Parameter:
    """A trained tensor with its gradient and the two moments of Adam."""

    def __init__(self, value: NDArray[Any]) -> None:
        self.value: Array = value.astype(np.float32)
        self.gradient = np.zeros_like(self.value)
        self.first = np.zeros_like(self.value)
        self.second = np.zeros_like(self.value)

    def adam(self, step: int, rate: float, decay: float) -> None:
        """One step of AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2)."""
        self.first += 0.1 * (self.gradient - self.first)
        self.second += 0.001 * (self.gradient**2 - self.second)
        first = self.first / (1 - 0.9**step)
        second = self.second / (1 - 0.999**step)
        self.value -= rate * (first / (np.sqrt(second) + 1e-8) + decay * self.value)


class Graph:
    """The ONNX nodes and initializers that the layers write, in order."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def constant(self, name: str, value: Array) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name


class Layer:
    """forward() keeps what backward() needs; macs() is per image, after a forward pass."""

    def parameters(self) -> Iterator[Parameter]:
        return iter(())

    def forward(self, x: Array) -> Array:
        raise NotImplementedError

    def backward(self, gradient: Array) -> Array:
        raise NotImplementedError

    def macs(self) -> int:
        return 0

    def export(self, graph: Graph, x: str) -> str:
        raise NotImplementedError


class Conv(Layer):
    """Convolution with same padding; `groups == channels` when depthwise."""

    def __init__(
        self,
        name: str,
        inputs: int,
        outputs: int,
        kernel: int,
        rng: np.random.Generator,
        *,
        stride: int = 1,
        depthwise: bool = False,
    ) -> None:
        self.name, self.kernel, self.stride, self.depthwise = name, kernel, stride, depthwise
        shape = (kernel, kernel, 1, outputs) if depthwise else (kernel, kernel, inputs, outputs)
        deviation = np.sqrt(2 / np.prod(shape[:3]))  # He et al., arXiv 1502.01852, equation 10
        self.weight = Parameter(rng.normal(0, deviation, shape))
        self.bias = Parameter(np.zeros(outputs))

    def parameters(self) -> Iterator[Parameter]:
        return iter((self.weight, self.bias))

    def _windows(self, padded: Array) -> Iterator[tuple[int, int, Array]]:
        """The view of the padded input that each kernel position multiplies."""
        _, height, width, _ = self.output_shape
        for ky in range(self.kernel):
            for kx in range(self.kernel):
                rows = slice(ky, ky + height * self.stride, self.stride)
                columns = slice(kx, kx + width * self.stride, self.stride)
                yield ky, kx, padded[:, rows, columns]

    def forward(self, x: Array) -> Array:
        n, height, width, _ = x.shape
        stride, pad = self.stride, self.kernel // 2
        self.output_shape = (n, -(-height // stride), -(-width // stride), len(self.bias.value))
        # room on the far side so that every strided window has its full length
        room = pad + stride - 1
        self.padded = np.pad(x, ((0, 0), (pad, room), (pad, room), (0, 0)))
        self.input_box = (slice(None), slice(pad, pad + height), slice(pad, pad + width))
        y = np.broadcast_to(self.bias.value, self.output_shape).astype(np.float32)
        for ky, kx, window in self._windows(self.padded):
            weight = self.weight.value[ky, kx]
            y += window * weight[0] if self.depthwise else window @ weight
        return y

    def backward(self, gradient: Array) -> Array:
        result = np.zeros_like(self.padded)
        self.bias.gradient = gradient.sum((0, 1, 2))
        parts = zip(self._windows(self.padded), self._windows(result), strict=True)
        for (ky, kx, window), (_, _, target) in parts:
            if self.depthwise:
                self.weight.gradient[ky, kx, 0] = (window * gradient).sum((0, 1, 2))
                target += gradient * self.weight.value[ky, kx, 0]
            else:
                self.weight.gradient[ky, kx] = np.tensordot(
                    window, gradient, ([0, 1, 2], [0, 1, 2])
                )
                target += gradient @ self.weight.value[ky, kx].T
        return result[self.input_box]

    def macs(self) -> int:
        return int(np.prod(self.output_shape[1:3])) * self.weight.value.size

    def export(self, graph: Graph, x: str) -> str:
        weight = graph.constant(f"{self.name}.weight", self.weight.value.transpose(3, 2, 0, 1))
        bias = graph.constant(f"{self.name}.bias", self.bias.value)
        pad = self.kernel // 2
        return graph.node(
            "Conv",
            [x, weight, bias],
            self.name,
            kernel_shape=[self.kernel] * 2,
            strides=[self.stride] * 2,
            pads=[pad] * 4,
            group=len(self.bias.value) if self.depthwise else 1,
        )


class Relu(Layer):
    def __init__(self, name: str) -> None:
        self.name = name

    def forward(self, x: Array) -> Array:
        self.mask = x > 0
        return x * self.mask

    def backward(self, gradient: Array) -> Array:
        return gradient * self.mask

    def export(self, graph: Graph, x: str) -> str:
        return graph.node("Relu", [x], self.name)


class MaxPool(Layer):
    """2x2, stride 2; the gradient is shared among equal maxima."""

    def __init__(self, name: str) -> None:
        self.name = name

    def forward(self, x: Array) -> Array:
        n, height, width, channels = x.shape
        tiles = x.reshape(n, height // 2, 2, width // 2, 2, channels)
        y = tiles.max((2, 4), keepdims=True)
        mask = (tiles == y).astype(np.float32)
        self.share = mask / mask.sum((2, 4), keepdims=True)
        self.input_shape = x.shape
        return y[:, :, 0, :, 0]

    def backward(self, gradient: Array) -> Array:
        return (self.share * gradient[:, :, None, :, None]).reshape(self.input_shape)

    def export(self, graph: Graph, x: str) -> str:
        return graph.node("MaxPool", [x], self.name, kernel_shape=[2, 2], strides=[2, 2])


class Dense(Layer):
    """Flatten (in ONNX's channel-first order), then a matrix product."""

    def __init__(self, name: str, inputs: int, outputs: int, rng: np.random.Generator) -> None:
        self.name = name
        self.weight = Parameter(rng.normal(0, np.sqrt(1 / inputs), (inputs, outputs)))
        self.bias = Parameter(np.zeros(outputs))

    def parameters(self) -> Iterator[Parameter]:
        return iter((self.weight, self.bias))

    def forward(self, x: Array) -> Array:
        channels_first = x.transpose(0, 3, 1, 2)
        self.input_shape = channels_first.shape
        self.flat = channels_first.reshape(len(x), -1)
        return self.flat @ self.weight.value + self.bias.value

    def backward(self, gradient: Array) -> Array:
        self.weight.gradient = self.flat.T @ gradient
        self.bias.gradient = gradient.sum(0)
        flat = gradient @ self.weight.value.T
        return flat.reshape(self.input_shape).transpose(0, 2, 3, 1)

    def macs(self) -> int:
        return self.weight.value.size

    def export(self, graph: Graph, x: str) -> str:
        flat = graph.node("Flatten", [x], f"{self.name}.flat")
        weight = graph.constant(f"{self.name}.weight", self.weight.value.T)
        bias = graph.constant(f"{self.name}.bias", self.bias.value)
        return graph.node("Gemm", [flat, weight, bias], self.name, transB=1)


class Chain(Layer):
    """Layers one after the other; with `residual`, the chain's input is added to its output."""

    def __init__(self, *layers: Layer, residual: str | None = None) -> None:
        self.layers, self.residual = layers, residual

    def parameters(self) -> Iterator[Parameter]:
        for layer in self.layers:
            yield from layer.parameters()

    def forward(self, x: Array) -> Array:
        y = x
        for layer in self.layers:
            y = layer.forward(y)
        return y + x if self.residual else y

    def backward(self, gradient: Array) -> Array:
        result = gradient
        for layer in reversed(self.layers):
            result = layer.backward(result)
        return result + gradient if self.residual else result

    def macs(self) -> int:
        return sum(layer.macs() for layer in self.layers)

    def export(self, graph: Graph, x: str) -> str:
        y = x
        for layer in self.layers:
            y = layer.export(graph, y)
        return graph.node("Add", [y, x], self.residual) if self.residual else y
