"""Gives symbolic dimensions of a model's inputs their sizes, as `--shape` says."""

import operator
from collections.abc import Mapping, Sequence

import onnx

from bitwright.frontend.onnx.errors import ShapeBindingError

Shapes = Mapping[str, int | Sequence[int]]
Dimension = onnx.TensorShapeProto.Dimension
LARGEST = 2**31 - 1


def bind(inputs: Sequence[onnx.ValueInfoProto], shapes: Shapes, model: str) -> None:
    """Write the sizes of `shapes` into `inputs`; what it does not name stays as it is.

    A key is the name of an input, which gets all its extents, or of a symbolic dimension, which is
    the same in every input; an input's name wins over a dimension's.

    Raises:
        ShapeBindingError: a name that is not known, another number of extents, an extent that the
            model fixes otherwise, two sizes for one dimension, or one that is not positive.
    """
    by_name = {value.name: value for value in inputs}
    symbols = {dim.dim_param for value in inputs for dim in _dims(value) if dim.dim_param}
    bound: dict[str, tuple[int, str]] = {}

    def fix(symbol: str, size: int, key: str) -> None:
        before, earlier = bound.setdefault(symbol, (size, key))
        if before != size:
            raise ShapeBindingError(
                f"Dimension {symbol!r} of {model} is given the size {before} by {earlier!r} and "
                f"{size} by {key!r}; give it one size"
            )

    for key, given in shapes.items():
        sizes = _sizes(key, given)
        if key in by_name:
            value = by_name[key]
            if not value.type.HasField("tensor_type"):
                continue  # refused by its type
            if not value.type.tensor_type.HasField("shape"):
                for size in sizes:
                    value.type.tensor_type.shape.dim.add(dim_value=size)
                continue
            for dim, size in zip(_matched(value, sizes, model), sizes, strict=True):
                if dim.dim_param:
                    fix(dim.dim_param, size, key)
                else:
                    dim.dim_value = size
        elif key not in symbols:
            known = ", ".join(f"{value.name} {shown(_dims(value))}" for value in inputs)
            raise ShapeBindingError(
                f"{model} has no input and no symbolic dimension {key!r}; its inputs are: {known}; "
                f"its symbolic dimensions: {', '.join(sorted(symbols)) or 'none'}"
            )
        elif len(sizes) != 1:
            raise ShapeBindingError(
                f"{key!r} of {model} is a dimension and is given {len(sizes)} sizes, "
                f"{list(sizes)}; expected one"
            )
        else:
            fix(key, sizes[0], key)
    for value in inputs:
        for dim in _dims(value):
            if dim.dim_param in bound:
                dim.dim_value = bound[dim.dim_param][0]


def shown(dims: Sequence[Dimension]) -> str:
    """`[N, 3, ?, 32]`."""
    return "[" + ", ".join(
        str(dim.dim_value) if dim.HasField("dim_value") else (dim.dim_param or "?") for dim in dims
    ) + "]"  # fmt: skip


def suggestion(name: str, dims: Sequence[Dimension]) -> str:
    """The options that would fix the dimensions of input `name`, the batch aside."""
    free = [dim for dim in dims[1:] if dim.dim_value <= 0]
    if all(dim.dim_param for dim in free):
        return " ".join(f"--shape {symbol}=SIZE" for symbol in dict.fromkeys(
            dim.dim_param for dim in free
        ))  # fmt: skip
    extents = [str(dim.dim_value) if dim.dim_value > 0 else "SIZE" for dim in dims[1:]]
    return f"--shape {name}={','.join([str(max(dims[0].dim_value, 1)), *extents])}"


def _dims(value: onnx.ValueInfoProto) -> list[Dimension]:
    return list(value.type.tensor_type.shape.dim)


def _sizes(key: str, given: int | Sequence[int]) -> tuple[int, ...]:
    try:
        listed = given if isinstance(given, Sequence) else (given,)
        sizes = tuple(operator.index(size) for size in listed)
    except TypeError:
        sizes = ()
    if not sizes or not all(1 <= size <= LARGEST for size in sizes):
        raise ShapeBindingError(
            f"{key!r} is given the size {given!r}; expected whole numbers from 1 to {LARGEST}"
        )
    return sizes


def _matched(value: onnx.ValueInfoProto, sizes: Sequence[int], model: str) -> list[Dimension]:
    """Dimensions of `value`, which `sizes` must not contradict."""
    dims = _dims(value)
    what = f"Input {value.name!r} of {model} has shape {shown(dims)}"
    if len(dims) != len(sizes):
        raise ShapeBindingError(
            f"{what}; the shape given for it, {list(sizes)}, has rank {len(sizes)}, expected "
            f"{len(dims)}"
        )
    for index, (dim, size) in enumerate(zip(dims, sizes, strict=True)):
        if dim.dim_value > 0 and dim.dim_value != size:
            raise ShapeBindingError(
                f"{what}, where dimension {index} is fixed to {dim.dim_value}; the shape given "
                f"for it, {list(sizes)}, has {size} there"
            )
    return dims
