"""An importer with every fault that `fuzz.py` looks for, for its own test."""

import os
import random
import time
from pathlib import Path

from bitwright.errors import BitwrightError

SUFFIX = ".txt"
SECONDS = 3
FAULTS = (b"exception", b"crash", b"memory", b"hang")


def corpus() -> dict[str, bytes]:
    """One file, which loads."""
    return {"good": b"good"}


def mutate(data: bytes, dice: random.Random) -> bytes:
    """The name of a fault."""
    return dice.choice(FAULTS)


def load(path: Path) -> None:
    """Do what the file says."""
    match path.read_bytes():
        case b"good":
            return
        case b"exception":
            raise ZeroDivisionError
        case b"crash":
            os.abort()
        case b"memory":
            bytearray(1 << 33)
        case b"hang":
            time.sleep(60)
        case _:
            raise BitwrightError("not a word that it knows")
