"""The progress display, on a terminal and in a log."""

import io

from rich.console import Console

from bitwright.progress import shown, silent


def test_a_log_has_one_line_for_each_step() -> None:
    text = io.StringIO()
    with shown(Console(file=text)) as progress:
        progress("quantize [1]", 0, 10)
        progress("quantize [1]", 10, 10)
        progress("tile", 0, 0)
    assert text.getvalue() == "quantize [1] ...\ntile ...\n"


def test_a_terminal_shows_each_step_finished() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100, color_system=None)
    with shown(console) as progress:
        progress("quantize", 3, 10)
        progress("tile", 0, 0)
    *_, before, last = (line for line in text.getvalue().splitlines() if "/" in line)
    assert "quantize" in before
    assert "10/10" in before
    assert "tile" in last
    assert "1/1" in last


def test_silent_takes_anything() -> None:
    silent("step", 1, 2)
