"""Waiting for work that goes on whether or not anybody waits for it.

A write that was handed to a thread cannot be called back, and others may be waiting for the same
one.  So a task that is cancelled meanwhile sees its cancellation when the work is done: it then
knows what it leaves behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Answer(asyncio.Future[T]):
    """A future that its waiters cannot cancel."""

    def cancel(self, msg: Any = None) -> bool:
        """Refused; a task that is cancelled notes this, and raises when it is woken."""
        return False


def answer_of(work: Future[T]) -> Answer[T]:
    """What a thread gives, for a coroutine of the running event loop."""
    loop = asyncio.get_running_loop()
    answer: Answer[T] = Answer(loop=loop)

    def deliver() -> None:
        error = work.exception()
        if error is None:
            answer.set_result(work.result())
        else:
            answer.set_exception(error)

    work.add_done_callback(lambda _: call_in(loop, deliver))
    return answer


def call_in(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *args: Any) -> None:
    """Call a function in an event loop, if that is still there."""
    if asyncio._get_running_loop() is loop:  # there is nobody to wake
        loop.call_soon(callback, *args)
        return
    with contextlib.suppress(RuntimeError):  # it was closed, and nobody waits in it any more
        loop.call_soon_threadsafe(callback, *args)


async def kept(answer: Answer[T], let_go: Callable[[T], None]) -> T:
    """Await what will belong to the caller; if the caller is cancelled, it is let go."""
    try:
        result = await answer
    except asyncio.CancelledError:
        if answer.exception() is None:
            let_go(answer.result())
        raise
    return result
