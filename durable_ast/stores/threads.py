"""Threads that work for a store; a process that was forked gets its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from . import process

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Does work in threads that are started when they are needed.

    Args:
        count: how many; one thread does its work in the order in which it was given.
        name: what they are called.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = count, name
        self._start()

    def _start(self) -> None:
        self._pid = process.number
        self._executor = ThreadPoolExecutor(self._count, self._name)

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in one of the threads."""
        if self._pid != process.number:  # after a fork, the executor has no threads, and does not know
            self._start()
        return self._executor.submit(function, *args, **kwargs)

    def close(self) -> None:
        """Finish what was submitted."""
        if self._pid == process.number:
            self._executor.shutdown()
