"""Tiles of dot products that are measured on this machine, and kept for the next time.

Each kernel shape of a network is compiled alone with each of the tiles that the cost model likes
best, and all of them run in turns. What is fastest is kept in a file for this processor and these
versions. Tiles change no result: sums of integers are exact in any order.
"""

import ctypes
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path
from torch_mlir import ir

from bitwright.codegen.cpu.errors import CpuLevelError
from bitwright.codegen.cpu.level import CpuLevel, cpu_level, host_processor
from bitwright.codegen.cpu.lower import lower
from bitwright.codegen.cpu.objects import compiled
from bitwright.codegen.cpu.program import ENTRY, count
from bitwright.codegen.cpu.tiles import Choose, Tile, Work, by_model, ranked
from bitwright.files import replace_file
from bitwright.ir import graph
from bitwright.ir.builder import Builder
from bitwright.ir.checks import ints
from bitwright.ir.types import quant_params, shape_of, value_params
from bitwright.progress import ProgressCallback, silent

CANDIDATES = 8
"""Tiles of one shape that are measured."""
ROUNDS = 12
TURN = 2e-4
"""Seconds in which a turn of one tile is repeated."""
GAIN = 0.97
"""Of the time of the cost model's tile: what another one takes at most, to be taken."""

Measured = Mapping[Work, Tile]


def tuned(
    module: ir.Module, levels: Sequence[CpuLevel], *, folder: Path | None = None,
    progress: ProgressCallback = silent,
) -> Choose:  # fmt: skip
    """The fastest tiles for the dot products of a quantized module.

    Args:
        module: not changed.
        levels: what the library is compiled for.
        folder: where measurements are kept; `cache_folder()` if None.

    Raises:
        CpuLevelError: no level with tiles, or one that this machine does not have.
    """
    level = _tiled(levels)
    file = (folder or cache_folder()) / f"{_machine(level)}.json"
    known = _load(file)
    shapes = _shapes(module, level)
    missing = {work: one for work, one in shapes.items() if known.get(work) not in ranked(work)}
    for done, (work, (op, requantize)) in enumerate(missing.items()):
        progress("tune", done, len(missing))
        known[work] = _fastest(work, _alone(op, requantize), level)
    if missing:
        progress("tune", len(missing), len(missing))
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_file(file, lambda path: path.write_text(_text(known), encoding="utf-8"))
    return lambda work, op, requantize: known.get(work) or by_model(work, op, requantize)


def cache_folder() -> Path:
    """Where measurements are kept between runs."""
    return user_cache_path("bitwright") / "tiles"


def _tiled(levels: Sequence[CpuLevel]) -> CpuLevel:
    names = ", ".join(level.name for level in levels)
    tiled = [level for level in levels if level.has_dot_products]
    if not tiled:
        raise CpuLevelError(
            f"--tune measures tiles of dot products, which code for {names} does not have; leave "
            "it out, or compile for x86-64-v4-vnni"
        )
    host = cpu_level("host")
    if not set(host.features).issuperset(tiled[0].features):
        raise CpuLevelError(
            f"--tune measures code for {tiled[0].name}, and this machine is {host.name}; tune on "
            "the machine that the library is for, or leave --tune out"
        )
    return tiled[0]


def _machine(level: CpuLevel) -> str:
    """A name for all that the times depend on, but for the shapes."""
    versions = [metadata.version(name) for name in ("bitwright", "torch-mlir")]
    parts = [host_processor(), level.name, *level.features, *versions]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _text(known: Measured) -> str:
    rows = [[*vars(work).values(), *vars(tile).values()] for work, tile in known.items()]
    return json.dumps({"processor": host_processor(), "tiles": rows}, indent=1) + "\n"


def _load(file: Path) -> dict[Work, Tile]:
    """What is known; nothing where the file is missing or damaged, which measures again."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["tiles"]
        return {Work(*row[:4]): Tile(*row[4:]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _shapes(module: ir.Module, level: CpuLevel) -> dict[Work, tuple[Any, Any]]:
    """Each kernel shape, with an operation that has it and its requantize."""
    found: dict[Work, tuple[Any, Any]] = {}

    def remember(work: Work, op: Any, requantize: Any) -> Tile:
        found.setdefault(work, (op, requantize))
        return by_model(work, op, requantize)

    lower(module, level, choose=remember)
    return found


def _alone(op: Any, requantize: Any) -> ir.Module:
    """A module of one operation, with images in the order of its kernel."""
    shape, params = shape_of(op.input), value_params(op.input)
    is_image = op.operation.name == "bw.conv2d"
    own = tuple(shape[axis] for axis in (0, 2, 3, 1)) if is_image else shape
    builder = Builder([("x", own, params)])
    x = builder.inputs[0]
    weight = builder.constant(np.array(graph.constant_of(op.weight)), quant_params(op.weight.type))
    bias = builder.constant(np.array(graph.constant_of(op.bias)))
    if is_image:
        sums = builder.conv2d(
            builder.transpose(x, (0, 3, 1, 2)), weight, bias, stride=ints(op.stride),
            padding=ints(op.padding), dilation=ints(op.dilation),
        )  # fmt: skip
    else:
        sums = builder.linear(x, weight, bias)
    y = builder.requantize(
        sums, value_params(requantize.result), multiplier=ints(requantize.multiplier),
        shift=ints(requantize.shift), axis=requantize.axis.value,
        clamp_min=requantize.clamp_min.value, clamp_max=requantize.clamp_max.value,
        rounding=requantize.rounding.value,
    )  # fmt: skip
    return builder.finish([("y", builder.transpose(y, (0, 2, 3, 1)) if is_image else y)])


def _fastest(work: Work, module: ir.Module, level: CpuLevel) -> Tile:
    tiles = ranked(work)[:CANDIDATES]
    calls = [_call(module, level, tile) for tile in tiles]
    least = [_seconds(call) for call in calls]  # the first calls fill the caches
    times = [max(1, int(TURN / seconds)) for seconds in least]
    for _ in range(ROUNDS):
        for n, call in enumerate(calls):
            start = time.perf_counter()
            for _ in range(times[n]):
                call()
            least[n] = min(least[n], (time.perf_counter() - start) / times[n])
    best = min(range(len(tiles)), key=lambda n: least[n])
    return tiles[best] if least[best] < GAIN * least[0] else tiles[0]


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _call(module: ir.Module, level: CpuLevel, tile: Tile) -> Callable[[], object]:
    """The module with this tile, in one thread, on memory of its own."""
    lowered = lower(module, level, choose=lambda work, op, requantize: tile)
    engine = compiled(lowered.module, level)
    sizes = [lowered.arena_bytes]
    sizes += [count(shape_of(i.value)) for i in (*graph.inputs(module), *graph.outputs(module))]
    memories = [np.zeros(size + 64, np.int8) for size in sizes]
    values = [ctypes.c_uint64(m.ctypes.data + -m.ctypes.data % 64) for m in memories]
    values += [ctypes.c_uint64(number) for number in (0, 1)]  # in one thread
    addresses = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.raw_lookup(ENTRY))
    kept = (engine, memories, values)

    def call() -> object:
        function(addresses)
        return kept

    return call
