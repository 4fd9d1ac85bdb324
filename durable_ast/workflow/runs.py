"""The runs that this process is at work on in the background."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..errors import DurableError
from ..runtime.background import Background, begin
from ..runtime.control import Paused
from ..runtime.runtime import DurableRuntime
from ..stores.claiming import InstanceBusy

log = logging.getLogger("durable_ast")


class Runs:
    """Background tasks, one for each run.

    A task that ends with its event loop leaves its run where it stands: whoever calls, recovers or
    claims it goes on from there.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Background] = {}

    def begin(self, runtime: DurableRuntime) -> None:
        """Go on with an instance, unless this process is at it already."""
        run_id = runtime.instance_id
        if self.task(run_id) is not None:
            return
        task = begin(_drive(runtime), name=f"run {run_id}")
        self._tasks[run_id] = task
        task.add_done_callback(lambda _: self._ended(run_id, task))

    def _ended(self, run_id: str, task: Background) -> None:
        if self._tasks.get(run_id) is task:
            del self._tasks[run_id]
        if not task.cancelled():
            task.exception()  # it is stored with the run, or in the log

    def task(self, run_id: str) -> asyncio.Task[Any] | None:
        """The task that drives a run in this event loop, if there is one."""
        task = self._tasks.get(run_id)
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            return None
        return task

    async def stop(self) -> None:
        """Leave all runs of this event loop where they stand."""
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks.values() if task.get_loop() is loop and not task.done()]
        for task in tasks:
            task.drop()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _drive(runtime: DurableRuntime) -> None:
    try:
        await runtime.drive()
    except InstanceBusy:
        log.info("run %s: another process is at work on it", runtime.instance_id)
    except Paused as paused:
        log.info("%s", paused)
    except DurableError as error:
        log.error("run %s stopped: %s", runtime.instance_id, error)
        raise
