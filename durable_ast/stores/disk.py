"""Instances as files in a folder: one for each, easy to look at and to copy.

``ID.pkl`` is replaced atomically with each write.  ``ID.mail`` holds a file for each message; the
numbers of those that were consumed stand in ``ID.pkl`` until their files are gone, so a message is
consumed in the same instant as the checkpoint that takes it.  ``ID.lock`` is locked by the owner,
and by nobody once the owner is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import pickle
import re
import time
from collections.abc import Awaitable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from ..errors import CorruptStateError, StoreError
from ..state.schema import Message, Record, State
from .base import InstanceBusy, InstanceStore, Write, check_instance_id
from .memory import Notices, stale

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+=, -]{0,119}")
_CONSUMED = "consumed"
_POLL = 0.1
"""Seconds between two looks at whether another process has written."""


@dataclass(slots=True)
class _Held:
    """An instance that this process owns."""

    lock: IO[bytes]
    epoch: int
    consumed: list[int] = field(default_factory=list)


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

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self.path.mkdir(parents=True, exist_ok=True)
        self._held: dict[str, _Held] = {}
        self._threads = ThreadPoolExecutor(4, "durable-ast-disk")
        self.notices = Notices()

    async def _in_thread(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def _file(self, instance_id: str, suffix: str) -> Path:
        check_instance_id(instance_id)
        if _PLAIN.fullmatch(instance_id):
            return self.path / f"{instance_id}{suffix}"
        return self.path / f"~{hashlib.sha256(instance_id.encode()).hexdigest()[:40]}{suffix}"

    # plain states

    async def load(self, instance_id: str) -> State | None:
        state: State | None = await self._in_thread(self._read, instance_id)
        return state

    async def save(self, instance_id: str, state: State) -> None:
        await self._in_thread(self._replace, instance_id, state)

    def _read(self, instance_id: str) -> State | None:
        file = self._file(instance_id, ".pkl")
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{file} cannot be read: {error}") from error
        try:
            state: State = pickle.loads(data)
        except Exception as error:
            raise CorruptStateError(
                f"{file} is damaged ({type(error).__name__}: {error}); it is left as it is"
            ) from error
        return state

    def _replace(self, instance_id: str, state: State) -> None:
        file = self._file(instance_id, ".pkl")
        data = pickle.dumps(state)
        temporary = file.with_name(f"{file.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
        try:
            with open(temporary, "xb", opener=_private) as new:
                new.write(data)
                new.flush()
                os.fsync(new.fileno())
            os.replace(temporary, file)
            _flush_folder(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise StoreError(f"{file} cannot be written: {error}; the last checkpoint is kept") from error

    # instances

    async def acquire(self, initial: Record) -> tuple[Record, bool]:
        answer: tuple[Record, bool] = await self._in_thread(self._acquire, initial)
        return answer

    def _acquire(self, initial: Record) -> tuple[Record, bool]:
        name = initial.instance_id
        if name in self._held:
            raise InstanceBusy
        lock = open(self._file(name, ".lock"), "ab", opener=_private)  # noqa: SIM115 - held until release
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise InstanceBusy from error
        try:
            state = self._read(name)
            record = initial if state is None else Record.from_state(state)
            if record.status.is_final:
                lock.close()
                return record, False
            record = replace(record, epoch=record.epoch + 1)
            consumed = [] if state is None else list(state.get(_CONSUMED, ()))
            held = self._held[name] = _Held(lock, record.epoch, consumed)
            self._write(record, held)
        except BaseException:
            self._held.pop(name, None)
            lock.close()
            raise
        return record, state is None

    def commit(self, write: Write) -> Awaitable[None]:
        record = write.record.copy()
        held = self._held.get(record.instance_id)
        if held is None or held.epoch != record.epoch:
            raise stale(record, record)

        async def work() -> None:
            held.consumed.extend(write.consumed)
            await self._in_thread(self._write, record, held)
            if record.status.is_final:
                self.notices.post(record.instance_id)

        return work()

    def _write(self, record: Record, held: _Held) -> None:
        self._replace(record.instance_id, {**record.to_state(), _CONSUMED: held.consumed})
        mail = self._file(record.instance_id, ".mail")
        for number in held.consumed:
            (mail / f"{number}.pkl").unlink(missing_ok=True)
        held.consumed.clear()

    def release(self, instance_id: str, epoch: int) -> None:
        held = self._held.get(instance_id)
        if held is not None and held.epoch == epoch:
            del self._held[instance_id]
            held.lock.close()
        self.notices.post(instance_id)

    async def read(self, instance_id: str) -> Record | None:
        state = await self.load(instance_id)
        return None if state is None else Record.from_state(state)

    # messages

    async def messages(self, instance_id: str) -> list[Message]:
        messages: list[Message] = await self._in_thread(self._messages, instance_id)
        return messages

    def _messages(self, instance_id: str) -> list[Message]:
        state = self._read(instance_id) or {}
        gone = set(state.get(_CONSUMED, ()))
        found = []
        for number, file in sorted(self._mail(instance_id)):
            if number not in gone:
                name, payload = pickle.loads(file.read_bytes())
                found.append(Message(number, name, payload))
        return found

    def _mail(self, instance_id: str) -> Iterator[tuple[int, Path]]:
        folder = self._file(instance_id, ".mail")
        if folder.is_dir():
            for file in folder.glob("*.pkl"):
                yield int(file.stem), file

    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        stored = self._threads.submit(self._publish, instance_id, name, payload)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            stored.result()
        return stored

    def _publish(self, instance_id: str, name: str, payload: bytes) -> int:
        folder = self._file(instance_id, ".mail")
        folder.mkdir(mode=0o700, exist_ok=True)
        number = time.time_ns()
        temporary = folder / f"{number}.{os.getpid()}.tmp"
        with open(temporary, "xb", opener=_private) as new:
            new.write(pickle.dumps((name, payload)))
            new.flush()
            os.fsync(new.fileno())
        try:
            while True:
                try:
                    os.link(temporary, folder / f"{number}.pkl")
                    break
                except FileExistsError:
                    number += 1
        finally:
            temporary.unlink()
        _flush_folder(folder)
        self.notices.post(instance_id)
        return number

    async def changed(self, instance_id: str, seen: Any, timeout: float) -> Any:
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

    def _version(self, instance_id: str) -> tuple[int, ...]:
        versions = []
        for suffix in (".pkl", ".mail"):
            try:
                versions.append(os.stat(self._file(instance_id, suffix)).st_mtime_ns)
            except FileNotFoundError:
                versions.append(0)
        return tuple(versions)

    async def records(self) -> list[Record]:
        def work() -> list[Record]:
            files = sorted(self.path.glob("*.pkl"), key=lambda file: -file.stat().st_mtime_ns)
            states = [pickle.loads(file.read_bytes()) for file in files]
            return [Record.from_state(state) for state in states if isinstance(state, dict) and "format" in state]

        records: list[Record] = await self._in_thread(work)
        return records


def _private(path: str, flags: int) -> int:
    """State is private to its user."""
    return os.open(path, flags, 0o600)


def _flush_folder(folder: Path) -> None:
    """A new name in a folder reaches the disk with the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
