"""The tasks that branches run in, and how asyncio is made to give them to durable functions.

`create_task`, `gather`, `TaskGroup`, `as_completed` and the rest ask the event loop for a task, and
the loop asks its task factory.  Ours makes a branch of what a durable function starts; whatever
anybody else starts is left to the factory that was there before.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

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
    """

    branch: Branch

    def cancel(self, msg: Any = None) -> bool:
        """Ask the branch to stop; the request is saved with it."""
        asked = super().cancel(msg)
        line = self.branch.line
        if asked and line is not None and self.branch.siblings is not None:
            line.cancelled, line.state = True, None
            self.branch.siblings.cuts.changed.add(self.branch)
            canceller = current.get()
            if canceller is not None and canceller.siblings is self.branch.siblings:
                self.branch.siblings.cuts.changed.add(canceller)  # it must not do it again
        return asked


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
