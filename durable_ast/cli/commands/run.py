"""``durable-ast run``: start an instance, or go on with it."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import sys
import threading
import uuid
from contextlib import AbstractAsyncContextManager, nullcontext
from types import FrameType
from typing import Annotated, Any

import typer
from rich.text import Text

from ...backends.durable import DurableBackend
from ...errors import DurableError, PauseForEventException
from ...runtime.runtime import DurableRuntime
from ...runtime.tracebacks import own_lines
from ...stores.base import InstanceStore
from ...workflow.functions import WorkflowFunction
from .. import arguments
from ..database import Database, opened
from ..failures import ExitCode, Failure
from ..options import Json, Target
from ..screen import Screen
from ..target import program_of, resolved


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(
    target: Target,
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS...", help="Its arguments, also as name=value.", show_default=False),
    ] = None,
    instance: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Which instance; a new one if left out.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay at a pause until its event is there.")] = False,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Start an instance, or go on with it where it stands.

    Ends with 0 and the result, with 1 if the program raised, with 3 if it waits for an event.  A
    function of a `Workflow` has the workflow's store and ids where none are given.
    """
    with Screen(as_json) as screen:
        asyncio.run(_run(screen, target, args or [], instance, wait, db))


async def _run(screen: Screen, target: str, words: list[str], instance: str | None, wait: bool, db: str | None) -> None:
    named = resolved(target)
    program = program_of(named, target)
    async with _store(named, db) as store:
        goes_on = not words and instance is not None and await store.read(instance) is not None
        given = inspect.Signature().bind() if goes_on else arguments.bound(program.fn, words)
        if instance is None:
            instance = _new_id(named, given)
        runtime = DurableRuntime(program, DurableBackend(store), instance)
        _leave_on_interrupt(screen, instance)
        try:
            result = await runtime.run(*given.args, wait=wait, **given.kwargs)
        except PauseForEventException as pause:
            _paused(screen, instance, pause.event)
        except DurableError:
            raise
        except Exception as error:
            _raised(screen, instance, error)
        else:
            screen.show(Text.assemble((instance, "id"), (" has ended well: ", "good"), repr(result)))
            screen.give(
                {"id": instance, "status": "SUCCESS", "result": _plain(result), "text": repr(result), "awaits": []}
            )


def _leave_on_interrupt(screen: Screen, instance: str) -> None:
    """Let Ctrl-C leave the instance where it stands.

    An interrupted event loop cancels its tasks: that would run the `finally` of a program which is to
    go on later.  So the process ends as if it were killed.
    """

    def leave(signal_number: int, frame: FrameType | None) -> None:
        screen.fail(Failure(f"{instance} was interrupted", "run the same command to go on"))
        sys.stdout.flush()
        os._exit(ExitCode.INTERRUPTED)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, leave)


def _store(named: Any, db: str | None) -> AbstractAsyncContextManager[InstanceStore]:
    if db is None and isinstance(named, WorkflowFunction):
        return nullcontext(named.workflow.instances)
    return opened(db, create=True)


def _new_id(named: Any, given: inspect.BoundArguments) -> str:
    if not isinstance(named, WorkflowFunction):
        return str(uuid.uuid4())
    return named.id_of(given.args, given.kwargs)


def _paused(screen: Screen, instance: str, event: str) -> None:
    screen.show(
        Text.assemble((instance, "id"), (" waits for event ", "waiting"), repr(event)),
        Text(f"durable-ast send {instance} {event} [JSON], then run the same command to go on", style="faint"),
    )
    screen.give({"id": instance, "status": "WAITING", "result": None, "text": None, "awaits": [event]})
    raise typer.Exit(ExitCode.PAUSED)


def _raised(screen: Screen, instance: str, error: Exception) -> None:
    """The program's own error: its lines, without those of the library."""
    if not screen.as_json:
        screen.err.print(Text(own_lines(error).rstrip()), soft_wrap=True)
    raise Failure(
        f"{instance} has ended with {type(error).__name__}: {error}",
        "run the same command to go on from its last checkpoint",
    )


def _plain(value: Any) -> Any:
    """A value as JSON has it; None if it has no such form."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return None
