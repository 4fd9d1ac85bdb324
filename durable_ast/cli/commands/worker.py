"""``durable-ast worker``: go on with whatever can go on."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Annotated, Any

import typer
from rich.text import Text

from ...runtime.program import DurableProgram
from ...worker.worker import Worker
from ...workflow.functions import WorkflowFunction
from ...workflow.workflow import Workflow
from ..database import Database, opened
from ..failures import ExitCode, Failure
from ..screen import Screen
from ..target import imported


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(worker)


def worker(
    modules: Annotated[
        list[str], typer.Argument(metavar="MODULE...", help="Whose programs to run.", show_default=False)
    ],
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, help="How many instances run at a time.")] = 100,
    max_recoveries: Annotated[
        int, typer.Option(metavar="N", min=0, help="How often an instance may take its worker with it.")
    ] = 10,
    grace: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long a step may take to end after SIGTERM.")
    ] = 30.0,
    db: Database = None,
) -> None:
    """Run the instances of a store, whoever started them, until SIGTERM or Ctrl-C.

    Then each is handed over with its next checkpoint, for other workers to go on with.  The schedules
    and queues of the modules' workflows are minded, too.
    """
    with Screen(False) as screen:
        found = [imported(name) for name in modules]
        programs = [program for module in found for program in _of(module, DurableProgram, WorkflowFunction)]
        workflows = [workflow for module in found for workflow in _of(module, Workflow)]
        if not programs:
            raise Failure(f"{' and '.join(modules)}: no programs there", "write @make_durable", ExitCode.USAGE)
        asyncio.run(_work(screen, programs, workflows, concurrency, max_recoveries, grace, db))


async def _work(
    screen: Screen,
    programs: list[Any],
    workflows: list[Workflow],
    concurrency: int,
    max_recoveries: int,
    grace: float,
    db: str | None,
) -> None:
    async with opened(db, create=True) as store:
        works = Worker(store, programs, concurrency=concurrency, max_recoveries=max_recoveries)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, works.drain)
        screen.show(Text(f"working on {len(programs)} programs; SIGTERM or Ctrl-C ends it", style="faint"))
        for workflow in workflows:
            workflow.oversee()
        is_done = await works.run(grace=grace)
        for workflow in workflows:
            await workflow.stop_overseeing()
        if not is_done:
            os._exit(ExitCode.OK)  # what is left stands at its checkpoints; nothing of it may run on


def _of(module: Any, *kinds: type) -> list[Any]:
    """What a module has of these kinds, each once."""
    return list({id(value): value for value in vars(module).values() if isinstance(value, kinds)}.values())
