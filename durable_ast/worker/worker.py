"""One worker: claims instances, runs each until it ends or pauses, and lets it go.

Whatever waits for an event or sleeps for long is not in memory: the store tells when it can go on.
A worker that dies loses nothing: its lease runs out, or its process is seen to be gone, and others
claim what it had.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from ..backends.durable import DurableBackend, instance_store
from ..backoff import exponential
from ..errors import CodeChangedError, DurableError, ParkedError, PauseForEventException, StaleOwnerError, StoreError
from ..runtime.background import Background, begin, drop
from ..runtime.branch import Asleep
from ..runtime.control import Paused
from ..runtime.instance import Stays
from ..runtime.program import DurableProgram
from ..runtime.runtime import DurableRuntime
from ..state import snapshot
from ..state.schema import Message, Record, Status
from ..stores.base import StateStore
from ..stores.steps import Store
from . import at_work
from .handing_over import HandedOver, HandingOverStore

log = logging.getLogger("durable_ast.worker")

_LONGEST_WAIT = 1.0
"""Seconds after which a worker looks for work though nothing was heard of any."""
_STANDING = (Status.WAITING, Status.SLEEPING)
"""Where an instance stands that loses nothing when it is let go of."""
_AT_ONCE = 200
_FRESH = 0.05
"""So many instances begin at a time, in seconds: most end soon, and the more there are at once, the
longer each takes."""
_LEFT_FOR = 60.0
"""Seconds for which an instance of another version is left to workers that have it."""
_PAUSE = 1.0
"""Seconds for which an instance is kept that was claimed and did not get any further."""


class HasProgram(Protocol):
    """A function of a workflow, or whatever else has a program."""

    @property
    def program(self) -> DurableProgram[..., Any]: ...


Runnable: TypeAlias = DurableProgram[..., Any] | HasProgram


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
        stays: when an instance stays in memory although it waits for an event; it takes none of the
            places then that `concurrency` gives.

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
        store: StateStore | Store,
        programs: Iterable[Runnable],
        *,
        concurrency: int = 100,
        max_recoveries: int = 10,
        longest_nap: float = 5.0,
        stays: Stays = Stays.NEVER,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"a worker runs one instance at a time or more, not {concurrency}")
        self.concurrency = concurrency
        self.max_recoveries = max_recoveries
        self.store = store
        self._store = HandingOverStore(instance_store(store))
        self._backend = DurableBackend(self._store)
        self._longest_nap = longest_nap
        self._stays = stays
        self._programs: dict[str, DurableProgram[..., Any]] = {}
        for program in programs:
            self.add(program)
        if not self._programs:
            raise ValueError("a worker needs programs to run")
        self._running: dict[Background, Record] = {}
        self._fresh: set[Background] = set()
        self._left: dict[str, float] = {}
        """The instances that are left to workers with their version, and until when; those come first that
        were left first."""
        self._lent: Counter[str] = Counter()
        self._draining = asyncio.Event()
        self._grace: float | None = None
        self._gone = asyncio.Event()
        self._backoff = exponential(base=0.1, max=5, factor=2)

    @property
    def running(self) -> int:
        """How many instances it runs at the moment."""
        return len(self._running)

    def add(self, program: Runnable) -> None:
        """Go on with the instances of another program, too."""
        added = _program(program)
        self._programs[added.label] = added

    def works_on(self, store: StateStore | Store, label: str) -> bool:
        """Whether it goes on with what is left to it in this store, of the program of this label."""
        return label in self._programs and (store is self.store or self._store.inner.is_same(store))

    @contextlib.contextmanager
    def lent_place(self, instance_id: str) -> Iterator[None]:
        """While one of its instances waits for another one, that may have the place."""
        self._lent[instance_id] += 1
        self._gone.set()
        try:
            yield
        finally:
            self._lent[instance_id] -= 1
            self._lent += Counter()  # those that wait for nobody any more are gone

    def runs(self, instance_id: str) -> bool:
        """Whether it is at work on this instance."""
        return any(record.instance_id == instance_id for record in self._running.values())

    def drain(self, *, grace: float | None = None) -> None:
        """Claim nothing more, and let each instance go with its next checkpoint.

        May be called in a signal handler of the event loop; `run` returns when all are gone.

        Args:
            grace: how long a step may take to end, in seconds; as `run` was told if it is None.
        """
        at_work.leaves(self)
        self._grace = grace
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
        at_work.begins(self)
        try:
            seen: Any = None
            while not self._draining.is_set():
                next_due = await self._claim()
                seen = await self._rest(seen, next_due)
        finally:
            at_work.leaves(self)
        await drop([task for task, record in self._running.items() if record.status in _STANDING])
        if self._running:
            await asyncio.wait(self._running, timeout=grace if self._grace is None else self._grace)
        left = list(self._running)
        await drop(left)
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

    @property
    def _places(self) -> int:
        """How many more instances may begin now."""
        running = self._running.values()
        places = self.concurrency - len(running)
        if places <= 0:
            places += sum(record.status is Status.WAITING or self._lent[record.instance_id] > 0 for record in running)
        return min(places, _AT_ONCE - len(self._fresh))

    async def _room(self) -> None:
        """Wait until an instance has gone; those that go at about the same time make room together."""
        self._gone.clear()
        await self._gone.wait()
        await asyncio.sleep(0)

    async def _claim(self) -> float | None:
        """Claim as much as there is room for; gives when the next instance is due, if that is known."""
        failures = 0
        while not self._draining.is_set():
            room = self._places
            if room <= 0:
                return None
            try:
                claimed = await self._store.claim(self._programs, room, self._left_to_others())
            except StoreError as error:
                log.warning("the store does not answer: %s", error)
                await asyncio.sleep(self._backoff(failures))
                failures += 1
                continue
            messages = claimed.messages
            begun = [
                self._begin(record, None if messages is None else messages.get(record.instance_id, ()))
                for record in claimed.records
            ]
            self._fresh.update(begun)
            asyncio.get_running_loop().call_later(_FRESH, self._settled, begun)
            if len(claimed.records) < room:
                return claimed.next_due
        return None

    def _left_to_others(self) -> Collection[str]:
        """What is not to be claimed again so soon: its code was edited, and nobody here has the version."""
        now = time.monotonic()
        while self._left and next(iter(self._left.values())) <= now:
            del self._left[next(iter(self._left))]
        return self._left

    def _leave(self, record: Record, error: CodeChangedError) -> None:
        """Leave an instance as it is to workers that have its version."""
        log.warning("instance %s is left to workers that have its version: %s", record.instance_id, error)
        self._left.pop(record.instance_id, None)
        self._left[record.instance_id] = time.monotonic() + _LEFT_FOR

    async def _rest(self, seen: Any, next_due: float | None) -> Any:
        """Wait until there may be something to claim."""
        left = _LONGEST_WAIT if next_due is None else min(max(next_due - time.time(), 0.0), _LONGEST_WAIT)
        is_full = self._places <= 0
        news: asyncio.Task[Any] = asyncio.ensure_future(
            self._room() if is_full else self._store.changed(None, seen, left)
        )
        draining = asyncio.ensure_future(self._draining.wait())
        await asyncio.wait((news, draining), timeout=_LONGEST_WAIT, return_when=asyncio.FIRST_COMPLETED)
        for task in (news, draining):
            task.cancel()
        await asyncio.gather(news, draining, return_exceptions=True)
        return seen if is_full or news.cancelled() or news.exception() is not None else news.result()

    def _begin(self, record: Record, messages: Sequence[Message] | None) -> Background:
        task = begin(self._run(record, messages), name=f"instance {record.instance_id}")
        self._running[task] = record
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: Background) -> None:
        del self._running[task]
        self._fresh.discard(task)
        self._gone.set()

    def _settled(self, begun: list[Background]) -> None:
        """What is still at work will be for longer."""
        self._fresh.difference_update(begun)
        self._gone.set()

    async def _run(self, record: Record, messages: Sequence[Message] | None) -> None:
        """Go on with an instance that was claimed, and let it go."""
        try:
            if record.recoveries > self.max_recoveries:
                await self._put_aside(
                    record,
                    f"its worker died {record.recoveries} times in a row at the same place (max_recoveries is "
                    f"{self.max_recoveries})",
                )
            else:
                await self._go_on(record, messages)
        except StaleOwnerError as error:
            log.warning("%s", error)
        except StoreError as error:
            log.warning("instance %s: %s", record.instance_id, error)
            await asyncio.sleep(_PAUSE)
        finally:
            self._store.release(record.instance_id, record.epoch)

    async def _go_on(self, record: Record, messages: Sequence[Message] | None) -> None:
        before = record.sequence
        runtime = DurableRuntime(self._programs[record.program], self._backend, record.instance_id)
        try:
            await runtime.go_on(record, messages, longest_nap=self._longest_nap, stays=self._stays)
        except (PauseForEventException, Asleep):
            if record.sequence == before and not self._draining.is_set():
                await asyncio.sleep(_PAUSE)
        except (HandedOver, Paused):
            pass
        except (StaleOwnerError, StoreError):
            raise
        except CodeChangedError as error:
            if record.sequence == before:
                self._leave(record, error)
            else:
                await self._put_aside(record, f"{type(error).__name__}: {error}")
        except DurableError as error:
            if record.status is not Status.ERROR:
                await self._put_aside(record, f"{type(error).__name__}: {error}")
        except Exception as error:
            log.info("instance %s of %s ended with %s: %s", record.instance_id, record.program, type(error), error)

    async def _put_aside(self, record: Record, reason: str) -> None:
        """Park an instance that nobody can go on with; calling it again does."""
        error = ParkedError(f"instance {record.instance_id!r} of {record.program} was put aside: {reason}")
        record.status, record.error = Status.PARKED, str(error)
        record.outcome = snapshot.dumps(("error", error))
        record.sequence += 1
        writing = self._store.inner.commit(record, (), True)
        if writing is not None:
            await writing
        log.error("%s", error)


def _program(given: Runnable) -> DurableProgram[..., Any]:
    program = given if isinstance(given, DurableProgram) else getattr(given, "program", None)
    if not isinstance(program, DurableProgram):
        raise TypeError(f"a worker runs programs of make_durable(), not {type(given).__name__}")
    return program
