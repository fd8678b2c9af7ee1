"""TFLite for `fuzz.py`: flatbuffers of the operators' tests, changed field by field."""

import random
import struct
from pathlib import Path
from typing import Any

from tflite_cases import CASES
from tflite_float_cases import CASES as FLOAT_CASES
from tflite_unsigned_cases import CASES as UNSIGNED_CASES

from bitwright.frontend.tflite import load as load_tflite

SUFFIX = ".tflite"
_VALUES = (0, 1, -1, 2, 3, 4, 5, 7, 127, 128, 255, 1 << 16, 2**31 - 1, -(2**31), 0x7FC00000)


def corpus() -> dict[str, bytes]:
    """The files of the operators' tests."""
    return {
        f"{kind}_{name}": make()
        for kind, cases in (("int8", CASES), ("float", FLOAT_CASES), ("uint8", UNSIGNED_CASES))
        for name, make in cases.items()
    }


def load(path: Path) -> Any:
    """The importer."""
    return load_tflite(path)


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Other values in some fields of tables, entries of vtables, lengths or elements of vectors."""
    places = sorted(_places(data))
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 3))):
        at, width = dice.choice(places)
        if dice.random() < 0.3:
            other, _ = dice.choice(places)
            value = int.from_bytes(data[other : other + width], "little")
        else:
            value = dice.choice((*_VALUES, dice.randrange(-8, 40)))
        changed[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
    return bytes(changed)


def _places(data: bytes) -> set[tuple[int, int]]:
    """Position and width of what a walk from the root table meets; types are guessed."""
    found: set[tuple[int, int]] = set()
    tables = [_uint(data, 0)]
    seen: set[int] = set()
    while tables:
        table = tables.pop()
        if table in seen or not 4 <= table <= len(data) - 4:
            continue
        seen.add(table)
        vtable = table - struct.unpack_from("<i", data, table)[0]
        if not 4 <= vtable <= len(data) - 4:
            continue
        size = struct.unpack_from("<H", data, vtable)[0]
        if size % 2 or not 4 <= size <= 128 or vtable + size > len(data):
            continue
        for entry in range(vtable + 4, vtable + size, 2):
            found.add((entry, 2))
            offset = struct.unpack_from("<H", data, entry)[0]
            place = table + offset
            if not offset or place + 4 > len(data):
                continue
            found |= {(place, 1), (place, 4)}
            target = place + _uint(data, place)
            tables.append(target)  # where it is one
            if target + 4 <= len(data) and target + 4 + 4 * _uint(data, target) <= len(data):
                found.add((target, 4))
                for element in range(target + 4, target + 4 + 4 * min(_uint(data, target), 64), 4):
                    found.add((element, 4))
                    tables.append(element + _uint(data, element))
    return found


def _uint(data: bytes, at: int) -> int:
    return struct.unpack_from("<I", data, at)[0]
