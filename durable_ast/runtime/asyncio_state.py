"""asyncio's objects in a saved graph: tasks' futures, task groups, timeouts, `as_completed`.

Each is saved for what it means: a gather for its children, a timeout for its time of the clock, a
task group for its tasks and errors.  Nothing of it depends on the version of Python.
"""

from __future__ import annotations

import asyncio
import gc
import operator
import time
from asyncio import tasks
from collections.abc import Iterable
from types import GeneratorType
from typing import Any

from ..state.snapshot import Reduced, register
from .generators import reduce_generator

GatheringFuture: Any = tasks._GatheringFuture  # type: ignore[attr-defined]


# gather and shield


def children_of(gathering: Any) -> list[asyncio.Future[Any]]:
    """What a gather waits for."""
    children: list[asyncio.Future[Any]] = gathering._children
    return children


def _variables(callback: Any) -> dict[str, Any]:
    """The closure of a callback."""
    names = getattr(getattr(callback, "__code__", None), "co_freevars", ())
    cells = getattr(callback, "__closure__", None) or ()
    return {name: cell.cell_contents for name, cell in zip(names, cells, strict=True) if _is_full(cell)}


def _is_full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _callbacks(future: Any) -> list[Any]:
    return [callback for callback, _ in future._callbacks or ()]


def _returns_exceptions(gathering: Any) -> bool:
    for child in children_of(gathering):
        for callback in _callbacks(child):
            variables = _variables(callback)
            if variables.get("outer") is gathering:
                return bool(variables["return_exceptions"])
    return any(child.done() and not child.cancelled() and child.exception() for child in children_of(gathering))


def _reduce_gathering(gathering: Any) -> Reduced:
    if gathering.done():
        return _reduce_done(gathering)
    return _gather, (children_of(gathering), _returns_exceptions(gathering), gathering._cancel_requested)


def _gather(children: list[Any], return_exceptions: bool, is_cancelled: bool) -> Any:
    if not _can_run(children):
        return tuple(children)
    gathering: Any = asyncio.gather(*children, return_exceptions=return_exceptions)
    gathering._cancel_requested = is_cancelled
    return gathering


def is_shielding(future: Any) -> bool:
    """Whether this is what `asyncio.shield` gives."""
    return any("inner" in _variables(callback) for callback in _callbacks(future))


def shielded_by(future: Any) -> Any:
    """What a shield is around."""
    return next(variables["inner"] for variables in map(_variables, _callbacks(future)) if "inner" in variables)


def _shield(inner: Any) -> Any:
    return asyncio.shield(inner) if _can_run([inner]) else inner


def _reduce_future(future: asyncio.Future[Any]) -> Reduced:
    if future.done():
        return _reduce_done(future)
    if is_shielding(future):
        return _shield, (shielded_by(future),)
    raise TypeError(f"cannot save {future!r}: what would set its result is not known")


def _reduce_done(future: asyncio.Future[Any]) -> Reduced:
    if future.cancelled():
        return _done, ("cancelled", None)
    error = future.exception()
    return _done, ("value", future.result()) if error is None else ("error", error)


def _done(kind: str, value: Any) -> Any:
    if not _is_running():
        return value
    future = asyncio.get_running_loop().create_future()
    if kind == "cancelled":
        future.cancel()
    elif kind == "error":
        future.set_exception(value)
        future.exception()  # somebody has seen it already
    else:
        future.set_result(value)
    return future


def _can_run(futures: Iterable[Any]) -> bool:
    return _is_running() and all(isinstance(future, asyncio.Future) for future in futures)


def _is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


# timeouts


def _reduce_timeout(timeout: Any) -> Reduced:
    when = timeout._when
    if when is not None and _is_running():
        when = time.time() + when - asyncio.get_running_loop().time()
    state = timeout._state.value, when, timeout._task, getattr(timeout, "_cancelling", 0)
    return _make_timeout, (), state, None, None, _fill_timeout


def _make_timeout() -> asyncio.Timeout:
    return asyncio.Timeout(None)


def _fill_timeout(timeout: Any, saved: tuple[str, float | None, Any, int]) -> None:
    """Set a timeout again; one whose time has passed meanwhile is over at once."""
    value, due, task, cancelling = saved
    state = type(timeout._state)(value)
    timeout._state, timeout._task, timeout._cancelling = state, task, cancelling
    if due is None or not _can_run([] if task is None else [task]):
        return
    timeout._when = asyncio.get_running_loop().time() + due - time.time()
    if value == "active":
        timeout.reschedule(timeout._when)


# task groups

_FLAGS = ("_entered", "_exiting", "_aborting", "_parent_cancel_requested", "_base_error", "_parent_task")


def _reduce_group(group: Any) -> Reduced:
    flags = [getattr(group, name) for name in _FLAGS]
    return asyncio.TaskGroup, (), (flags, group._errors, list(group._tasks)), None, None, _fill_group


def _fill_group(group: Any, saved: tuple[list[Any], list[BaseException], list[Any]]) -> None:
    flags, group._errors, members = saved
    for name, value in zip(_FLAGS, flags, strict=True):
        setattr(group, name, value)
    if not _can_run(members):
        return
    if group._entered:
        group._loop = asyncio.get_running_loop()
    for task in members:
        group._tasks.add(task)
        task.add_done_callback(group._on_task_done)


# as_completed


class Completed:
    """What is left of an `asyncio.as_completed`: an iterator of awaitables, as plain or as
    asynchronous iterator."""

    def __init__(self, done: asyncio.Queue[Any], todo: list[Any], left: int, due: float | None) -> None:
        self._done, self._todo, self._left, self._due = done, set(todo), left, due
        self._timer: asyncio.TimerHandle | None = None
        if _can_run(todo):
            for future in todo:
                future.add_done_callback(self._complete)
            if due is not None and todo:
                self._timer = asyncio.get_running_loop().call_later(max(due - time.time(), 0.0), self._expire)

    def _complete(self, future: Any) -> None:
        if future in self._todo:
            self._todo.remove(future)
            self._done.put_nowait(future)

    def _expire(self) -> None:
        for future in [future for future in self._todo if future.done()]:
            self._complete(future)  # in time, but in a process that has ended since
        for _ in self._todo:
            self._done.put_nowait(None)
        self._todo.clear()

    def __iter__(self) -> Completed:
        return self

    __aiter__ = __iter__

    def __next__(self) -> Any:
        if not self._left:
            raise StopIteration
        self._left -= 1
        return next_completed(self._done, True)

    def __anext__(self) -> Any:
        if not self._left:
            return _no_more()
        self._left -= 1
        return next_completed(self._done, False)

    def __reduce__(self) -> Reduced:
        return Completed, (self._done, list(self._todo), self._left, self._due)


async def _no_more() -> Any:
    raise StopAsyncIteration


async def next_completed(done: asyncio.Queue[Any], resolve: bool) -> Any:
    """The next future that is done, or its result."""
    future = await done.get()
    if future is None:
        raise TimeoutError
    return future.result() if resolve else future


def _due(handle: Any) -> float | None:
    if handle is None:
        return None
    due: float = time.time() + handle.when() - asyncio.get_running_loop().time()
    return due


def _reduce_iterator(iterator: Any) -> Reduced:
    due = _due(iterator._timeout_handle)
    return Completed, (iterator._done, list(iterator._todo), iterator._todo_left, due)


def _reduce_generator(generator: GeneratorType[Any, Any, Any]) -> Reduced:
    """Before Python 3.13, `as_completed` is a generator function."""
    frame = generator.gi_frame
    if generator.gi_code is not tasks.as_completed.__code__ or frame is None or not generator.gi_suspended:
        return reduce_generator(generator)
    values = frame.f_locals
    todo: set[Any] = values["todo"]
    done: asyncio.Queue[Any] = values["done"]
    left = next(held for held in gc.get_referents(generator) if type(held) is _RangeIterator)
    return Completed, (done, list(todo), operator.length_hint(left), _due(values["timeout_handle"]))


_RangeIterator = type(iter(range(0)))


def register_all() -> None:
    """Let snapshots save these objects."""
    register(GatheringFuture, _reduce_gathering)
    register(asyncio.Future, _reduce_future)
    register(asyncio.Timeout, _reduce_timeout)
    register(asyncio.TaskGroup, _reduce_group)
    register(GeneratorType, _reduce_generator)
    iterator = getattr(tasks, "_AsCompletedIterator", None)
    if iterator is not None:
        register(iterator, _reduce_iterator)
