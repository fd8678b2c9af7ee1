"""`bitwright run`: the native library on the user's inputs."""

import time
from pathlib import Path

from bitwright.errors import BitwrightError
from bitwright.flows.compare import compare_outputs, raise_if_different
from bitwright.flows.folder import BuildFolder
from bitwright.ir import reference, serialize
from bitwright.progress import ProgressCallback, silent
from bitwright.report import Report
from bitwright.runtime.library import load_library
from bitwright.runtime.tensors import load_inputs, prepare, save_outputs


class NoLibrary(BitwrightError):
    """A build folder without a native library."""

    exit_code = 5


def run(
    build: Path,
    inputs: Path,
    output: Path | None = None,
    *,
    threads: int = 1,
    check: bool = False,
    progress: ProgressCallback = silent,
) -> Report:
    """Run the library of a build on `inputs`; the report gets its speed over these samples.

    Args:
        threads: of one inference.
        check: compare every output value with the reference, and record that.

    Raises:
        ResultsDiffer: with `check`, where a value differs (the report is saved before).
        NoLibrary: a build for an FPGA.
        TensorError, TensorFileError: inputs that do not fit, or cannot be read.
    """
    report = Report.load(build)
    if "library" not in report.files:
        raise NoLibrary(
            f"Build {build} is for the target {report.target.name!r} and has no native library; "
            "compile with --target cpu, or use `bitwright simulate`"
        )
    library = load_library(build / report.files["library"])
    library.threads = threads
    given = load_inputs(inputs, [info.name for info in library.inputs])
    batch = prepare(library.inputs, given)
    progress("run", 0, 0)
    start = time.perf_counter()
    outputs = library.run(given)
    seconds = time.perf_counter() - start
    report.latency_us = 1e6 * seconds / batch.samples
    report.throughput = batch.samples / seconds
    if check:
        module = serialize.load(BuildFolder(build).model)
        ints = dict(zip((info.name for info in library.inputs), batch.arrays, strict=True))
        wanted, found = reference.run(module, ints), library.run(ints)
        compare_outputs(report, "cpu", batch.samples, wanted, found)
    report.save(build)
    if check:
        raise_if_different(report, "cpu")
    if output is not None:
        save_outputs(output, outputs)
    return report
