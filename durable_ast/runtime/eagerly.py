"""Begin a coroutine at once, in a task of its own that goes on with it only if it has to wait.

Since Python 3.12 asyncio has eager tasks, which are that; here it is for 3.11 too.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Coroutine, Generator
from typing import Any


def begin(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run a coroutine until it waits, or ends; gives its task, which ends with the next turn of the
    event loop at the earliest.

    The coroutine sees its own task from the start, as `asyncio.timeout` and its like need it.
    """
    loop, caller, context = asyncio.get_running_loop(), asyncio.current_task(), contextvars.copy_context()
    begun = _Begun(coroutine)
    task = asyncio.Task(begun.rest(), loop=loop, context=context)
    _pass(loop, caller, task)
    try:
        context.run(begun.begin)
    finally:
        _pass(loop, task, caller)
    return task


def _pass(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any] | None, to: asyncio.Task[Any] | None) -> None:
    """Let another task be the current one."""
    if task is not None:
        asyncio._leave_task(loop, task)
    if to is not None:
        asyncio._enter_task(loop, to)


class _Begun:
    """A coroutine, and what it waits for."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self._is_over = False
        self._waits_for: Any = None

    def begin(self) -> None:
        try:
            self._waits_for = self._coroutine.send(None)
        except StopIteration:
            self._is_over = True
        else:
            self._mark(False)  # until there is a task that waits, others may begin to wait for the same

    def _mark(self, is_awaited: bool) -> None:
        """Say what a future says to the task that awaits it."""
        if self._waits_for is not None:
            self._waits_for._asyncio_future_blocking = is_awaited

    async def rest(self) -> None:
        if not self._is_over:
            await self._going_on()

    @types.coroutine
    def _going_on(self) -> Generator[Any, Any, None]:
        while True:
            self._mark(True)
            try:
                yield self._waits_for
            except BaseException as error:
                try:
                    self._waits_for = self._coroutine.throw(error)
                except StopIteration:
                    return
            else:
                break
        yield from self._coroutine
