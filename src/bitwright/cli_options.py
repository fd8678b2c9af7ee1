"""Options that several commands of the command line have, and how their values are read."""

from pathlib import Path

import click

FILE = click.Path(path_type=Path)

BUILD = click.argument("build", type=FILE)

INPUT = click.option(
    "--input",
    "-i",
    "inputs",
    type=FILE,
    required=True,
    help="Inputs: .npz keyed by tensor name, or one .npy where the model has one input.",
)

OUTPUT_ARRAYS = click.option(
    "--output", "-o", type=FILE, help="Write the outputs here: .npz keyed by tensor name."
)


def weights(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    """`4` to 4, `ternary` as it is."""
    if value is None or value == "ternary":
        return value
    if value not in list("12345678"):
        raise click.BadParameter(f"'{value}' is none of 1 to 8 and ternary", ctx, param)
    return int(value)


def machine_parameters(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> dict[str, int | str] | Path | None:
    """`lanes=8,rows=16` to a dictionary, anything without an equals sign to a path."""
    if value is None:
        return None
    if "=" not in value:
        return Path(value)
    result: dict[str, int | str] = {}
    for part in value.split(","):
        name, _, text = (word.strip() for word in part.partition("="))
        if not name or not text.isalnum():
            raise click.BadParameter(
                f"'{part}' is not of the form NAME=VALUE, such as lanes=8", ctx, param
            )
        result[name] = int(text) if text.isdecimal() else text
    return result


def _shapes(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> dict[str, tuple[int, ...]]:
    """`("x=1,3,224,224", "N=128")` to a dictionary."""
    result: dict[str, tuple[int, ...]] = {}
    for item in value:
        name, _, sizes = (part.strip() for part in item.rpartition("="))
        numbers = [number.strip() for number in sizes.split(",")]
        if not name or not all(number.isascii() and number.isdecimal() for number in numbers):
            raise click.BadParameter(
                f"'{item}' is not of the form NAME=SIZE,..., such as x=1,3,224,224", ctx, param
            )
        if name in result:
            raise click.BadParameter(f"'{name}' is given twice", ctx, param)
        result[name] = tuple(int(number) for number in numbers)
    return result


SHAPE = click.option(
    "--shape",
    "shapes",
    metavar="NAME=SIZE,...",
    multiple=True,
    callback=_shapes,
    help="Size of a symbolic dimension (N=128), or shape of an input (x=1,3,224,224); ONNX only. "
    "May be repeated.",
)
