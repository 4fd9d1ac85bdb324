"""Instances in the memory of this process: for tests, and for runs that need not outlive it."""

from __future__ import annotations

import heapq
import pickle
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from ..errors import StaleOwnerError, StoreError
from ..state.schema import Message, Outgoing, Record, State, Status
from .base import InstanceStore
from .claiming import Claimed, InstanceBusy
from .names import CONTROL
from .notices import Notices
from .parts import NO_PARTS, TRANSIENT, Parts, are_news
from .selection import Selection


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

    writes_whole = True
    is_at_once = True

    def __init__(self) -> None:
        self._states: dict[str, bytes] = {}
        self._records: dict[str, Record] = {}
        self._messages: dict[str, list[Message]] = {}
        self._parts: dict[str, dict[str, bytes]] = {}
        self._owned: set[str] = set()
        self._candidates: dict[str, None] = {}
        """The instances that may be able to go on, oldest wish first; whatever could change that puts
        an instance here."""
        self._timers: list[tuple[float, str]] = []
        """When others of them will be able to, as a heap."""
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
            self._candidates[record.instance_id] = None
        self.notices.post(record.instance_id)
        return True

    async def claim(self, programs: Collection[str], limit: int, but: Collection[str] = ()) -> Claimed:
        now = time.time()
        claimed: list[Record] = []
        with self._lock:
            while self._timers and self._timers[0][0] <= now:
                self._candidates[heapq.heappop(self._timers)[1]] = None
            for name in list(self._candidates):
                if len(claimed) == limit:
                    break
                record = self._records.get(name)
                due = None if record is None or name in self._owned else self._due(record)
                is_due = record is not None and due is not None and due <= now
                if record is not None and is_due and (record.program not in programs or name in but):
                    continue  # it is there for others
                del self._candidates[name]
                if record is None or due is None:
                    continue
                if due > now:
                    heapq.heappush(self._timers, (due, name))
                    continue
                record.epoch += 1
                self._owned.add(name)
                claimed.append(record.copy())
            next_due = self._timers[0][0] if self._timers else None
            messages = {record.instance_id: list(self._messages.get(record.instance_id, ())) for record in claimed}
        return Claimed(claimed, next_due, messages)

    def _due(self, record: Record) -> float | None:
        """When an instance that nobody owns can go on, in seconds since 1970."""
        if record.status in (Status.ENQUEUED, Status.RUNNING) and not record.is_held:
            return record.created_at
        if record.status in (Status.SLEEPING, Status.WAITING):
            for message in self._messages.get(record.instance_id, ()):
                if message.name in record.awaited or message.name.startswith(CONTROL):
                    return record.updated_at
        return record.wake_at if record.status in (Status.SLEEPING, Status.WAITING) else None

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
                self._candidates[instance_id] = None
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
        self._candidates[instance_id] = None
        self._messages.setdefault(instance_id, []).append(Message(self._numbers, name, payload))
        return self._numbers

    async def changed(self, instance_id: str | None, seen: Any, timeout: float) -> Any:
        return await self.notices.wait(instance_id, seen, timeout)

    def watch(self, instance_id: str, callback: Callable[[], None]) -> Callable[[], object]:
        return self.notices.watch(instance_id, callback)

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
