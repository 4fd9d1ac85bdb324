"""Locks, events, queues and their like in a snapshot, of asyncio and of threads.

What is saved is their state, not who waits: a wait is a step that has not ended, so whoever waited
waits again.  What runs by itself, a thread or another process, cannot be saved.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import Any

from .snapshot import Reduced, register, register_by_name

_ASYNCIO: tuple[tuple[type, tuple[Any, ...]], ...] = (
    (asyncio.Lock, ()),
    (asyncio.Event, ()),
    (asyncio.Condition, ()),
    (asyncio.Semaphore, ()),
    (asyncio.Barrier, (1,)),
    (asyncio.Queue, ()),
)
"""The classes, and what makes an object of each that has all that this Python's class wants."""

NOTIFIED = "durable_ast_notified"
"""The attribute of a restored condition that says how many of its waiters had been notified."""

_OF_THE_LOOP = ("_loop", "_waiters", "_getters", "_putters")


def register_all() -> None:
    """Let snapshots save these."""
    for kind, _ in _ASYNCIO:
        register(kind, _reduce_asyncio, subclasses=True)
    register(type(threading.Lock()), _reduce_lock)
    register(type(threading.RLock()), _reduce_rlock)
    register(threading.Condition, _reduce_condition, subclasses=True)
    register(threading.Thread, _reduce_thread, subclasses=True)
    register(concurrent.futures.Future, _reduce_future, subclasses=True)
    register(asyncio.Handle, _reduce_handle, subclasses=True)
    register_by_name("subprocess", "Popen", _reduce_process)


def _reduce_asyncio(obj: Any) -> Reduced:
    state = {name: value for name, value in vars(obj).items() if name not in _OF_THE_LOOP}
    if isinstance(obj, asyncio.Semaphore):
        # whoever was woken has been given a place already, and will ask for it again
        woken = [waiter for waiter in obj._waiters or () if waiter.done() and not waiter.cancelled()]
        state["_value"] = obj._value + len(woken)
    elif isinstance(obj, asyncio.Condition):
        state[NOTIFIED] = len([waiter for waiter in obj._waiters if waiter.done() and not waiter.cancelled()])
    return _make_asyncio, (type(obj),), state


def _make_asyncio(cls: Any) -> Any:
    obj = cls.__new__(cls)
    base, args = next((base, args) for base, args in _ASYNCIO if issubclass(cls, base))
    kind: Any = asyncio.BoundedSemaphore if issubclass(cls, asyncio.BoundedSemaphore) else base
    kind.__init__(obj, *args)
    return obj


def _reduce_lock(lock: Any) -> Reduced:
    return _make_lock, (lock.locked(),)


def _make_lock(locked: bool) -> Any:
    lock = threading.Lock()
    if locked:
        lock.acquire()
    return lock


def _reduce_rlock(lock: Any) -> Reduced:
    if not lock._is_owned():
        if not lock.acquire(blocking=False):
            raise TypeError("cannot save a lock that another thread holds")
        lock.release()
        return _make_rlock, (0,)
    state = lock._release_save()
    lock._acquire_restore(state)
    return _make_rlock, (state[0],)


def _make_rlock(count: int) -> Any:
    lock = threading.RLock()
    for _ in range(count):
        lock.acquire()
    return lock


def _reduce_condition(condition: threading.Condition) -> Reduced:
    state = vars(condition).copy()
    state["_waiters"] = type(state["_waiters"])()
    return _make_condition, (type(condition),), state


def _make_condition(cls: type[threading.Condition]) -> threading.Condition:
    return cls.__new__(cls)


def _reduce_thread(thread: threading.Thread) -> Reduced:
    if thread is threading.main_thread():
        return threading.main_thread, ()
    raise TypeError(f"cannot save the thread {thread.name!r}: it is bound to its process")


def _reduce_future(future: concurrent.futures.Future[Any]) -> Reduced:
    if not future.done():
        raise TypeError("cannot save a future that is not done")
    return NotImplemented


def _reduce_process(process: Any) -> Reduced:
    if process.returncode is None:
        raise TypeError(f"cannot save the process {process.pid}: it runs by itself")
    return NotImplemented


def _reduce_handle(handle: asyncio.Handle) -> Reduced:
    if handle.cancelled():
        return NotImplemented
    raise TypeError(
        "cannot save what call_soon or call_later gave: the event loop it is scheduled in ends with the process"
    )
