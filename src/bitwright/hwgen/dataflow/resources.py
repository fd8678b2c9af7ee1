"""What the stages of a pipeline take of an FPGA, without synthesis.

Block RAM and multiplier blocks follow from the structure. LUT and FF are sums over the units of a
stage: each states its parts (`structures/`), and a file for each family (`costs/pipeline_*.json`)
has the factor between what a part states and what synthesis makes of it.
`benchmarks/stage_costs.py` fits the files to syntheses of random stages.
"""

import json
from collections.abc import Mapping
from functools import cache

from bitwright.hwgen import host
from bitwright.hwgen.dataflow.core import host_memories
from bitwright.hwgen.dataflow.loops import Reads, reads
from bitwright.hwgen.dataflow.schedule import StageTimes
from bitwright.hwgen.dataflow.structures import engines, reading, results
from bitwright.hwgen.dataflow.structures.parts import Number, Part, Parts
from bitwright.hwgen.resources import BRIDGES, COSTS_FOLDER, price
from bitwright.ir.dataflow import AddStage, MatrixStage, Pipeline, Stage
from bitwright.targets.target import Resources

Costs = Mapping[str, Mapping[str, Mapping[str, float]]]


def resources(
    pipeline: Pipeline, stage: Stage, family: str, times: StageTimes | None = None
) -> Resources:
    """One stage with its buffers.

    Args:
        pipeline: with the folds of the stage's sources; other stages' folds do not count.
        family: of the FPGA, as in `targets`.
        times: of the schedule, for the depth of the buffers; without it a window's rows are
            assumed, a pixel for an addition's operands.
    """
    return _price(structure(pipeline, stage, family, times), family)


def ends_resources(pipeline: Pipeline, banks: int, family: str, bus: str = "uart") -> Resources:
    """What a pipeline takes beside its stages: its ends, the host's port and a bus of
    `hwgen.resources.BRIDGES`.

    Args:
        banks: of the output, as in its schedule.
    """
    port = host.resources(host_memories(pipeline))
    return _price(reading.ends(pipeline, banks), family) + price(
        {"port": port, bus: BRIDGES[bus]()}, family
    )


def _price(parts: Parts, family: str) -> Resources:
    known = costs(family)
    lut, ff = (
        sum(
            known.get(cell, {}).get(unit.rstrip("0123456789"), {}).get(name, 1) * count
            for unit, part in parts.items()
            for name, count in getattr(part, cell).items()
        )
        for cell in ("lut", "ff")
    )
    if family == "ecp5":  # whose blocks have registers that the flow uses
        ff -= sum(part.absorbed for part in parts.values())
    return Resources(
        lut=round(lut), ff=max(0, round(ff)), bram=sum(part.bram for part in parts.values()),
        dsp=sum(part.dsp_of.get(family, part.dsp) for part in parts.values()),
    )  # fmt: skip


@cache
def costs(family: str) -> Costs:
    """The factor of each part of each unit; of a family without a table all parts count as
    stated."""
    path = COSTS_FOLDER / f"pipeline_{family}.json"
    if not path.exists():
        return {}
    return json.loads(path.read_text(encoding="utf-8"))["costs"]


def structure(
    pipeline: Pipeline, stage: Stage, family: str, times: StageTimes | None = None
) -> Parts:
    """The units of a stage; arguments as of `resources`."""
    sources = [pipeline.tensor(name) for name in stage.sources]
    shapes = [Number(source.bits, source.signed) for source in sources]
    found: dict[str, Part] = {}
    for place, own in enumerate(reads(pipeline, stage)):
        depth = _rows_deep(stage, own) if times is None else times.buffers[place].words
        index = 0 if times is None else times.buffers[place].index_bits
        index = index or depth.bit_length() + 1
        gated = not place and (own.pads if times is None else times.gate is not None)
        found |= {
            f"loops{place}": reading.loops(own, index, gated),
            f"window{place}": reading.window(own, sources[place].bits, index, gated, depth),
            f"buffer{place}": reading.buffer(own.word_lanes * sources[place].bits, depth),
        }
    matrix = isinstance(stage, MatrixStage)
    engine = engines.products(stage, shapes[0]) if matrix else engines.lanes(stage, shapes)
    name = stage.fold.engine if matrix else "add" if isinstance(stage, AddStage) else "lanes"
    found |= {
        name: engine,
        "accumulators": engines.accumulators(stage, shapes[0]),
        "stage": results.control(stage),
        "finish": results.finish(stage, shapes[0]),
        **results.requantizers(stage, shapes[0], family),
    }
    return engines.with_blocks(stage, shapes[0], reads(pipeline, stage)[0], found)


def _rows_deep(stage: Stage, own: Reads) -> int:
    if isinstance(stage, AddStage):
        words = own.pixel_words
    else:
        window = stage.window
        rows = (window.kernel[0] - 1) * window.dilation[0]
        words = (rows * own.width + window.kernel[1] * window.dilation[1]) * own.pixel_words
    return max(2, 1 << (min(words, own.words) - 1).bit_length())
