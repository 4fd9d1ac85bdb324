"""What asyncio's own coroutines become in a durable function.

They are recognised by their code.  Those that wait with a plan of their own (`wait_for`, leaving a
task group or a timeout, a condition) are frames like the user's: the versions here are compiled in their place,
and mean the same.  Those that only wait for other branches (a lock, a queue, `wait`) are begun again
when the instance goes on; the locks, queues and tasks themselves are saved for what they mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import sys
import time
from asyncio import locks, queues, taskgroups, tasks, timeouts
from collections.abc import Awaitable, Callable, Iterable
from types import CodeType, CoroutineType
from typing import TYPE_CHECKING, Any, TypeAlias

from ..state.synchronization import NOTIFIED
from .async_generators import as_it_is
from .asyncio_state import GatheringFuture, children_of, is_shielding, next_completed, shielded_by
from .branch_task import BranchTask
from .frames import arguments_of
from .functions import Function, arguments, function_of
from .plans import Plan

if TYPE_CHECKING:
    from .branch import Branch

Coroutine: TypeAlias = "CoroutineType[Any, Any, Any]"

_FILES = frozenset(module.__file__ for module in (locks, queues, taskgroups, tasks, timeouts))


def is_of_asyncio(code: CodeType) -> bool:
    """Whether this is a coroutine of asyncio's that only waits for others in the same loop."""
    return code.co_filename in _FILES or code.co_filename == __file__


def is_inward(awaitable: Any) -> bool:
    """Whether waiting for this is waiting for other branches, not for the world."""
    if type(awaitable) is CoroutineType:
        return is_of_asyncio(awaitable.cr_code)
    if isinstance(awaitable, BranchTask):
        return True
    if isinstance(awaitable, GatheringFuture):
        return all(isinstance(child, BranchTask) for child in children_of(awaitable))
    return isinstance(awaitable, asyncio.Future) and is_shielding(awaitable) and is_inward(shielded_by(awaitable))


# in place of asyncio's

_CANCELS_AGAIN = sys.version_info >= (3, 13)
"""Whether a task group that fails while it is being cancelled leaves the request for the next await."""


async def wait_for(fut: Awaitable[Any], timeout: float | None) -> Any:
    """`asyncio.wait_for`."""
    if timeout is not None and timeout <= 0:
        return await _at_once(asyncio.ensure_future(fut))
    async with asyncio.timeout(timeout):
        return await fut


async def _at_once(future: asyncio.Future[Any]) -> Any:
    if future.done():
        return future.result()
    future.cancel()
    await asyncio.wait([future])
    try:
        return future.result()
    except asyncio.CancelledError as error:
        raise TimeoutError from error


async def leave_group(self: Any, et: type[BaseException] | None, exc: BaseException | None, tb: Any) -> None:
    """`asyncio.TaskGroup.__aexit__`: wait for the tasks, and raise what went wrong."""
    self._exiting = True
    if exc is not None and self._is_base_error(exc) and self._base_error is None:
        self._base_error = exc
    cancelled = exc if isinstance(exc, asyncio.CancelledError) else None
    if exc is not None and not self._aborting:
        self._abort()
    while self._tasks:
        try:
            await all_done(self)
        except asyncio.CancelledError as error:
            if not self._aborting:
                cancelled = error
                self._abort()
    if self._base_error is not None:
        raise self._base_error
    if self._parent_cancel_requested and self._parent_task.uncancel() == 0:
        cancelled = None
        await none_on_its_way(self._parent_task, 0)
    if cancelled is not None and not self._errors:
        raise cancelled
    if exc is not None and not isinstance(exc, asyncio.CancelledError):
        self._errors.append(exc)
    if self._errors:
        if _CANCELS_AGAIN and self._parent_task.cancelling():  # keep the number of requests as it is
            self._parent_task.uncancel()
            self._parent_task.cancel()
        errors, self._errors = self._errors, None
        raise BaseExceptionGroup("unhandled errors in a TaskGroup", errors) from None


async def all_done(group: Any) -> None:
    """Wait until no task of a group is left."""
    if group._tasks:
        group._on_completed_fut = asyncio.get_running_loop().create_future()
        try:
            await group._on_completed_fut
        finally:
            group._on_completed_fut = None


async def leave_timeout(self: Any, exc_type: Any, exc_val: Any, exc_tb: Any) -> bool | None:
    """`asyncio.Timeout.__aexit__`.  Where it is over just as its block is left (a checkpoint was being
    written, or no process was there), nobody is cancelled for it any more."""
    is_expiring = self._state.value == "expiring"
    result: bool | None = _at_its_end(asyncio.Timeout.__aexit__(self, exc_type, exc_val, exc_tb))
    if is_expiring:
        await none_on_its_way(self._task, self._cancelling)
    return result


def _at_its_end(coroutine: Any) -> Any:
    """What a coroutine gives that does not wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError(f"{coroutine!r} waits")


async def none_on_its_way(task: Any, requests: int) -> None:
    """Let a request to cancel a task be gone that was taken back; before Python 3.13 it stays on its
    way.

    Args:
        task: the task.
        requests: how many others there are that it has heard of.
    """
    if task._must_cancel and task.cancelling() <= requests:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


async def wait_on(self: asyncio.Condition) -> bool:
    """`asyncio.Condition.wait`."""
    if not self.locked():
        raise RuntimeError("cannot wait on un-acquired lock")
    self.release()
    try:
        await notified(self)
        return True
    finally:
        await acquired(self)


async def notified(condition: Any) -> None:
    """Wait until a condition is notified; a notification that was not taken up before a crash counts."""
    pending = getattr(condition, NOTIFIED, 0)
    if pending:
        setattr(condition, NOTIFIED, pending - 1)
        return
    future = asyncio.get_running_loop().create_future()
    condition._waiters.append(future)
    try:
        await future
    except asyncio.CancelledError:
        if future.done() and not future.cancelled():
            condition.notify(1)  # somebody else should get it
        raise
    finally:
        condition._waiters.remove(future)


async def acquired(condition: asyncio.Condition) -> None:
    """Acquire a condition's lock, however often that is cancelled meanwhile."""
    error: asyncio.CancelledError | None = None
    while True:
        try:
            await condition.acquire()
            break
        except asyncio.CancelledError as raised:
            error = raised
    if error is not None:
        raise error


async def wait_until(fs: set[Any], deadline: float | None, return_when: str) -> tuple[set[Any], set[Any]]:
    """`asyncio.wait`, until a time of the clock, in seconds since 1970."""
    timeout = None if deadline is None else max(deadline - time.time(), 0.0)
    return await asyncio.wait(fs, timeout=timeout, return_when=return_when)


# how they are recognised


class Instead:
    """Start the compiled form of a function of this module in place of asyncio's coroutine."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._own = function

    @functools.cached_property
    def _function(self) -> Function:
        return function_of(self._own.__code__, self._own.__globals__)

    def __call__(self, branch: Branch, coroutine: Coroutine) -> Any:
        positional, keywords = arguments(coroutine.cr_code, arguments_of(coroutine))
        coroutine.close()
        return self.frame(*positional, **keywords)

    def frame(self, *args: Any, **kwargs: Any) -> Any:
        """The compiled form, called."""
        return self._function.running(None)(*args, **kwargs)


def _inward(branch: Branch, coroutine: Any, *, has_deadline: bool = False) -> Any:
    if branch.siblings is not None:
        branch.siblings.awaiting(branch, coroutine, is_inward=not has_deadline)
    return coroutine


def _begin_wait(branch: Branch, coroutine: Coroutine) -> Any:
    values = arguments_of(coroutine)
    fs, timeout, return_when = values["fs"], values["timeout"], values["return_when"]
    if branch.siblings is None or isinstance(fs, asyncio.Future) or asyncio.iscoroutine(fs):
        return coroutine  # nothing to save, or an error
    coroutine.close()
    deadline = None if timeout is None else time.time() + timeout
    return _inward(branch, wait_until(set(fs), deadline, return_when), has_deadline=timeout is not None)


def _again_wait(branch: Branch, coroutine: Coroutine) -> Any:
    return _inward(branch, coroutine, has_deadline=arguments_of(coroutine)["deadline"] is not None)


def _begin_next_completed(branch: Branch, coroutine: Coroutine) -> Any:
    values = arguments_of(coroutine)
    done = values["done"] if "done" in values else values["self"]._done
    resolve = values.get("resolve", True)
    coroutine.close()
    return _inward(branch, next_completed(done, resolve))


def _begin_async_next_completed(branch: Branch, coroutine: Coroutine) -> Any:
    iterator = arguments_of(coroutine)["self"]
    if not iterator._todo_left:
        return coroutine
    coroutine.close()
    iterator._todo_left -= 1
    return _inward(branch, next_completed(iterator._done, False))


def _codes(*functions: Any) -> Iterable[CodeType]:
    return (function.__code__ for function in functions)


def operations() -> dict[int, Plan]:
    """What to do with asyncio's coroutines, by the id of their code."""
    known: dict[int, Plan] = {
        id(asyncio.wait_for.__code__): Instead(wait_for),
        id(asyncio.wait.__code__): _begin_wait,
        id(wait_until.__code__): _again_wait,
        id(asyncio.TaskGroup.__aexit__.__code__): Instead(leave_group),
        id(asyncio.Timeout.__aexit__.__code__): Instead(leave_timeout),
        id(locks.Condition.wait.__code__): Instead(wait_on),
    }
    unchanged = _codes(asyncio.TaskGroup.__aenter__, asyncio.Timeout.__aenter__)
    known.update(dict.fromkeys(map(id, unchanged), as_it_is))
    waits_with_others = (locks.Condition.wait_for, *_methods_of(locks.Barrier))
    known.update({id(function.__code__): Instead(function) for function in waits_with_others})
    iterator = getattr(tasks, "_AsCompletedIterator", None)
    if iterator is not None:
        known[id(iterator._wait_for_one.__code__)] = _begin_next_completed
        known[id(iterator.__anext__.__code__)] = _begin_async_next_completed
    else:
        for const in tasks.as_completed.__code__.co_consts:
            if isinstance(const, CodeType) and const.co_name == "_wait_for_one":
                known[id(const)] = _begin_next_completed
    return known


def _methods_of(cls: type) -> list[Any]:
    return [value for value in vars(cls).values() if inspect.iscoroutinefunction(value)]
