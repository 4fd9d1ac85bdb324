"""``durable-ast sizes``: how much a store holds."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ...stores.sizes import Sizes
from ..database import Database, opened
from ..options import Json
from ..screen import Screen
from ..words import status_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sizes)


def sizes(
    largest: Annotated[int, typer.Option(metavar="N", min=0, help="How many of the largest to list.")] = 10,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Show how much is kept of instances, by status, and which are the largest."""
    with Screen(as_json) as screen:
        found = asyncio.run(_sizes(db, largest))
        screen.give(
            {
                "status": {
                    status.value: {"instances": count, "bytes": found.bytes[status]}
                    for status, count in found.instances.items()
                },
                "history": found.history,
                "file": found.file,
                "unused": found.unused,
                "largest": [
                    {
                        "id": size.instance_id,
                        "status": size.status.value,
                        "state": size.state,
                        "parts": size.parts,
                        "history": size.history,
                    }
                    for size in found.largest
                ],
            }
        )
        screen.show(_by_status(found))
        if found.largest:
            screen.show(_largest(found))
        if found.file is not None and found.unused is not None:
            text = f"the file has {amount(found.file)}, of which {amount(found.unused)} are unused"
            screen.show(Text(f"{text}; `durable-ast vacuum` gives them back" if found.unused else text, style="faint"))


async def _sizes(db: str | None, largest: int) -> Sizes:
    async with opened(db) as store:
        return await store.sizes(largest=largest)


def _by_status(found: Sizes) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="faint")
    table.add_column("status", no_wrap=True)
    for name in ("instances", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    for status, count in sorted(found.instances.items()):
        table.add_row(status_text(status), str(count), amount(found.bytes[status]))
    table.add_row("all", str(sum(found.instances.values())), amount(sum(found.bytes.values())))
    table.add_row("of it history", "", amount(found.history))
    return table


def _largest(found: Sizes) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="faint")
    table.add_column("largest", overflow="fold", style="id")
    table.add_column("status", no_wrap=True)
    for name in ("state", "parts", "history"):
        table.add_column(name, justify="right", no_wrap=True)
    for size in found.largest:
        table.add_row(
            size.instance_id, status_text(size.status), amount(size.state), amount(size.parts), amount(size.history)
        )
    return table


def amount(count: int) -> str:
    """A number of bytes, for people.

    >>> amount(999), amount(12_345), amount(2_000_000)
    ('999 B', '12.3 kB', '2.0 MB')
    """
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
