"""The runs that this process is at work on in the background."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..backends.durable import DurableBackend
from ..errors import DurableError, UnknownRunError
from ..runtime.background import Background, begin, drop
from ..runtime.control import Paused
from ..runtime.runtime import DurableRuntime
from ..state.schema import Status
from ..stores.base import InstanceStore
from ..stores.claiming import InstanceBusy
from ..worker.handing_over import HandedOver, HandingOverStore

log = logging.getLogger("durable_ast")

_LET_GO = 0.5
"""Seconds after which a run is tried again that somebody has and has not begun; not all stores tell
when it is let go of."""


class Runs:
    """Background tasks, one for each run.

    A task that ends with its event loop leaves its run where it stands: whoever calls, recovers or
    claims it goes on from there.

    Args:
        store: where the runs are.
    """

    def __init__(self, store: InstanceStore) -> None:
        self._inner = store
        self._store = HandingOverStore(store)
        self._backend = DurableBackend(self._store)
        self._tasks: dict[str, Background] = {}
        self._runtimes: dict[Background, DurableRuntime] = {}
        self._asked_again: set[str] = set()
        """The runs that were to begin once more since they last began."""

    def begin(self, runtime: DurableRuntime) -> None:
        """Go on with an instance, unless this process is at it already."""
        run_id = runtime.instance_id
        if self.task(run_id) is not None:
            self._asked_again.add(run_id)
            return
        own = DurableRuntime(runtime.program, self._backend, run_id)
        task = begin(self._drive(own), name=f"run {run_id}")
        self._tasks[run_id], self._runtimes[task] = task, own
        task.add_done_callback(lambda _: self._ended(run_id, task))

    async def _drive(self, runtime: DurableRuntime) -> None:
        run_id = runtime.instance_id
        seen: Any = None
        try:
            while True:
                self._asked_again.discard(run_id)
                try:
                    await runtime.drive()
                    return
                except InstanceBusy:
                    if run_id in self._asked_again:  # whoever had it has let go of it since
                        continue
                    # a call with other arguments, say, has it for a moment and does not begin it
                    seen = await self._inner.changed(run_id, seen, _LET_GO)
                    record = await self._inner.read(run_id)
                    has_begun = record is None or record.status is not Status.ENQUEUED
                    if has_begun and run_id not in self._asked_again:
                        log.info("run %s: somebody else is at work on it", run_id)
                        return
        except (Paused, HandedOver, UnknownRunError) as left:
            log.info("%s", left)
        except DurableError as error:
            log.error("run %s stopped: %s", run_id, error)
            raise

    def _ended(self, run_id: str, task: Background) -> None:
        del self._runtimes[task]
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

    async def stop(self, grace: float = 0.0) -> None:
        """Leave each run of this event loop with its next checkpoint.

        Args:
            grace: how long a step may take to end, in seconds; a longer one is run again by others.
        """
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks.values() if task.get_loop() is loop and not task.done()]
        self._store.hand_over()
        self._store = HandingOverStore(self._inner)  # of those that begin from now on
        self._backend = DurableBackend(self._store)
        await drop([task for task in tasks if self._runtimes[task].waits])
        left = [task for task in tasks if not task.done()]
        if left and grace > 0:
            await asyncio.wait(left, timeout=grace)
        await drop([task for task in left if not task.done()])
