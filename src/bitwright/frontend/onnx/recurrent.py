"""RNN, GRU and LSTM, unrolled over their constant number of steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch_mlir import ir

from bitwright.frontend.onnx.indexing import part
from bitwright.frontend.onnx.node import Handler, Node, Operand, shape
from bitwright.ir import bw

MAX_STEPS = 1024
_ACTIVATIONS = {"sigmoid": bw.SigmoidOp, "tanh": bw.TanhOp, "relu": bw.ReluOp}
_DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
Activation = Callable[[ir.Value], ir.Value]


@dataclass(frozen=True)
class _Cell:
    """One direction: R as [H, G * H], its bias (or None), the peepholes as [1, H] each."""

    node: Node
    width: int
    recurrent: ir.Value
    bias: ir.Value | None
    peepholes: Sequence[ir.Value]
    activations: Sequence[Activation]

    def times(self, hidden: ir.Value, start: int, count: int) -> ir.Value:
        """`hidden` times `count` gates of R from gate `start` on, plus their bias."""
        build, width = self.node.builder, self.width
        columns = part(self.node, self.recurrent, 1, start * width, count * width)
        total = build.matmul(hidden, columns)
        if self.bias is None:
            return total
        return build.add(total, part(self.node, self.bias, 1, start * width, count * width))

    def gate(self, gates: ir.Value, index: int) -> ir.Value:
        """[B, H] of [B, G * H]."""
        return part(self.node, gates, 1, index * self.width, self.width)


State = tuple[ir.Value, ...]
Step = Callable[[_Cell, ir.Value, State], State]


def _rnn_step(cell: _Cell, x: ir.Value, state: State) -> State:
    return (cell.activations[0](cell.node.builder.add(x, cell.times(state[0], 0, 1))),)


def _gru_step(cell: _Cell, x: ir.Value, state: State) -> State:
    build, (hidden,) = cell.node.builder, state
    sums = cell.times(hidden, 0, 2)
    f, g = cell.activations
    update = f(build.add(cell.gate(x, 0), cell.gate(sums, 0)))
    reset = f(build.add(cell.gate(x, 1), cell.gate(sums, 1)))
    if cell.node.integer("linear_before_reset", 0):
        candidate = build.mul(reset, cell.times(hidden, 2, 1))
    else:
        candidate = cell.times(build.mul(reset, hidden), 2, 1)
    candidate = g(build.add(cell.gate(x, 2), candidate))
    kept = build.mul(update, build.add(hidden, candidate, 1, -1))
    return (build.add(candidate, kept),)


def _lstm_step(cell: _Cell, x: ir.Value, state: State) -> State:
    build, (hidden, memory) = cell.node.builder, state
    gates = build.add(x, cell.times(hidden, 0, 4))
    into, out, forget, candidate = (cell.gate(gates, index) for index in range(4))
    f, g, h = cell.activations
    if cell.peepholes:
        into = build.add(into, build.mul(cell.peepholes[0], memory))
        forget = build.add(forget, build.mul(cell.peepholes[2], memory))
    memory = build.add(build.mul(f(forget), memory), build.mul(f(into), g(candidate)))
    if cell.peepholes:
        out = build.add(out, build.mul(cell.peepholes[1], memory))
    return build.mul(f(out), h(memory)), memory


def _joined(node: Node, values: Sequence[ir.Value], axis: int) -> ir.Value:
    """Concatenated in halves, so that no element is copied more than log times."""
    if len(values) == 1:
        return values[0]
    half = len(values) // 2
    halves = [_joined(node, values[:half], axis), _joined(node, values[half:], axis)]
    return node.builder.concat(halves, axis)


def _recurrent(gates: int, step: Step, activations: Sequence[str], states: int) -> Handler:
    """A handler: X, W, R, B, lengths, initial states, peepholes; gives Y and the last states."""

    def handle(node: Node) -> Sequence[Operand]:
        build, x = node.builder, node.value(0)
        batch_first = bool(node.integer("layout", 0))
        if batch_first:
            x = build.transpose(x, (1, 0, 2))
        steps, batch, inputs = shape(x)
        width = node.integer("hidden_size", shape(node.value(2))[-1])
        _check(node, steps)
        direction = str(node.attribute("direction", "forward"))
        if direction not in _DIRECTIONS:
            node.fail_attribute("direction", direction, ", ".join(_DIRECTIONS))
        functions = _functions(node, activations, _DIRECTIONS[direction])
        flat = build.reshape(x, (steps * batch, inputs))
        lines: list[ir.Value] = []
        lasts: list[State] = []
        for number in range(_DIRECTIONS[direction]):
            own = functions[number * len(activations) : (number + 1) * len(activations)]
            cell = _cell(node, number, gates, width, own)
            weight = _slice(node, 1, number, (gates * width, inputs))
            sums = build.matmul(flat, build.transpose(weight, (1, 0)))
            if node.operand(3) is not None:
                both = _slice(node, 3, number, (1, 2 * gates * width))
                sums = build.add(sums, part(node, both, 1, 0, gates * width))
            state = tuple(_initial(node, 5 + i, number, batch, width) for i in range(states))
            order = range(steps)
            backwards = direction == "reverse" or number == 1
            made: dict[int, ir.Value] = {}
            for at in reversed(order) if backwards else order:
                state = step(cell, part(node, sums, 0, at * batch, batch), state)
                made[at] = build.reshape(state[0], (1, 1, batch, width))
            lines.append(_joined(node, [made[at] for at in order], 0))
            lasts.append(state)
        y = _joined(node, lines, 1)
        ends = [
            _joined(node, [build.reshape(last[i], (1, batch, width)) for last in lasts], 0)
            for i in range(states)
        ]
        if batch_first:
            return (build.transpose(y, (2, 0, 1, 3)),
                    *(build.transpose(end, (1, 0, 2)) for end in ends))  # fmt: skip
        return y, *ends

    return handle


def _check(node: Node, steps: int) -> None:
    if steps > MAX_STEPS:
        node.fail_operand(0, f"has {steps} steps", f"at most {MAX_STEPS}")
    if node.operand(4) is not None:
        lengths = node.integer_list(4, "list of lengths")
        if any(length != steps for length in lengths):
            node.fail_operand(4, f"is {lengths}", f"sequences that are all {steps} long")
    for name in ("clip", "input_forget"):
        if node.number(name, 0):
            node.fail_attribute(name, node.number(name, 0), "none")
    for name in ("activation_alpha", "activation_beta"):
        if node.attribute(name) is not None:
            node.fail_attribute(name, node.attribute(name), "none")


def _functions(node: Node, default: Sequence[str], directions: int) -> list[Activation]:
    given = node.attribute("activations")
    names = [*default] * directions
    if given is not None:
        names = [n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in given]
    if len(names) != len(default) * directions or any(n.lower() not in _ACTIVATIONS for n in names):
        wanted = f"{len(default) * directions} of {', '.join(_ACTIVATIONS)}"
        node.fail_attribute("activations", names, wanted)

    def function(name: str) -> Activation:
        return lambda x: node.builder.unary(_ACTIVATIONS[name.lower()], x)

    return [function(name) for name in names]


def _cell(
    node: Node, number: int, gates: int, width: int, activations: Sequence[Activation]
) -> _Cell:
    build, bias = node.builder, None
    recurrent = build.transpose(_slice(node, 2, number, (gates * width, width)), (1, 0))
    if node.operand(3) is not None:
        both = _slice(node, 3, number, (1, 2 * gates * width))
        bias = part(node, both, 1, gates * width, gates * width)
    peepholes: list[ir.Value] = []
    if node.operand(7) is not None:
        row = _slice(node, 7, number, (1, 3 * width))
        peepholes = [part(node, row, 1, index * width, width) for index in range(3)]
    return _Cell(node, width, recurrent, bias, peepholes, activations)


def _slice(node: Node, index: int, number: int, wanted: tuple[int, ...]) -> ir.Value:
    """One direction's part of an operand."""
    value = node.value(index)
    return node.builder.reshape(part(node, value, 0, number, 1), wanted)


def _initial(node: Node, index: int, number: int, batch: int, width: int) -> ir.Value:
    if node.operand(index) is None:
        return node.builder.constant(np.zeros((batch, width), np.float32))
    value = node.value(index)
    if node.integer("layout", 0):
        value = node.builder.transpose(value, (1, 0, 2))
    return node.builder.reshape(part(node, value, 0, number, 1), (batch, width))


HANDLERS: dict[str, Handler] = {
    "GRU": _recurrent(3, _gru_step, ("sigmoid", "tanh"), 1),
    "LSTM": _recurrent(4, _lstm_step, ("sigmoid", "tanh", "tanh"), 2),
    "RNN": _recurrent(1, _rnn_step, ("tanh",), 1),
}
