"""A bench that compares two Verilog modules of the same ports under random inputs, in Verilator."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bitwright.rtl_sim import toolchain

STIMULUS_BITS = 256

_MAIN = """\
#include <cstdio>
#include <cstdlib>
#include <random>
#include "Vbench.h"

int main(int argc, char** argv) {
    const long cycles = std::atol(argv[1]);
    std::mt19937 random(std::atol(argv[2]));
    VerilatedContext context;
    Vbench bench{&context};
    unsigned differs = 0;
    for (long cycle = 0; cycle < cycles; ++cycle) {
        for (int word = 0; word < WORDS; ++word) bench.stimulus[word] = random();
        bench.clk = 0;
        bench.eval();
        differs |= bench.differs;
        bench.clk = 1;
        bench.eval();
        differs |= bench.differs;
    }
    std::printf("%u", differs);
    return 0;
}
"""

Bench = Callable[..., set[int]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Runs modules `rtl` and `netlist`, both `(clk, stimulus[255:0], results[n*36-1:0])`.

    Returns the numbers of the results (36 bits each, at most 32) that ever differed.
    """

    def run(
        rtl: str, netlist: list[Path], top: str, count: int, *, cycles: int = 20_000,
        defines: tuple[str, ...] = (),
    ) -> set[int]:  # fmt: skip
        compared = ",\n".join(
            f"        expected[{36 * i} +: 36] != actual[{36 * i} +: 36]"
            for i in reversed(range(count))
        )
        (tmp_path / "bench.v").write_text(
            "/* verilator lint_off */\n"
            + rtl.replace(f"module {top}", f"module {top}_rtl", 1)
            + f"""
module bench(input clk, input [{STIMULUS_BITS - 1}:0] stimulus, output [31:0] differs);
    wire [{36 * count - 1}:0] expected, actual;
    {top}_rtl rtl(clk, stimulus, expected);
    {top} netlist(.clk(clk), .stimulus(stimulus), .results(actual));
    assign differs = {{
{compared}
    }};
endmodule
"""
        )
        main = tmp_path / "main.cpp"
        main.write_text(_MAIN.replace("WORDS", str(STIMULUS_BITS // 32)))
        command = [
            *toolchain.verilator(), "--cc", "--exe", "-Wno-fatal", "--no-timing", "-O3",
            "--x-initial", "fast", "--x-assign", "fast", "-Mdir", "obj", "--top-module", "bench",
            *(f"-D{name}" for name in defines),
            "bench.v", *(str(path) for path in netlist), str(main),
        ]  # fmt: skip
        environment = toolchain.verilator_environment()
        toolchain.call("Verilator", command, tmp_path, environment)
        variables = [f"{name}={value}" for name, value in toolchain.make_variables().items()]
        toolchain.call(
            "The C++ compiler",
            [
                toolchain.make(), "-C", "obj", "-f", "Vbench.mk", "-j", "2", "OPT_FAST=-O1",
                "OPT_SLOW=-O0", *variables, f"VERILATOR_ROOT={toolchain.verilator_root()}",
            ],
            tmp_path,
            environment,
        )  # fmt: skip
        done = subprocess.run(
            [tmp_path / "obj" / "Vbench", str(cycles), "1"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        mask = int(re.fullmatch(r"\d+", done.stdout)[0])
        return {index for index in range(32) if mask >> index & 1}

    return run
