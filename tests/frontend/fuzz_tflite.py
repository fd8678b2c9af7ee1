"""TFLite for `fuzz.py`: flatbuffers of the operators' tests, changed field by field."""

import random
import struct
from pathlib import Path
from typing import Any

from tflite_cases import CASES
from tflite_float_cases import CASES as FLOAT_CASES
from tflite_int16_cases import CASES as INT16_CASES
from tflite_unsigned_cases import CASES as UNSIGNED_CASES

from bitwright.frontend.tflite import load as load_tflite

SUFFIX = ".tflite"
_VALUES = (
    0, 1, -1, 2, 3, 4, 5, 7, 127, 128, 255, 1 << 16, 2**31 - 1, -(2**31),
    # floats: a NaN, infinity, 1, -1, the smallest, a small and a large one
    0x7FC00000, 0x7F800000, 0x3F800000, 0xBF800000, 1, 0x1E3CE508, 0x7149F2CA,
)  # fmt: skip


def corpus() -> dict[str, bytes]:
    """The files of the operators' tests."""
    return {
        f"{kind}_{name}": make()
        for kind, cases in (
            ("int8", CASES),
            ("float", FLOAT_CASES),
            ("uint8", UNSIGNED_CASES),
            ("int16", INT16_CASES),
        )
        for name, make in cases.items()
    }


def load(path: Path) -> Any:
    """The importer."""
    return load_tflite(path)


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Other values in scalars of tables and elements of vectors, rarely in offsets and lengths."""
    scalars, structure = _places(data)
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 3))):
        places = scalars if dice.random() < 0.9 else structure
        at, width = dice.choice(places)
        if dice.random() < 0.3:
            other, _ = dice.choice(places)
            value = int.from_bytes(data[other : other + width], "little")
        else:
            value = dice.choice((*_VALUES, dice.randrange(-8, 40)))
        changed[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
    return bytes(changed)


def _places(data: bytes) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Position and width of what a walk from the root table meets: scalars, and the rest.

    Without the schema, a number that would lead into the file is taken for an offset.
    """
    scalars: set[tuple[int, int]] = set()
    structure: set[tuple[int, int]] = set()
    tables, seen = [_uint(data, 0)], set[int]()

    def visit(place: int, widths: tuple[int, ...]) -> int | None:
        if place + 4 > len(data):
            return None
        target = place + _uint(data, place)
        if target - place >= 8 and target + 4 <= len(data):
            structure.add((place, 4))
            tables.append(target)  # where it is one
            return target
        scalars.update((place, width) for width in widths)
        return None

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
            structure.add((entry, 2))
            offset = struct.unpack_from("<H", data, entry)[0]
            target = visit(table + offset, (1, 4)) if offset else None
            if target is not None and target + 4 + 4 * _uint(data, target) <= len(data):
                structure.add((target, 4))  # of a vector
                for element in range(min(_uint(data, target), 16)):
                    visit(target + 4 + 4 * element, (4,))
    return sorted(scalars), sorted(structure)


def _uint(data: bytes, at: int) -> int:
    return struct.unpack_from("<I", data, at)[0]
