"""Float operators of the domain com.microsoft, which ONNX Runtime's optimizers write."""

from bitwright.frontend.onnx.node import Handler, Node, Operand


def gelu(node: Node) -> Operand:
    """Gelu, exact."""
    return node.builder.function("gelu", node.tensor(0), approximate="none")


def bias_gelu(node: Node) -> Operand:
    """Gelu of x + bias."""
    x = node.builder.add(node.tensor(0), node.tensor(1))
    return node.builder.function("gelu", x, approximate="none")


def fast_gelu(node: Node) -> Operand:
    """Gelu with a hyperbolic tangent, of x or x + bias."""
    x = node.tensor(0)
    if node.operand(1) is not None:
        x = node.builder.add(x, node.tensor(1))
    return node.builder.function("gelu", x, approximate="tanh")


HANDLERS: dict[str, Handler] = {
    "BiasGelu": bias_gelu,
    "FastGelu": fast_gelu,
    "Gelu": gelu,
}
