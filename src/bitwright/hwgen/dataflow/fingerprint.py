"""One number for a whole pipeline, its constants included."""

import zlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import numpy as np

from bitwright.ir.dataflow import Pipeline


def fingerprint(pipeline: Pipeline) -> int:
    """CRC-32 over all that the pipeline is built from; a register shows it to the driver."""
    crc = 0
    for part in _parts(pipeline):
        crc = zlib.crc32(part, crc)
    return crc


def _parts(item: object) -> Iterator[bytes]:
    if is_dataclass(item):
        for field in fields(item):
            yield from _parts(getattr(item, field.name))
    elif isinstance(item, tuple):
        for part in item:
            yield from _parts(part)
    elif isinstance(item, np.ndarray):
        yield repr(item.shape).encode() + np.ascontiguousarray(item, np.int64).tobytes()
    else:
        yield repr(item).encode()
