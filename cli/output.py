"""What commands print: data as text or JSON on stdout, notes and progress on stderr.

Progress appears only on a terminal, and only once the work has taken a second.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import click
import orjson

PROGRESS_AFTER_SECONDS = 1.0
PROGRESS_STEP_SECONDS = 0.2
_FRAMES = "|/-\\"


def print_json(value: object) -> None:
    """Print one JSON document, indented."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values in two columns; a value of None is left out."""
    shown = {name: value for name, value in fields.items() if value is not None}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        click.echo(f"{name.ljust(width)}  {_word(value)}")


def _word(value: object) -> object:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in aligned columns under headings."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(headings), *texts]) for column in range(len(headings))]
    for row in [list(headings), *texts]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def note(text: str) -> None:
    """Print a remark that is not data."""
    click.echo(text, err=True)


@contextmanager
def progress(text: str) -> Iterator[Callable[[str], None]]:
    """Show on the terminal that work goes on, with the seconds it has taken.

    Gives what may be called with how far it is.
    """
    if not sys.stderr.isatty():
        yield lambda detail: None
        return
    done = threading.Event()
    shown = [text]
    thread = threading.Thread(target=_spin, args=(shown, done), daemon=True)
    thread.start()

    def tell(detail: str) -> None:
        shown[0] = f"{text}: {detail}"

    try:
        yield tell
    finally:
        done.set()
        thread.join()


def _spin(shown: Sequence[str], done: threading.Event) -> None:
    """shown: one text, which may change."""
    started = time.monotonic()
    if done.wait(PROGRESS_AFTER_SECONDS):
        return
    frame = 0
    while not done.wait(PROGRESS_STEP_SECONDS):
        seconds = f" ({time.monotonic() - started:.0f} s)"
        width = shutil.get_terminal_size().columns - len(seconds) - 3
        sys.stderr.write(f"\r\x1b[K{_FRAMES[frame % len(_FRAMES)]} {shown[0][:width]}{seconds}")
        sys.stderr.flush()
        frame += 1
    sys.stderr.write("\r\x1b[K")
    sys.stderr.flush()
