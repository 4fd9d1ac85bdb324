"""Tasks that drive instances behind their caller's back, and that can leave them where they stand."""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Coroutine, Generator, Sequence
from typing import Any

from .branch import Asleep
from .running_branch import current


class Background(asyncio.Task[Any]):
    """A task that drives a run.

    A task that ends with its event loop leaves its run where it stands: whoever calls or claims the
    instance goes on from there.
    """

    is_dropped = False

    def cancel(self, msg: Any = None) -> bool:
        """Cancel it; an event loop that is being closed does so from outside of itself."""
        if asyncio._get_running_loop() is None:
            self.is_dropped = True
        return super().cancel(msg)

    def drop(self) -> None:
        """Leave the run where it stands, unwinding nothing."""
        self.is_dropped = True
        super().cancel()


def begin(coroutine: Coroutine[Any, Any, Any], name: str) -> Background:
    """Drive a coroutine in a task that is nobody's step."""
    surroundings = contextvars.copy_context()
    surroundings.run(current.set, None)
    return Background(_driven(coroutine), loop=asyncio.get_running_loop(), name=name, context=surroundings)


async def _driven(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await _leaving(coroutine)  # a task takes no generator since Python 3.12


@types.coroutine
def _leaving(coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Await a coroutine, but leave it where it stands once its task is dropped.

    A step that is running is cancelled first: it will run again whole, and what it is in the middle
    of (generators, connections of a library) must be let go of while the loop still runs.
    """
    task = asyncio.current_task()
    assert isinstance(task, Background)
    answer: Any = None
    error: BaseException | None = None
    try:
        while True:
            try:
                yielded = coroutine.send(answer) if error is None else coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            except Asleep as left:
                if task.is_dropped:
                    raise asyncio.CancelledError from left
                raise
            answer, error = None, None
            try:
                answer = yield yielded
            except BaseException as raised:
                if task.is_dropped:
                    branch = current.get()
                    if branch is None or not branch.in_step or branch.siblings is not None:
                        raise
                    branch.journal.fault = branch.journal.fault or Asleep()
                error = raised
    finally:
        coroutine.close()


async def drop(tasks: Sequence[Background]) -> None:
    """Leave runs where they stand."""
    for task in tasks:
        task.drop()
    await asyncio.gather(*tasks, return_exceptions=True)
