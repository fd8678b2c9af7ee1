"""Comparing what was computed with the reference, and saying so."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from bitwright.errors import BitwrightError
from bitwright.report import Report, Rung
from bitwright.rtl_sim.begins import Begin, due

Array = NDArray[Any]


class ResultsDiffer(BitwrightError):
    """A machine that computed something else than the reference, or took other cycles, or a
    pipeline that began its images in others."""

    exit_code = 81


def compare_outputs(
    report: Report,
    rung: Rung,
    samples: int,
    wanted: Mapping[str, Array],
    found: Mapping[str, Array],
) -> None:
    """Record how many output elements of a rung differ from the reference."""
    compare_arrays(report, rung, samples, [(wanted[name], found[name]) for name in wanted])


def compare_arrays(
    report: Report, rung: Rung, samples: int, pairs: Sequence[tuple[Array, Array]]
) -> None:
    """Record how many elements differ between the two arrays of each pair."""
    report.set_bit_exact(
        rung,
        samples=samples,
        elements=sum(wanted.size for wanted, _ in pairs),
        mismatches=sum(int((wanted != found).sum()) for wanted, found in pairs),
    )


def raise_if_different(
    report: Report, rung: Rung, cycles: Sequence[int] = (), predicted: Sequence[int] | None = None
) -> None:
    """Raise `ResultsDiffer` for a value of `rung`, or one of `cycles`, that is not as it should.

    `predicted`: cycles of each sample, where they are not the report's for each.
    """
    comparison = getattr(report.bit_exact, rung)
    if not comparison.exact:
        raise ResultsDiffer(
            f"The {rung} differs from the reference in {comparison.mismatches} of "
            f"{comparison.elements} elements over {comparison.samples} samples; expected none. "
            "This is a defect in Bitwright: please report it with the build folder"
        )
    wanted = [report.cycles.predicted] * len(cycles) if predicted is None else list(predicted)
    if list(cycles) != wanted:
        expected = ", ".join(str(count) for count in dict.fromkeys(wanted))
        raise ResultsDiffer(
            f"The {rung} took {sorted(set(cycles))} cycles; predicted were {expected}. This is a "
            "defect in Bitwright: please report it with the build folder"
        )


def raise_if_not_on_time(begins: Sequence[Begin], interval: int) -> None:
    """Raise `ResultsDiffer` for an image that the RTL does not begin when it should."""
    for (before, after), at in zip(pairwise(begins), due(begins, interval), strict=True):
        if after.cycle != at:
            raise ResultsDiffer(
                f"The rtl began an image {after.cycle - before.cycle} cycles after the one before; "
                f"predicted were {at - before.cycle}, with an image every {interval}. This is a "
                "defect in Bitwright: please report it with the build folder"
            )
