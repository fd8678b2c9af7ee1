"""The doctor: what it finds, what it says to install, and its exit code."""

import shutil

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from bitwright import doctor
from bitwright.cli import main


def test_this_machine_has_everything() -> None:
    checks = doctor.examine()
    assert [check.name for check in checks if check.failed] == []
    names = [check.name for check in checks]
    for name in ("Python", "C++ compiler", "make", "perl", "torch-mlir", "verilator"):
        assert name in names


def test_every_dependency_has_its_purpose() -> None:
    assert {item.name for item in doctor._requirements()} == set(doctor._PURPOSES)


@pytest.mark.parametrize(
    ("command", "name", "debian", "fedora"),
    [("make", "make", "make", "make"), ("perl", "perl", "perl", "perl")],
)
def test_a_missing_program(
    monkeypatch: pytest.MonkeyPatch, command: str, name: str, debian: str, fedora: str
) -> None:
    which = shutil.which
    hidden = (command, "gmake")
    monkeypatch.setattr(
        shutil, "which", lambda program: None if program in hidden else which(program)
    )
    (check,) = [check for check in doctor.examine() if check.failed]
    assert check.name == name
    assert check.remedy == f"Debian, Ubuntu: apt install {debian}; Fedora: dnf install {fedora}"


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 7
    assert result.stderr == (
        "error: Missing or too old: C++ compiler; the last column of the table says what to "
        "install\n"
    )
    (check,) = [check for check in doctor.examine() if check.failed]
    assert check.remedy == "Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++"


def test_an_old_python() -> None:
    check = doctor.check_python((3, 10, 2))
    assert (check.status, check.found) == ("too old", "3.10.2")
    assert check.remedy == "Python 3.11 or newer; Debian: apt install python3 python3-venv"


def test_packages() -> None:
    missing = doctor.check_package(Requirement("bitwright-never-published>=2"))
    assert (missing.status, missing.remedy) == (
        "missing",
        "pip install 'bitwright-never-published>=2'",
    )
    old = doctor.check_package(Requirement("numpy>=999"))
    assert (old.status, old.remedy) == ("too old", "pip install 'numpy>=999'")
