"""The printed tables, made from reports and nothing else."""

from collections.abc import Callable, Sequence

from rich.table import Table

from bitwright.report import Candidate, Comparison, Report, Resource

_ABSENT = "-"
_SHARES, _NAME = 4, 40  # so many with their names; characters of a stage's name
_KINDS = ("lut", "bram", "dsp")
_Row = tuple[str, Callable[[Report], str]]


def _count(value: int | None) -> str:
    return _ABSENT if value is None else f"{value:,}"


def _number(value: float | None, digits: int = 1) -> str:
    return _ABSENT if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return _ABSENT if value is None else f"{100 * value:.2f} %"


def _comparison(value: Comparison | None) -> str:
    if value is None:
        return _ABSENT
    if value.exact:
        return f"[green]yes[/] ({value.samples:,} inputs, {value.elements:,} values)"
    return f"[red]NO[/] ({value.mismatches:,} of {value.elements:,} values differ)"


def _resource(value: Resource) -> str:
    counts = (value.predicted, value.synthesised, value.routed)
    if all(count is None for count in counts):
        return _ABSENT
    text = " / ".join(_count(count) for count in counts)
    used = next((count for count in reversed(counts) if count is not None), 0)
    return f"{text} ({100 * used / value.available:.0f} %)" if value.available else text


def _accuracy(quantized: bool) -> Callable[[Report], str]:
    def cell(report: Report) -> str:
        accuracy = report.accuracy
        if accuracy is None:
            return _ABSENT
        return _percent(accuracy.quantized if quantized else accuracy.float_model)

    return cell


def _fmax(report: Report) -> str:
    met = report.fmax_mhz is None or (report.clock_mhz or 0) <= report.fmax_mhz
    return _number(report.fmax_mhz) + ("" if met else " [red](less than the clock)[/]")


_ROWS: tuple[_Row, ...] = (
    (
        "quantization",
        lambda r: f"W{r.quantization.weight_bits}A{r.quantization.activation_bits}",
    ),
    ("accuracy, float", _accuracy(quantized=False)),
    ("accuracy, quantized", _accuracy(quantized=True)),
    ("CPU = reference", lambda r: _comparison(r.bit_exact.cpu)),
    ("RTL = reference", lambda r: _comparison(r.bit_exact.rtl)),
    ("netlist = reference", lambda r: _comparison(r.bit_exact.netlist)),
    ("cycles predicted", lambda r: _count(r.cycles.predicted)),
    ("cycles simulated", lambda r: _count(r.cycles.simulated)),
    ("with external memory", lambda r: r.cycles.memory or _ABSENT),
    ("LUT, predicted / synthesised / routed", lambda r: _resource(r.resources.lut)),
    ("FF", lambda r: _resource(r.resources.ff)),
    ("BRAM", lambda r: _resource(r.resources.bram)),
    ("DSP", lambda r: _resource(r.resources.dsp)),
    ("SPRAM", lambda r: _resource(r.resources.spram)),
    ("Fmax (MHz)", _fmax),
    ("clock (MHz)", lambda r: _number(r.clock_mhz)),
    ("latency (µs)", lambda r: _number(r.latency_us)),
    ("inferences per second", lambda r: _number(r.throughput, 0)),
)


def report_table(reports: Sequence[Report], title: str = "") -> Table:
    """One table with a column for each report; rows that no report fills are left out."""
    table = Table(title=title or None, title_justify="left")
    table.add_column("")
    for report in reports:
        table.add_column(f"{report.model.name} on {report.target.name}")
    for label, cell in _ROWS:
        cells = [cell(report) for report in reports]
        if any(text != _ABSENT for text in cells):
            table.add_row(label, *cells)
    return table


def cycles_table(report: Report) -> Table:
    """The instructions of a program with their predicted cycles and their share."""
    total = report.cycles.predicted or sum(step.predicted for step in report.cycles.steps) or 1
    table = Table(title="cycles by instruction", title_justify="left")
    table.add_column("instruction")
    table.add_column("predicted", justify="right")
    table.add_column("share", justify="right")
    for step in report.cycles.steps:
        table.add_row(step.name, _count(step.predicted), f"{100 * step.predicted / total:.1f} %")
    return table


def candidates_table(report: Report, top: int) -> Table:
    """The best `top` designs of those that fit, with what they cost and what limits them."""
    count, clock = len(report.candidates), report.clock_mhz or 0
    table = Table(
        title=f"the best {min(top, count)} of {count} designs that fit {report.target.name}, at "
        f"{_number(clock)} MHz; the first one is built",
        title_justify="left",
    )
    for name in ("design", "cycles", "images/s", "LUT", "BRAM", "DSP"):
        table.add_column(name, justify="left" if name == "design" else "right", no_wrap=True)
    table.add_column("where the cycles go")
    table.add_column("next larger: too much, or no use")
    for item in report.candidates[:top]:
        table.add_row(
            item.title, _count(item.cycles), _number(clock * 1e6 / item.interval, 0),
            *(_count(item.resources[name]) for name in _KINDS),
            _spent(item), ", ".join(item.limits),
        )  # fmt: skip
    return table


def stages_table(report: Report) -> Table:
    """The engines of a pipeline: how each is folded, how busy it is, and what it takes."""
    interval = report.candidates[0].interval
    table = Table(
        title=f"{len(report.stages)} stages, an image every {interval:,} cycles",
        title_justify="left",
    )
    table.add_column("stage", overflow="fold")
    for name in ("lanes", "rows", "out", "engine", "steps", "busy", "buffers", *_KINDS):
        table.add_column(name.upper() if name in _KINDS else name, justify="right", no_wrap=True)
    for stage in report.stages:
        table.add_row(
            stage.name, str(stage.lanes), str(stage.rows), str(stage.out_lanes), stage.engine,
            _count(stage.steps), f"{100 * stage.steps / interval:.0f} %",
            ", ".join(_count(words) for words in stage.buffers),
            *(_count(stage.resources[kind]) for kind in _KINDS),
        )  # fmt: skip
    return table


def _spent(item: Candidate) -> str:
    """Shares of the cycles, those that round to zero left out; of many stages the largest."""
    shares = {n: 100 * cycles / item.cycles for n, cycles in item.spent.items()}
    if len(shares) > _SHARES:
        name = max(shares, key=lambda stage: shares[stage])
        return f"{shares[name]:.0f} % in {name[:_NAME]}"
    return ", ".join(f"{name} {share:.0f} %" for name, share in shares.items() if share >= 0.5)
