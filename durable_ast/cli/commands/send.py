"""``durable-ast send``: publish an event to an instance."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.text import Text

from ...backends.durable import DurableBackend
from ...stores.names import check_instance_id
from .. import arguments
from ..database import Database, opened
from ..failures import Failure
from ..options import InstanceId, Json
from ..screen import Screen


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(send)


def send(
    instance: InstanceId,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The name of the event.", show_default=False)],
    payload: Annotated[
        str, typer.Argument(metavar="[JSON]", help="What it brings; text that is no JSON is a string.")
    ] = "null",
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Publish an event to an instance, which takes it when it gets there."""
    with Screen(as_json) as screen:
        asyncio.run(_send(screen, check_instance_id(instance), event, payload, db))


async def _send(screen: Screen, instance: str, event: str, payload: str, db: str | None) -> None:
    async with opened(db) as store:
        record = await store.read(instance)
        if record is not None and record.status.is_final:
            raise Failure(f"{instance} has ended with {record.status}; nobody would take the event")
        number = await asyncio.wrap_future(
            DurableBackend(store).publish_event(instance, event, arguments.value_of(payload))
        )
        screen.show(Text.assemble("sent ", (event, "waiting"), " to ", (instance, "id")))
        if record is None:
            screen.show(Text("there is no such instance yet; the event is kept for it", style="faint"))
        screen.give({"id": instance, "event": event, "number": number, "instance_exists": record is not None})
