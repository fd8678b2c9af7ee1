"""Processor levels: which instructions the code may use, and what a library checks at run time.

The x86-64 levels are those of the psABI, without the few instructions that C compilers cannot
test for; `aarch64` is Armv8.0-A. An object depends on the level only, never on the machine that
made it.
"""

import platform
from dataclasses import dataclass
from pathlib import Path

from bitwright.codegen.cpu.errors import CpuLevelError


@dataclass(frozen=True)
class CpuLevel:
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
    def is_foreign(self) -> bool:
        """Whether another machine than this one runs it."""
        return self.machine != platform.machine()

    @property
    def has_dot_products(self) -> bool:
        """Whether it multiplies and adds bytes in vectors of 512 bits."""
        return set(_DOT_PRODUCTS) <= set(self.features)

    @property
    def has_fused(self) -> bool:
        """Whether it multiplies and adds floats with one rounding."""
        return self.machine == "aarch64" or "fma" in self.features

    @property
    def vector_bits(self) -> int:
        """The width that LLVM vectorises loops for, at most."""
        return 512 if self.has_dot_products else 256

    @property
    def llvm_features(self) -> str:
        """The features as LLVM's feature string."""
        base = "+neon" if self.machine == "aarch64" else "+sse2"
        return ",".join([base, *(f"+{feature}" for feature in self.features)])


_V2 = ("sse3", "ssse3", "sse4.1", "sse4.2", "popcnt")
_V3 = (*_V2, "avx", "avx2", "bmi", "bmi2", "fma")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
_DOT_PRODUCTS = ("avx512vnni", "avx512vbmi")

CROSS = "aarch64"
"""The architecture that other machines make code for."""

LEVELS = {
    level.name: level
    for level in (
        CpuLevel("x86-64", "x86_64", ()),
        CpuLevel("x86-64-v2", "x86_64", _V2),
        CpuLevel("x86-64-v3", "x86_64", _V3),
        CpuLevel("x86-64-v4", "x86_64", _V4),
        CpuLevel("x86-64-v4-vnni", "x86_64", (*_V4, *_DOT_PRODUCTS)),
        CpuLevel("aarch64", "aarch64", ()),
        CpuLevel("aarch64+dotprod", "aarch64", ("dotprod",)),
    )
}


def cpu_levels(names: str) -> tuple[CpuLevel, ...]:
    """The levels of a list such as `x86-64-v3,x86-64-v4-vnni`, the highest first.

    Raises:
        CpuLevelError: as `cpu_level`, a level that is named twice, or two architectures.
    """
    chosen = [cpu_level(name.strip()) for name in names.split(",")]
    if len(set(chosen)) < len(chosen):
        raise CpuLevelError(
            f"The CPU levels {names!r} name one twice; expected each once, such as "
            "x86-64-v3,x86-64-v4-vnni"
        )
    machines = sorted({level.machine for level in chosen})
    if len(machines) > 1:
        raise CpuLevelError(
            f"The CPU levels {names!r} are for {' and '.join(machines)}; a library is for one "
            "architecture, so compile once for each"
        )
    order = list(LEVELS.values())
    return tuple(sorted(chosen, key=order.index, reverse=True))


def cpu_level(name: str) -> CpuLevel:
    """The level of this name, or for `host` the highest one that this machine has.

    Code for aarch64 is made on any machine that code is made on, other code on its own.

    Raises:
        CpuLevelError: an unknown name, or a level that this machine makes no code for.
    """
    machine = platform.machine()
    here = [level for level in LEVELS.values() if level.machine == machine]
    if not here:
        machines = ", ".join(sorted({level.machine for level in LEVELS.values()}))
        raise CpuLevelError(
            f"This machine is a {machine}; there is CPU code for {machines}. Compile on one of "
            "those, or for a board"
        )
    if name == "host":
        flags = _host_features()
        return [level for level in here if flags.issuperset(level.features)][-1]
    made = {level.name: level for level in LEVELS.values() if level.machine in (machine, CROSS)}
    if name not in made:
        known = ", ".join(["host", *made])
        raise CpuLevelError(f"CPU level {name!r} is none that this machine makes code for: {known}")
    return made[name]


def host_processor() -> str:
    """The model name of this machine's processor, and its numbers where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = ("model name", "cpu family", "model", "stepping", "cache size", "CPU part")
    found = (line.partition(":") for line in lines)
    return ", ".join(value.strip() for name, _, value in found if name.strip() in fields)


def _host_features() -> set[str]:
    """Features of this machine by the C compiler's names; none where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    spelled = {
        "pni": "sse3", "sse4_1": "sse4.1", "sse4_2": "sse4.2", "bmi1": "bmi",
        "avx512_vnni": "avx512vnni", "asimddp": "dotprod",
    }  # fmt: skip
    for line in lines:
        if line.startswith(("flags", "Features")):
            return {spelled.get(flag, flag) for flag in line.split(":", 1)[1].split()}
    return set()
