"""``durable-ast migrate``: programs written for another library become programs of this one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer
from rich.syntax import Syntax
from rich.text import Text

from ...codemods import Migrated, migrate, python_files
from ..failures import ExitCode, Failure
from ..options import Json
from ..screen import Screen


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(run)


def run(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, or folders of them.", exists=True)],
    write: Annotated[bool, typer.Option("--write", help="Change the files.")] = False,
    json: Json = False,
) -> None:
    """Show, or make, the changes that turn programs written for `durable` into programs of this library."""
    with Screen(json) as screen:
        if importlib.util.find_spec("libcst") is None:
            raise Failure("migrating needs libcst", "pip install 'durable-ast[migrate]'")
        changes, unread = _changes(paths)
        for change in changes:
            _show(screen, change)
            if write:
                change.write()
        count = sum(change.before != change.after for change in changes)
        for path, reason in unread:
            screen.show(Text.assemble(("not read: ", "bad"), f"{path}: {reason}"))
        screen.show(_summary(count, written=write))
        screen.give(
            {
                "written": write,
                "files": [
                    {
                        "path": str(change.path),
                        "diff": change.diff,
                        "notes": [{"line": note.line, "text": note.text} for note in change.notes],
                    }
                    for change in changes
                ],
                "unread": [{"path": str(path), "reason": reason} for path, reason in unread],
            }
        )
        if unread:
            raise typer.Exit(ExitCode.FAILED)


def _changes(paths: list[Path]) -> tuple[list[Migrated], list[tuple[Path, str]]]:
    from ...codemods.durable import Durable

    changes: list[Migrated] = []
    unread: list[tuple[Path, str]] = []
    for path in python_files(paths):
        try:
            change = migrate(path, Durable())
        except (OSError, UnicodeDecodeError, SyntaxError) as error:
            unread.append((path, str(error).replace("\n", " ")))
            continue
        if change is not None:
            changes.append(change)
    return changes, unread


def _show(screen: Screen, change: Migrated) -> None:
    if change.diff:
        screen.show(Syntax(change.diff.rstrip("\n"), "diff", theme="ansi_dark", background_color="default"))
    for note in change.notes:
        screen.show(Text.assemble((f"{change.path}:{note.line}: ", "faint"), note.text))


def _summary(count: int, *, written: bool) -> Text:
    files = f"{count} file{'' if count == 1 else 's'}"
    if written or not count:
        return Text(f"{files} changed")
    return Text(f"{files} would change; --write changes them", style="faint")
