"""All designs that fit as one SVG picture: images a second over each resource.

In each panel the line joins the Pareto front: no other design is faster with less of that
resource. The design that is built is marked, and every point shows what it is when pointed at.
"""

import math
from collections.abc import Sequence
from html import escape
from string import Template

from bitwright.report import Report

_PANELS = ("lut", "bram", "dsp")
_WIDTH, _HEIGHT = 300, 300  # of a panel's axes
_LEFT, _TOP, _GAP, _BELOW = 76, 64, 56, 62
_LABEL = 150  # room that the mark's label needs on its right


def plot(report: Report) -> str:
    """The picture's text, of a report with candidates."""
    assert report.clock_mhz is not None, "candidates have a clock"
    speeds = [1e6 * report.clock_mhz / item.interval for item in report.candidates]
    limits = _decades(min(speeds), max(speeds))
    parts = [
        f'<text class="tick end" x="{_LEFT - 8}" y="{_TOP + _y(tick, limits) + 4:.1f}">'
        f"{tick:,.0f}</text>"
        for tick in _ticks(*limits)
    ]
    parts += [
        f'<g transform="translate({_LEFT + number * (_WIDTH + _GAP)} {_TOP})">'
        + "\n".join(_panel(name, report, speeds, limits))
        + "</g>"
        for number, name in enumerate(_PANELS)
    ]
    return _PICTURE.substitute(
        width=_LEFT + len(_PANELS) * (_WIDTH + _GAP), height=_TOP + _HEIGHT + _BELOW,
        title=escape(f"{report.model.name} on {report.target.name}: what fits"),
        note=f"{len(speeds)} machines at {report.clock_mhz:.1f} MHz; the ringed one is built, the "
        "line joins those that nothing beats",
        middle=_TOP + _HEIGHT / 2, body="\n".join(parts),
    )  # fmt: skip


def pareto(counts: Sequence[int], speeds: Sequence[float]) -> list[int]:
    """Which points no other beats: as fast with less, or faster with as much. Least first."""
    found: list[int] = []
    for index in sorted(range(len(counts)), key=lambda i: (counts[i], -speeds[i])):
        if not found or speeds[index] > speeds[found[-1]]:
            found.append(index)
    return found


def _decades(low: float, high: float) -> tuple[float, float]:
    """The nearest 1, 2 or 5 times a power of ten below and above."""
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    steps = [digit * 10.0**e for e in range(first, last + 2) for digit in (1, 2, 5)]
    return max(s for s in steps if s <= low), min(s for s in steps if s > high)


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten; only the powers where that is many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1,)):
        ticks = [digit * 10.0**e for e in exponents for digit in digits]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) <= 8:
            break
    return ticks


def _y(speed: float, limits: tuple[float, float]) -> float:
    low, high = (math.log(value) for value in limits)
    return _HEIGHT * (1 - (math.log(speed) - low) / (high - low))


def _speed_axis(low: float, high: float) -> str:
    return "\n".join(
        f'<text class="tick end" x="{_LEFT - 8}" y="{_TOP + _y(tick, (low, high)) + 4:.1f}">'
        f"{tick:,.0f}</text>"
        for tick in _ticks(low, high)
    )


def _panel(
    name: str, report: Report, speeds: Sequence[float], limits: tuple[float, float]
) -> list[str]:
    have = getattr(report.resources, name).available
    counts = [item.resources[name] for item in report.candidates]
    places = [(_WIDTH * c / have, _y(s, limits)) for c, s in zip(counts, speeds, strict=True)]
    best = pareto(counts, speeds)
    lines = [
        f'<line class="grid" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        for y in (_y(tick, limits) for tick in _ticks(*limits))
    ]
    lines.append(f'<rect class="frame" width="{_WIDTH}" height="{_HEIGHT}"/>')
    lines += [
        f'<text class="tick" x="{_WIDTH * share / 100:.0f}" y="{_HEIGHT + 18}">{share} %</text>'
        for share in (0, 25, 50, 75, 100)
    ]
    lines.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT + 42}">{name.upper()}, of {have:,}</text>')
    joined = " ".join(f"{places[index][0]:.1f},{places[index][1]:.1f}" for index in best)
    lines.append(f'<polyline class="front" points="{joined}"/>')
    for index, item in enumerate(report.candidates):
        kind = "point chosen" if index == 0 else "point on" if index in best else "point"
        x, y = places[index]
        lines.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>'
            f"{escape(item.title)}\n{speeds[index]:,.0f} images/s, {item.cycles:,} cycles\n"
            f"{counts[index]:,} {name.upper()}</title></circle>"
        )
    x, y = places[0]
    side, anchor = (13, "start") if x < _WIDTH - _LABEL else (-13, "end")
    lines.append(f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="8"/>')
    lines.append(
        f'<text class="label {anchor}" x="{x + side:.1f}" y="{y - 9 if y > 24 else y + 20:.1f}">'
        f"{speeds[0]:,.0f}/s, {counts[0]:,} {name.upper()}</text>"
    )
    return lines


_PICTURE = Template("""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height"
 width="$width" height="$height" role="img" aria-label="$title">
<style>
svg { color-scheme: light dark; --ink: #1d2433; --paper: #ffffff; --faint: #667085;
  --line: #d5dae3; --point: #97a1b3; --front: #2e6bd6; --chosen: #d9480f;
  background: var(--paper); }
@media (prefers-color-scheme: dark) { svg { --ink: #e8ebf1; --paper: #14181f; --faint: #9aa5b8;
  --line: #39414f; --point: #667085; --front: #7aa7ff; --chosen: #ff9452; } }
text { fill: var(--ink); font: 13px system-ui, "DejaVu Sans", sans-serif; text-anchor: middle; }
.title { font-size: 16px; font-weight: 600; text-anchor: start; }
.note, .tick { fill: var(--faint); font-size: 12px; }
.note { text-anchor: start; } .end { text-anchor: end; }
.label { fill: var(--chosen); font-weight: 600; paint-order: stroke; stroke: var(--paper);
  stroke-width: 4; }
.label.start { text-anchor: start; } .label.end { text-anchor: end; }
.grid { stroke: var(--line); } .frame { fill: none; stroke: var(--line); }
.front { fill: none; stroke: var(--front); stroke-width: 1.5; }
.point { fill: var(--point); } .point.on { fill: var(--front); }
.point.chosen { fill: var(--chosen); } .point:hover { stroke: var(--ink); stroke-width: 2; }
.mark { fill: none; stroke: var(--chosen); stroke-width: 2.5; pointer-events: none; }
</style>
<text class="title" x="16" y="26">$title</text>
<text class="note" x="16" y="46">$note</text>
<text transform="translate(18 $middle) rotate(-90)">images/s</text>
$body
</svg>
""")
