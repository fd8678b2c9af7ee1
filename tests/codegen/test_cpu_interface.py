"""The library as a C program sees it, and what can go wrong on the way to it."""

import ctypes
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from torch_mlir import ir

from bitwright.codegen.cpu import library as cpu_library
from bitwright.codegen.cpu.arena import Buffer, place
from bitwright.codegen.cpu.errors import (
    CompileError,
    CpuLevelError,
    MissingCompilerError,
    NotIntegerError,
)  # fmt: skip
from bitwright.codegen.cpu.interface import entry_of
from bitwright.codegen.cpu.level import CpuLevel, cpu_level, cpu_levels
from bitwright.codegen.cpu.library import BuiltLibrary, build_library
from bitwright.codegen.cpu.lower import lower
from bitwright.files import OutputNotWritable
from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.runtime.library import CpuTooOldError, LibraryError, load_library

PARAMS = QuantParams((0.1,), -7, 8, -128, 127)
NAME = 'a/b "ü" ?*/'


def small_module(name: str = "x") -> ir.Module:
    rng = np.random.default_rng(0)
    builder = Builder([(name, (1, 2, 5, 5), PARAMS)])
    taps = builder.constant(
        rng.integers(-127, 128, (3, 2, 3, 3)), QuantParams((0.1,), 0, 8, -127, 127)
    )
    acc = builder.conv2d(builder.inputs[0], taps, builder.constant(np.array([1, -2, 300])))
    result = builder.requantize(acc, PARAMS, multiplier=[70, 80, 90], shift=[13, 13, 13])
    return builder.finish([("y", result)])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuiltLibrary:
    folder = tmp_path_factory.mktemp("built") / "made" / "on the way"
    return build_library(small_module(NAME), folder, model='odd "name" */ \\')


PROGRAM = """
#include "model.h"
#include <stdio.h>
#include <string.h>
int main(void) {
    static int8_t in[BW_INPUT_0_SIZE], out[BW_OUTPUT_0_SIZE], again[BW_OUTPUT_0_SIZE];
    const int8_t *ins[BW_INPUTS] = {in};
    int8_t *outs[BW_OUTPUTS] = {again};
    for (int i = 0; i < BW_INPUT_0_SIZE; i++) in[i] = (int8_t)(i * 37);
    if (bw_run(in, out) != BW_OK || bw_run_all(ins, outs) != BW_OK) return 1;
    if (memcmp(out, again, sizeof out)) return 2;
    if (bw_run(NULL, out) != BW_BAD_ARGUMENT || bw_run(in, NULL) != BW_BAD_ARGUMENT) return 3;
    static int8_t arena[BW_ARENA_BYTES + 2 * BW_ARENA_ALIGNMENT];
    int8_t *start = arena + (BW_ARENA_ALIGNMENT - (uintptr_t)arena % BW_ARENA_ALIGNMENT);
    memset(again, 0, sizeof again);
    memset(arena, 0xa5, sizeof arena);
    if (bw_run_with(start + 1, ins, outs) != BW_BAD_ARGUMENT) return 4;
    if (bw_run_with(NULL, ins, outs) != BW_BAD_ARGUMENT) return 5;
    if (bw_run_with(start, ins, outs) != BW_OK || memcmp(out, again, sizeof out)) return 6;
    if (bw_arena_bytes() != BW_ARENA_BYTES || bw_abi_version() != BW_ABI_VERSION) return 7;
    if (bw_input(-1) || bw_input(1) || bw_output(1) || bw_input_count() != 1) return 8;
    for (int i = 0; i < BW_OUTPUT_0_SIZE; i++) printf("%d ", out[i]);
    return 0;
}
"""


@pytest.mark.parametrize(("compiler", "suffix"), [("cc", "c"), ("c++", "cpp")])
def test_header_in_a_program(
    built: BuiltLibrary, tmp_path: Path, compiler: str, suffix: str
) -> None:
    folder = built.library.parent
    (tmp_path / f"main.{suffix}").write_text(PROGRAM)
    subprocess.run(
        [compiler, "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"main.{suffix}", f"-I{folder}",
         str(built.library), f"-Wl,-rpath,{folder}", "-o", "main"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    given = (np.arange(50) * 37).astype(np.int8).reshape(1, 2, 5, 5)
    expected = reference.run(small_module(NAME), {NAME: given})["y"]
    assert [int(word) for word in done.stdout.split()] == expected.reshape(-1).tolist()


def test_header_text(built: BuiltLibrary) -> None:
    text = built.header.read_text()
    assert text.startswith(
        '/* odd "name" * / \\: an integer network compiled by Bitwright for '
        f"{built.levels[0].name}.\n"
        " *\n"
        ' *   input  0: "a/b "ü" ?* /", int8 [1, 2, 5, 5], row-major, values -128 to 127, '
        "real = 0.1 * (q - (-7))\n"
        ' *   output 0: "y", int8 [1, 3, 3, 3], row-major, values -128 to 127, '
        "real = 0.1 * (q - (-7))\n"
    )
    assert "#define BW_INPUT_0_SIZE 50 /* [1, 2, 5, 5] */\n" in text


def test_only_the_interface_is_exported(built: BuiltLibrary) -> None:
    library = load_library(built.library)
    assert (library.model, library.inputs[0].name) == ('odd "name" */ \\', NAME)
    assert not hasattr(ctypes.CDLL(str(built.library)), entry_of(0))
    assert sorted(path.name for path in built.library.parent.iterdir()) == [
        "example.c", "libmodel.so", "manifest.json", "model.h", "odd_name-config.cmake",
        "odd_name.pc",
    ]  # fmt: skip


def test_equal_modules_give_equal_bytes(built: BuiltLibrary, tmp_path: Path) -> None:
    again = build_library(small_module(NAME), tmp_path / "elsewhere", model='odd "name" */ \\')
    assert again.library.read_bytes() == built.library.read_bytes()
    assert again.header.read_bytes() == built.header.read_bytes()


def test_threads(built: BuiltLibrary) -> None:
    library = load_library(built.library)
    rng = np.random.default_rng(1)
    inputs = [{NAME: rng.integers(-128, 128, (8, 2, 5, 5)).astype(np.int8)} for _ in range(8)]
    expected = [library.run(each) for each in inputs]
    found: list[bool] = []

    def work(index: int) -> None:
        for _ in range(50):
            found.append(np.array_equal(library.run(inputs[index])["y"], expected[index]["y"]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 400
    assert all(found)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_of_one_run(built: BuiltLibrary, threads: int) -> None:
    library = load_library(built.library)
    given = {NAME: np.random.default_rng(1).integers(-128, 128, (300, 2, 5, 5)).astype(np.int8)}
    expected = library.run(given)["y"]
    assert library.threads == 1
    library.threads = threads
    assert library.threads == threads
    for _ in range(3):
        np.testing.assert_array_equal(library.run(given)["y"], expected)
    with ThreadPoolExecutor(3) as callers:  # one has the workers, the others run alone
        for found in callers.map(lambda _: library.run(given)["y"], range(6)):
            np.testing.assert_array_equal(found, expected)
    library.threads = 1
    np.testing.assert_array_equal(library.run(given)["y"], expected)


@pytest.mark.parametrize("number", [0, 257])
def test_numbers_of_threads_that_cannot_be(built: BuiltLibrary, number: int) -> None:
    library = load_library(built.library)
    with pytest.raises(LibraryError) as caught:
        library.threads = number
    assert str(caught.value) == (
        f"{built.library}: {number} threads are asked for; expected 1 to 256"
    )
    assert library.threads == 1


def test_no_library_for_floats(tmp_path: Path) -> None:
    builder = Builder([("x", (1, 4), None)])
    module = builder.finish([("y", builder.relu(builder.inputs[0]))])
    with pytest.raises(NotIntegerError) as caught:
        build_library(module, tmp_path)
    assert str(caught.value) == (
        "A value of type tensor<1x4xf32> is not quantized; the CPU library is made from integers, "
        "so run the pass `quantize` first"
    )
    assert list(tmp_path.iterdir()) == []


def test_weights_are_constants() -> None:
    weights = QuantParams((0.1,), 0, 8, -127, 127)
    builder = Builder([("x", (1, 4), PARAMS), ("w", (3, 4), weights)])
    x, w = builder.inputs
    acc = builder.named("dense").linear(x, w, builder.constant(np.zeros(3, int)))
    y = builder.requantize(acc, PARAMS, multiplier=[1], shift=[1])
    with pytest.raises(NotIntegerError) as caught:
        lower(builder.finish([("y", y)]), cpu_level("host"))
    assert str(caught.value) == (
        "dense (bw.linear) has a weight that is computed; expected a bw.constant. Use bw.matmul "
        "for two computed operands"
    )


def test_processor_too_old(tmp_path: Path) -> None:
    """No processor made since 2017 has `xop`."""
    level = CpuLevel("bulldozer", cpu_level("host").machine, ("sse3", "xop"))
    built = build_library(small_module(), tmp_path, levels=(level,))
    with pytest.raises(CpuTooOldError) as caught:
        load_library(built.library)
    assert str(caught.value) == (
        f"{built.library} is compiled for bulldozer and this processor lacks xop; compile the "
        "model on this machine"
    )


def test_several_levels_in_one_library(tmp_path: Path) -> None:
    """It takes the first that this processor has."""
    host = cpu_level("host")
    newer = CpuLevel("bulldozer", host.machine, ("sse3", "xop"))
    lowest = cpu_levels("x86-64,host" if host.machine == "x86_64" else "aarch64")[-1]
    rng = np.random.default_rng(4)
    given = {"x": rng.integers(-128, 128, (3, 2, 5, 5)).astype(np.int8)}
    expected = reference.run(small_module(), given)["y"]
    for levels, taken in (((newer, host, lowest), host), ((newer, lowest), lowest)):
        built = build_library(small_module(), tmp_path / taken.name, levels=levels)
        library = load_library(built.library)
        assert library.cpu == taken.name
        np.testing.assert_array_equal(library.run(given)["y"], expected)


def test_levels_in_a_list() -> None:
    with pytest.raises(CpuLevelError) as caught:
        cpu_levels("host, host")
    assert str(caught.value) == (
        "The CPU levels 'host, host' name one twice; expected each once, such as "
        "x86-64-v3,x86-64-v4-vnni"
    )


def test_levels_of_two_architectures() -> None:
    with pytest.raises(CpuLevelError) as caught:
        cpu_levels("aarch64,x86-64")
    assert str(caught.value) == (
        "The CPU levels 'aarch64,x86-64' are for aarch64 and x86_64; a library is for one "
        "architecture, so compile once for each"
    )


def test_unknown_level() -> None:
    with pytest.raises(CpuLevelError) as caught:
        cpu_level("x86-64-v9")
    assert str(caught.value).startswith(
        "CPU level 'x86-64-v9' is none that this machine makes code for: host, "
    )


def test_no_code_for_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(CpuLevelError) as caught:
        cpu_level("host")
    assert str(caught.value) == (
        "This machine is a riscv64; there is CPU code for aarch64, x86_64. Compile on one of "
        "those, or for a board"
    )


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingCompilerError) as caught:
        build_library(small_module(), tmp_path)
    assert str(caught.value) == (
        "A C compiler is needed to link the library and none of cc, gcc, clang is on PATH; install "
        "the Debian package 'gcc' (apt-get install gcc)"
    )


def test_compiler_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho no space left on device\nexit 3\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(cpu_library, "find_compiler", lambda level: (str(compiler),))
    with pytest.raises(CompileError) as caught:
        build_library(small_module(), tmp_path / "out")
    (kept,) = (tmp_path / "out").iterdir()
    assert str(caught.value) == (
        f"The C compiler ended with status 3; the command was\n  {compiler} -std=c11 -O2 -fPIC "
        f"-Wall -Wextra -c model.c -o model.o\nin {kept}, which is kept. It printed:\n"
        "no space left on device"
    )
    assert (kept / "model.c").exists()


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputNotWritable) as caught:
        build_library(small_module(), tmp_path / "out")
    assert str(caught.value) == (
        f"Cannot write to {tmp_path / 'out'}: File exists; name a folder that can be written"
    )


def test_buffers_alive_together_do_not_overlap() -> None:
    rng = np.random.default_rng(2)
    buffers = [
        Buffer(int(rng.integers(1, 5000)), first := int(rng.integers(0, 40)),
               first + int(rng.integers(0, 10)))
        for _ in range(120)
    ]  # fmt: skip
    total = place(buffers)
    for index, one in enumerate(buffers):
        assert one.offset % 64 == 0
        assert one.offset + one.size <= total
        for other in buffers[:index]:
            if one.first <= other.last and other.first <= one.last:
                assert one.offset + one.size <= other.offset or (
                    other.offset + other.size <= one.offset
                )
    at_once = max(sum(b.size for b in buffers if b.first <= s <= b.last) for s in range(50))
    assert at_once <= total <= 1.5 * at_once
