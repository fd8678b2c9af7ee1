"""The form of a unit that suits the cells of the family that it is synthesised for."""

from amaranth.hdl import Instance, Module, Signal, Value

MODULE = "bitwright_choose"


def choose(m: Module, name: str, chosen: Signal, large: Value, small: Value) -> None:
    """Of two values that are always equal `chosen` is `small` on an iCE40, else `large`.

    For a `RamPlatform`; `name` is the submodule's.
    """
    m.submodules[name] = Instance(
        MODULE, p_WIDTH=len(chosen), i_in_large=large, i_in_small=small, o_chosen=chosen
    )
