"""How long work tells the front doors where it is, without knowing them."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

ProgressCallback = Callable[[str, int, int], None]
"""Called with the step's name, how much of it is done, and the total; a total of 0 is unknown.

A new name ends the step before it.
"""


def silent(step: str, done: int = 0, total: int = 0) -> None:
    """The callback that shows nothing."""


@contextmanager
def shown(console: Console) -> Generator[ProgressCallback, None, None]:
    """A callback that draws one line for each step, live on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        seen: set[str] = set()

        def plain(step: str, done: int = 0, total: int = 0) -> None:
            if step not in seen:
                seen.add(step)
                console.print(f"{step} ...", markup=False, highlight=False)

        yield plain
        return

    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as display:
        current: tuple[str, TaskID] | None = None

        def finish() -> None:
            if current is not None:
                total = display.tasks[current[1]].total or 1
                display.update(current[1], total=total, completed=total)

        def live(step: str, done: int = 0, total: int = 0) -> None:
            nonlocal current
            if current is None or current[0] != step:
                finish()
                current = (step, display.add_task(step, total=None))
            display.update(current[1], completed=done, total=total or None)

        yield live
        finish()
