"""Instances in the memory of this process: for tests, and for runs that need not outlive it."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from ..errors import StaleOwnerError, StoreError
from ..state.schema import Message, Outgoing, Record, State
from .answer import call_in
from .base import NO_PARTS, TRANSIENT, InstanceBusy, InstanceStore, Parts, Selection, are_news


class InMemoryStateStore(InstanceStore):
    """Keeps everything in memory; what it is given and what it gives are copies.

    >>> import asyncio
    >>> store = InMemoryStateStore()
    >>> state = {"done": [1]}
    >>> asyncio.run(store.save("one", state))
    >>> state["done"].append(2)
    >>> asyncio.run(store.load("one"))
    {'done': [1]}
    """

    def __init__(self) -> None:
        self._states: dict[str, bytes] = {}
        self._records: dict[str, Record] = {}
        self._messages: dict[str, list[Message]] = {}
        self._parts: dict[str, dict[str, bytes]] = {}
        self._owned: set[str] = set()
        self._numbers = 0
        self._lock = threading.RLock()
        self.notices = Notices()

    async def load(self, instance_id: str) -> State | None:
        record = self._records.get(instance_id)
        if record is not None:
            return record.to_state()
        data = self._states.get(instance_id)
        return None if data is None else self.unpickle(data)

    async def save(self, instance_id: str, state: State) -> None:
        self._states[instance_id] = pickle.dumps(state)

    async def acquire(self, initial: Record) -> tuple[Record, bool]:
        name = initial.instance_id
        with self._lock:
            record = self._records.get(name)
            created = record is None
            if record is None:
                record = initial
            elif name in self._owned:
                raise InstanceBusy
            elif record.status.is_final:
                return record.copy(), False
            self._records[name] = record = replace(record, epoch=record.epoch + 1)
            self._owned.add(name)
            return record.copy(), created

    async def enqueue(self, record: Record) -> bool:
        with self._lock:
            if record.instance_id in self._records:
                return False
            self._records[record.instance_id] = record.copy()
        self.notices.post(record.instance_id)
        return True

    def commit(
        self,
        record: Record,
        consumed: Sequence[int],
        flush: bool,
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> None:
        name = record.instance_id
        with self._lock:
            stored = self._records.get(name)
            if stored is None or stored.epoch != record.epoch:
                raise stale(record, stored)
            stored.advance(record)
            if consumed:
                self._messages[name] = [message for message in self._messages[name] if message.number not in consumed]
            if parts:
                put_parts(self._parts.setdefault(name, {}), parts)
            for message in outbox:
                self._put(message.instance_id, message.name, message.payload)
            if record.status.is_final:
                drop_transient(self._parts.get(name, {}))
        if record.status.is_final or are_news(parts):
            self.notices.post(name)
        for message in outbox:
            self.notices.post(message.instance_id)

    def release(self, instance_id: str, epoch: int) -> None:
        with self._lock:
            record = self._records.get(instance_id)
            if record is not None and record.epoch == epoch:
                self._owned.discard(instance_id)
        self.notices.post(instance_id)

    async def read(self, instance_id: str) -> Record | None:
        record = self._records.get(instance_id)
        return None if record is None else record.copy()

    async def parts(self, instance_id: str, prefix: str = "") -> dict[str, bytes]:
        parts = self._parts.get(instance_id, {})
        return {name: value for name, value in parts.items() if name.startswith(prefix)}

    async def messages(self, instance_id: str) -> list[Message]:
        return list(self._messages.get(instance_id, ()))

    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        with self._lock:
            number = self._put(instance_id, name, payload)
        self.notices.post(instance_id)
        done: Future[int] = Future()
        done.set_result(number)
        return done

    async def offer(self, instance_id: str, name: str, payload: bytes) -> bool:
        with self._lock:
            if any(message.name == name for message in self._messages.get(instance_id, ())):
                return False
            self._put(instance_id, name, payload)
        self.notices.post(instance_id)
        return True

    def _put(self, instance_id: str, name: str, payload: bytes) -> int:
        self._numbers += 1
        self._messages.setdefault(instance_id, []).append(Message(self._numbers, name, payload))
        return self._numbers

    async def changed(self, instance_id: str | None, seen: Any, timeout: float) -> Any:
        return await self.notices.wait(instance_id, seen, timeout)

    async def select(self, selection: Selection) -> list[Record]:
        return [record.copy() for record in selection.page(list(reversed(self._records.values())))]

    async def delete(self, instance_id: str) -> bool:
        with self._lock:
            if instance_id in self._owned:
                raise InstanceBusy
            self._parts.pop(instance_id, None)
            self._messages.pop(instance_id, None)
            self._states.pop(instance_id, None)
            return self._records.pop(instance_id, None) is not None

    async def drop_parts(self, instance_id: str, prefix: str) -> int:
        with self._lock:
            return drop_parts(self._parts.get(instance_id, {}), prefix)


def put_parts(stored: dict[str, bytes], parts: Parts) -> None:
    """Replace and delete parts as a commit asks for it."""
    for name, value in parts.items():
        if value is None:
            stored.pop(name, None)
        else:
            stored[name] = value


def drop_transient(stored: dict[str, bytes]) -> None:
    """Delete the parts that end with the instance."""
    for prefix in TRANSIENT:
        drop_parts(stored, prefix)


def drop_parts(stored: dict[str, bytes], prefix: str) -> int:
    """Delete the parts whose names begin so; gives how many."""
    names = [name for name in stored if name.startswith(prefix)]
    for name in names:
        del stored[name]
    return len(names)


def stale(record: Record, stored: Record | None) -> StaleOwnerError:
    """The error of a write that comes too late."""
    if stored is None:
        return StaleOwnerError(f"instance {record.instance_id!r} was deleted while it ran here; this run stops")
    return StaleOwnerError(
        f"instance {record.instance_id!r} has another owner by now (epoch {stored.epoch}, this one has epoch "
        f"{record.epoch}); this run stops, the other one goes on"
    )


def lost(record: Record) -> StoreError:
    """The error of a write that comes after one that was not done."""
    return StoreError(
        f"instance {record.instance_id!r}: a checkpoint before this one could not be written, so this one was not written "
        "either; the last one that was is kept, and calling the instance again goes on from there"
    )


_REMEMBERED = 100_000
"""Of how many instances the last change is remembered; whoever waits for others looks once in vain."""


class Notices:
    """Wakes those in this process who wait for a change of an instance, or of any (None), in any
    thread."""

    def __init__(self) -> None:
        self._count = 0
        self._forgotten = 0
        self._versions: dict[str | None, int] = {}
        """The count at the last change of each; of others it was `_forgotten` or less."""
        self._waiting: dict[str | None, set[Callable[[], None]]] = {}
        self._lock = threading.Lock()

    def post(self, instance_id: str) -> None:
        """Something about the instance has changed."""
        waiting: set[Callable[[], None]] = set()
        with self._lock:
            self._count += 1
            if len(self._versions) > _REMEMBERED:
                self._versions.clear()
                self._forgotten = self._count
            for topic in (instance_id, None):
                self._versions[topic] = self._count
                waiting |= self._waiting.pop(topic, set())
        for wake in waiting:
            wake()

    def post_waiting(self, concerns: Callable[[str | None], bool]) -> None:
        """Something may have changed about those that are waited for and that this concerns."""
        wakes: set[Callable[[], None]] = set()
        with self._lock:
            self._count += 1
            for topic in [topic for topic in self._waiting if concerns(topic)]:
                self._versions[topic] = self._count
                wakes |= self._waiting.pop(topic)
        for wake in wakes:
            wake()

    def post_all(self) -> None:
        """Something may have changed about any instance."""
        with self._lock:
            self._count += 1
            self._versions.clear()
            self._forgotten = self._count
            waiting = {wake for each in self._waiting.values() for wake in each}
            self._waiting.clear()
        for wake in waiting:
            wake()

    async def wait(self, instance_id: str | None, seen: Any, timeout: float) -> int:
        """Wait for a version other than `seen`, `timeout` seconds at most; gives the version."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            call_in(loop, _set, woken)

        with self._lock:
            version = self._versions.get(instance_id, self._forgotten)
            if version != seen:
                return version
            self._waiting.setdefault(instance_id, set()).add(wake)
        timer = loop.call_later(timeout, _set, woken)
        try:
            await woken
        finally:
            timer.cancel()
            with self._lock:
                waiting = self._waiting.get(instance_id, set())
                waiting.discard(wake)
                if not waiting:
                    self._waiting.pop(instance_id, None)
        return self._versions.get(instance_id, self._forgotten)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
