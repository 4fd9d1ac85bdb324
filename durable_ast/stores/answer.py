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
from contextvars import Context, copy_context
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class Answer(asyncio.Future[T]):
    """A future that its waiters cannot cancel, and that wakes them itself, one after the other.

    asyncio would have each of them called later, which for a thousand that wait for one commit takes
    longer than the commit.  So it must be settled by a callback of its event loop, not by a task.
    """

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._waiters: list[tuple[Callable[[Answer[T]], object], Context]] = []

    def cancel(self, msg: Any = None) -> bool:
        """Refused; a task that is cancelled notes this, and raises when it is woken."""
        return False

    def add_done_callback(self, callback: Callable[[Answer[T]], object], /, *, context: Context | None = None) -> None:
        """Have a function called when it is settled; soon, if it is already."""
        if self.done():
            super().add_done_callback(callback, context=context)
        else:
            self._waiters.append((callback, copy_context() if context is None else context))

    def remove_done_callback(self, callback: Callable[[Answer[T]], object], /) -> int:
        """Have it called no more."""
        kept = [waiter for waiter in self._waiters if waiter[0] != callback]
        removed = len(self._waiters) - len(kept)
        self._waiters = kept
        return removed + super().remove_done_callback(callback)

    def set_result(self, result: T, /) -> None:
        """Settle it with a result."""
        super().set_result(result)
        self._wake()

    def set_exception(self, exception: type | BaseException, /) -> None:
        """Settle it with an error."""
        super().set_exception(exception)
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for callback, context in waiters:
            try:
                context.run(callback, self)
            except BaseException as error:  # it ends the loop, which must not keep the others from their answers
                self.get_loop().call_soon(_raise, error)


def promise() -> Future[Any]:
    """A future of what a thread will do, which whoever waits for it cannot cancel: were it to be settled
    then, that would fail where nobody expects it."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


def _raise(error: BaseException) -> NoReturn:
    raise error


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
    """Await what will belong to the caller; if the caller is cancelled, or closed (as a run is that is left
    where it stands), it is let go."""

    def give_back(answer: Answer[T]) -> None:
        if answer.exception() is None:
            let_go(answer.result())

    try:
        result = await answer
    except asyncio.CancelledError:
        give_back(answer)
        raise
    except GeneratorExit:
        if answer.done():
            give_back(answer)
        else:
            answer.add_done_callback(give_back)
        raise
    return result
