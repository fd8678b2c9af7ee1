"""A value some cycles later."""

from amaranth.hdl import Module, Signal, Value


def registered(m: Module, value: Value, name: str) -> Signal:
    """`value` a cycle later."""
    register = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register


def delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
    """`value` some cycles later."""
    for number in range(cycles):
        value = registered(m, value, f"{name}_{number}")
    return value


class Delayed:
    """A value some cycles later: `delayed[n]`, asked for outside of `m.If`."""

    def __init__(self, m: Module, name: str, value: Value) -> None:
        self._m = m
        self._name = name
        self._stages: list[Value] = [value]

    def __getitem__(self, cycles: int) -> Value:
        while len(self._stages) <= cycles:
            name = f"{self._name}_{len(self._stages)}"
            stage = Signal(len(self._stages[0]), name=name, reset_less=True)
            self._m.d.sync += stage.eq(self._stages[-1])
            self._stages.append(stage)
        return self._stages[cycles]
