"""The tasks that branches run in, and how asyncio is made to give them to durable functions.

`create_task`, `gather`, `TaskGroup`, `as_completed` and the rest ask the event loop for a task, and
the loop asks its task factory.  Ours makes a branch of what a durable function starts; whatever
anybody else starts is left to the factory that was there before.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, cast

from .callbacks import Callback, is_users
from .functions import function_of_frame
from .running_branch import current

if TYPE_CHECKING:
    from .branch import Branch

_COROUTINES = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

Start = Callable[..., "asyncio.Task[Any]"]
"""Makes a branch: called with the branch that starts it, the loop, the coroutine, and options."""


class BranchTask(asyncio.Task[Any]):
    """A task that runs a branch.

    Attributes:
        branch: the branch.
        heard: how many requests to cancel it had heard before its process ended, if it had ended too.
    """

    branch: Branch
    heard = 0

    def cancel(self, msg: Any = None) -> bool:
        """Ask the branch to stop; the request is saved with it."""
        asked = super().cancel(msg)
        line = self.branch.line
        if asked and line is not None:
            line.cancelled = () if msg is None else (msg,)
            self._changed()
        return asked

    def cancelling(self) -> int:
        """How many requests to cancel it are left."""
        return super().cancelling() + self.heard

    def add_done_callback(self, callback: Any, /, *, context: contextvars.Context | None = None) -> None:
        """Have something called when the branch has ended; the user's callbacks are saved with it."""
        context = contextvars.copy_context() if context is None else context
        super().add_done_callback(callback, context=context)
        if is_users(callback) and not self.done():
            line = self.branch.line
            assert line is not None
            line.callbacks = (*line.callbacks, callback)
            self._changed()

    def call_again(self, callbacks: Sequence[Callback]) -> None:
        """These were saved with the branch."""
        for callback in callbacks:
            super().add_done_callback(callback)
        assert self.branch.line is not None
        self.branch.line.callbacks = tuple(callbacks)

    def remove_done_callback(self, callback: Any, /) -> int:
        """Have it called no more."""
        removed = super().remove_done_callback(callback)
        line = self.branch.line
        if removed and line is not None and line.callbacks:
            line.callbacks = tuple(kept for kept in line.callbacks if kept != callback)
            self._changed()
        return removed

    def _changed(self) -> None:
        """Another branch has done something to this one, which it must not do again."""
        siblings, line = self.branch.siblings, self.branch.line
        if siblings is None or line is None:
            return
        line.state = None
        siblings.cuts.changed.add(self.branch)
        by = current.get()
        if by is not None and by.siblings is siblings:
            siblings.cuts.changed.add(by)


BranchTask.__name__ = asyncio.Task.__name__  # it is one, and says so in texts and logs


class TaskFactory:
    """A task factory over the one that a loop had.

    Args:
        loop: the loop, which has it from now on.
        start: makes a branch.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, start: Start) -> None:
        self._before: Any = loop.get_task_factory()
        self._start = start
        self.users = 0
        loop.set_task_factory(cast(Any, self))

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        branch = current.get()
        if branch is not None and branch.task is asyncio.current_task() and _is_called_by_durable_code():
            return self._start(branch, loop, coroutine, **options)
        if self._before is not None:
            made: asyncio.Task[Any] = self._before(loop, coroutine, **options)
            return made
        return asyncio.Task(coroutine, loop=loop, **options)

    def remove(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the loop back the factory that it had."""
        if cast(Any, loop.get_task_factory()) is self:
            loop.set_task_factory(self._before)


def install(loop: asyncio.AbstractEventLoop, start: Start) -> TaskFactory:
    """The factory of a loop, which is made ours; to be given back with `uninstall`."""
    found: object = loop.get_task_factory()
    factory = found if isinstance(found, TaskFactory) else TaskFactory(loop, start)
    factory.users += 1
    return factory


def uninstall(loop: asyncio.AbstractEventLoop, factory: TaskFactory) -> None:
    """An instance on this loop has ended."""
    factory.users -= 1
    if not factory.users:
        factory.remove(loop)


def _is_called_by_durable_code() -> bool:
    """Whether the innermost coroutine that runs is a frame of ours, not that of a step."""
    frame = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if function_of_frame(code) is not None:
            return True
        if code.co_flags & _COROUTINES:
            return False
        frame = frame.f_back  # type: ignore[assignment]
    return False
