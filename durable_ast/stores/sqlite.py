"""Instances in a SQLite file: the store that needs no server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import sqlite3
import time
import weakref
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ..errors import CorruptStateError
from ..state.deltas import OF_RECORD
from ..state.history import PREFIX as HISTORY
from ..state.schema import Message, Outgoing, Record, State, Status
from .answer import Answer, kept
from .base import InstanceStore
from .claiming import Claimed, InstanceBusy
from .damaged import listed
from .memory import lost, stale
from .notices import Notices
from .parts import NO_PARTS, Parts, are_news
from .presence import Presence
from .selection import Selection
from .sizes import Size, Sizes, summed
from .sqlite_rows import (
    COLUMNS,
    DUE,
    IS_NEEDED,
    PUT_MESSAGE,
    SIZES,
    SPACE,
    UPDATE,
    WAKE,
    bury,
    changes,
    insert,
    listing,
    mailboxes,
    record_in,
    row_of,
    select,
    write_more,
)
from .sqlite_transaction import SQLiteTransaction
from .sqlite_watch import SQLiteWatch
from .sqlite_writer import Key, Row, SQLiteWriter
from .transactions import OpenTransaction

log = logging.getLogger("durable_ast")


class SQLiteStore(InstanceStore):
    """Keeps instances in a SQLite file, for any number of processes on one machine.

    Args:
        path: the file, as a path or as ``sqlite:///path``; ``:memory:`` for none.
        synchronous: ``"FULL"`` waits for the disk with every checkpoint that has to be durable;
            ``"NORMAL"`` leaves that to the operating system: a checkpoint then survives the death
            of the process, and may not survive the death of the machine.
        patience: seconds to wait while another process keeps the file locked; after that it is a
            `StoreError`.

    >>> import asyncio
    >>> async def main():
    ...     store = SQLiteStore(":memory:")
    ...     await store.save("one", {"count": 1})
    ...     return await store.load("one")
    >>> asyncio.run(main())
    {'count': 1}
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        patience: float = 30.0,
    ) -> None:
        if synchronous not in ("FULL", "NORMAL"):
            raise ValueError(f"synchronous must be 'FULL' or 'NORMAL', not {synchronous!r}")
        self.path = _file_of(path)
        self._flushes = synchronous == "FULL"
        self._writer = SQLiteWriter(self.path, synchronous, UPDATE, patience)
        weakref.finalize(self, self._writer.finish)
        self._owner = Presence(_beside(self.path))
        self._held: dict[str, int] = {}
        """The instances that this store owns, with the keys of their rows."""
        self._let_go: dict[str, int] = {}
        """Those that have ended for good, with their epochs: their last transition released them."""
        self._unreleased: dict[str, int] = {}
        """Those whose release is not written yet, with their epochs."""
        self._failed_releases: set[str] = set()
        """Those of them that could not be written: nobody could claim these."""
        self.notices = Notices()
        self._watch = SQLiteWatch(self._writer, self.notices, self._held.keys())

    # plain states

    async def load(self, instance_id: str) -> State | None:
        def work(connection: sqlite3.Connection) -> State | None:
            record = select(connection, instance_id)
            if record is not None:
                return record.to_state()
            row = connection.execute("SELECT state FROM durable_states WHERE id = ?", (instance_id,)).fetchone()
            return None if row is None else self.unpickle(row[0])

        state: State | None = await self._writer.submit_from_loop(work, flush=False)
        return state

    async def save(self, instance_id: str, state: State) -> None:
        data = pickle.dumps(state)
        await self._writer.submit_from_loop(
            lambda connection: connection.execute("REPLACE INTO durable_states VALUES (?, ?)", (instance_id, data))
        )

    # instances

    def is_same(self, other: object) -> bool:
        return self is other or (isinstance(other, SQLiteStore) and self.path == other.path != ":memory:")

    async def acquire(self, initial: Record) -> tuple[Record, bool]:
        self._release_again(initial.instance_id)
        taking = self._writer.submit_from_loop(lambda connection: self._acquire(connection, initial))
        record, created, key = await kept(taking, lambda taken: self.release(taken[0].instance_id, taken[0].epoch))
        if not record.status.is_final:
            self._held[record.instance_id] = key
        return record, created

    def _acquire(self, connection: sqlite3.Connection, initial: Record) -> tuple[Record, bool, int]:
        row = row_of(connection, initial.instance_id)
        if row is None:
            self._sign_in(connection)
            record = replace(initial, epoch=initial.epoch + 1)
            return record, True, insert(connection, record, self._owner.name)
        key, owner, *columns = row
        record = record_in(columns)
        if not record.status.is_final:
            if owner is not None and self._owner.is_there(owner):
                raise InstanceBusy
            self._take(connection, [(key, record)])
        return record, False, key

    def _take(self, connection: sqlite3.Connection, rows: Sequence[tuple[int, Record]]) -> None:
        """Become the owner of instances that have none."""
        self._sign_in(connection)
        for _, record in rows:
            record.epoch += 1
        query = "UPDATE durable_instances SET epoch = ?, owner = ?, due = NULL WHERE key = ?"
        connection.executemany(query, [(record.epoch, self._owner.name, key) for key, record in rows])

    def _sign_in(self, connection: sqlite3.Connection) -> None:
        if connection.execute("INSERT OR IGNORE INTO durable_owners VALUES (?)", (self._owner.name,)).rowcount:
            self._bury_the_dead(connection)

    def _bury_the_dead(self, connection: sqlite3.Connection) -> None:
        for (name,) in connection.execute("SELECT name FROM durable_owners").fetchall():
            if not self._owner.is_there(name):
                bury(connection, name)
                self._owner.forget(name)

    async def claim(self, programs: Collection[str], limit: int, but: Collection[str] = ()) -> Claimed:
        def give_back(taken: tuple[list[int], Claimed]) -> None:
            for record in taken[1].records:
                self.release(record.instance_id, record.epoch)

        for instance_id in list(self._failed_releases):
            self._failed_releases.discard(instance_id)
            self._release_again(instance_id)
        names, others = tuple(programs), json.dumps(list(but))
        claiming = self._writer.submit_from_loop(lambda connection: self._claim(connection, names, limit, others))
        claimed: Claimed
        keys, claimed = await kept(claiming, give_back)
        self._held.update(zip((record.instance_id for record in claimed.records), keys, strict=True))
        return claimed

    def _claim(
        self, connection: sqlite3.Connection, programs: tuple[str, ...], limit: int, others: str
    ) -> tuple[list[int], Claimed]:
        self._bury_the_dead(connection)
        now = time.time()
        wanted = f"program IN ({', '.join('?' * len(programs))})"
        query = f"""SELECT key, {COLUMNS} FROM durable_instances WHERE due <= ? AND {wanted}
        AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY due LIMIT ?"""
        taken: list[tuple[int, Record]] = []
        for key, *row in connection.execute(query, (now, *programs, others, limit)).fetchall():
            try:
                taken.append((key, record_in(row)))
            except CorruptStateError as error:
                log.error("%s; it is put aside", error)
                connection.execute("UPDATE durable_instances SET status = 'PARKED', due = NULL WHERE key = ?", (key,))
        if taken:
            self._take(connection, taken)
        query = f"SELECT min(due) FROM durable_instances WHERE due > ? AND {wanted}"
        (next_due,) = connection.execute(query, (now, *programs)).fetchone()
        records = [record for _, record in taken]
        found = mailboxes(connection, [record.instance_id for record in records])
        return [key for key, _ in taken], Claimed(records, next_due, found)

    async def enqueue(self, record: Record) -> bool:
        record = record.copy()

        def work(connection: sqlite3.Connection) -> bool:
            if row_of(connection, record.instance_id) is not None:
                return False
            key = insert(connection, record, None)
            connection.execute(f"UPDATE durable_instances SET due = {DUE} WHERE key = ?", (key,))
            return True

        created: bool = await self._writer.submit_from_loop(work)
        if created:
            self.notices.post(record.instance_id)
        return created

    def commit(
        self,
        record: Record,
        consumed: Sequence[int],
        flush: bool,
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None] | None:
        final = record.status.is_final
        row = self._row(record)
        alone = flush and len(self._held) == 1  # what need not be flushed may wait for others of its turn
        flush = flush and self._flushes
        if consumed or parts or outbox or final:
            alone = alone and not parts
            more = write_more(row[-2], tuple(consumed), parts, outbox, final)
            missing = self._writer.commit(row, flush=flush, alone=alone, more=more)
            return self._committed(record, row, missing, outbox, is_news=final or are_news(parts), is_end=final)
        if alone and not flush and self._writer.commit_at_once(row):
            return None
        return self._committed(record, row, self._writer.commit(row, flush=flush, alone=alone))

    def _row(self, record: Record) -> Row:
        """The values of the statement that writes a transition."""
        key = self._held.get(record.instance_id)
        return record.status.value, record.sequence, record.state, *changes(record), time.time(), key, record.epoch

    async def begin(self, record: Record) -> OpenTransaction:
        """Others who write to the file wait until the transaction has ended."""
        section = self._writer.section()
        try:
            await section.begun
        except (asyncio.CancelledError, GeneratorExit):  # the thread would wait for its end for ever
            section.give_up()
            raise
        return SQLiteTransaction(section)

    def commit_within(
        self,
        transaction: OpenTransaction,
        record: Record,
        consumed: Sequence[int],
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None]:
        assert isinstance(transaction, SQLiteTransaction)
        row = self._row(record)
        more = write_more(row[-2], tuple(consumed), parts, outbox, record.status.is_final)

        def work(connection: sqlite3.Connection) -> Collection[Key]:
            transaction.check()
            if connection.execute(UPDATE, row).rowcount != 1:
                return (row[-2:],)
            more(connection)
            connection.execute("COMMIT")
            return ()

        missing = self._writer.last_of(transaction.section, work)
        return self._committed(record, row, missing, outbox, is_news=are_news(parts))

    async def _committed(
        self,
        record: Record,
        row: Row,
        missing: Answer[Collection[Key]],
        outbox: Sequence[Outgoing] = (),
        *,
        is_news: bool = False,
        is_end: bool = False,
    ) -> None:
        """Wait until a transition is written, of which this is the row unless that was missing."""
        if row[-2:] in await missing:
            current = await self.read(record.instance_id)
            raise lost(record) if current is not None and current.epoch == record.epoch else stale(record, current)
        if is_end:
            self._held.pop(record.instance_id, None)
            self._let_go[record.instance_id] = record.epoch
        if is_news:
            self.notices.post(record.instance_id)
        for message in outbox:
            self.notices.post(message.instance_id)

    def release(self, instance_id: str, epoch: int) -> None:
        if self._let_go.pop(instance_id, None) == epoch:
            return
        self._held.pop(instance_id, None)
        self._unreleased[instance_id] = epoch
        query = f"UPDATE durable_instances SET owner = NULL, recoveries = 0, due = {DUE} WHERE id = ? AND epoch = ?"
        released = self._writer.submit(lambda connection: connection.execute(query, (instance_id, epoch)), flush=False)

        def note(done: Future[Any]) -> None:
            if done.exception() is None:
                self._unreleased.pop(instance_id, None)
                self.notices.post(instance_id)
            else:
                self._failed_releases.add(instance_id)

        released.add_done_callback(note)

    def _release_again(self, instance_id: str) -> None:
        """A release that could not be written would lock us out ourselves."""
        epoch = self._unreleased.get(instance_id)
        if epoch is not None:
            self.release(instance_id, epoch)

    async def read(self, instance_id: str) -> Record | None:
        record: Record | None = await self._writer.submit_from_loop(
            lambda connection: select(connection, instance_id), flush=False
        )
        return record

    async def parts(self, instance_id: str, prefix: str = "") -> dict[str, bytes]:
        def work(connection: sqlite3.Connection) -> dict[str, bytes]:
            query = """SELECT name, value FROM durable_parts WHERE substr(name, 1, ?) = ?
            AND instance = (SELECT key FROM durable_instances WHERE id = ?)"""
            return dict(connection.execute(query, (len(prefix), prefix, instance_id)).fetchall())

        parts: dict[str, bytes] = await self._writer.submit_from_loop(work, flush=False)
        return parts

    async def messages(self, instance_id: str) -> list[Message]:
        def work(connection: sqlite3.Connection) -> list[Message]:
            query = "SELECT number, name, payload FROM durable_messages WHERE instance_id = ? ORDER BY number"
            return [Message(*row) for row in connection.execute(query, (instance_id,))]

        messages: list[Message] = await self._writer.submit_from_loop(work, flush=False)
        return messages

    async def mailboxes(self, instance_ids: Sequence[str]) -> dict[str, list[Message]]:
        found: dict[str, list[Message]] = await self._writer.submit_from_loop(
            lambda connection: mailboxes(connection, instance_ids), flush=False
        )
        return found

    async def message(self, instance_id: str, name: str) -> Message | None:
        def work(connection: sqlite3.Connection) -> Message | None:
            query = (
                "SELECT number, name, payload FROM durable_messages WHERE instance_id = ? AND name = ? ORDER BY number"
            )
            row = connection.execute(f"{query} LIMIT 1", (instance_id, name)).fetchone()
            return None if row is None else Message(*row)

        message: Message | None = await self._writer.submit_from_loop(work, flush=False)
        return message

    async def offer(self, instance_id: str, name: str, payload: bytes) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            query = "SELECT 1 FROM durable_messages WHERE instance_id = ? AND name = ? LIMIT 1"
            if connection.execute(query, (instance_id, name)).fetchone() is not None:
                return False
            connection.execute(PUT_MESSAGE, (instance_id, name, payload))
            connection.execute(WAKE, (instance_id,))
            return True

        is_new: bool = await self._writer.submit_from_loop(work)
        if is_new:
            self.notices.post(instance_id)
        return is_new

    async def complete(
        self, instance_id: str, name: str, payload: bytes, delivered: str, rivals: str | None = None
    ) -> bool | None:
        def work(connection: sqlite3.Connection) -> bool | None:
            asked = {"id": instance_id, "name": name, "delivered": delivered, "rivals": rivals}
            has_rivals, is_needed = connection.execute(IS_NEEDED, asked).fetchone()
            if has_rivals or not is_needed:
                return None if has_rivals else False
            connection.execute(PUT_MESSAGE, (instance_id, name, payload))
            connection.execute(WAKE, (instance_id,))
            return True

        taken: bool | None = await self._writer.submit_from_loop(work)
        if taken:
            self.notices.post(instance_id)
        return taken

    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        def work(connection: sqlite3.Connection) -> int:
            query = f"{PUT_MESSAGE} RETURNING number"
            (number,) = connection.execute(query, (instance_id, name, payload)).fetchone()
            connection.execute(WAKE, (instance_id,))
            return int(number)

        stored = self._writer.submit(work)
        stored.add_done_callback(lambda _: self.notices.post(instance_id))
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            stored.result()  # nothing is blocked, and whoever called may be about to end
        return stored

    async def changed(self, instance_id: str | None, seen: Any, timeout: float) -> Any:
        """Changes by this process wake at once, those by others within a tenth of a second."""
        loop = self._watch.begin()
        try:
            return await self.notices.wait(instance_id, seen, timeout)
        finally:
            self._watch.end(loop)

    def watch(self, instance_id: str, callback: Callable[[], None]) -> Callable[[], object]:
        loop, end = self._watch.begin(), self.notices.watch(instance_id, callback)

        def end_both() -> None:
            self._watch.end(loop)
            end()

        return end_both

    async def select(self, selection: Selection) -> list[Record]:
        query, values = listing(selection)

        def work(connection: sqlite3.Connection) -> list[Record]:
            return [listed(record_in, row, *row[:2]) for row in connection.execute(query, values)]

        records: list[Record] = await self._writer.submit_from_loop(work, flush=False)
        return records

    async def delete(self, instance_id: str) -> bool:
        deleted: bool = await self._writer.submit_from_loop(lambda connection: self._delete(connection, instance_id))
        return deleted

    def _delete(self, connection: sqlite3.Connection, instance_id: str) -> bool:
        row = row_of(connection, instance_id)
        if row is not None:
            key, owner, *_ = row
            if owner is not None and self._owner.is_there(owner):
                raise InstanceBusy
            connection.execute("DELETE FROM durable_parts WHERE instance = ?", (key,))
            connection.execute("DELETE FROM durable_instances WHERE key = ?", (key,))
        connection.execute("DELETE FROM durable_messages WHERE instance_id = ?", (instance_id,))
        connection.execute("DELETE FROM durable_states WHERE id = ?", (instance_id,))
        return row is not None

    async def drop_parts(self, instance_id: str, prefix: str) -> int:
        query = """DELETE FROM durable_parts WHERE instance = (SELECT key FROM durable_instances WHERE id = ?)
        AND substr(name, 1, ?) = ?"""
        values = (instance_id, len(prefix), prefix)
        dropped: int = await self._writer.submit_from_loop(
            lambda connection: connection.execute(query, values).rowcount
        )
        return dropped

    async def sizes(self, *, largest: int = 10) -> Sizes:
        def work(connection: sqlite3.Connection) -> Sizes:
            ((page, pages, unused),) = connection.execute(SPACE)
            rows = connection.execute(SIZES, {"history": HISTORY, "own": OF_RECORD})
            found = (Size(name, Status(status), *counts) for name, status, *counts in rows)
            return summed(found, largest, page * pages, page * unused)

        sizes: Sizes = await self._writer.submit_from_loop(work, flush=False)
        return sizes

    async def shrink(self) -> None:
        """Writes the file anew, for which the disk needs as much space once more; others wait."""
        await self._writer.alone(lambda connection: connection.execute("VACUUM"))

    async def close(self) -> None:
        if self._held:
            await self._writer.submit_from_loop(lambda connection: bury(connection, self._owner.name))
        self._held.clear()
        await asyncio.to_thread(self._owner.end)
        await asyncio.to_thread(self._writer.close)


def _beside(path: str) -> Path | None:
    """Where the users of a file say that they are there."""
    return None if path == ":memory:" else Path(f"{os.path.realpath(path)}-owners")


def _file_of(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if text.startswith("sqlite:///"):
        text = text.removeprefix("sqlite:///")
        if "?" in text:
            raise ValueError(
                f"the URL of a SQLite file takes no options, and 'sqlite:///{text}' has some; pass them by name"
            )
    elif "://" in text:
        raise ValueError(f"{text!r} is no SQLite file; write a path, or sqlite:///path")
    return text if text == ":memory:" else str(Path(text).absolute())
