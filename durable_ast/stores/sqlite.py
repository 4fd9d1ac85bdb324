"""Instances in a SQLite file: the store that needs no server."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sqlite3
from collections.abc import Awaitable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ..state.schema import Message, Record, State, Status
from .base import InstanceBusy, InstanceStore, Write
from .memory import Notices, stale
from .owners import is_alive, this_process
from .sqlite_writer import SQLiteWriter

_COLUMNS = "id, program, status, epoch, sequence, arguments, call_stack, retry, awaited, wake_at, outcome, error"
_UPDATE = """UPDATE instances SET status = ?, sequence = ?, call_stack = ?, retry = ?, awaited = ?, wake_at = ?,
outcome = ?, error = ? WHERE id = ? AND epoch = ?"""

_POLL = 0.1
"""Seconds between two looks at whether another process has written to the file."""


class SQLiteStore(InstanceStore):
    """Keeps instances in a SQLite file, for any number of processes on one machine.

    Args:
        path: the file, as a path or as ``sqlite:///path``; ``:memory:`` for none.
        synchronous: ``"FULL"`` waits for the disk with every checkpoint that has to be durable;
            ``"NORMAL"`` leaves that to the operating system: a checkpoint then survives the death
            of the process, and may not survive the death of the machine.

    >>> import asyncio
    >>> async def main():
    ...     store = SQLiteStore(":memory:")
    ...     await store.save("one", {"count": 1})
    ...     return await store.load("one")
    >>> asyncio.run(main())
    {'count': 1}
    """

    def __init__(self, path: str | os.PathLike[str], *, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> None:
        if synchronous not in ("FULL", "NORMAL"):
            raise ValueError(f"synchronous must be 'FULL' or 'NORMAL', not {synchronous!r}")
        self.path = _file_of(path)
        self._writer = SQLiteWriter(self.path, synchronous)
        self._held: set[str] = set()
        self.notices = Notices()

    # plain states

    async def load(self, instance_id: str) -> State | None:
        def work(connection: sqlite3.Connection) -> State | None:
            record = _select(connection, instance_id)
            if record is not None:
                return record.to_state()
            row = connection.execute("SELECT state FROM states WHERE id = ?", (instance_id,)).fetchone()
            return None if row is None else pickle.loads(row[0])

        state: State | None = await self._writer.submit_from_loop(work, flush=False)
        return state

    async def save(self, instance_id: str, state: State) -> None:
        data = pickle.dumps(state)
        await self._writer.submit_from_loop(
            lambda connection: connection.execute("REPLACE INTO states VALUES (?, ?)", (instance_id, data))
        )

    # instances

    async def acquire(self, initial: Record) -> tuple[Record, bool]:
        answer: tuple[Record, bool] = await self._writer.submit_from_loop(
            lambda connection: self._acquire(connection, initial)
        )
        return answer

    def _acquire(self, connection: sqlite3.Connection, initial: Record) -> tuple[Record, bool]:
        name = initial.instance_id
        record = _select(connection, name)
        if record is None:
            record = replace(initial, epoch=1)
            _insert(connection, record)
            self._held.add(name)
            return record, True
        if record.status.is_final:
            return record, False
        (owner,) = connection.execute("SELECT owner FROM instances WHERE id = ?", (name,)).fetchone()
        if name in self._held or (owner is not None and owner != this_process() and is_alive(owner)):
            raise InstanceBusy
        record.epoch += 1
        connection.execute(
            "UPDATE instances SET epoch = ?, owner = ? WHERE id = ?", (record.epoch, this_process(), name)
        )
        self._held.add(name)
        return record, False

    def commit(self, write: Write) -> Awaitable[None]:
        record = write.record
        values = (record.status.value, record.sequence, *_variable(record), record.instance_id, record.epoch)

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute(_UPDATE, values).rowcount != 1:
                raise stale(record, _select(connection, record.instance_id))
            for number in write.consumed:
                connection.execute("DELETE FROM messages WHERE number = ?", (number,))

        done = self._writer.submit_from_loop(work, flush=write.flush)
        if write.record.status.is_final:
            done.add_done_callback(lambda _: self.notices.post(write.record.instance_id))
        return done

    def release(self, instance_id: str, epoch: int) -> None:
        self._held.discard(instance_id)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE instances SET owner = NULL WHERE id = ? AND epoch = ?", (instance_id, epoch))
            self.notices.post(instance_id)

        self._writer.submit(work, flush=False)

    async def read(self, instance_id: str) -> Record | None:
        record: Record | None = await self._writer.submit_from_loop(
            lambda connection: _select(connection, instance_id), flush=False
        )
        return record

    async def messages(self, instance_id: str) -> list[Message]:
        def work(connection: sqlite3.Connection) -> list[Message]:
            query = "SELECT number, name, payload FROM messages WHERE instance_id = ? ORDER BY number"
            return [Message(*row) for row in connection.execute(query, (instance_id,))]

        messages: list[Message] = await self._writer.submit_from_loop(work, flush=False)
        return messages

    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        def work(connection: sqlite3.Connection) -> int:
            query = "INSERT INTO messages (instance_id, name, payload) VALUES (?, ?, ?) RETURNING number"
            (number,) = connection.execute(query, (instance_id, name, payload)).fetchone()
            return int(number)

        stored = self._writer.submit(work)
        stored.add_done_callback(lambda _: self.notices.post(instance_id))
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            stored.result()  # nothing is blocked, and whoever called may be about to end
        return stored

    async def changed(self, instance_id: str, seen: Any, timeout: float) -> Any:
        """Changes by this process wake at once, those by others within a tenth of a second."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        notice, version = seen if seen is not None else (None, None)
        while True:
            left = max(deadline - loop.time(), 0.0)
            now = await self.notices.wait(instance_id, notice, min(left, _POLL))
            current = await self._writer.submit_from_loop(_data_version, flush=False)
            if now != notice or current != version or left <= _POLL:
                return now, current

    async def records(self) -> list[Record]:
        def work(connection: sqlite3.Connection) -> list[Record]:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM instances ORDER BY key DESC")
            return [_record(row) for row in rows]

        records: list[Record] = await self._writer.submit_from_loop(work, flush=False)
        return records

    async def close(self) -> None:
        await asyncio.to_thread(self._writer.close)


def _file_of(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if text.startswith("sqlite:///"):
        text = text.removeprefix("sqlite:///")
    elif "://" in text:
        raise ValueError(f"{text!r} is no SQLite file; write a path, or sqlite:///path")
    return text if text == ":memory:" else str(Path(text).absolute())


def _data_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


def _select(connection: sqlite3.Connection, instance_id: str) -> Record | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM instances WHERE id = ?", (instance_id,)).fetchone()
    return None if row is None else _record(row)


def _record(row: tuple[Any, ...]) -> Record:
    name, program, status, epoch, sequence, arguments, call_stack, retry, awaited, wake_at, outcome, error = row
    return Record(
        instance_id=name,
        program=program,
        status=Status(status),
        epoch=epoch,
        sequence=sequence,
        arguments=arguments,
        call_stack=call_stack,
        retry=() if retry is None else pickle.loads(retry),
        awaited=tuple(json.loads(awaited)) if awaited else (),
        wake_at=wake_at,
        outcome=outcome,
        error=error,
    )


def _variable(record: Record) -> tuple[Any, ...]:
    """What a transition changes, in the order of the columns."""
    return (
        record.call_stack,
        pickle.dumps(record.retry) if record.retry else None,
        json.dumps(record.awaited) if record.awaited else None,
        record.wake_at,
        record.outcome,
        record.error,
    )


def _insert(connection: sqlite3.Connection, record: Record) -> None:
    connection.execute(
        f"INSERT INTO instances ({_COLUMNS}, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.instance_id,
            record.program,
            record.status.value,
            record.epoch,
            record.sequence,
            record.arguments,
            *_variable(record),
            this_process(),
        ),
    )
