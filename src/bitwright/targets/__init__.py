"""Devices as data. A new device is one file in this folder and one line in its table."""

from importlib import import_module

from bitwright.targets.errors import NotAnFpga, UnknownTarget
from bitwright.targets.target import CpuTarget, FpgaTarget

_MODULES = {
    "cpu": "cpu",
    "ulx3s-85f": "ulx3s_85f",
    "ulx3s-25f": "ulx3s_25f",
    "ulx3s-12f": "ulx3s_12f",
    "icebreaker": "icebreaker",
}
"""Target name to the module that holds its `TARGET`."""

_FPGA_NAMES = [name for name in _MODULES if name != "cpu"]


def names() -> list[str]:
    """Names of all targets."""
    return list(_MODULES)


def get(name: str) -> CpuTarget | FpgaTarget:
    """The target called `name`; raises `UnknownTarget`."""
    if name not in _MODULES:
        raise UnknownTarget(name, names())
    module = import_module(f"bitwright.targets.{_MODULES[name]}")
    target: CpuTarget | FpgaTarget = module.TARGET
    return target


def get_fpga(name: str) -> FpgaTarget:
    """The FPGA board called `name`; raises `UnknownTarget` or `NotAnFpga`."""
    target = get(name)
    if not isinstance(target, FpgaTarget):
        raise NotAnFpga(name, _FPGA_NAMES)
    return target


__all__ = ["CpuTarget", "FpgaTarget", "NotAnFpga", "UnknownTarget", "get", "get_fpga", "names"]
