"""Float operators of the domain com.microsoft, which ONNX Runtime's optimizers write."""

from collections.abc import Sequence
from dataclasses import replace

import onnx
from onnx import helper
from torch_mlir import ir

from bitwright.frontend.onnx import convolution, normalization
from bitwright.frontend.onnx.errors import UnsupportedOperandError
from bitwright.frontend.onnx.functions import scalar
from bitwright.frontend.onnx.node import Handler, Node, Operand, shape
from bitwright.ir import bw

_ACTIVATIONS: dict[str, tuple[object, tuple[str, ...]]] = {
    "Clip": (bw.ClipOp, ("minimum", "maximum")),
    "HardSigmoid": (bw.HardSigmoidOp, ("alpha", "beta")),
    "LeakyRelu": (bw.LeakyReluOp, ("alpha",)),
    "Relu": (bw.ReluOp, ()),
    "Sigmoid": (bw.SigmoidOp, ()),
    "Tanh": (bw.TanhOp, ()),
}


def _activated(node: Node, x: ir.Value, parameters: Sequence[float]) -> ir.Value:
    """The activation that the node names, with its parameters in order."""
    name = str(node.attribute("activation", ""))
    if not name:
        return x
    if name not in _ACTIVATIONS:
        node.fail_attribute("activation", name, ", ".join(_ACTIVATIONS))
    operation, wanted = _ACTIVATIONS[name]
    if len(parameters) < len(wanted):
        node.fail_attribute("activation_params", list(parameters), f"{len(wanted)} for {name}")
    values = zip(wanted, map(float, parameters), strict=False)
    return node.builder.unary(operation, x, **dict(values))


def fused_conv(node: Node) -> Operand:
    """Conv, plus Z where there is one, then an activation."""
    y = convolution.conv(replace(node, operands=node.operands[:3]))
    assert isinstance(y, ir.Value)
    if node.operand(3) is not None:
        y = node.builder.add(y, node.value(3))
    return _activated(node, y, node.attribute("activation_params", ()))


def fused_gemm(node: Node) -> Operand:
    """Gemm, then an activation."""
    y = convolution.gemm(node)
    assert isinstance(y, ir.Value)
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    given = [node.attribute(name) for name in names]
    return _activated(node, y, [value for value in given if value is not None])


def fused_matmul(node: Node) -> Operand:
    """alpha * A * B, each of A and B transposed on request."""
    build, sides = node.builder, (node.value(0), node.value(1))
    for name in ("transBatchA", "transBatchB"):
        if node.integer(name, 0):
            node.fail_attribute(name, node.integer(name, 0), "0")
    turned: list[ir.Value] = []
    for side, name in zip(sides, ("transA", "transB"), strict=True):
        rank = len(shape(side))
        turn = node.integer(name, 0) and rank > 1
        turned.append(
            build.transpose(side, (*range(rank - 2), rank - 1, rank - 2)) if turn else side
        )
    y = convolution.matrix_product(node, *turned)
    alpha = node.number("alpha", 1.0)
    return y if alpha == 1.0 else build.mul(y, scalar(node, alpha, y))


def _gelu(approximate: str) -> Handler:
    """Gelu of x, or of x + bias."""

    def handle(node: Node) -> Operand:
        x = node.tensor(0)
        if node.operand(1) is not None:
            x = node.builder.add(x, node.tensor(1))
        return node.builder.function("gelu", x, approximate=approximate)

    return handle


def quick_gelu(node: Node) -> Operand:
    """x * sigmoid(alpha * x)."""
    build, x = node.builder, node.value(0)
    alpha = node.number("alpha", 1.702)
    return build.mul(x, build.unary(bw.SigmoidOp, build.mul(x, scalar(node, alpha, x))))


def skip_layer_normalization(node: Node) -> Sequence[Operand]:
    """LayerNormalization of x + skip + bias; that sum is the fourth result."""
    total, inner = _skipped(node, 4, (2, 3))
    return *normalization.layer_normalization(inner), total


def skip_simplified_layer_normalization(node: Node) -> Sequence[Operand]:
    """RMSNormalization of x + skip + bias; that sum is the fourth result."""
    if any(node.proto.output[1:3]):
        raise UnsupportedOperandError(
            f"{node.describe()}: results 1 and 2 (mean, inverse deviation) are used; supported: "
            "results 0 and 3"
        )
    total, inner = _skipped(node, 3, (2,))
    y = normalization.rms_normalization(inner)
    assert isinstance(y, ir.Value)
    return y, y, y, total


def _skipped(node: Node, bias: int, parameters: Sequence[int]) -> tuple[ir.Value, Node]:
    """x + skip + bias, and the node as a normalisation of that."""
    total = node.builder.add(node.tensor(0), node.tensor(1))
    if node.operand(bias) is not None:
        total = node.builder.add(total, node.tensor(bias))
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    if node.attribute("epsilon") is None:
        proto.attribute.append(helper.make_attribute("epsilon", 1e-12))
    rest = (node.operand(index) for index in parameters)
    return total, replace(node, proto=proto, operands=(total, *rest))


HANDLERS: dict[str, Handler] = {
    "BiasGelu": _gelu("none"),
    "FastGelu": _gelu("tanh"),
    "FusedConv": fused_conv,
    "FusedGemm": fused_gemm,
    "FusedMatMul": fused_matmul,
    "Gelu": _gelu("none"),
    "QuickGelu": quick_gelu,
    "SkipLayerNormalization": skip_layer_normalization,
    "SkipSimplifiedLayerNormalization": skip_simplified_layer_normalization,
}
