"""``durable-ast ls``: the instances of a store."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ...inspection.doing import doing, moment
from ...inspection.plain import summary
from ...state.schema import Record, Status
from ..database import Database, opened
from ..options import Json
from ..screen import Screen
from ..words import status_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ls)


def ls(
    status: Annotated[
        list[Status] | None, typer.Option("--status", case_sensitive=False, help="Only those; may be repeated.")
    ] = None,
    program: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="Only those of this program.", show_default=False)
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only those whose id begins so.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many, newest first.")] = 50,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """List instances, newest first."""
    with Screen(as_json) as screen:
        found = asyncio.run(_records(db, status, program, prefix, limit + 1))
        screen.give([summary(record) for record in found[:limit]])
        if found:
            screen.show(_table(found[:limit]))
            if len(found) > limit:
                screen.show(Text("and more; --limit shows them", style="faint"))
        else:
            screen.show(Text("no such instances", style="faint"))


async def _records(
    db: str | None, status: list[Status] | None, program: str | None, prefix: str | None, limit: int
) -> list[Record]:
    async with opened(db) as store:
        return await store.records(status=status or None, program=program, prefix=prefix, limit=limit)


def _table(records: list[Record]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="faint")
    table.add_column("instance", style="id", overflow="fold")
    table.add_column("program", overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("checkpoints", justify="right")
    table.add_column("last", no_wrap=True)
    table.add_column("", overflow="fold", style="faint")
    for record in records:
        table.add_row(
            record.instance_id,
            record.program,
            status_text(record.status),
            str(record.sequence),
            moment(record.updated_at),
            doing(record),
        )
    return table
