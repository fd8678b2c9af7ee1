"""Processor levels: which instructions the code may use, and what a library checks at run time.

The x86-64 levels are those of the psABI, without the few instructions that C compilers cannot
test for. An object depends on the level only, never on the machine that made it.
"""

import platform
from dataclasses import dataclass
from pathlib import Path

from bitwright.codegen.cpu.errors import CpuTargetError


@dataclass(frozen=True)
class CpuTarget:
    """One level.

    Args:
        name: the level's own name, kept in the library.
        machine: `platform.machine()` of the processors that have it.
        features: by the C compiler's names (`__builtin_cpu_supports`).
    """

    name: str
    machine: str
    features: tuple[str, ...]

    @property
    def llvm_cpu(self) -> str:
        """The LLVM processor that `features` extend."""
        return {"x86_64": "x86-64", "aarch64": "generic"}[self.machine]

    @property
    def llvm_features(self) -> str:
        """The features as LLVM's feature string."""
        base = "+neon" if self.machine == "aarch64" else "+sse2"
        return ",".join([base, *(f"+{feature}" for feature in self.features)])


_V2 = ("sse3", "ssse3", "sse4.1", "sse4.2", "popcnt")
_V3 = (*_V2, "avx", "avx2", "bmi", "bmi2", "fma")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")

TARGETS = {
    target.name: target
    for target in (
        CpuTarget("x86-64", "x86_64", ()),
        CpuTarget("x86-64-v2", "x86_64", _V2),
        CpuTarget("x86-64-v3", "x86_64", _V3),
        CpuTarget("x86-64-v4", "x86_64", _V4),
        CpuTarget("armv8-a", "aarch64", ()),
    )
}


def cpu_target(name: str) -> CpuTarget:
    """The level of this name, or for `host` the highest one that this machine has.

    Raises:
        CpuTargetError: an unknown name, or a level of another architecture than this machine's
            (the compiler that links the library is a native one).
    """
    machine = platform.machine()
    here = [target for target in TARGETS.values() if target.machine == machine]
    known = ", ".join(["host", *(target.name for target in here)])
    if not here:
        machines = ", ".join(sorted({target.machine for target in TARGETS.values()}))
        raise CpuTargetError(
            f"This machine is a {machine}; there is CPU code for {machines}. Compile on one of "
            "those, or for a board"
        )
    if name == "host":
        flags = _host_features()
        return [target for target in here if flags.issuperset(target.features)][-1]
    if name not in TARGETS or TARGETS[name] not in here:
        raise CpuTargetError(f"CPU level {name!r} is not one of those of this machine: {known}")
    return TARGETS[name]


def _host_features() -> set[str]:
    """Features of this machine by the C compiler's names; none where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    spelled = {"pni": "sse3", "sse4_1": "sse4.1", "sse4_2": "sse4.2", "bmi1": "bmi"}
    for line in lines:
        if line.startswith("flags"):
            return {spelled.get(flag, flag) for flag in line.split(":", 1)[1].split()}
    return set()
