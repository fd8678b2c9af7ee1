"""The base of every error that a user can cause. Each room derives its own classes from it."""

from typing import ClassVar

EXTERNAL_TOOL = 7


class BitwrightError(Exception):
    """An error that is the user's to mend; the command line prints its message and no traceback.

    The message names the object, its value, what was expected, and what to do next.
    Each subclass has an `exit_code`: the digit of its family, or two digits that begin with it,
    where scripts may want to tell one error from the others. The families:
    3 model file, 4 calibration data or inputs, 5 target (does not fit, not supported on it),
    6 file system, 7 external tool, 8 verification (a result that differs from the reference),
    9 internal representation (text that does not parse or verify).
    """

    exit_code: ClassVar[int] = 1

    @property
    def family(self) -> int:
        """The first digit of the exit code."""
        return int(str(self.exit_code)[0])
