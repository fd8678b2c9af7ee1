"""Dividers of the phase-locked loops, from a board's oscillator to the machine's clock."""

from dataclasses import dataclass

from bitwright.fpga.errors import ClockOutOfReach
from bitwright.targets.target import FpgaTarget, PllLimits

TOLERANCE = 0.02
"""A clock this much (relative) below the one asked for is still taken."""


@dataclass(frozen=True, kw_only=True)
class ClockPlan:
    """How the machine's clock is made.

    Attributes:
        input_mhz: the oscillator.
        output_mhz: the machine's clock, exactly as the dividers give it.
        vco_mhz: frequency of the loop's oscillator.
        dividers: parameters of the primitive by name; empty where the oscillator is used as it is.
    """

    input_mhz: float
    output_mhz: float
    vco_mhz: float = 0.0
    dividers: tuple[tuple[str, int], ...] = ()

    @property
    def uses_pll(self) -> bool:
        """Whether the clock goes through a phase-locked loop."""
        return bool(self.dividers)

    @property
    def output_hz(self) -> int:
        """The machine's clock in hertz."""
        return round(self.output_mhz * 1e6)


def plan_clock(
    target: FpgaTarget, clock_mhz: float | None = None, *, memory: bool = False
) -> ClockPlan:
    """Plan the machine's clock: the nearest one not above `clock_mhz` (default: the target's).

    With `memory` it always comes from a loop, which also makes the clock of an external memory.

    Raises `ClockOutOfReach` where no dividers come within 2 % below it.
    """
    wanted = target.default_clock_mhz if clock_mhz is None else clock_mhz
    if wanted == target.board_clock_mhz and not memory:
        return ClockPlan(input_mhz=wanted, output_mhz=wanted)
    candidates = _ecp5(target) if target.family == "ecp5" else _ice40(target)
    reachable = [
        plan for plan in candidates if wanted * (1 - TOLERANCE) <= plan.output_mhz <= wanted + 1e-9
    ]
    if not reachable:
        raise ClockOutOfReach(target.name, wanted, *target.pll.output_mhz)
    middle = sum(target.pll.vco_mhz) / 2
    # Nearest frequency first, then the fastest phase detector (least jitter), then the middle of
    # the oscillator's range.
    return min(
        reachable,
        key=lambda plan: (
            round(wanted - plan.output_mhz, 9),
            dict(plan.dividers).get("CLKI_DIV", dict(plan.dividers).get("DIVR", 0)),
            abs(plan.vco_mhz - middle),
        ),
    )


def _inside(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] - 1e-9 <= value <= limits[1] + 1e-9


def _allowed(limits: PllLimits, detector: float, vco: float, output: float) -> bool:
    return (
        _inside(detector, limits.phase_detector_mhz)
        and _inside(vco, limits.vco_mhz)
        and _inside(output, limits.output_mhz)
    )


def _ecp5(target: FpgaTarget) -> list[ClockPlan]:
    """EHXPLLL: CLKOP feeds back, the machine runs on CLKOS.

    vco = input * CLKFB_DIV * CLKOP_DIV / CLKI_DIV, output = vco / CLKOS_DIV.
    """
    plans: list[ClockPlan] = []
    for reference in range(1, 129):
        detector = target.board_clock_mhz / reference
        if not _inside(detector, target.pll.phase_detector_mhz):
            continue
        for product in range(1, int(target.pll.vco_mhz[1] / detector) + 1):
            vco = detector * product
            feedback = _smallest_factor(product)
            for divider in range(1, 129):
                output = vco / divider
                if _allowed(target.pll, detector, vco, output):
                    dividers = (
                        ("CLKI_DIV", reference), ("CLKFB_DIV", feedback),
                        ("CLKOP_DIV", product // feedback), ("CLKOS_DIV", divider),
                    )  # fmt: skip
                    plans.append(
                        ClockPlan(
                            input_mhz=target.board_clock_mhz,
                            output_mhz=output,
                            vco_mhz=vco,
                            dividers=dividers,
                        )
                    )
    return plans


def _smallest_factor(number: int) -> int:
    """Smallest factor above 1, so that the clock that feeds back is slow."""
    return next((factor for factor in range(2, number) if number % factor == 0), 1)


def _ice40(target: FpgaTarget) -> list[ClockPlan]:
    """SB_PLL40 with simple feedback: output = input * (DIVF+1) / (DIVR+1) / 2^DIVQ."""
    plans: list[ClockPlan] = []
    for reference in range(16):
        detector = target.board_clock_mhz / (reference + 1)
        if not _inside(detector, target.pll.phase_detector_mhz):
            continue
        for feedback in range(128):
            vco = detector * (feedback + 1)
            for divider in range(1, 7):
                output = vco / 2**divider
                if _allowed(target.pll, detector, vco, output):
                    dividers = (
                        ("DIVR", reference), ("DIVF", feedback), ("DIVQ", divider),
                        ("FILTER_RANGE", _filter_range(detector)),
                    )  # fmt: skip
                    plans.append(
                        ClockPlan(
                            input_mhz=target.board_clock_mhz,
                            output_mhz=output,
                            vco_mhz=vco,
                            dividers=dividers,
                        )
                    )
    return plans


def _filter_range(detector_mhz: float) -> int:
    """Loop filter setting for the phase detector's frequency (iCE40 sysCLOCK PLL usage guide)."""
    thresholds = (17, 26, 44, 66, 101)
    return 1 + sum(detector_mhz >= threshold for threshold in thresholds)
