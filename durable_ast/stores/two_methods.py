"""Any store with `load` and `save`, or a backend with their like, as an `InstanceStore`.

Atomic within this process only: ownership, the mailbox and its consumption are kept in the one state
that `save` replaces.  Two processes on such a store at a time would overwrite each other.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from ..state.schema import Message, Record, State
from .base import InstanceBusy, InstanceStore, Write
from .memory import Notices, stale

_MAILBOX = "mailbox"


@dataclass(slots=True)
class _Entry:
    """What is known of an instance while this process works on it."""

    record: Record | None = None
    mailbox: list[Message] = field(default_factory=list)
    owned: bool = False
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)

    def state(self) -> State:
        state: State = {} if self.record is None else self.record.to_state()
        state[_MAILBOX] = [(message.number, message.name, message.payload) for message in self.mailbox]
        return state


class TwoMethodStore(InstanceStore):
    """Adapts a pair of coroutine functions.

    Args:
        load: gives the state of an instance id, or None.
        save: replaces it.
    """

    def __init__(
        self, load: Callable[[str], Awaitable[State | None]], save: Callable[[str, State], Awaitable[None]]
    ) -> None:
        self._load = load
        self._save = save
        self._entries: dict[str, _Entry] = {}
        self._early: dict[str, list[tuple[str, bytes, list[int]]]] = {}
        """Messages that were published and are in no mailbox yet; the list takes the number."""
        self._lock = threading.RLock()
        self.notices = Notices()

    async def load(self, instance_id: str) -> State | None:
        return await self._load(instance_id)

    async def save(self, instance_id: str, state: State) -> None:
        await self._save(instance_id, state)

    async def _entry(self, instance_id: str) -> _Entry:
        """The entry of an instance; read from the store unless this process is at work on it."""
        entry = self._entries.get(instance_id)
        if entry is None or not entry.owned:
            state = await self._load(instance_id)
            entry = self._entries.get(instance_id)  # it may have been acquired meanwhile
            if entry is None or not entry.owned:
                entry = self._entries[instance_id] = _read(state)
        with self._lock:
            for name, payload, done in self._early.pop(instance_id, ()):
                number = 1 + max((message.number for message in entry.mailbox), default=0)
                entry.mailbox.append(Message(number, name, payload))
                done.append(number)
        return entry

    async def acquire(self, initial: Record) -> tuple[Record, bool]:
        entry = await self._entry(initial.instance_id)
        if entry.owned:
            raise InstanceBusy
        created = entry.record is None
        record = initial if entry.record is None else entry.record
        if not created and record.status.is_final:
            return record.copy(), False
        entry.record = replace(record, epoch=record.epoch + 1)
        entry.owned = True
        if created:
            await self._write(entry)
        return entry.record.copy(), created

    def commit(self, write: Write) -> Awaitable[None]:
        entry = self._entries.get(write.record.instance_id)
        if entry is None or entry.record is None or entry.record.epoch != write.record.epoch or not entry.owned:
            raise stale(write.record, None if entry is None else entry.record)
        entry.record = write.record.copy()
        entry.mailbox = [message for message in entry.mailbox if message.number not in write.consumed]
        return self._write(entry)

    async def _write(self, entry: _Entry) -> None:
        async with entry.saving:
            record = entry.record
            assert record is not None
            await self._save(record.instance_id, entry.state())
        if record.status.is_final:
            self.notices.post(record.instance_id)

    def release(self, instance_id: str, epoch: int) -> None:
        entry = self._entries.get(instance_id)
        if entry is not None and entry.record is not None and entry.record.epoch == epoch:
            entry.owned = False
        self.notices.post(instance_id)

    async def read(self, instance_id: str) -> Record | None:
        record = (await self._entry(instance_id)).record
        return None if record is None else record.copy()

    async def messages(self, instance_id: str) -> list[Message]:
        return list((await self._entry(instance_id)).mailbox)

    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        stored: Future[int] = Future()
        numbers: list[int] = []
        with self._lock:
            self._early.setdefault(instance_id, []).append((name, payload, numbers))

        async def put() -> None:
            try:
                entry = await self._entry(instance_id)
                async with entry.saving:
                    await self._save(instance_id, entry.state())
            except BaseException as error:
                stored.set_exception(error)
                raise
            stored.set_result(numbers[0])
            self.notices.post(instance_id)

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(put())
        else:
            task = loop.create_task(put())
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)
        return stored

    async def changed(self, instance_id: str, seen: Any, timeout: float) -> Any:
        return await self.notices.wait(instance_id, seen, timeout)

    async def records(self) -> list[Record]:
        return [entry.record.copy() for entry in self._entries.values() if entry.record is not None]


def _read(state: State | None) -> _Entry:
    entry = _Entry()
    if state is not None:
        if isinstance(state, dict):
            entry.mailbox = [Message(*fields) for fields in state.get(_MAILBOX, ())]
        if not isinstance(state, dict) or "format" in state or _MAILBOX not in state:
            entry.record = Record.from_state(state)
    return entry


_tasks: set[asyncio.Task[None]] = set()
"""Keeps tasks alive that nobody awaits."""
