"""Values of a model's configuration, each checked when read; what nobody read can be named."""

from collections.abc import Mapping
from typing import Any

from bitwright.frontend.llm.errors import InvalidModelError, UnsupportedAttributeError

LARGEST = 2**31 - 1
"""Of integers."""
SMALLEST, GREATEST = 1e-12, 1e12
"""Of other numbers: no model is near, and nothing overflows."""
MOST_LAYERS = 10_000
WIDEST_HEAD = 1 << 16


class Fields:
    """The keys of one table of a configuration.

    Args:
        where: the file, for messages.
        values: the table.
        defaults: stand in where a key is absent; a None in the table is a value.
    """

    def __init__(
        self, where: str, values: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
    ) -> None:
        self.where = where
        self._values = {**(defaults or {}), **values}
        self._read: set[str] = set()

    def any(self, key: str) -> Any:
        """The value as it is, None where it is absent."""
        self._read.add(key)
        return self._values.get(key)

    def integer(self, key: str, default: int | None = None, *, most: int = LARGEST) -> int:
        """A positive integer up to `most`; `default` where it is absent or None."""
        value = self.any(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            raise self.wrong(key, value, f"an integer from 1 to {most}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number from 1e-12 to 1e12; `default` where it is absent or None."""
        value = self.any(key)
        value = default if value is None else value
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not SMALLEST <= value <= GREATEST
        ):
            raise self.wrong(key, value, f"a number from {SMALLEST} to {GREATEST}")
        return float(value)

    def optional_number(self, key: str) -> float | None:
        """The same, or None."""
        return None if self.any(key) is None else self.number(key)

    def flag(self, key: str) -> bool:
        """True or false; an absent one is false."""
        value = self.any(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, value, "true or false")
        return bool(value)

    def table(self, key: str) -> dict[str, Any] | None:
        """A table inside of this one, or None."""
        value = self.any(key)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, value, "a table")
        return value

    def wrong(self, key: str, value: Any, expected: str) -> InvalidModelError:
        """The error of a value that no model can have."""
        return InvalidModelError(
            f"{self.where}: {key} is {_shown(value)}; expected {expected}. Download or convert the "
            "model again"
        )

    def unsupported(self, key: str, value: Any, supported: str) -> UnsupportedAttributeError:
        """The error of a value that a model can have, but not one of ours."""
        return UnsupportedAttributeError(
            f"{self.where}: {key} is {_shown(value)}, which is not supported; supported: "
            f"{supported}. Choose a model without it"
        )

    def refuse_unread(self, harmless: frozenset[str]) -> None:
        """Fail on a key that was not read, unless it is harmless or switches nothing on.

        Raises:
            UnsupportedAttributeError: names the key.
        """
        for key, value in self._values.items():
            if key in self._read or key in harmless or value is None or value is False:
                continue
            raise UnsupportedAttributeError(
                f"{self.where}: {key} is {_shown(value)}, a key that this reader does not know and "
                "that may change the arithmetic; remove it where it does not, or choose another "
                "model"
            )


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
