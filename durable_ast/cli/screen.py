"""Where a command writes to: tables and colours for people, or JSON for programs."""

from __future__ import annotations

import json
import os
import sqlite3
from types import TracebackType
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text
from rich.theme import Theme

from ..errors import DurableError
from .failures import ExitCode, Failure

_THEME = Theme(
    {
        "id": "bold",
        "faint": "bright_black",
        "good": "green",
        "bad": "bold red",
        "waiting": "yellow",
        "running": "cyan",
        "name": "blue",
    }
)

_PIPE_WIDTH = 120
"""Columns where there is no terminal to ask."""


def console(*, stderr: bool = False) -> Console:
    """A console of this command line; outside of a terminal it writes plain text."""
    plain = Console(theme=_THEME, stderr=stderr, highlight=False, emoji=False, markup=False)
    if plain.is_terminal or "COLUMNS" in os.environ:
        return plain
    return Console(theme=_THEME, stderr=stderr, highlight=False, emoji=False, markup=False, width=_PIPE_WIDTH)


class Screen:
    """The output of one command; as a context manager it shows the errors that escape.

    Args:
        as_json: whether to write JSON instead of text.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.out = console()
        self.err = console(stderr=True)

    def show(self, *parts: RenderableType) -> None:
        """Write for people; nothing if the output is JSON.  Lines of text are left whole: they may be
        paths and commands to copy."""
        if not self.as_json:
            for part in parts:
                self.out.print(part, soft_wrap=isinstance(part, Text))

    def give(self, data: Any) -> None:
        """Write for programs; nothing if the output is text."""
        if self.as_json:
            typer.echo(json.dumps(data, indent=2, ensure_ascii=False))

    def fail(self, failure: Failure) -> None:
        """Write an error."""
        self.give({"error": failure.message, "remedy": failure.remedy})
        if not self.as_json:
            text = Text.assemble(("error: ", "bad"), failure.message)
            self.err.print(text, soft_wrap=True)
            if failure.remedy:
                self.err.print(Text(failure.remedy, style="faint"), soft_wrap=True)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        failure = _failure(error)
        if failure is not None:
            self.fail(failure)
            raise typer.Exit(failure.code) from None


def _failure(error: BaseException | None) -> Failure | None:
    match error:
        case Failure():
            return error
        case DurableError():
            return Failure(str(error))
        case sqlite3.Error():
            return Failure(f"the database cannot be used: {error}", "give another one with --db")
        case KeyboardInterrupt():
            return Failure("interrupted", code=ExitCode.INTERRUPTED)
    return None
