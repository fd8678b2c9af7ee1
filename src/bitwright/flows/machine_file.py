"""Parameters of a machine that a user fixes: from a TOML file, or as they come, checked by name.

    lanes = 16
    rows = 32

Every name is a field of `Machine`; what is left out, the search chooses. The file that `write`
makes has all of them, and makes the same machine again.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from bitwright.errors import BitwrightError
from bitwright.ir.machine import Machine
from bitwright.passes.search.candidate import Parameters


class UnknownMachineParameter(BitwrightError):
    """A name that is no machine parameter."""

    exit_code = 5


class MachineParameterType(BitwrightError):
    """A value that is not of the parameter's type."""

    exit_code = 5


class MachineFileError(BitwrightError):
    """A file of machine parameters that cannot be read."""

    exit_code = 6


def load(path: Path) -> Parameters:
    """The parameters of a TOML file.

    Raises:
        MachineFileError: it cannot be read, or is not TOML.
        UnknownMachineParameter, MachineParameterType: see `checked`.
    """
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MachineFileError(
            f"Machine file {path} cannot be read: {error.strerror}; expected a TOML file of "
            "machine parameters, such as the machine.toml of a build folder, or lanes=8,rows=16"
        ) from None
    except ValueError as error:
        raise MachineFileError(
            f"Machine file {path} is not TOML: {error}; expected lines such as: lanes = 8"
        ) from None
    return checked(read, f" of {path}")


def checked(parameters: Mapping[str, Any], where: str = "") -> Parameters:
    """`parameters`, if each is one of `Machine`'s and has its type; `where` is for the message."""
    types = {item.name: item.type for item in fields(Machine)}
    for name, value in parameters.items():
        if name not in types:
            raise UnknownMachineParameter(
                f"Machine parameter {name}={value}{where} is not known; expected one of "
                f"{', '.join(types)}"
            )
        if type(value) is not types[name]:
            raise MachineParameterType(
                f"Machine parameter {name}={value!r}{where} is not a whole number; expected one, "
                f"such as {name} = 8"
            )
    return dict(parameters)


def write(machine: Machine, path: Path) -> None:
    """All parameters of `machine` as a file that `load` reads."""
    lines = [
        "# The machine of this build. To have it again, or one that you change:",
        "#   bitwright compile MODEL --target TARGET --machine machine.toml",
        "# What you delete here is chosen anew; memories grow where a program needs it.",
        *(f"{name} = {value}" for name, value in asdict(machine).items()),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
