"""Instances as files in a folder: one for each, easy to look at and to copy.

``ID.pkl`` is replaced atomically with each write; it holds the record with its parts.  ``ID.mail``
holds a file for each message; the numbers of those that were consumed stand in ``ID.pkl`` until
their files are gone, so a message is consumed in the same instant as the checkpoint that takes it.
``ID.lock`` is locked by the owner, and by nobody once the owner is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ..errors import StoreError
from ..state.schema import Message, Outgoing, Record, State, Status
from . import disk_mailbox as mailbox
from .answer import Answer, answer_of, kept
from .base import InstanceStore
from .claiming import InstanceBusy
from .damaged import listed
from .disk_file import pack, unpack
from .disk_lock import FileLock
from .memory import drop_parts, drop_transient, put_parts, stale
from .names import check_instance_id
from .notices import Notices
from .parts import NO_PARTS, Parts, are_news
from .selection import Selection
from .threads import Threads

T = TypeVar("T")

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=, -]{0,119}")
_CONSUMED = "consumed"
_PARTS = "parts"
_SENT = "sent"
_NAP = 0.001
"""Seconds between two tries to have the mailbox for an offer."""

_POLL = 0.1
"""Seconds between two looks at whether another process has written."""


@dataclass(slots=True)
class _Held:
    """An instance that this process owns, as it is to be written next."""

    lock: FileLock
    record: Record
    parts: dict[str, bytes] = field(default_factory=dict)
    consumed: list[int] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)
    has_news: bool = False
    """Whether the next write has something that others may wait for."""
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    write: asyncio.Task[None] | None = None
    """The last write that was asked for."""
    is_open: bool = False
    """Whether it has not begun: what is committed until it does is written with it."""

    def state(self) -> State:
        state = self.record.to_state()
        if self.parts:
            state[_PARTS] = self.parts.copy()
        if self.consumed:
            state[_CONSUMED] = self.consumed.copy()
        return state


class DiskStateStore(InstanceStore):
    """Keeps each instance in a file of its own, for any number of processes on one machine.

    Args:
        path: the folder; it is made if it is not there.

    An id made of letters, digits and plain signs names its file, ``ID.pkl``; any other id is data,
    not a path, and its file is named by a hash.

    >>> import asyncio, tempfile
    >>> store = DiskStateStore(tempfile.mkdtemp())
    >>> asyncio.run(store.save("../one", {"count": 1}))
    >>> asyncio.run(store.load("../one"))
    {'count': 1}
    """

    writes_whole = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.path} can be no folder of states: {error}") from error
        self._held: dict[str, _Held] = {}
        self._threads = Threads(4, "durable-ast-disk")
        self._mail_thread = Threads(1, "durable-ast-mail")  # what is published first is seen first
        self.notices = Notices()

    def _in_thread(self, function: Callable[..., T], *args: Any) -> Answer[T]:
        return answer_of(self._threads.submit(self._explained, function, *args))

    def _explained(self, function: Callable[..., T], *args: Any) -> T:
        """What a function gives; what the file system has to say is about the store."""
        try:
            return function(*args)
        except OSError as error:
            raise StoreError(f"{self.path}: {error}") from error

    def _file(self, instance_id: str, suffix: str) -> Path:
        check_instance_id(instance_id)
        if _PLAIN.fullmatch(instance_id):
            return self.path / f"{instance_id}{suffix}"
        return self.path / f"~{hashlib.sha256(instance_id.encode()).hexdigest()[:40]}{suffix}"

    # plain states

    async def load(self, instance_id: str) -> State | None:
        return await self._in_thread(self._read, instance_id)

    async def save(self, instance_id: str, state: State) -> None:
        await self._in_thread(self._replace, instance_id, state)

    def _read(self, instance_id: str) -> State | None:
        return self._state_in(self._file(instance_id, ".pkl"))

    def _state_in(self, file: Path) -> State | None:
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{file} cannot be read: {error}") from error
        state: State = unpack(data, file, self.unpickle)
        return state

    def _replace(self, instance_id: str, state: State) -> None:
        file = self._file(instance_id, ".pkl")
        data = pack(state)
        temporary = file.with_name(f"{file.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
        try:
            with open(temporary, "xb", opener=mailbox.private) as new:
                new.write(data)
                new.flush()
                os.fsync(new.fileno())
            os.replace(temporary, file)
            mailbox.flush_folder(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise StoreError(f"{file} cannot be written: {error}; the last checkpoint is kept") from error

    # owning an instance

    async def acquire(self, initial: Record) -> tuple[Record, bool]:
        return await kept(self._in_thread(self._acquire, initial), self._let_go)

    def _let_go(self, acquired: tuple[Record, bool]) -> None:
        self.release(acquired[0].instance_id, acquired[0].epoch)

    def _acquire(self, initial: Record) -> tuple[Record, bool]:
        name = initial.instance_id
        lock = self._lock(name)
        try:
            state = self._read(name)
            record = initial.copy() if state is None else Record.from_state(state)
            if record.status.is_final:
                self._finish_sending(state or {})
                lock.close()
                return record, False
            record.epoch += 1
            held = _Held(lock, record)
            if record.status is Status.RUNNING and state is not None:
                record.recoveries += 1  # nothing tells a release from a death
            if state is not None:
                held.parts, held.consumed = state.get(_PARTS, {}), state.get(_CONSUMED, [])
                self._finish_sending(state)
            self._write(name, held.state(), [])
            held.consumed.clear()
            self._held[name] = held
        except BaseException:
            lock.close()
            raise
        return record.copy(), state is None

    def _lock(self, instance_id: str) -> FileLock:
        return FileLock(self._file(instance_id, ".lock"))

    async def enqueue(self, record: Record) -> bool:
        created = await self._in_thread(self._enqueue, record.copy())
        if created:
            self.notices.post(record.instance_id)
        return created

    def _enqueue(self, record: Record) -> bool:
        try:
            lock = self._lock(record.instance_id)
        except InstanceBusy:
            return False  # it has an owner, so there is one
        with lock:
            if self._read(record.instance_id) is not None:
                return False
            self._replace(record.instance_id, record.to_state())
            return True

    def release(self, instance_id: str, epoch: int) -> None:
        held = self._held.get(instance_id)
        if held is not None and held.record.epoch == epoch:
            del self._held[instance_id]
            if held.write is None or held.write.done():
                self._unlock(instance_id, held)
            else:
                held.write.add_done_callback(lambda _: self._unlock(instance_id, held))
        self.notices.post(instance_id)

    def _unlock(self, instance_id: str, held: _Held) -> None:
        held.lock.close()
        self._tell_others(instance_id)

    def _tell_others(self, instance_id: str) -> None:
        """Let other processes see that something has changed: of files they see when, and of those in a
        folder of the folder not even that."""
        when = time.time_ns()  # the system's own stamps are several milliseconds apart
        for path in (self._file(instance_id, ".pkl"), self.path):
            with contextlib.suppress(OSError):
                os.utime(path, ns=(when, when))

    async def delete(self, instance_id: str) -> bool:
        return await self._in_thread(self._delete, instance_id)

    def _delete(self, instance_id: str) -> bool:
        with self._lock(instance_id):
            file = self._file(instance_id, ".pkl")
            existed = file.exists()
            file.unlink(missing_ok=True)
            shutil.rmtree(self._file(instance_id, ".mail"), ignore_errors=True)
            mailbox.flush_folder(self.path)
            self._file(instance_id, ".offer").unlink(missing_ok=True)
            self._file(instance_id, ".lock").unlink()
        return existed

    async def drop_parts(self, instance_id: str, prefix: str) -> int:
        return await self._in_thread(self._drop_parts, instance_id, prefix)

    def _drop_parts(self, instance_id: str, prefix: str) -> int:
        with self._lock(instance_id):
            state = self._read(instance_id)
            dropped = drop_parts({} if state is None else state.get(_PARTS, {}), prefix)
            if state is not None and dropped:
                self._write(instance_id, state, [])
        return dropped

    # transitions

    def commit(
        self,
        record: Record,
        consumed: Sequence[int],
        flush: bool,
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None]:
        held = self._held.get(record.instance_id)
        if held is None or held.record.epoch != record.epoch:
            raise stale(record, record if held is None else held.record)
        held.record.advance(record)
        held.consumed.extend(consumed)
        held.outbox.extend(outbox)
        put_parts(held.parts, parts)
        held.has_news |= record.status.is_final or are_news(parts)
        if record.status.is_final:
            drop_transient(held.parts)
        if held.write is None or not held.is_open:
            held.write, held.is_open = asyncio.get_running_loop().create_task(self._write_next(held)), True
        return asyncio.shield(held.write)

    async def _write_next(self, held: _Held) -> None:
        async with held.saving:
            held.is_open = False
            name, state = held.record.instance_id, held.state()
            letters, held.outbox = held.outbox, []
            has_news, held.has_news = held.has_news, False
            await self._in_thread(self._write, name, state, letters)
            del held.consumed[: len(state.get(_CONSUMED, ()))]
        if has_news:
            self.notices.post(name)
        for message in letters:
            self.notices.post(message.instance_id)

    def _write(self, instance_id: str, state: State, letters: list[Outgoing]) -> None:
        token = uuid.uuid4().hex
        try:
            sent = [
                (message.instance_id, mailbox.hold(self._mail(message.instance_id), message, instance_id, token))
                for message in letters
            ]
            if sent:
                state[_SENT] = (token, sent)
            self._replace(instance_id, state)
            self._finish_sending(state)
            for number in state.get(_CONSUMED, ()):
                mailbox.remove(self._mail(instance_id), number)
        except OSError as error:
            raise StoreError(f"{self.path}: {error}; instance {instance_id!r} stops here") from error

    def _finish_sending(self, state: State) -> None:
        """Deliver what a checkpoint says it has sent."""
        for instance_id, name in state.get(_SENT, ("", ()))[1]:
            mailbox.deliver(self._mail(instance_id), name)
            self._tell_others(instance_id)

    # looking

    async def read(self, instance_id: str) -> Record | None:
        state = await self.load(instance_id)
        return None if state is None else Record.from_state(state)

    async def parts(self, instance_id: str, prefix: str = "") -> dict[str, bytes]:
        held = self._held.get(instance_id)
        parts = (await self.load(instance_id) or {}).get(_PARTS, {}) if held is None else held.parts
        return {name: value for name, value in parts.items() if name.startswith(prefix)}

    async def select(self, selection: Selection) -> list[Record]:
        def work() -> list[Record]:
            states = {file.stem: listed(self._state_in, file, file.stem) for file in self.path.glob("*.pkl")}
            records = [
                state if isinstance(state, Record) else listed(Record.from_state, state, name)
                for name, state in states.items()
                if isinstance(state, Record) or (isinstance(state, dict) and "format" in state)
            ]
            return selection.page(sorted(records, key=lambda record: record.created_at, reverse=True))

        return await self._in_thread(work)

    # messages

    def _mail(self, instance_id: str) -> Path:
        return self._file(instance_id, ".mail")

    async def messages(self, instance_id: str) -> list[Message]:
        return await answer_of(self._mail_thread.submit(self._explained, self._messages, instance_id))

    def _messages(self, instance_id: str) -> list[Message]:
        for letter in mailbox.held(self._mail(instance_id)):
            self._settle(letter)
        consumed = set((self._read(instance_id) or {}).get(_CONSUMED, ()))
        return [message for message in mailbox.messages(self._mail(instance_id)) if message.number not in consumed]

    def _settle(self, letter: mailbox.Held) -> None:
        """Find out whether a message that is held was sent, unless its sender is at work on that."""
        try:
            lock = self._lock(letter.sender)
        except InstanceBusy:
            return
        with lock:
            token, _ = (self._read(letter.sender) or {}).get(_SENT, ("", ()))
            if token == letter.token:
                letter.deliver()
            else:
                letter.discard()

    async def offer(self, instance_id: str, name: str, payload: bytes) -> bool:
        return await self._in_thread(self._offer, instance_id, name, payload)

    def _offer(self, instance_id: str, name: str, payload: bytes) -> bool:
        lock = self._file(instance_id, ".offer")
        while True:
            try:
                with FileLock(lock):
                    if any(message.name == name for message in self._messages(instance_id)):
                        return False
                    self._publish(instance_id, name, payload)
                    return True
            except InstanceBusy:
                time.sleep(_NAP)  # another offer is being made

    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        stored = self._mail_thread.submit(self._explained, self._publish, instance_id, name, payload)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            stored.result()
        return stored

    def _publish(self, instance_id: str, name: str, payload: bytes) -> int:
        number = mailbox.publish(self._mail(instance_id), name, payload)
        self._tell_others(instance_id)
        self.notices.post(instance_id)
        return number

    async def changed(self, instance_id: str | None, seen: Any, timeout: float) -> Any:
        """Changes by this process wake at once, those by others within a tenth of a second."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        notice, version = seen if seen is not None else (None, None)
        while True:
            left = max(deadline - loop.time(), 0.0)
            now = await self.notices.wait(instance_id, notice, min(left, _POLL))
            current = await self._in_thread(self._version, instance_id)
            if now != notice or current != version or left <= _POLL:
                return now, current

    def _version(self, instance_id: str | None) -> tuple[int, ...]:
        if instance_id is None:
            return (os.stat(self.path).st_mtime_ns,)
        versions = []
        for suffix in (".pkl", ".mail"):
            try:
                versions.append(os.stat(self._file(instance_id, suffix)).st_mtime_ns)
            except FileNotFoundError:
                versions.append(0)
        return tuple(versions)

    async def close(self) -> None:
        for held in list(self._held.values()):
            if held.write is not None:
                await asyncio.wait([held.write])
            self.release(held.record.instance_id, held.record.epoch)
        self._mail_thread.close()
        self._threads.close()
