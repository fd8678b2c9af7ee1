"""A value some cycles later."""

from amaranth.hdl import Module, Signal, Value


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
