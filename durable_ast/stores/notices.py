"""Who in this process waits to hear that something about an instance has changed."""

from __future__ import annotations

import asyncio
import functools
import threading
from array import array
from collections.abc import Callable
from typing import Any

from .answer import call_in

_TELL_APART = 4_096
"""Into so many groups instances are put: a change is remembered of the group, so that instances which
nobody waits for cost nothing, and whoever waits for one looks in vain now and then."""


class Notices:
    """Wakes those in this process who wait for a change of an instance, or of any (None), in any
    thread; and calls those who watch one."""

    def __init__(self) -> None:
        self._count = 0
        self._versions = array("Q", [0]) * _TELL_APART
        """The count at the last change of an instance of each group."""
        self._of_any = 0
        """The count at the last change of any instance."""
        self._of_all = 0
        """The count when all may have changed."""
        self._waiting: dict[str | None, set[Callable[[], None]]] = {}
        self._watching: dict[str | None, set[Callable[[], None]]] = {}
        self._lock = threading.Lock()

    def post(self, instance_id: str) -> None:
        """Something about the instance has changed."""
        waiting: set[Callable[[], None]] = set()
        with self._lock:
            self._count += 1
            for topic in (instance_id, None):
                self._note(topic)
                waiting |= self._waiting.pop(topic, set())
            waiting |= self._watching.get(instance_id, set())
        for wake in waiting:
            wake()

    def post_waiting(self, concerns: Callable[[str | None], bool]) -> None:
        """Something may have changed about any instance; of those that somebody waits for, or watches, only
        about those that this concerns."""
        wakes: set[Callable[[], None]] = set()
        with self._lock:
            self._count += 1
            self._of_all = self._count  # whoever is between two waits must not miss it
            for topic in [topic for topic in (self._waiting.keys() | self._watching.keys()) if concerns(topic)]:
                wakes |= self._waiting.pop(topic, set()) | self._watching.get(topic, set())
        for wake in wakes:
            wake()

    def post_all(self) -> None:
        """Something may have changed about any instance."""
        with self._lock:
            self._count += 1
            self._of_all = self._count
            waiting = {wake for each in (*self._waiting.values(), *self._watching.values()) for wake in each}
            self._waiting.clear()
        for wake in waiting:
            wake()

    def _note(self, topic: str | None) -> None:
        if topic is None:
            self._of_any = self._count
        else:
            self._versions[hash(topic) % _TELL_APART] = self._count

    def _version(self, topic: str | None) -> int:
        return max(self._of_any if topic is None else self._versions[hash(topic) % _TELL_APART], self._of_all)

    def watch(self, instance_id: str, callback: Callable[[], None]) -> Callable[[], object]:
        """Have a function called in this event loop, soon and after each change of an instance, until
        what this returns is called."""
        loop = asyncio.get_running_loop()
        wake = functools.partial(call_in, loop, callback)
        with self._lock:
            self._watching.setdefault(instance_id, set()).add(wake)
        loop.call_soon(callback)
        return functools.partial(self._forget, self._watching, instance_id, wake)

    def _forget(
        self, topics: dict[str | None, set[Callable[[], None]]], topic: str | None, wake: Callable[[], None]
    ) -> None:
        with self._lock:
            wakes = topics.get(topic, set())
            wakes.discard(wake)
            if not wakes:
                topics.pop(topic, None)

    async def wait(self, instance_id: str | None, seen: Any, timeout: float) -> int:
        """Wait for a version other than `seen`, `timeout` seconds at most; gives the version."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        wake = functools.partial(call_in, loop, _set, woken)
        with self._lock:
            version = self._version(instance_id)
            if version != seen:
                return version
            self._waiting.setdefault(instance_id, set()).add(wake)
        timer = loop.call_later(timeout, _set, woken)
        try:
            await woken
        finally:
            timer.cancel()
            self._forget(self._waiting, instance_id, wake)
        return self._version(instance_id)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
