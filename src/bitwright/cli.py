"""The command line: options to `bitwright.api`, its reports to tables, its errors to exit codes.

Rooms are imported inside the commands, so that `--help` and `doctor` need none of them.
"""

import signal
import sys
import traceback
from pathlib import Path
from typing import Any, Literal, NoReturn

import click
from rich.console import Console
from rich.markup import escape

from bitwright.cli_options import (
    BUILD,
    FILE,
    INPUT,
    OUTPUT_ARRAYS,
    SHAPE,
    machine_parameters,
    weights,
)  # fmt: skip
from bitwright.errors import BitwrightError
from bitwright.progress import shown

INTERRUPTED = 130
DEFECT = 1
FILE_SYSTEM = 6

_PIPED_WIDTH = 140


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


class _FrontDoor(click.Group):
    """The one place where errors become messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        signal.signal(signal.SIGTERM, _interrupt)  # so that it cleans up like Ctrl-C
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise  # click's own: usage errors, --help, a reader that went away
        except (KeyboardInterrupt, click.Abort):
            self._fail(ctx, INTERRUPTED, "interrupted")
        except BitwrightError as error:
            self._fail(ctx, error.exit_code, str(error))
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            self._fail(ctx, FILE_SYSTEM, f"{where}{error.strerror or error}")
        except Exception as error:
            self._fail(
                ctx,
                DEFECT,
                f"{type(error).__name__}: {error}\n"
                "This is a defect in Bitwright. To see where, run the command again as: "
                "bitwright --debug ...",
            )

    def _fail(self, ctx: click.Context, exit_code: int, message: str) -> None:
        if ctx.params.get("debug"):
            traceback.print_exc()
        _console(stderr=True).print(
            f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True
        )
        ctx.exit(exit_code)


@click.group(
    cls=_FrontDoor,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="bitwright")
@click.option(
    "--debug",
    is_flag=True,
    envvar="BITWRIGHT_DEBUG",
    help="Show a traceback with an error (also: BITWRIGHT_DEBUG=1).",
)
def main(debug: bool) -> None:
    """From a trained model to a verified accelerator, its bitstream and a native library.

    \b
    Exit codes (or their first digit, where single errors have codes of their own):
      1 a defect in Bitwright   2 usage         3 model file   4 calibration data or inputs
      5 target                  6 file system   7 external tool
      8 a result differs from the reference     9 internal representation
      130 interrupted
    """


@main.command("compile")
@click.argument("model", type=FILE)
@click.option("--target", "-t", required=True, help="A name from `bitwright targets`.")
@click.option(
    "--calibration",
    "-c",
    type=FILE,
    help="Typical inputs that set the ranges of the activations: .npz or .npy, about 100 samples. "
    "Needed where MODEL is not quantized.",
)
@click.option(
    "--weights",
    metavar="BITS|ternary",
    callback=weights,
    help="Bits of a weight, 2 to 8; default: 8. Of a language model 1 to 8 or ternary, with int8 "
    "activations, and a file's own integers of at most as many bits are kept; default: floats.",
)
@click.option(
    "--group",
    type=int,
    help="Language model, with --weights: how many weights of a row share a scale (0, the whole "
    "row; 32, 64, 128). Default: 0 for 8 bits, else 32.",
)
@click.option("--tokenizer", type=FILE, help="Language model: tokenizer file of a llama2.c model.")
@click.option("--activations", type=click.IntRange(2, 8), help="Bits of an activation; default: 8.")
@click.option(
    "--ranges",
    type=click.Choice(["minmax", "percentile", "mse"]),
    help="How the range of an activation is chosen; default: minmax.",
)
@click.option(
    "--machine",
    metavar="FILE|NAME=VALUE,...",
    callback=machine_parameters,
    help="Fix parameters of the machine: a TOML file, such as the machine.toml of a build folder, "
    "or lanes=8,rows=16. The others are chosen.",
)
@click.option(
    "--objective",
    type=click.Choice(["latency", "throughput", "luts"]),
    help="What the design is chosen by; default: latency, with --style dataflow throughput.",
)
@click.option(
    "--style",
    type=click.Choice(["overlay", "dataflow"]),
    help="One machine that runs layer after layer, or an engine for each layer, all at once; "
    "default: the better one.",
)
@click.option(
    "--interval",
    type=click.IntRange(min=1),
    help="Dataflow: cycles from image to image that are enough; then as small as possible.",
)
@click.option("--fps", type=float, help="Dataflow: the same as images per second.")
@click.option("--folding", type=FILE, help="Dataflow: the folding.json of a build, or one like it.")
@click.option(
    "--top",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many of the designs that fit are printed.",
)
@click.option(
    "--cpu",
    metavar="LEVEL,...",
    help="Processor levels of the native library, such as x86-64-v3,x86-64-v4-vnni; it takes the "
    "highest that it finds. Default: host, the highest of this machine.",
)
@click.option(
    "--tune",
    is_flag=True,
    help="Measure the tiles of the native library's kernels on this machine; kept for the next "
    "time. The results are the same.",
)
@SHAPE
@click.option("--clock", type=float, help="The machine's clock in MHz; default: the target's.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option(
    "--output", "-o", type=FILE, default=Path("build"), show_default=True, help="Build folder."
)
def compile_command(
    model: Path,
    target: str,
    calibration: Path | None,
    weights: int | str | None,
    group: int | None,
    tokenizer: Path | None,
    activations: int | None,
    ranges: str | None,
    machine: dict[str, int | str] | Path | None,
    objective: Literal["latency", "throughput", "luts"] | None,
    style: Literal["overlay", "dataflow"] | None,
    interval: int | None,
    fps: float | None,
    folding: Path | None,
    top: int,
    cpu: str | None,
    tune: bool,
    shapes: dict[str, tuple[int, ...]],
    clock: float | None,
    seed: int,
    output: Path,
) -> None:
    """Compile MODEL for a target: a float model, quantized first, or a quantized one as it is.

    A language model (see `generate`) becomes a library for the CPU that keeps its cache, with a C
    program that runs it; `bitwright generate build/` runs it, too.

    For an FPGA all designs that fit it are compared by their exact cycles, and the best is built;
    docs/machine.md tells how.

    \b
    Examples:
      bitwright compile model.onnx -t cpu       -c samples.npz -o build/
      bitwright compile model.tflite -t cpu     -o build/
      bitwright compile model.tflite -t cpu --cpu x86-64-v3,x86-64-v4-vnni -o build/
      bitwright compile model.gguf -t cpu --weights 4 --group 64 -o build/
      bitwright compile model.onnx -t ulx3s-85f -c samples.npz --weights 4 -o build/
      bitwright compile model.tflite -t ulx3s-85f --objective luts --top 20
      bitwright compile model.tflite -t ulx3s-85f --machine lanes=16,rows=32
      bitwright compile model.tflite -t ulx3s-85f --machine build/machine.toml -o other/
      bitwright compile model.tflite -t ulx3s-85f --style dataflow --fps 5000
    """
    from bitwright import api
    from bitwright.report_table import candidates_table, report_table, stages_table

    with shown(_console(stderr=True)) as progress:
        report = api.compile_model(
            model,
            target,
            calibration,
            weights=weights,
            group=group,
            tokenizer=tokenizer,
            activations=activations,
            output=output,
            seed=seed,
            machine=machine,
            objective=objective,
            style=style,
            interval=interval,
            fps=fps,
            folding=folding,
            cpu=cpu,
            tune=tune,
            ranges=ranges,
            clock=clock,
            shapes=shapes,
            progress=progress,
        )
    if report.stages:
        _console().print(stages_table(report))
    if top and len(report.candidates) > 1:
        _console().print(candidates_table(report, top))
    _console().print(report_table([report], f"built in {output}"))
    for role in ("library", "weights"):
        path = output / report.files.get(role, "?")
        if path.is_file():
            size = f"{role}: {path.stat().st_size:,} bytes, {path}"
            _console().print(size, highlight=False, markup=False)
    for step, seconds in report.seconds.items():
        _console().print(f"{step}: {seconds:.1f} s", highlight=False)


@main.command()
@BUILD
@INPUT
@OUTPUT_ARRAYS
@click.option(
    "--netlist", is_flag=True, help="Simulate the netlist of `bitwright bitstream`, not the RTL."
)
@click.option("--trace", type=FILE, help="Write a waveform of the machine here (FST).")
@click.option("--limit", type=click.IntRange(min=1), help="Simulate only so many inputs.")
def simulate(
    build: Path,
    inputs: Path,
    output: Path | None,
    netlist: bool,
    trace: Path | None,
    limit: int | None,
) -> None:
    """Run the machine of a BUILD folder in Verilator and compare it with the reference.

    Every output value has to be equal, and the cycles counted have to be the cycles predicted;
    otherwise the exit code is 81.

    \b
    Examples:
      bitwright simulate build/ --input x.npz
      bitwright simulate build/ --input x.npz --limit 1 --trace wave.fst
      bitwright simulate build/ --input x.npz --limit 1 --netlist
    """
    from bitwright import api
    from bitwright.report_table import report_table

    with shown(_console(stderr=True)) as progress:
        report = api.simulate(
            build, inputs, output, netlist=netlist, trace=trace, limit=limit, progress=progress
        )
    _console().print(report_table([report]))


@main.command()
@BUILD
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of place and route.")
@click.option("--clock", type=float, help="The machine's clock in MHz; default: the build's.")
@click.option(
    "--attempts",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How many seeds are tried, from --seed on, until the timing is met.",
)
def bitstream(build: Path, seed: int, clock: float | None, attempts: int) -> None:
    """Synthesise, place and route a BUILD folder, and write its bitstream.

    \b
    Examples:
      bitwright bitstream build/
      bitwright bitstream build/ --seed 3 --clock 80
    """
    from bitwright import api
    from bitwright.report_table import report_table

    with shown(_console(stderr=True)) as progress:
        report = api.bitstream(build, seed=seed, attempts=attempts, clock=clock, progress=progress)
    _console().print(report_table([report]))


@main.command()
@BUILD
@INPUT
@OUTPUT_ARRAYS
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Threads of one inference.",
)
@click.option("--check", is_flag=True, help="Compare every output value with the reference.")
def run(build: Path, inputs: Path, output: Path | None, threads: int, check: bool) -> None:
    """Run the native library of a BUILD folder.

    \b
    Examples:
      bitwright run build/ --input x.npz --output y.npz
      bitwright run build/ --input x.npz --threads 2 --check
    """
    from bitwright import api
    from bitwright.report_table import report_table

    report = api.run(build, inputs, output, threads=threads, check=check)
    _console().print(report_table([report]))


@main.command()
def targets() -> None:
    """List the targets with what they have.

    \b
    Example:
      bitwright targets
    """
    from bitwright.targets_table import targets_table

    _console().print(targets_table())


@main.command()
def doctor() -> None:
    """Check that everything Bitwright needs is installed; say what to install.

    \b
    Example:
      bitwright doctor
    """
    from bitwright.doctor import checks_table, examine, require

    checks = examine()
    _console().print(checks_table(checks))
    require(checks)
    _console().print("[green]Everything that is needed is there.[/]")


@main.command()
@click.argument("model", type=FILE)
@click.option("--target", "-t", help="Also say what this target does not support, and why.")
@SHAPE
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/inspect.md) for scripts.")
@click.option("--html", type=FILE, help="Write a page that draws the graph here, and no table.")
def inspect(
    model: Path,
    target: str | None,
    shapes: dict[str, tuple[int, ...]],
    as_json: bool,
    html: Path | None,
) -> None:
    """Show what MODEL (an ONNX, TFLite or .pt2 file) consists of, layer by layer.

    Of a language model (see `generate`) it shows the configuration, the size and the work.

    \b
    Examples:
      bitwright inspect model.onnx
      bitwright inspect model.onnx --target ulx3s-85f
      bitwright inspect model.onnx --shape batch=1 --shape length=128
      bitwright inspect model.onnx --html graph.html
      bitwright inspect model.onnx --json | jq .totals
    """
    from bitwright import api

    inspection = api.inspect(model, target, shapes=shapes)
    if html is not None:
        inspection.save_html(html)
    if as_json:
        click.echo(inspection.json())
    elif html is None:
        _console().print(inspection.table())


@main.command()
@click.argument("model", type=FILE)
@click.option("--prompt", "-p", default="", help="The text to continue.")
@click.option("--tokenizer", type=FILE, help="Tokenizer file of a llama2.c model.")
@click.option(
    "--tokens",
    "-n",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="How many tokens at most.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="0 takes the most likely token.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=0),
    default=0,
    help="Draw from the K most likely tokens only; 0: from all.",
)
@click.option(
    "--top-p",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=1.0,
    help="Draw from the most likely tokens that together have this probability.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--target",
    "-t",
    type=click.Choice(["reference", "cpu"]),
    help="The reference interpreter (the default), or native code, compiled first. A build folder "
    "has its own code.",
)
@click.option(
    "--threads", type=click.IntRange(1, 256), help="Threads, of a build folder only; default: 1."
)
@click.option(
    "--weights",
    metavar="BITS|ternary",
    help="Compute linear layers in integers: weights of 8 to 1 bits, or ternary, and int8 "
    "activations. A file's own integers of at most as many bits are kept. Default: floats.",
)
@click.option(
    "--group",
    type=int,
    help="With --weights: how many weights of a row share a scale (0, the whole row; 32, 64, 128). "
    "Default: 0 for 8 bits, else 32.",
)
@click.option("--stop", multiple=True, help="End before this text; may be given more than once.")
@click.option(
    "--score",
    type=FILE,
    metavar="FILE",
    help="Instead: the negative log-likelihood per token of the texts in FILE, which "
    "<|endoftext|> separates.",
)
def generate(
    model: Path, prompt: str, tokenizer: Path | None, tokens: int, temperature: float, top_k: int,
    top_p: float, seed: int, target: Literal["reference", "cpu"] | None, threads: int | None,
    weights: str | None, group: int | None, stop: tuple[str, ...], score: Path | None,
) -> None:  # fmt: skip
    """Continue a text with MODEL, a language model.

    MODEL is a llama2.c or GGUF file, or a folder with config.json and safetensors, or the build
    folder that `bitwright compile` made of one. The text goes to standard output as it comes,
    without the prompt; speed and notes to standard error.

    \b
    Examples:
      bitwright generate stories.bin --tokenizer tokenizer.bin --prompt "Once upon a time"
      bitwright generate model.gguf -p "The sky is" -n 50 --temperature 0.8 --top-p 0.9 --seed 1
      bitwright generate model.gguf -p "The sky is" --target cpu
      bitwright generate model.gguf -p "The sky is" --target cpu --weights 4 --group 64
      bitwright compile model.gguf -t cpu -o build/ && bitwright generate build/ -p "The sky is"
      bitwright generate model.gguf --score text.txt
    """
    from bitwright import api

    if group is not None and weights is None:
        raise click.UsageError("--group needs --weights: floats have no groups")
    integers = None if weights is None else api.IntegerWeights(weights, group)
    notes = _console(stderr=True)
    if score is not None:
        result = api.score(
            model, score, tokenizer=tokenizer, target=target, integers=integers, threads=threads
        )
        click.echo(f"{result.per_token:.6f}")
        notes.print(
            f"negative log-likelihood per token, {result.tokens:,} tokens in {result.texts:,} "
            f"texts, {result.tokens / result.seconds:,.1f} tokens/s",
            highlight=False,
        )
        return
    made = api.generate(
        model, prompt, tokenizer=tokenizer, tokens=tokens, stop=stop,
        sampling=api.Sampling(temperature, top_k, top_p, seed), target=target, integers=integers,
        threads=threads, write=lambda text: click.echo(text, nl=False),
    )  # fmt: skip
    if sys.stdout.isatty():
        click.echo()
    why = {
        "tokens": "as many tokens as asked for", "stop token": "the model ended the text",
        "stop text": "a stop text came", "context": "the model's context is full",
    }[made.ending]  # fmt: skip
    for line in (
        *made.notes,
        f"prompt: {made.prompt_tokens:,} tokens, "
        f"{made.prompt_tokens / made.prompt_seconds:,.1f} tokens/s",
        f"generated: {made.new_tokens:,} tokens, {made.new_tokens / made.seconds:,.1f} tokens/s; "
        f"ended: {why}",
    ):
        notes.print(line, highlight=False, markup=False)


@main.command()
@click.argument("file", type=FILE)
@click.option(
    "--pipeline",
    "-p",
    required=True,
    help="Passes in order, with their options: 'fold,quantize{weights=4}'.",
)
@click.option("--output", "-o", type=FILE, help="Write the result here instead of printing it.")
def opt(file: Path, pipeline: str, output: Path | None) -> None:
    """Run passes on FILE (the .mlir text of a module).

    \b
    Examples:
      bitwright opt build/model.mlir -p fold
      bitwright opt build/model.mlir -p 'fold,quantize{weights=4}' -o out.mlir
    """
    from bitwright import api

    text = api.optimise(file, pipeline, output)
    if output is None:
        click.echo(text)


if __name__ == "__main__":
    sys.exit(main())
