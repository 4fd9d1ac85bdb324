"""``durable-ast show``: where an instance stands, in the user's own text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.highlighter import ReprHighlighter
from rich.padding import Padding
from rich.pretty import pretty_repr
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ...inspection.doing import moment
from ...inspection.places import Place
from ...inspection.plain import as_json
from ...inspection.stacks import Saved, saved_history, saved_instance
from ...inspection.view import FrameView, InstanceView, Variable, view_of
from ...state.schema import Status
from ...stores.names import check_instance_id
from ..database import Database, opened
from ..failures import Failure
from ..options import InstanceId, Json
from ..screen import Screen
from ..target import use_folder
from ..words import status_text

_CONTEXT = 7
"""Lines shown on either side of the cursor, of a function that is too long to be shown whole."""
_WHOLE = 24
"""Lines up to which a function is shown whole."""
_INDENT = 4
_ITEMS, _CHARACTERS, _DEPTH = 5, 60, 4
"""How much of a container, of a string, and of what is nested in them is shown."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(show)


def show(
    instance: InstanceId,
    full: Annotated[bool, typer.Option("--full", help="Whole functions and whole values.")] = False,
    history: Annotated[bool, typer.Option("--history", help="List its checkpoints that are kept.")] = False,
    at: Annotated[
        int | None, typer.Option("--at", metavar="N", help="Show how it stood at that checkpoint.", show_default=False)
    ] = None,
    db: Database = None,
    json: Json = False,
) -> None:
    """Show where an instance stands: the source with the cursor in every frame, and the live locals.

    Nothing of it is run, and its program is not imported.
    """
    use_folder(Path.cwd())
    with Screen(json) as screen:
        found = asyncio.run(_found(check_instance_id(instance), history or at is not None, db))
        if history:
            screen.give([as_json(view_of(saved)) for saved in found])
            screen.show(_checkpoints(found))
            return
        if at is not None:
            found = [saved for saved in found if saved.record.sequence == at]
        if not found:
            raise Failure(
                f"checkpoint {at} of {instance} is not kept",
                "`--history` lists those that are; make_durable(..., history=) says how many",
            )
        view = view_of(found[-1])
        screen.give(as_json(view))
        screen.show(*picture(view, screen.out.width, full=full))


async def _found(instance: str, history: bool, db: str | None) -> list[Saved]:
    """The instance as it stands, with its earlier checkpoints if they are wanted, oldest first."""
    async with opened(db) as store:
        try:
            saved = None if history else await saved_instance(store, instance)
            found = await saved_history(store, instance) if history else [saved] if saved is not None else []
        except TimeoutError as error:
            raise Failure(str(error), "try again") from None
    if not found:
        raise Failure(f"there is no instance {instance}", "`durable-ast ls` lists those that there are")
    return found


def _checkpoints(found: Sequence[Saved]) -> Table:
    """The checkpoints of an instance, a row each."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="faint")
    table.add_column("checkpoint", justify="right")
    table.add_column("at", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("line", no_wrap=True)
    table.add_column("", overflow="fold", style="faint")
    for saved in found:
        view = view_of(saved)
        cursors = [f"{frame.place.function}:{frame.place.cursor[0]}" for frame in view.frames if frame.place.cursor]
        table.add_row(
            str(saved.record.sequence),
            moment(saved.record.updated_at),
            status_text(saved.record.status),
            cursors[-1] if cursors else "",
            view.note or view.doing,
        )
    return table


def picture(view: InstanceView, width: int, *, full: bool = False) -> list[RenderableType]:
    """An instance as a terminal of some width shows it."""
    parts: list[RenderableType] = [_heading(view)]
    parts += [part for frame in view.frames for part in _frame(frame, full, width)]
    for branch in view.branches:
        title = Text.assemble((f"branch {branch.number}", "running"), (f"  {branch.name}", "faint"))
        parts += [Rule(title, align="left", style="running", characters="━"), Text(branch.doing)]
        parts += [part for frame in branch.frames for part in _frame(frame, full, width)]
    if view.result is not None:
        parts.append(_table((view.result,), full, width))
    if view.error:
        parts += [Rule("error", align="left", style="bad"), Text(view.error.rstrip())]
    if view.note:
        parts.append(Text(view.note, style="waiting"))
    return parts


def _heading(view: InstanceView) -> Text:
    record = view.record
    heading = Text.assemble((record.instance_id, "id"), "  ", status_text(record.status), "  ", record.program)
    heading.append(f"  {record.sequence} checkpoint{'' if record.sequence == 1 else 's'}", "faint")
    if view.doing:
        heading.append(f"\n{view.doing}")
    if record.status is Status.ERROR and view.frames:
        heading.append("\nrun again, it goes on from here:", "faint")
    return heading


def _frame(frame: FrameView, full: bool, width: int) -> list[RenderableType]:
    place = frame.place
    title = Text(place.function, style="bold")
    if place.file is not None:
        line = f":{place.cursor[0]}" if place.cursor is not None else ""
        title.append(f"  {_near(place.file)}{line}", "faint")
    title.append(f"  block {frame.block}", "faint")
    parts: list[RenderableType] = [Rule(title, align="left", style="faint", characters="─")]
    if place.note:
        parts.append(Text(place.note, style="waiting"))
    if place.text:
        parts.append(_source(place, full))
    if frame.variables:
        parts.append(Padding(_table(frame.variables, full, width), (0, 0, 0, _INDENT), expand=False))
    return parts


def _near(file: str) -> str:
    """A path as seen from here, if it lies below."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _source(place: Place, full: bool) -> Syntax:
    last = place.first_line + len(place.text) - 1
    shown = place.first_line, last
    if place.cursor is not None and not full and len(place.text) > _WHOLE:
        shown = max(place.first_line, place.cursor[0] - _CONTEXT), min(last, place.cursor[1] + _CONTEXT)
    lines = place.text[shown[0] - place.first_line : shown[1] - place.first_line + 1]
    cursor = range(place.cursor[0], place.cursor[1] + 1) if place.cursor is not None else range(0)
    return Syntax(
        "\n".join(lines),
        "python",
        theme="ansi_dark",
        background_color="default",
        line_numbers=True,
        start_line=shown[0],
        highlight_lines=set(cursor),
        word_wrap=True,
    )


def _table(variables: Sequence[Variable], full: bool, width: int) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="name", no_wrap=True)
    table.add_column(overflow="fold")
    items, characters, depth = (None, None, None) if full else (_ITEMS, _CHARACTERS, _DEPTH)
    names = max((len(variable.name) for variable in variables), default=0)
    for variable in variables:
        text = pretty_repr(
            variable.value,
            max_width=width - names - _INDENT - 2,
            indent_size=2,
            max_length=items,
            max_string=characters,
            max_depth=depth,
        )
        table.add_row(variable.name, ReprHighlighter()(Text(text)))
    return table
