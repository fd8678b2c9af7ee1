"""Imports of the packages of the extra `llm`."""

from importlib import import_module
from typing import Any

from bitwright.frontend.llm.errors import MissingPackageError


def package(name: str, purpose: str) -> Any:
    """The module `name`.

    Raises:
        MissingPackageError: says what it is for and how it is installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise MissingPackageError(
            f"The Python package {name!r} is needed to read {purpose} and is not installed; "
            "install it with: pip install 'bitwright[llm]'"
        ) from None
