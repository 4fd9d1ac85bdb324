"""Instances in the memory of this process: for tests, and for runs that need not outlive it."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from ..errors import StaleOwnerError
from ..state.schema import Message, Record, State
from .base import InstanceBusy, InstanceStore, Write


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
        self._owned: set[str] = set()
        self._numbers = 0
        self._lock = threading.RLock()
        self.notices = Notices()

    async def load(self, instance_id: str) -> State | None:
        record = self._records.get(instance_id)
        if record is not None:
            return record.to_state()
        data = self._states.get(instance_id)
        return None if data is None else pickle.loads(data)

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

    def commit(self, write: Write) -> None:
        record = write.record
        name = record.instance_id
        with self._lock:
            stored = self._records.get(name)
            if stored is None or stored.epoch != record.epoch:
                raise stale(record, stored)
            self._records[name] = record.copy()
            if write.consumed:
                kept = [message for message in self._messages[name] if message.number not in write.consumed]
                self._messages[name] = kept
        if record.status.is_final:
            self.notices.post(name)

    def release(self, instance_id: str, epoch: int) -> None:
        with self._lock:
            record = self._records.get(instance_id)
            if record is not None and record.epoch == epoch:
                self._owned.discard(instance_id)
        self.notices.post(instance_id)

    async def read(self, instance_id: str) -> Record | None:
        record = self._records.get(instance_id)
        return None if record is None else record.copy()

    async def messages(self, instance_id: str) -> list[Message]:
        return list(self._messages.get(instance_id, ()))

    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        with self._lock:
            self._numbers += 1
            message = Message(self._numbers, name, payload)
            self._messages.setdefault(instance_id, []).append(message)
        self.notices.post(instance_id)
        done: Future[int] = Future()
        done.set_result(message.number)
        return done

    async def changed(self, instance_id: str, seen: Any, timeout: float) -> Any:
        return await self.notices.wait(instance_id, seen, timeout)

    async def records(self) -> list[Record]:
        return [record.copy() for record in reversed(self._records.values())]


def stale(record: Record, stored: Record | None) -> StaleOwnerError:
    """The error of a write that comes too late."""
    if stored is None:
        return StaleOwnerError(f"instance {record.instance_id!r} was deleted while it ran here; this run stops")
    return StaleOwnerError(
        f"instance {record.instance_id!r} has another owner by now (epoch {stored.epoch}, this one has epoch "
        f"{record.epoch}); this run stops, the other one goes on"
    )


class Notices:
    """Wakes those in this process who wait for a change of an instance, in any thread."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self._waiting: dict[str, set[Callable[[], None]]] = {}
        self._lock = threading.Lock()

    def post(self, instance_id: str) -> None:
        """Something about the instance has changed."""
        with self._lock:
            self._versions[instance_id] = self._versions.get(instance_id, 0) + 1
            waiting = self._waiting.pop(instance_id, set())
        for wake in waiting:
            wake()

    async def wait(self, instance_id: str, seen: Any, timeout: float) -> int:
        """Wait for a version other than `seen`, `timeout` seconds at most; gives the version."""
        loop = asyncio.get_running_loop()
        event = asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

        with self._lock:
            version = self._versions.get(instance_id, 0)
            if version != seen:
                return version
            self._waiting.setdefault(instance_id, set()).add(wake)
        try:
            await asyncio.wait_for(event.wait(), timeout)
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiting.get(instance_id, set()).discard(wake)
        return self._versions.get(instance_id, 0)
