"""``durable-ast delete``: forget instances by their ids."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.text import Text

from ...stores.claiming import InstanceBusy
from ...stores.names import check_instance_id
from ..database import Database, opened
from ..failures import Failure
from ..options import Json
from ..screen import Screen


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(delete)


def delete(
    instances: Annotated[list[str], typer.Argument(metavar="ID...", help="Which.", show_default=False)],
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Forget instances, with their outcomes, their history and what was sent to them."""
    with Screen(as_json) as screen:
        deleted = asyncio.run(_delete([check_instance_id(each) for each in instances], db))
        screen.give({"deleted": deleted})
        screen.show(Text(f"deleted {', '.join(deleted)}"))


async def _delete(instances: list[str], db: str | None) -> list[str]:
    async with opened(db) as store:
        missing = [name for name in instances if await store.read(name) is None]
        if missing:
            raise Failure(f"there is no instance {', '.join(missing)}", "nothing was deleted")
        for name in instances:
            try:
                await store.delete(name)
            except InstanceBusy:
                raise Failure(
                    f"{name} is being run by a process that is alive", "cancel it, or end the process"
                ) from None
    return instances
