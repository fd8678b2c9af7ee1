"""The ONNX standard's own node tests through the importer and the reference interpreter.

    python tests/frontend/onnx_standard.py            # counts, and what is not supported, and why
    python tests/frontend/onnx_standard.py --write    # renews docs/operators.md

Each test is a model of one node (or of the function that the standard defines the operator by, in
the tests called `..._expanded`), with inputs and outputs. In a real model some inputs are weights
or shapes; so every test is tried with all inputs computed at run time, then with only the float
inputs, then with only the first one, the rest being constants. A test passes where one of these
imports and equals the standard's output. Whatever imports has to be equal: a difference in any of
the three is a failure, whether or not another passes.
"""

import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from bitwright import targets
from bitwright.errors import BitwrightError
from bitwright.flows.check_target import check_target
from bitwright.frontend.onnx import HANDLERS, load
from bitwright.frontend.onnx.constants import FOLDABLE
from bitwright.frontend.onnx.domains import DOMAINS
from bitwright.ir import graph, reference
from bitwright.ir.types import is_float
from bitwright.passes.fold import Fold

DOCUMENT = Path(__file__).parents[2] / "docs" / "operators.md"
OVERLAY = "ulx3s-85f"
# Losses are computed in training only, like the operators of the domain ai.onnx.preview.training.
LOSSES = ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
# Random numbers, whose tests have no expected values that anybody could meet.
RANDOM = ("Bernoulli", "RandomUniformLike")
STEPS = {"float16": 2.0**-9, "bfloat16": 2.0**-6}


@dataclass
class Outcome:
    """What became of one test.

    Attributes:
        how: "run time", "constants" (with some inputs constant), or "" where not supported.
        why: why it is not supported.
        wrong: ways in which it imports but computes something else.
        module: what was imported.
    """

    name: str
    operator: str
    how: str = ""
    why: str = ""
    wrong: list[str] = field(default_factory=list[str])
    module: Any = None


@cache
def cases() -> Sequence[Any]:
    """The standard's node tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_model_tests(kind="node")


def category(model: onnx.ModelProto) -> str:
    """ "inference", or why the test does not count: training, sequence, string, random."""
    for value in (*model.graph.input, *model.graph.output):
        if value.type.WhichOneof("value") != "tensor_type":
            return "sequence"
        if value.type.tensor_type.elem_type == onnx.TensorProto.STRING:
            return "string"
    name = model.graph.name
    training = ("train", "nllloss", "sce_", "adam", "adagrad", "momentum", "nesterov")
    if any(word in name for word in training):
        return "training"
    for node in model.graph.node:
        if "training" in node.domain or node.op_type in LOSSES:
            return "training"
        if node.op_type in RANDOM:
            return "random"
    return "inference"


@cache
def operators() -> dict[str, str]:
    """The operator that each test is about; an expanded one is about the operator expanded."""
    names = {
        case.name: case.model.graph.node[0].op_type
        for case in cases() if len(case.model.graph.node) == 1 and "_expanded" not in case.name
    }  # fmt: skip
    found = dict(names)
    for case in cases():
        base = case.name.split("_expanded")[0]
        if case.name not in found:
            found[case.name] = names.get(base, case.model.graph.node[-1].op_type)
    return found


def arrays(values: Sequence[Any]) -> list[Any]:
    """Inputs or outputs of a test; narrow types come as ONNX tensors."""
    return [
        numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
        for value in values
    ]


def bound(model: onnx.ModelProto, feeds: dict[str, Any], free: Sequence[str]) -> bytes:
    """The model with all inputs but `free` as constants."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for name, array in feeds.items():
        if name not in free:
            copy.graph.initializer.append(numpy_helper.from_array(array, name))
    return copy.SerializeToString()


def attempts(model: onnx.ModelProto) -> Iterator[tuple[str, list[str]]]:
    """Which inputs are computed at run time, in the order of trying."""
    names = [value.name for value in model.graph.input]
    floats = [
        value.name for value in model.graph.input
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    ]  # fmt: skip
    tried: list[list[str]] = [[]]
    for how, free in (
        ("run time", names), ("constants", floats), ("constants", floats[:1]),
        ("constants", names[:1]),
    ):  # fmt: skip
        if free not in tried:
            tried.append(free)
            yield how, free


def difference(case: Any, found: dict[str, Any], expected: Sequence[Any]) -> str:
    """How the outputs differ, "" where they are equal within the test's tolerance."""
    for (name, array), wanted in zip(found.items(), expected, strict=False):
        if array.shape != wanted.shape:
            return f"{name} has shape {array.shape}, expected {wanted.shape}"
        if array.dtype != wanted.dtype:
            return f"{name} has type {array.dtype}, expected {wanted.dtype}"
        a, b = (x if x.dtype.kind in "iub" else x.astype(np.float64) for x in (array, wanted))
        # The standard rounds 16-bit floats after each of its own steps; two steps apart is equal.
        rtol = max(case.rtol, STEPS.get(wanted.dtype.name, 0.0))
        if not np.allclose(a, b, rtol=rtol, atol=case.atol, equal_nan=True):
            return f"{name} differs by {np.abs(a.astype(float) - b.astype(float)).max()}"
    return ""


def run(case: Any) -> Outcome:
    """One test, in all its ways."""
    outcome = Outcome(case.name, operators()[case.name])
    if category(case.model) != "inference":
        outcome.why = category(case.model)
        return outcome
    for how, free in attempts(case.model):
        for inputs, outputs in case.data_sets:
            names = [value.name for value in case.model.graph.input]
            feeds = dict(zip(names, arrays(inputs), strict=False))
            try:
                module = load(bound(case.model, feeds, free))
                with np.errstate(all="ignore"):
                    found = reference.run(module, {name: feeds[name] for name in free})
            except BitwrightError as error:
                outcome.why = str(error)
                continue
            except Exception as error:  # a defect: counted as wrong, so that all are seen at once
                outcome.wrong.append(f"{case.name} with {free} computed: {error!r}")
                continue
            wrong = difference(case, found, arrays(outputs))
            if wrong:
                outcome.wrong.append(f"{case.name} with {free} computed: {wrong}")
            elif not outcome.how:
                outcome.how, outcome.module = how, module
    return outcome


@cache
def outcomes() -> Sequence[Outcome]:
    """All tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [run(case) for case in cases()]


def supported(module: Any, target: str) -> bool:
    """Whether a target supports all of an imported test (at least one operation left)."""
    if any(not is_float(item.value) for item in graph.inputs(module)):
        return False
    folded = Fold().run(module)
    if not any(op.operation.name != "bw.constant" for op in graph.operations(folded)):
        return False
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return check_target(folded, targets.get(target)).supported
        except BitwrightError:
            return False


@dataclass
class Row:
    """One operator's counts of tests."""

    total: int = 0
    run_time: int = 0
    constants: int = 0
    cpu: int = 0
    overlay: int = 0


def table() -> tuple[dict[str, Row], Counter[str]]:
    """Counts by operator, and how many tests do not count, and why."""
    rows: dict[str, Row] = {}
    left_out: Counter[str] = Counter()
    for case, outcome in zip(cases(), outcomes(), strict=True):
        kind = category(case.model)
        if kind != "inference":
            left_out[kind] += 1
            continue
        row = rows.setdefault(outcome.operator, Row())
        row.total += 1
        row.run_time += outcome.how == "run time"
        row.constants += outcome.how == "constants"
        if outcome.module is not None:
            on_cpu = supported(outcome.module, "cpu")  # the overlay is a part of that
            row.cpu += on_cpu
            row.overlay += on_cpu and supported(outcome.module, OVERLAY)
    return dict(sorted(rows.items())), left_out


def document() -> str:
    """docs/operators.md."""
    rows, left_out = table()
    total = sum(row.total for row in rows.values())
    run_time = sum(row.run_time for row in rows.values())
    passed = run_time + sum(row.constants for row in rows.values())
    apart = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()))
    lines = [
        "# ONNX operators",
        "",
        f"Made by `python tests/frontend/onnx_standard.py --write` with onnx {onnx.__version__};",
        "do not edit by hand.",
        "",
        "Every operator that the ONNX standard's own node tests are about, and how many of these",
        "tests pass through the importer and the reference interpreter. In a real model some",
        "inputs are weights or shapes: *run time* counts the tests that pass with every input",
        "computed at run time, *constants* those that pass where inputs after the first are",
        "constants of the model. What imports has to be equal to the standard's output within the",
        "test's own tolerance (16-bit floats: at least two rounding steps); a difference",
        "fails the project's tests. What is not supported is refused with an error that",
        "names the node.",
        "",
        f"**{passed} of {total} tests pass ({100 * passed / total:.1f} %)**, {run_time} of them",
        f"with every input computed at run time. Not counted: {apart}.",
        "Losses count as training.",
        "",
        "*Imported*: `yes`, at run time; `folded`, where its operands are constants; `no`. *CPU*",
        f"and *overlay* (`{OVERLAY}`): how many of the passing tests these targets support",
        "entirely, from the compiler's own passes. Both need quantization; an operator without",
        "an integer form ends at the reference interpreter.",
        "",
        "| operator | imported | run time | constants | tests | CPU | overlay |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in rows.items():
        imported = "yes" if name in HANDLERS else "folded" if name in FOLDABLE else "no"
        lines.append(
            f"| {name} | {imported} | {row.run_time} | {row.constants} | {row.total} | {row.cpu} | "
            f"{row.overlay} |"
        )
    lines += ["", "## Other domains", "", "The standard's tests do not cover these operators.", ""]
    lines += [f"- `{name}`: {', '.join(sorted(own))}" for name, own in sorted(DOMAINS.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print counts, or renew the document."""
    if len(sys.argv) > 1 and sys.argv[1] != "--write":  # only tests with this in their name
        for case in cases():
            if sys.argv[1] in case.name:
                outcome = run(case)
                print(case.name, outcome.how or outcome.why[:300], *outcome.wrong, sep="\n  ")
        return
    wrong = [text for outcome in outcomes() for text in outcome.wrong]
    print(f"{len(wrong)} wrong", *wrong, sep="\n  ")
    counted = [
        o for c, o in zip(cases(), outcomes(), strict=True) if category(c.model) == "inference"
    ]
    passed = Counter(outcome.how for outcome in counted)
    print(dict(passed), f"{100 * (len(counted) - passed['']) / len(counted):.1f} %")
    if "--write" in sys.argv:
        DOCUMENT.write_text(document(), encoding="utf-8")
        return
    reasons: dict[str, list[Outcome]] = {}
    for outcome in counted:
        if not outcome.how:
            reasons.setdefault(outcome.operator, []).append(outcome)
    for name, items in sorted(reasons.items(), key=lambda item: -len(item[1])):
        print(f"{name} {len(items)}: {items[0].name}: {items[0].why[:200]}")


if __name__ == "__main__":
    main()
