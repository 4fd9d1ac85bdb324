"""Any store with `load` and `save`, or a backend with their like, as an `InstanceStore`.

Everything of an instance is in the one state that `save` replaces: the record, its parts, its
mailbox, and what it has sent to others until they have it.  Who owns an instance only this process
knows; two processes on such a store at a time would overwrite each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..errors import DurableError, StoreError
from ..state.schema import Message, Outgoing, Record, State
from .answer import promise
from .base import InstanceStore
from .claiming import InstanceBusy
from .memory import drop_parts, drop_transient, put_parts, stale
from .notices import Notices
from .parts import NO_PARTS, Parts, are_news
from .selection import Selection

_MAILBOX = "mailbox"
_PARTS = "parts"
_SENT = "sent"
_POSTED = "posted"
_RECEIVED = "received"
_NUMBERED = "numbered"

_NAP = 0.001
"""Seconds between two tries to have an instance for oneself."""

_Letter: TypeAlias = tuple[int, str, str, bytes]
"""A message to another instance: its number among those of the sender, the id, name and payload."""


@dataclass(slots=True, eq=False)
class Entry:
    """What is known of an instance."""

    record: Record | None = None
    mailbox: list[Message] = field(default_factory=list)
    numbered: int = 0
    """The number of the last message it ever had; none is used again."""
    parts: dict[str, bytes] = field(default_factory=dict)
    sent: list[_Letter] = field(default_factory=list)
    """What others do not have yet."""
    posted: int = 0
    """How many messages it ever sent; `posted_safely`, how many of them the store knows of."""
    posted_safely: int = 0
    received: dict[str, int] = field(default_factory=dict)
    """The number of the last message that has come from each other instance."""
    owned: bool = False
    loop: asyncio.AbstractEventLoop | None = None
    """Where it is at work, if it is owned."""
    version: int = 0
    """Counts the commits; `saved` is the version that the store has."""
    saved: int = 0
    has_news: bool = False
    """Whether the last commits have something that others may wait for."""

    def state(self) -> State:
        state: State = {} if self.record is None else self.record.to_state()
        state[_MAILBOX] = [(message.number, message.name, message.payload) for message in self.mailbox]
        for name, value in ((_PARTS, self.parts), (_SENT, self.sent), (_RECEIVED, self.received)):
            if value:
                state[name] = value.copy()
        for name, count in ((_POSTED, self.posted), (_NUMBERED, self.numbered)):
            if count:
                state[name] = count
        return state

    def send(self, message: Outgoing) -> None:
        self.posted += 1
        self.sent.append((self.posted, message.instance_id, message.name, message.payload))

    def put(self, name: str, payload: bytes) -> Message:
        self.numbered += 1
        message = Message(self.numbered, name, payload)
        self.mailbox.append(message)
        return message


@dataclass(slots=True, eq=False)
class _Published:
    """A message that is in no mailbox yet."""

    name: str
    payload: bytes
    number: int = 0


class TwoMethodStore(InstanceStore):
    """Adapts a pair of coroutine functions.

    Args:
        load: gives the state of an instance id, or None.
        save: replaces it.

    Attributes:
        user: the store whose methods these are, which is kept as long as this is.
    """

    writes_whole = True
    is_at_once = True

    def __init__(
        self, load: Callable[[str], Awaitable[State | None]], save: Callable[[str, State], Awaitable[None]]
    ) -> None:
        self._load_state = load
        self._save_state = save
        self.user: object = None
        self._entries: dict[str, Entry] = {}
        self._published: dict[str, list[_Published]] = {}
        self._locks: weakref.WeakValueDictionary[str, threading.Lock] = weakref.WeakValueDictionary()
        self._lock = threading.RLock()
        self.notices = Notices()

    @contextlib.asynccontextmanager
    async def _opened(self, instance_id: str) -> AsyncIterator[Entry]:
        """The entry of an instance, with the mailbox up to date; nobody else's for so long.

        It is read from the store unless this process is at work on it.
        """
        with self._lock:
            lock = self._locks.setdefault(instance_id, threading.Lock())
        while not lock.acquire(blocking=False):  # who has it may run in another event loop
            await asyncio.sleep(_NAP)
        try:
            entry = self._entries.get(instance_id)
            if entry is None or not entry.owned:
                entry = self._entries[instance_id] = _read(await self._load(instance_id))
            await self._collect(instance_id, entry)
            yield entry
        finally:
            lock.release()

    async def _collect(self, instance_id: str, entry: Entry) -> None:
        """Put what was published into the mailbox."""
        with self._lock:
            published = self._published.pop(instance_id, None)
        if not published:
            return
        messages = [entry.put(each.name, each.payload) for each in published]
        try:
            await self._save(instance_id, entry.state())
        except BaseException:
            entry.mailbox = [message for message in entry.mailbox if message not in messages]
            with self._lock:
                self._published[instance_id] = [*published, *self._published.pop(instance_id, ())]
            raise
        for each, message in zip(published, messages, strict=True):
            each.number = message.number

    async def _load(self, instance_id: str) -> State | None:
        try:
            return await self._load_state(instance_id)
        except DurableError:
            raise
        except Exception as error:
            raise StoreError(f"instance {instance_id!r} cannot be loaded: {_named(error)}") from error

    async def _save(self, instance_id: str, state: State) -> None:
        try:
            await self._save_state(instance_id, state)
        except DurableError:
            raise
        except Exception as error:
            raise StoreError(
                f"instance {instance_id!r} cannot be saved: {_named(error)}; it stops here, and its last checkpoint is kept"
            ) from error

    # plain states

    async def load(self, instance_id: str) -> State | None:
        if self._published.get(instance_id):
            async with self._opened(instance_id):
                pass  # what was published is in the state from here on
        return await self._load(instance_id)

    async def save(self, instance_id: str, state: State) -> None:
        await self._save(instance_id, state)

    async def keep_sources(self, texts: Mapping[str, str]) -> None:
        """Not kept: whoever wrote the two methods expects instances there, and nothing else."""

    async def source(self, version: str) -> str | None:
        return None

    # instances

    async def acquire(self, initial: Record) -> tuple[Record, bool]:
        async with self._opened(initial.instance_id) as entry:
            if entry.owned:
                raise InstanceBusy
            created = entry.record is None
            record = initial.copy() if entry.record is None else entry.record
            if not record.status.is_final:
                record.epoch += 1
                entry.record = record
                if created:
                    await self._save(initial.instance_id, entry.state())
                entry.owned, entry.loop = True, asyncio.get_running_loop()
        try:
            await self._deliver(initial.instance_id, entry)
        except BaseException:
            self.release(record.instance_id, record.epoch)
            raise
        return record.copy(), created

    async def enqueue(self, record: Record) -> bool:
        async with self._opened(record.instance_id) as entry:
            if entry.record is not None:
                return False
            entry.record = record.copy()
            await self._save(record.instance_id, entry.state())
        self.notices.post(record.instance_id)
        return True

    def commit(
        self,
        record: Record,
        consumed: Sequence[int],
        flush: bool,
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None]:
        entry = self._entries.get(record.instance_id)
        if entry is None or entry.record is None or entry.record.epoch != record.epoch or not entry.owned:
            raise stale(record, None if entry is None else entry.record)
        entry.record.advance(record)
        entry.mailbox = [message for message in entry.mailbox if message.number not in consumed]
        put_parts(entry.parts, parts)
        if record.status.is_final:
            drop_transient(entry.parts)
        for message in outbox:
            entry.send(message)
        entry.version += 1
        entry.has_news |= record.status.is_final or are_news(parts)
        return self._write(entry, entry.record, entry.version)

    async def _write(self, entry: Entry, record: Record, version: int) -> None:
        async with self._opened(record.instance_id) as current:
            if current is not entry:
                raise stale(record, current.record)
            if entry.saved < version:
                version, posted, has_news = entry.version, entry.posted, entry.has_news
                entry.has_news = False
                await self._save(record.instance_id, entry.state())
                entry.saved, entry.posted_safely = version, posted
                if has_news:
                    self.notices.post(record.instance_id)
        await self._deliver(record.instance_id, entry)

    async def _deliver(self, sender: str, entry: Entry) -> None:
        """Put what an instance has sent into the mailboxes, each message once.

        The receiver's state is saved with the message and its number, so it is known there whether
        it has come already.
        """
        while entry.sent and entry.sent[0][0] <= entry.posted_safely:
            first, receiver, name, payload = letter = entry.sent[0]
            async with self._opened(receiver) as other:
                if other.received.get(sender, 0) < first:
                    other.put(name, payload)
                    other.received[sender] = first
                    await self._save(receiver, other.state())
                if letter in entry.sent:
                    entry.sent.remove(letter)
            self.notices.post(receiver)

    def release(self, instance_id: str, epoch: int) -> None:
        entry = self._entries.get(instance_id)
        if entry is not None and entry.record is not None and entry.record.epoch == epoch:
            entry.owned = False
        self.notices.post(instance_id)

    async def delete(self, instance_id: str) -> bool:
        async with self._opened(instance_id) as entry:
            if entry.owned:
                raise InstanceBusy
            await self._save(instance_id, Entry().state())
            del self._entries[instance_id]
            return entry.record is not None

    async def drop_parts(self, instance_id: str, prefix: str) -> int:
        async with self._opened(instance_id) as entry:
            if entry.owned:
                raise InstanceBusy
            dropped = drop_parts(entry.parts, prefix)
            if dropped:
                await self._save(instance_id, entry.state())
            return dropped

    async def read(self, instance_id: str) -> Record | None:
        async with self._opened(instance_id) as entry:
            return None if entry.record is None else entry.record.copy()

    async def parts(self, instance_id: str, prefix: str = "") -> dict[str, bytes]:
        async with self._opened(instance_id) as entry:
            return {name: value for name, value in entry.parts.items() if name.startswith(prefix)}

    async def select(self, selection: Selection) -> list[Record]:
        """Only what was seen by this process: two methods cannot list."""
        records = [entry.record for entry in self._entries.values() if entry.record is not None]
        records.sort(key=lambda record: record.created_at, reverse=True)
        return [record.copy() for record in selection.page(records)]

    # messages

    async def messages(self, instance_id: str) -> list[Message]:
        async with self._opened(instance_id) as entry:
            return list(entry.mailbox)

    async def offer(self, instance_id: str, name: str, payload: bytes) -> bool:
        async with self._opened(instance_id) as entry:
            if any(message.name == name for message in entry.mailbox):
                return False
            message = entry.put(name, payload)
            try:
                await self._save(instance_id, entry.state())
            except BaseException:
                entry.mailbox.remove(message)
                raise
        self.notices.post(instance_id)
        return True

    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        stored = promise()
        message = _Published(name, payload)
        with self._lock:
            self._published.setdefault(instance_id, []).append(message)

        async def put() -> None:
            try:
                async with self._opened(instance_id):
                    pass
            except BaseException as error:
                with self._lock:
                    waiting = self._published.get(instance_id, [])
                    self._published[instance_id] = [each for each in waiting if each is not message]
                stored.set_exception(error)
                raise
            stored.set_result(message.number)
            self.notices.post(instance_id)

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._put_from_thread(instance_id, put)
        else:
            task = loop.create_task(put())
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)
        return stored

    def _put_from_thread(self, instance_id: str, put: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Where the instance is at work, if it is: `save` may depend on its event loop."""
        entry = self._entries.get(instance_id)
        if entry is not None and entry.owned and entry.loop is not None and entry.loop.is_running():
            asyncio.run_coroutine_threadsafe(put(), entry.loop).result()
        else:
            asyncio.run(put())

    async def changed(self, instance_id: str | None, seen: Any, timeout: float) -> Any:
        return await self.notices.wait(instance_id, seen, timeout)

    def watch(self, instance_id: str, callback: Callable[[], None]) -> Callable[[], object]:
        return self.notices.watch(instance_id, callback)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _read(state: State | None) -> Entry:
    entry = Entry()
    if state is not None:
        if isinstance(state, dict):
            entry.mailbox = [Message(*fields) for fields in state.get(_MAILBOX, ())]
            entry.parts, entry.received = state.get(_PARTS, {}), state.get(_RECEIVED, {})
            entry.sent, entry.posted = state.get(_SENT, []), state.get(_POSTED, 0)
            entry.numbered = state.get(_NUMBERED, 0)
            entry.posted_safely = entry.posted
        if not isinstance(state, dict) or "format" in state or _MAILBOX not in state:
            entry.record = Record.from_state(state)
    return entry


_tasks: set[asyncio.Task[None]] = set()
"""Keeps tasks alive that nobody awaits."""
