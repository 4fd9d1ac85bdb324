"""``durable-ast check``: what will become of the instances of a store with the code as it is now."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ...inspection.stacks import saved_instance
from ...inspection.verdicts import Outlook, Verdict, verdict_on
from ...state.schema import Record, Status
from ...stores.base import InstanceStore
from ..database import Database, opened
from ..failures import ExitCode, Failure
from ..options import Json
from ..screen import Screen
from ..target import use_folder

_PAGE = 500
_STYLES = {
    Outlook.SAME: "good",
    Outlook.MOVES: "good",
    Outlook.MIGRATES: "good",
    Outlook.FINISHES: "waiting",
    Outlook.STUCK: "bad",
}
_WORDS = {
    Outlook.SAME: "go on in the same code",
    Outlook.MOVES: "move to the edited code",
    Outlook.MIGRATES: "go on as your @migrate function says",
    Outlook.FINISHES: "finish in the code they were started with",
    Outlook.STUCK: "cannot go on here",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    program: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="Only its instances.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List also those whose code is the same.")] = False,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Tell, before a deploy, how each instance that has not ended will go on with the code in this folder.

    Ends with 1 if there is one that cannot go on.
    """
    use_folder(Path.cwd())
    with Screen(as_json) as screen:
        found = asyncio.run(_verdicts(db, program))
        listed = [(record, verdict) for record, verdict in found if every or verdict.outlook is not Outlook.SAME]
        screen.give([_facts(record, verdict) for record, verdict in found])
        if listed:
            screen.show(_table(listed))
        screen.show(_summary(Counter(verdict.outlook for _, verdict in found)))
        if any(verdict.outlook is Outlook.STUCK for _, verdict in found):
            raise typer.Exit(ExitCode.FAILED)


async def _verdicts(db: str | None, program: str | None) -> list[tuple[Record, Verdict]]:
    async with opened(db) as store:
        found: list[tuple[Record, Verdict]] = []
        for record in await _unfinished(store, program):
            try:
                saved = await saved_instance(store, record.instance_id)
            except TimeoutError as error:
                raise Failure(str(error), "try again, or stop its worker first") from None
            if saved is not None:
                found.append((record, verdict_on(saved)))
        return found


async def _unfinished(store: InstanceStore, program: str | None) -> list[Record]:
    status = [status for status in Status if not status.is_final]
    records: list[Record] = []
    while True:
        page = await store.records(status=status, program=program, limit=_PAGE, offset=len(records))
        records += page
        if len(page) < _PAGE:
            return records


def _facts(record: Record, verdict: Verdict) -> dict[str, str]:
    return {
        "id": record.instance_id,
        "program": record.program,
        "outlook": verdict.outlook.value,
        "function": verdict.function,
        "reason": verdict.reason,
    }


def _table(listed: list[tuple[Record, Verdict]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="faint")
    table.add_column("instance", style="id", overflow="fold")
    for title in ("program", "outlook", "function"):
        table.add_column(title, overflow="fold")
    table.add_column("", overflow="fold", style="faint")
    for record, verdict in listed:
        outlook = Text(verdict.outlook.value, style=_STYLES[verdict.outlook])
        table.add_row(record.instance_id, record.program, outlook, verdict.function, verdict.reason)
    return table


def _summary(counts: Counter[Outlook]) -> Text:
    if not counts:
        return Text("no instance has to go on", style="faint")
    summary = Text()
    for outlook in Outlook:
        if counts[outlook]:
            summary.append(", " if summary else "").append(f"{counts[outlook]}", _STYLES[outlook])
            summary.append(f" {_WORDS[outlook]}")
    return summary
