"""The files around the library, each used as its readers use it."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cmake
import numpy as np
import pytest

from bitwright.codegen.cpu.library import build_library
from bitwright.codegen.cpu.package import package_name
from bitwright.ir import reference
from bitwright.ir.builder import Builder
from bitwright.ir.types import QuantParams
from bitwright.runtime.library import load_library

X = QuantParams((0.5,), -3, 8, -128, 127)
Y = QuantParams((0.25,), 4, 8, -128, 127)
PROGRAM = '#include "model.h"\n#include <stdio.h>\nint main(void) { puts(bw_model_name()); }\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that was moved after it was built."""
    builder = Builder([("x", (1, 4), X), ("y", (1, 4), X)])
    weight = builder.constant(np.arange(12).reshape(3, 4) - 5, QuantParams((0.1,), 0, 4, -8, 7))
    sums = builder.linear(builder.inputs[0], weight, builder.constant(np.array([9, -4, 0])))
    z = builder.requantize(sums, Y, multiplier=[3], shift=[2])
    copy = builder.slice(builder.inputs[1], (0, 1), (1, 3), (1, 1))
    module = builder.finish([("z", z), ("s", sums), ("c", copy)], {"s": 0.05})
    made = tmp_path_factory.mktemp("made")
    build_library(module, made / "lib", model="my net-1")
    given = {name: np.zeros((1, 4), np.int8) for name in "xy"}
    (made / "z").write_text(" ".join(map(str, reference.run(module, given)["z"].ravel())))
    return (made / "lib").rename(made / "moved")


def run(*command: str, folder: Path) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_example_runs(folder: Path) -> None:
    command = (folder / "example.c").read_text().split("folder: ")[1].split(" */")[0]
    run("sh", "-c", f"{command} -Wall -Wextra -Werror", folder=folder)
    first, *rest = run("./example", folder=folder).splitlines()
    cpu = load_library(folder / "libmodel.so").cpu
    assert first == f"my net-1 on {cpu}, real values of z:"
    expected = [0.25 * (int(q) - 4) for q in (folder.parent / "z").read_text().split()]
    assert [float(line) for line in rest] == expected


def test_pkg_config_finds_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(PROGRAM)
    flags = run(
        sys.executable, "-m", "pkgconf", f"--with-path={folder}", "--cflags", "--libs", "my_net_1",
        folder=tmp_path,
    )  # fmt: skip
    run("cc", "main.c", "-o", "main", *flags.split(), folder=tmp_path)
    assert run("./main", folder=tmp_path) == "my net-1\n"


def test_cmake_finds_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(PROGRAM)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(p C)\n"
        f'find_package(my_net_1 CONFIG REQUIRED PATHS "{folder}")\n'
        "add_executable(main main.c)\ntarget_link_libraries(main PRIVATE bitwright::my_net_1)\n"
    )
    program = str(Path(cmake.CMAKE_BIN_DIR) / "cmake")
    run(program, "-G", "Unix Makefiles", ".", folder=tmp_path)
    run(program, "--build", ".", folder=tmp_path)
    assert run("./main", folder=tmp_path) == "my net-1\n"


def test_the_manifest_describes_all_files(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["sha256"]) == {
        path.name for path in folder.iterdir() if path.name not in ("manifest.json", "example")
    }
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert manifest["model"] == "my net-1"
    assert [level["level"] for level in manifest["cpu"]] == [
        load_library(folder / "libmodel.so").cpu
    ]
    assert [tensor["name"] for tensor in manifest["outputs"]] == ["z", "s", "c"]
    assert manifest["outputs"][1]["bits"] == 32


def test_names_that_build_tools_take() -> None:
    assert package_name("a/b (1)") == "a_b_1"
    assert package_name("?") == "model"
