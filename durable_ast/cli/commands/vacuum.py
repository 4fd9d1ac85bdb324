"""``durable-ast vacuum``: delete what has ended long ago, and give the space back."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

import typer
from rich.text import Text

from ...state.schema import Status
from ..database import Database, opened
from ..failures import ExitCode, Failure
from ..options import Json
from ..screen import Screen

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(vacuum)


def vacuum(
    older_than: Annotated[
        str, typer.Option(metavar="TIME", help="Only what was last heard of so long ago: 90s, 30m, 12h, 7d, 4w.")
    ] = "30d",
    status: Annotated[
        list[Status] | None,
        typer.Option("--status", case_sensitive=False, help="SUCCESS and CANCELLED if left out; may be repeated."),
    ] = None,
    program: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="Only those of this program.", show_default=False)
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only those whose id begins so.", show_default=False)
    ] = None,
    history_only: Annotated[
        bool, typer.Option("--history-only", help="Delete their earlier checkpoints, and keep their outcomes.")
    ] = False,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Delete instances that have ended, and give back the space that nothing uses any more."""
    with Screen(as_json) as screen:
        age = seconds(older_than)
        chosen = status or [Status.SUCCESS, Status.CANCELLED]
        deleted = asyncio.run(_vacuum(db, age, chosen, program, prefix, history_only))
        screen.give({"deleted": deleted, "history_only": history_only})
        what = "the history of " if history_only else ""
        screen.show(Text(f"deleted {what}{deleted} instance{'' if deleted == 1 else 's'}"))


async def _vacuum(
    db: str | None, age: float, status: list[Status], program: str | None, prefix: str | None, history_only: bool
) -> int:
    async with opened(db) as store:
        try:
            deleted = await store.vacuum(
                older_than=age, status=status, program=program, prefix=prefix, history_only=history_only
            )
        except ValueError as error:
            raise Failure(str(error), code=ExitCode.USAGE) from None
        await store.shrink()
    return deleted


def seconds(text: str) -> float:
    """A length of time, as people write it.

    >>> seconds("7d"), seconds("1.5h")
    (604800.0, 5400.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if found is None:
        raise Failure(f"{text!r} is no length of time", "write 90s, 30m, 12h, 7d or 4w", ExitCode.USAGE)
    return float(found[1]) * _UNITS[found[2]]
