"""Libraries for aarch64, made here and run on an emulated processor."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.codegen.cpu import compilers
from bitwright.codegen.cpu.errors import MissingCompilerError
from bitwright.codegen.cpu.level import CpuLevel, cpu_level, cpu_levels
from bitwright.codegen.cpu.library import build_library
from bitwright.flows.compile import compile_model
from bitwright.flows.models import import_model
from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.runtime import emulated
from bitwright.runtime.emulated import EmulatedLibrary, MissingEmulatorError
from bitwright.runtime.library import LibraryError

sys.path.insert(0, str(Path(__file__).parent))

import quantized_networks as networks

CODE = 0xFFE0FC00
DOT_PRODUCT = 0x4E809400  # SDOT of vectors, its registers masked out


def network(bits: int) -> ir.Module:
    """Convolutions, one of them depthwise, and a dense layer, with weights of `bits`."""
    rng = np.random.default_rng(bits)
    builder = Builder([("x", (1, 8, 9, 9), networks.activation(-3))])
    x = networks.conv(builder, rng, builder.inputs[0], 24, (3, 3), bits=bits, padding=(1, 1, 1, 1))
    x = networks.conv(builder, rng, x, 24, (3, 3), groups=24, bits=bits)
    flat = builder.reshape(x, (1, 24 * 49))
    weight = networks.weight(builder, rng, (70, 24 * 49), bits)
    sums = builder.linear(flat, weight, networks.bias(builder, rng, 70))
    return builder.finish([("y", networks.requantize(builder, rng, sums, 3e3))])


def has_dot_products(library: Path) -> bool:
    with library.open("rb") as file:
        elf = import_module("elftools.elf.elffile").ELFFile(file)
        words = np.frombuffer(elf.get_section_by_name(".text").data(), "<u4")
    return bool(np.any(words & CODE == DOT_PRODUCT))


def compared(library: EmulatedLibrary, module: ir.Module, samples: int) -> None:
    rng = np.random.default_rng(1)
    given = {
        info.name: rng.integers(info.minimum, info.maximum + 1, (samples, *info.shape[1:]), np.int8)
        for info in library.inputs
    }
    expected = reference.run(module, given)
    for name, found in library.run(given).items():
        np.testing.assert_array_equal(found, expected[name])


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("name", ["aarch64", "aarch64+dotprod"])
def test_random_weights(tmp_path: Path, name: str, bits: int) -> None:
    module = network(bits)
    built = build_library(module, tmp_path, levels=(cpu_level(name),))
    assert has_dot_products(built.library) == (name == "aarch64+dotprod")
    library = EmulatedLibrary(built.library, dot_products=name == "aarch64+dotprod")
    assert (library.cpu, library.missing) == (name, "")
    compared(library, module, 2)


@pytest.mark.parametrize("name", ["ad", "ic", "kws", "vww"])
def test_int8_networks(data_folder: Path, tmp_path: Path, name: str) -> None:
    """One library, of which an old processor takes the one level and a new one the other."""
    module = import_model(data_folder / "mlperf_tiny" / f"{name}_int8.tflite", None).module
    built = build_library(module, tmp_path, levels=cpu_levels("aarch64,aarch64+dotprod"))
    for dot_products, level in ((True, "aarch64+dotprod"), (False, "aarch64")):
        library = EmulatedLibrary(built.library, dot_products=dot_products)
        assert library.cpu == level
        compared(library, module, 1)


def test_equal_bytes(tmp_path: Path) -> None:
    made = [
        build_library(network(4), tmp_path / folder, levels=cpu_levels("aarch64"))
        for folder in ("one", "other")
    ]
    first, second = (built.library.read_bytes() for built in made)
    assert first == second


def test_compile_compares_on_the_emulated_processor(data_folder: Path, tmp_path: Path) -> None:
    model = data_folder / "mlperf_tiny" / "kws_int8.tflite"
    report = compile_model(model, "cpu", output=tmp_path / "build", cpu="aarch64+dotprod")
    comparison = report.bit_exact.cpu
    assert comparison is not None
    assert comparison.exact
    assert comparison.samples == 1


def test_processor_too_old(tmp_path: Path) -> None:
    built = build_library(network(8), tmp_path, levels=cpu_levels("aarch64+dotprod"))
    library = EmulatedLibrary(built.library, dot_products=False)
    with pytest.raises(LibraryError) as caught:
        library.run({"x": np.zeros((1, 8, 9, 9), np.int8)})
    assert str(caught.value) == (
        f"{built.library}: bw_run_with returned 1: the processor lacks dotprod"
    )


def test_a_function_that_the_emulator_lacks(tmp_path: Path) -> None:
    built = build_library(network(8), tmp_path, levels=cpu_levels("aarch64"))
    library = EmulatedLibrary(built.library)
    threads: Callable[..., Any] = library._call
    with pytest.raises(LibraryError) as caught:
        threads("bw_set_threads", 2)
    assert str(caught.value) == (
        f"{built.library} calls pthread_create, which the emulator does not have; expected only "
        "memcpy, memmove, memset, getauxval"
    )


def test_a_library_of_this_machine(tmp_path: Path) -> None:
    built = build_library(network(8), tmp_path)
    with pytest.raises(LibraryError) as caught:
        EmulatedLibrary(built.library)
    assert str(caught.value) == (
        f"{built.library} is for x64; expected one for AArch64. Load it with "
        "bitwright.load_library on such a machine"
    )


def test_no_library(tmp_path: Path) -> None:
    with pytest.raises(LibraryError) as caught:
        EmulatedLibrary(tmp_path / "libmodel.so")
    assert str(caught.value) == (
        f"{tmp_path / 'libmodel.so'} is no library that Bitwright made, or is changed since; give "
        "the libmodel.so of a build folder"
    )


def test_no_cross_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "find_spec", lambda name: None)
    with pytest.raises(MissingCompilerError) as caught:
        build_library(network(8), tmp_path, levels=cpu_levels("aarch64"))
    assert str(caught.value) == (
        "Code for aarch64 needs the package 'ziglang', which is not installed; install it with: "
        "pip install 'bitwright[cross]'"
    )


def test_no_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(emulated, "import_module", missing)
    with pytest.raises(MissingEmulatorError) as caught:
        EmulatedLibrary(tmp_path / "libmodel.so")
    assert str(caught.value) == (
        "Running code for aarch64 here needs the Python package 'unicorn', which is not "
        "installed; install it with: pip install 'bitwright[cross]'"
    )


def test_features_of_this_machine_by_the_compilers_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What Linux on ARM writes into /proc/cpuinfo."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr(Path, "read_text", lambda path: "Features\t: fp asimd asimddp\n")
    assert cpu_level("host") == CpuLevel("aarch64+dotprod", "aarch64", ("dotprod",))
