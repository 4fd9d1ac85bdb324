"""The worker inside of an application's own process, once that works on all runs of a `Workflow`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from ..runtime.background import Background, begin
from ..runtime.instance import Stays
from ..stores.base import InstanceStore
from ..worker.worker import Worker
from .functions import WorkflowFunction

log = logging.getLogger("durable_ast")

_CONCURRENCY = 1000
"""How many runs are in memory at a time, without those that wait."""


class Crew:
    """Begins the worker and ends it.

    Args:
        store: where the runs are.
        functions: the workflow functions, by their labels; there may be more of them later.
    """

    def __init__(self, store: InstanceStore, functions: Mapping[str, WorkflowFunction[..., Any]]) -> None:
        self._store = store
        self._functions = functions
        self._worker: Worker | None = None
        self._task: Background | None = None
        self._waits_for_functions = False

    def begin(self) -> None:
        """Go on with all runs that can go on, in the background, unless that is being done."""
        self._waits_for_functions = not self._functions
        if not self._functions:
            return
        if self._worker is None or not self._works_here():
            self._worker = Worker(self._store, self._functions.values(), concurrency=_CONCURRENCY, stays=Stays.IN_STEPS)
            self._task = begin(self._worker.run(), name="durable_ast worker")
            self._task.add_done_callback(_tell)

    def add(self, function: WorkflowFunction[..., Any]) -> None:
        """A workflow function was defined."""
        if self._worker is not None:
            self._worker.add(function)
        elif self._waits_for_functions:
            self.begin()

    async def stop(self, grace: float) -> None:
        """Let each run go with its next checkpoint.

        Args:
            grace: how long a step may take to end, in seconds; a longer one is run again by others.
        """
        worker, task = self._worker, self._task
        if worker is not None and task is not None and self._works_here():
            worker.drain(grace=grace)
            await asyncio.gather(task, return_exceptions=True)
        self._worker = self._task = None
        self._waits_for_functions = False

    def _works_here(self) -> bool:
        task = self._task
        return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()


def _tell(task: asyncio.Task[Any]) -> None:
    """Nobody awaits the worker, so nobody else would say why no run goes on any more."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("the worker of this process has ended, and its runs stand still", exc_info=error)
