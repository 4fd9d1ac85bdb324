"""What a store in another process is asked, in order and many things at a time.

A thread with an event loop of its own talks to the server.  So a store may be used from any loop and
any thread, and what has to be done in time (renewing a lease) is done while the user's own loop is
blocked.  Jobs about one instance keep their order; those of one kind that wait at the same time are
done together, so whatever a thousand instances ask for at once is one request.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from ..errors import StoreError
from . import process
from .answer import Answer, call_in, promise

T = TypeVar("T")

Kind: TypeAlias = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
"""Does jobs together: from their arguments to their results; a result that is an exception is raised
to whoever wants it."""

_LARGEST_RUN = 2000


@dataclass(slots=True, eq=False)
class _Job:
    kind: Kind
    argument: Any
    about: str | None
    future: Answer[Any] | Future[Any]


class ConnectionBroke(StoreError):
    """The server was not reached, or has not answered; what was asked may be done or not."""


class Remote:
    """The thread, which is started with the first job.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._jobs: list[_Job] = []
        self._is_running = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = process.number
        self._tasks: set[asyncio.Task[Any]] = set()
        _open.add(self)

    def ask(self, kind: Kind, argument: Any, about: str | None) -> Answer[Any]:
        """Do a job for a coroutine; must be called in its event loop.

        Args:
            kind: what to do.
            argument: with what.
            about: the instance that it is about; None for all.
        """
        answer: Answer[Any] = Answer(loop=asyncio.get_running_loop())
        self._put(_Job(kind, argument, about, answer))
        return answer

    def submit(self, kind: Kind, argument: Any, about: str | None) -> Future[Any]:
        """Do a job for whoever has no event loop."""
        future = promise()
        self._put(_Job(kind, argument, about, future))
        return future

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside the jobs; must be called in the thread."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """End the thread, and what was started beside the jobs; what is waiting is done first."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._pid != process.number:
            return

        async def end() -> None:
            while self._is_running:
                await asyncio.sleep(0.001)
            for task in list(self._tasks):
                await stop(task)

        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)

    def _put(self, job: _Job) -> None:
        if self._pid != process.number:
            raise StoreError("a store that talks to a server cannot be used after fork(); open another one")
        with self._lock:
            if not self._is_running and self._loop is None:
                self._loop = self._started()  # if that fails, nobody waits for a thread that is not there
            self._jobs.append(job)
            if self._is_running:
                return
            self._is_running, loop = True, self._loop
        assert loop is not None
        loop.call_soon_threadsafe(lambda: self.start(self._run()))

    def _started(self) -> asyncio.AbstractEventLoop:
        """The event loop of a new thread.

        Raises:
            StoreError: the system has none to give.
        """
        try:
            loop = asyncio.new_event_loop()
        except OSError as error:
            raise StoreError(f"the thread of the store cannot be started: {error}; nothing was changed") from error
        try:
            threading.Thread(target=_serve, args=(loop,), name=self._name, daemon=True).start()
        except RuntimeError as error:
            loop.close()
            raise StoreError(f"the thread of the store cannot be started: {error}; nothing was changed") from error
        return loop

    async def _run(self) -> None:
        while True:
            with self._lock:
                jobs, self._jobs = self._jobs[:_LARGEST_RUN], self._jobs[_LARGEST_RUN:]
                if not jobs:
                    self._is_running = False
                    return
            for run in _runs(jobs):
                await _do(run[0].kind, run)


async def stop(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended: drivers may lose a cancellation, as asyncio.wait_for does before 3.12."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.close()


def _runs(jobs: list[_Job]) -> list[list[_Job]]:
    """The jobs, those of one kind together as far as no other about the same instance is between."""
    runs: list[tuple[Kind, list[_Job], set[str | None]]] = []
    for job in jobs:
        for kind, run, about in reversed(runs):
            if kind == job.kind:
                run.append(job)
                about.add(job.about)
                break
            if job.about is None or job.about in about or None in about:
                runs.append((job.kind, [job], {job.about}))
                break
        else:
            runs.append((job.kind, [job], {job.about}))
    return [run for _, run, _ in runs]


async def _do(kind: Kind, jobs: list[_Job]) -> None:
    """Do jobs of one kind, and tell everybody; an event loop is woken once for all of its answers."""
    try:
        results = await kind([job.argument for job in jobs])
    except Exception as error:
        if len(jobs) > 1 and not isinstance(error, ConnectionBroke):
            for job in jobs:  # one of them was refused, and none has been done
                await _do(kind, [job])
            return
        results = [error] * len(jobs)
    ready: dict[asyncio.AbstractEventLoop, list[tuple[Answer[Any], Any]]] = {}
    for job, result in zip(jobs, results, strict=True):
        if isinstance(job.future, Answer):
            ready.setdefault(job.future.get_loop(), []).append((job.future, result))
        else:
            _settle(job.future, result)
    for loop, answers in ready.items():
        call_in(loop, _deliver, answers)


def _deliver(answers: list[tuple[Answer[Any], Any]]) -> None:
    for answer, result in answers:
        _settle(answer, result)


def _settle(future: Answer[Any] | Future[Any], result: Any) -> None:
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)


_open: weakref.WeakSet[Remote] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for remote in list(_open):
        remote.close()
