"""report.json: what is known about a build, in one documented file (docs/report.md).

`compile` makes it, `simulate` and `bitstream` load it, add what they found and save it again.
The classes below mirror report.schema.json field by field; a file is checked against the schema
whenever it is written or read, and replaced in one step.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files as resource_files
from pathlib import Path
from typing import Any, ClassVar, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from bitwright.errors import BitwrightError
from bitwright.files import replace_file

SCHEMA_VERSION = 3
FILE_NAME = "report.json"

Rung = Literal["cpu", "rtl", "netlist"]
Stage = Literal["predicted", "synthesised", "routed", "available"]


class NotABuildFolder(BitwrightError):
    """A folder without a report, where one of `bitwright compile` is needed."""

    exit_code: ClassVar[int] = 6


class InvalidReport(BitwrightError):
    """A report that cannot be read, or does not follow the schema."""

    exit_code: ClassVar[int] = 6


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output: its name, its shape for one sample (batch 1), its element type."""

    name: str
    shape: tuple[int, ...]
    type: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """The model file. `macs` are multiply-accumulates for one sample."""

    name: str
    file: str
    sha256: str
    parameters: int
    macs: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Target:
    """The target; `machine` holds the parameters of the overlay, None for a processor."""

    name: str
    kind: Literal["cpu", "fpga"]
    device: str = ""
    machine: Mapping[str, int | str] | None = None


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """A layer of a quantized model that is not its own arithmetic for every operand.

    `differing` of `values` accumulators (or pairs of operands) give a neighbouring integer; both
    are 0 where they are not counted.
    """

    layer: str
    differing: int
    values: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How the model was made integer."""

    weight_bits: int
    activation_bits: int
    ranges: Literal["minmax", "percentile", "mse"] = "minmax"
    rounding: Literal["half_up", "half_even", "tflite"] = "half_up"
    calibration_samples: int = 0
    deviations: tuple[Deviation, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Step:
    """One instruction of the program, and the cycles it is predicted to take."""

    name: str
    predicted: int


@dataclass(frozen=True, kw_only=True)
class PipelineStage:
    """One engine of a pipeline: its fold, its steps for an image, and what it is predicted to take.

    `buffers` are the words of the buffer of each of its sources.
    """

    name: str
    kind: str
    lanes: int
    rows: int
    out_lanes: int
    engine: str
    steps: int
    buffers: tuple[int, ...]
    resources: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Cycles:
    """Cycles of one inference, from its input being loaded to its output being published.

    `interval`: of a pipeline, simulated cycles from one input to the next; None where the host
    kept it waiting.
    `memory`: the external memory that they are for; None where all is on the chip.
    """

    predicted: int | None = None
    simulated: int | None = None
    interval: int | None = None
    steps: tuple[Step, ...] = ()
    memory: str | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Output elements compared with the integer reference, and how many differed."""

    exact: bool
    samples: int
    elements: int
    mismatches: int


@dataclass(frozen=True, kw_only=True)
class BitExact:
    """The rungs of the verification ladder; None where a rung has not been climbed."""

    cpu: Comparison | None = None
    rtl: Comparison | None = None
    netlist: Comparison | None = None


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A task metric between 0 and 1 on labelled data, for the float and the quantized model."""

    metric: str
    samples: int
    float_model: float | None = None
    quantized: float | None = None


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One kind of FPGA resource: estimated, after synthesis, after routing, and in the device."""

    predicted: int | None = None
    synthesised: int | None = None
    routed: int | None = None
    available: int | None = None


@dataclass(frozen=True, kw_only=True)
class Resources:
    """All kinds; see `bitwright.targets.Resources` for what is counted."""

    lut: Resource = Resource()
    ff: Resource = Resource()
    bram: Resource = Resource()
    dsp: Resource = Resource()
    spram: Resource = Resource()


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A design that would fit; see `bitwright.passes.search.candidate`.

    `spent` are the `cycles` by purpose, `limits` what is in the way of each next larger design.
    """

    style: str
    parameters: Mapping[str, int | str]
    cycles: int
    interval: int
    resources: Mapping[str, int]
    spent: Mapping[str, int]
    limits: tuple[str, ...]

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        p = self.parameters
        if self.style == "overlay":
            size = f"{p['lanes']} x {p['rows']}"
            if p["engine"] == "dsp":
                size = f"dsp {size} x {p['pixels']}, {p['banks']} banks"
            side = p.get("requant_pixels", 1)
            adds = ", fused adds" if p.get("fused_adds") else ""
            sides = f" x {side}" if side != 1 else ""
            return f"{size}, requantize {p['requant_lanes']}{sides}{adds}"
        return f"pipeline of {p['stages']}, every {self.interval:,}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(kw_only=True)
class Report:
    """A build's report. Sections are replaced as a whole, or through the `set_` methods.

    Attributes:
        created: UTC, ISO 8601.
        stages: of a pipeline, in its order; none for an overlay.
        candidates: all designs that fit, best first: the first one is this build.
        fmax_mhz: highest clock at which all paths hold, after routing.
        clock_mhz: the clock that the board runs the machine at.
        latency_us: microseconds of one inference.
        throughput: inferences per second.
        tools: version text by tool.
        seeds: seed by step.
        seconds: wall-clock time by step.
        files: what the build made, by role (`library`, `bitstream`, ...), relative to the folder.
    """

    model: Model
    target: Target
    quantization: Quantization
    created: str = field(default_factory=_now)
    cycles: Cycles = Cycles()
    bit_exact: BitExact = BitExact()
    accuracy: Accuracy | None = None
    resources: Resources = Resources()
    stages: tuple[PipelineStage, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    fmax_mhz: float | None = None
    clock_mhz: float | None = None
    latency_us: float | None = None
    throughput: float | None = None
    tools: dict[str, str] = field(default_factory=dict[str, str])
    seeds: dict[str, int] = field(default_factory=dict[str, int])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    files: dict[str, str] = field(default_factory=dict[str, str])

    def set_cycles(
        self,
        *,
        predicted: int | None = None,
        simulated: int | None = None,
        interval: int | None = None,
        steps: tuple[Step, ...] | None = None,
        memory: str | None = None,
    ) -> None:
        """Set what is given, keep the rest; the machine's speed follows."""
        given = {
            "predicted": predicted, "simulated": simulated, "interval": interval, "steps": steps,
            "memory": memory,
        }  # fmt: skip
        known = {name: value for name, value in given.items() if value is not None}
        self.cycles = replace(self.cycles, **known)
        self._derive_speed()

    def set_clock(self, clock_mhz: float, fmax_mhz: float | None = None) -> None:
        """Set the machine's clock and, once routed, the highest; the machine's speed follows."""
        self.clock_mhz = clock_mhz
        if fmax_mhz is not None:
            self.fmax_mhz = fmax_mhz
        self._derive_speed()

    def set_bit_exact(self, rung: Rung, *, samples: int, elements: int, mismatches: int) -> None:
        """Record a comparison with the reference: `elements` compared, `mismatches` differed."""
        comparison = Comparison(
            exact=mismatches == 0, samples=samples, elements=elements, mismatches=mismatches
        )
        self.bit_exact = replace(self.bit_exact, **{rung: comparison})

    def set_resources(self, stage: Stage, counts: Mapping[str, int]) -> None:
        """Set one stage of the resources named in `counts`."""
        changed = {
            name: replace(getattr(self.resources, name), **{stage: count})
            for name, count in counts.items()
        }
        self.resources = replace(self.resources, **changed)

    def forget_bitstream(self) -> None:
        """Unset what synthesis, place and route and the netlist's simulation have said."""
        kinds = vars(self.resources).items()
        cleared = {name: replace(kind, synthesised=None, routed=None) for name, kind in kinds}
        self.resources = Resources(**cleared)
        self.bit_exact = replace(self.bit_exact, netlist=None)
        self.fmax_mhz = None
        self.files.pop("bitstream", None)

    def _derive_speed(self) -> None:
        """A machine's latency is cycles over clock; the transfers to and from the host overlap.

        Its throughput is that of the candidate that is built: a pipeline begins an image before
        the one before is done, an overlay fetches its first instruction again.
        """
        cycles = self.cycles.simulated or self.cycles.predicted
        if self.target.kind == "fpga" and cycles and self.clock_mhz:
            self.latency_us = cycles / self.clock_mhz
            interval = self.candidates[0].interval if self.candidates else cycles
            self.throughput = 1e6 * self.clock_mhz / interval

    def to_document(self) -> dict[str, Any]:
        """The report as JSON-ready data; raises `InvalidReport` where it breaks the schema."""
        document = json.loads(json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}))
        _validate(document, "The report to be written")
        return document

    @classmethod
    def from_document(cls, document: Any, where: str = "The report") -> "Report":
        """Inverse of `to_document`; `where` begins the message of an error."""
        _validate(document, where)
        document = deepcopy(document)
        sections: dict[str, Any] = {item.name: document[item.name] for item in fields(cls)}
        model: dict[str, Any] = sections["model"]
        cycles: dict[str, Any] = sections["cycles"]
        for side in ("inputs", "outputs"):
            model[side] = tuple(map(_tensor, model[side]))
        cycles["steps"] = tuple(Step(**step) for step in cycles["steps"])
        rungs = sections["bit_exact"].items()
        kinds = sections["resources"].items()
        sections["model"] = Model(**model)
        sections["target"] = Target(**sections["target"])
        made = sections["quantization"]
        made["deviations"] = tuple(Deviation(**item) for item in made["deviations"])
        sections["quantization"] = Quantization(**made)
        sections["cycles"] = Cycles(**cycles)
        sections["bit_exact"] = BitExact(
            **{rung: value and Comparison(**value) for rung, value in rungs}
        )
        sections["accuracy"] = sections["accuracy"] and Accuracy(**sections["accuracy"])
        sections["resources"] = Resources(**{kind: Resource(**value) for kind, value in kinds})
        stages: list[dict[str, Any]] = sections["stages"]
        for item in stages:
            item["buffers"] = tuple(item["buffers"])
        sections["stages"] = tuple(PipelineStage(**item) for item in stages)
        candidates: list[dict[str, Any]] = sections["candidates"]
        for item in candidates:
            item["limits"] = tuple(item["limits"])
        sections["candidates"] = tuple(Candidate(**item) for item in candidates)
        return cls(**sections)

    def save(self, folder: Path) -> Path:
        """Write `report.json` into a build folder, in one step, and return its path."""
        text = json.dumps(self.to_document(), indent=2) + "\n"
        path = folder / FILE_NAME
        replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        return path

    @classmethod
    def load(cls, folder: Path) -> "Report":
        """Read the report of a build folder.

        Raises:
            NotABuildFolder: the folder holds no report.
            InvalidReport: it is not JSON, or does not follow the schema.
        """
        path = folder / FILE_NAME
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise NotABuildFolder(
                f"Folder {folder} has no {FILE_NAME}; expected a build folder; make one with: "
                f"bitwright compile MODEL --target TARGET --calibration SAMPLES -o {folder}"
            ) from None
        except OSError as error:
            raise NotABuildFolder(f"Cannot read {path}: {error.strerror}") from None
        except ValueError as error:
            raise InvalidReport(
                f"File {path} is not JSON ({error}); compile the model again"
            ) from None
        return cls.from_document(document, f"File {path}")


def _tensor(document: Mapping[str, Any]) -> Tensor:
    return Tensor(name=document["name"], shape=tuple(document["shape"]), type=document["type"])


@cache
def _validator() -> Draft202012Validator:
    text = resource_files("bitwright").joinpath("report.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def _validate(document: Any, where: str) -> None:
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise InvalidReport(
            f"{where} has schema version {version}; this Bitwright reads up to version "
            f"{SCHEMA_VERSION}; use a newer Bitwright, or compile the model again"
        )
    error = best_match(_validator().iter_errors(document))
    if error is not None:
        place = error.json_path.removeprefix("$").removeprefix(".") or "the top level"
        raise InvalidReport(
            f"{where} does not follow report schema version {SCHEMA_VERSION} at {place}: "
            f"{error.message}; compile the model again"
        )
