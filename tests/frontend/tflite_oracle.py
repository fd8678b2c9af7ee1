"""Renews the files of what LiteRT answers on the small models of the tests."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def renew(
    path: Path, cases: Mapping[str, Callable[[], bytes]],
    inputs: Callable[[str, tuple[int, ...]], Any], left_out: Collection[str] = (),
) -> None:  # fmt: skip
    """Write the answers of the reference kernels on every case; those `left_out` have none there,
    and get those of the default kernels."""
    from ai_edge_litert.interpreter import (  # pyright: ignore[reportMissingImports]
        Interpreter,
        OpResolverType,
    )

    golden: dict[str, Any] = {}
    for name, make in cases.items():
        interpreter = Interpreter(
            model_content=make(),
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            if name in left_out
            else OpResolverType.BUILTIN_REF,
        )
        interpreter.allocate_tensors()
        source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        answers: list[Any] = []
        for sample in inputs(name, tuple(source["shape"])):
            interpreter.set_tensor(source["index"], sample[None])
            interpreter.invoke()
            answers.append(interpreter.get_tensor(result["index"]).copy())
        golden[name] = np.stack(answers)
    np.savez_compressed(path, **golden)
