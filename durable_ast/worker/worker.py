"""One worker: claims instances, runs each until it ends or pauses, and lets it go.

Whatever waits for an event or sleeps for long is not in memory: the store tells when it can go on.
A worker that dies loses nothing: its lease runs out, or its process is seen to be gone, and others
claim what it had.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any

from ..backends.durable import DurableBackend, instance_store
from ..backoff import exponential
from ..errors import DurableError, ParkedError, PauseForEventException, StaleOwnerError, StoreError
from ..runtime.background import Background, begin
from ..runtime.branch import Asleep
from ..runtime.program import DurableProgram
from ..runtime.runtime import DurableRuntime
from ..state import snapshot
from ..state.schema import Record, Status
from ..stores.base import StateStore
from ..workflow.functions import WorkflowFunction
from .handing_over import HandedOver, HandingOverStore

log = logging.getLogger("durable_ast.worker")

_LONGEST_WAIT = 1.0
"""Seconds after which a worker looks for work though nothing was heard of any."""
_PAUSE = 1.0
"""Seconds for which an instance is kept that was claimed and did not get any further."""


class Worker:
    """Goes on with the instances of some programs, whoever started them.

    Args:
        store: where the instances are.
        programs: the programs, and the functions of workflows; instances of others are left to other
            workers.
        concurrency: how many instances run at a time.
        max_recoveries: how often an instance may take its worker with it without getting any
            further; then it is put aside, with the status `PARKED`.
        longest_nap: how long an instance may sleep in memory, in seconds.

    >>> from durable_ast import InMemoryStateStore, make_durable
    >>> @make_durable
    ... async def double(number: int) -> int:
    ...     return 2 * number
    >>> async def main():
    ...     store = InMemoryStateStore()
    ...     runtime = DurableRuntime(double, DurableBackend(store), "four")
    ...     await runtime.enqueue((4,), {})
    ...     await Worker(store, [double]).run_until_idle()
    ...     return (await store.read("four")).status
    >>> asyncio.run(main())
    <Status.SUCCESS: 'SUCCESS'>
    """

    def __init__(
        self,
        store: StateStore,
        programs: Iterable[DurableProgram[..., Any] | WorkflowFunction[..., Any]],
        *,
        concurrency: int = 100,
        max_recoveries: int = 10,
        longest_nap: float = 5.0,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"a worker runs one instance at a time or more, not {concurrency}")
        self.concurrency = concurrency
        self.max_recoveries = max_recoveries
        self._store = HandingOverStore(instance_store(store))
        self._backend = DurableBackend(self._store)
        self._longest_nap = longest_nap
        self._programs = {program.label: program for program in map(_program, programs)}
        if not self._programs:
            raise ValueError("a worker needs programs to run")
        self._running: set[Background] = set()
        self._draining = asyncio.Event()
        self._gone = asyncio.Event()
        self._backoff = exponential(base=0.1, max=5, factor=2)

    @property
    def running(self) -> int:
        """How many instances it runs at the moment."""
        return len(self._running)

    def drain(self) -> None:
        """Claim nothing more, and let each instance go with its next checkpoint.

        May be called in a signal handler of the event loop; `run` returns when all are gone.
        """
        self._draining.set()
        self._store.hand_over()

    async def run(self, *, grace: float = 30.0) -> bool:
        """Work until `drain` is called.

        Args:
            grace: how long a step may take to end after that, in seconds; an instance in a longer
                one is left where it stands, and others run that step again.

        Returns:
            Whether all instances were handed over at a checkpoint.
        """
        seen: Any = None
        while not self._draining.is_set():
            next_due = await self._claim()
            seen = await self._rest(seen, next_due)
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        left = list(self._running)
        for task in left:
            task.drop()
        await asyncio.gather(*left, return_exceptions=True)
        return not left

    async def run_until_idle(self) -> None:
        """Work until nothing can go on: what is left waits for events, or sleeps."""
        while True:
            was_idle = not self._running
            await self._claim()
            if self._running:
                await self._room()
            elif was_idle:
                return

    async def _room(self) -> None:
        """Wait until an instance has gone; those that go at about the same time make room together."""
        self._gone.clear()
        await self._gone.wait()
        await asyncio.sleep(0)

    async def _claim(self) -> float | None:
        """Claim as much as there is room for; gives when the next instance is due, if that is known."""
        failures = 0
        while not self._draining.is_set():
            room = self.concurrency - len(self._running)
            if room == 0:
                return None
            try:
                claimed = await self._store.claim(self._programs, room)
            except StoreError as error:
                log.warning("the store does not answer: %s", error)
                await asyncio.sleep(self._backoff(failures))
                failures += 1
                continue
            for record in claimed.records:
                self._begin(record)
            if len(claimed.records) < room:
                return claimed.next_due
        return None

    async def _rest(self, seen: Any, next_due: float | None) -> Any:
        """Wait until there may be something to claim."""
        left = _LONGEST_WAIT if next_due is None else min(max(next_due - time.time(), 0.0), _LONGEST_WAIT)
        is_full = len(self._running) >= self.concurrency
        news: asyncio.Task[Any] = asyncio.ensure_future(
            self._room() if is_full else self._store.changed(None, seen, left)
        )
        draining = asyncio.ensure_future(self._draining.wait())
        await asyncio.wait((news, draining), return_when=asyncio.FIRST_COMPLETED)
        for task in (news, draining):
            task.cancel()
        await asyncio.gather(news, draining, return_exceptions=True)
        return seen if is_full or news.cancelled() or news.exception() is not None else news.result()

    def _begin(self, record: Record) -> None:
        task = begin(self._run(record), name=f"instance {record.instance_id}")
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: Background) -> None:
        self._running.discard(task)
        self._gone.set()

    async def _run(self, record: Record) -> None:
        """Go on with an instance that was claimed, and let it go."""
        try:
            if record.recoveries > self.max_recoveries:
                await self._put_aside(
                    record,
                    f"its worker died {record.recoveries} times in a row at the same place (max_recoveries is "
                    f"{self.max_recoveries})",
                )
            else:
                await self._go_on(record)
        except StaleOwnerError as error:
            log.warning("%s", error)
        except StoreError as error:
            log.warning("instance %s: %s", record.instance_id, error)
            await asyncio.sleep(_PAUSE)
        finally:
            self._store.release(record.instance_id, record.epoch)

    async def _go_on(self, record: Record) -> None:
        before = record.sequence
        runtime = DurableRuntime(self._programs[record.program], self._backend, record.instance_id)
        try:
            await runtime.go_on(record, longest_nap=self._longest_nap)
        except (PauseForEventException, Asleep):
            if record.sequence == before and not self._draining.is_set():
                await asyncio.sleep(_PAUSE)
        except HandedOver:
            pass
        except (StaleOwnerError, StoreError):
            raise
        except DurableError as error:
            if record.status is not Status.ERROR:
                await self._put_aside(record, f"{type(error).__name__}: {error}")
        except Exception as error:
            log.info("instance %s of %s ended with %s: %s", record.instance_id, record.program, type(error), error)

    async def _put_aside(self, record: Record, reason: str) -> None:
        """Park an instance that nobody can go on with; calling it again does."""
        error = ParkedError(f"instance {record.instance_id!r} of {record.program} was put aside: {reason}")
        log.error("%s", error)
        record.status, record.error = Status.PARKED, str(error)
        record.outcome = snapshot.dumps(("error", error))
        record.sequence += 1
        writing = self._store.inner.commit(record, (), True)
        if writing is not None:
            await writing


def _program(given: DurableProgram[..., Any] | WorkflowFunction[..., Any]) -> DurableProgram[..., Any]:
    if isinstance(given, WorkflowFunction):
        return given.program
    if not isinstance(given, DurableProgram):
        raise TypeError(f"a worker runs programs of make_durable(), not {type(given).__name__}")
    return given
