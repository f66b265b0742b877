"""What a person sees: sentences on standard error, answers on standard output."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import yaml
from rich.console import Console
from rich.live import Live
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from whimbrel.cli.options import Form

_STYLES: Final = {
    r"(?m)^.*> .*$": "bold", r"\b(Green|Completed)\b": "green",
    r"\b(Inconclusive|paused)\b": "yellow",
    r"\b(Red|Failed|Held|RollbackFailed|RolledBack|RollingBack)\b": "red",
}  # fmt: skip


class Report(Protocol):
    """Shows one line of progress."""

    def __call__(self, line: str, /) -> None:
        """Show the line."""


def say(sentence: str) -> None:
    """Write one sentence for a person to standard error."""
    sys.stderr.write(sentence.rstrip() + "\n")
    sys.stderr.flush()


@contextmanager
def progress() -> Iterator[Report]:
    """Give a function that shows progress: live at a terminal, plain lines otherwise."""
    if not sys.stderr.isatty():
        yield say
        return
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as live:
        task = live.add_task("starting")

        def report(line: str, /) -> None:
            live.print(line.rstrip(), soft_wrap=True)
            # The time is that of the newest line: a long statement shows for how long it runs.
            live.reset(task, description=line.partition("\n")[0])

        yield report


@contextmanager
def redrawn(draw: Callable[[], str]) -> Iterator[None]:
    """Draw a text again and again, in place, while the block lasts; then it is gone."""

    def coloured() -> Text:
        text = Text(draw())
        for pattern, style in _STYLES.items():
            text.highlight_regex(pattern, style)
        return text

    with Live(get_renderable=coloured, transient=True, redirect_stdout=False):
        yield


def is_alive() -> bool:
    """Tell whether standard output is a terminal that can be drawn on."""
    return Console().is_interactive


def aligned(rows: Mapping[str, str]) -> str:
    """Return rows with their names in front, without the empty ones."""
    shown = {key: value for key, value in rows.items() if value}
    width = max((len(key) for key in shown), default=0) + 2
    indented = {key: value.replace("\n", "\n" + " " * width) for key, value in shown.items()}
    return "\n".join(f"{key + ':':<{width}}{value}" for key, value in indented.items())


def answer(form: Form, content: Mapping[str, Any] | Sequence[Any], text: str) -> None:
    """Write the answer to standard output: `text`, or `content` in the form that was asked."""
    written = {
        Form.TABLE: lambda: text,
        Form.JSON: lambda: json.dumps(content, indent=2, default=str),
        Form.YAML: lambda: yaml.safe_dump(content, sort_keys=False, allow_unicode=True),
    }[form]()
    sys.stdout.write(written.rstrip() + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows below their headings, as plain text that is never wrapped."""
    grid = Table(box=None, pad_edge=False, header_style="", show_header=True)
    for column in columns:
        grid.add_column(column, no_wrap=True)
    for row in rows:
        grid.add_row(*(_cell(value) for value in row))
    console = Console(width=10_000, color_system=None, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _cell(value: object) -> str:
    return "" if value is None else str(value).replace("[", r"\[").replace("\n", " ")
