"""The tables of a SQLite store, row by row: records as rows, and the statements on them."""

from __future__ import annotations

import json
import pickle
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from ..state import plain
from ..state.schema import INTERNAL, Message, Outgoing, Record, Status
from .damaged import damaged
from .names import storable_text
from .parts import TRANSIENT, Parts
from .selection import Selection

COLUMNS = """id, program, status, epoch, sequence, arguments, call_stack, retry, awaited, wake_at, outcome, error,
created_at, updated_at, recoveries"""
UPDATE = """UPDATE durable_instances SET status = ?, sequence = ?, call_stack = ?, retry = ?, awaited = ?, wake_at = ?,
outcome = ?, error = ?, updated_at = ?, recoveries = 0 WHERE key = ? AND epoch = ?"""
PUT_PART = (
    "INSERT INTO durable_parts VALUES (?, ?, ?) ON CONFLICT (instance, name) DO UPDATE SET value = excluded.value"
)
PUT_MESSAGE = "INSERT INTO durable_messages (instance_id, name, payload) VALUES (?, ?, ?)"

_IS_TRANSIENT = " OR ".join(f"name GLOB '{prefix}*'" for prefix in TRANSIENT)
_DROP_TRANSIENT = f"DELETE FROM durable_parts WHERE instance = ? AND ({_IS_TRANSIENT})"
"""With patterns as parameters, SQLite would compile the statement again each time."""

DUE = """CASE
WHEN status = 'RUNNING' OR (status = 'ENQUEUED' AND wake_at IS NULL) THEN updated_at
WHEN status IN ('SLEEPING', 'WAITING') AND EXISTS (
    SELECT 1 FROM durable_messages WHERE instance_id = durable_instances.id
    AND (name GLOB '.*' OR name IN (SELECT value FROM json_each(awaited)))
) THEN updated_at
WHEN status IN ('SLEEPING', 'WAITING') THEN wake_at
END"""
"""When an instance that nobody owns can go on."""

WAKE = f"UPDATE durable_instances SET due = {DUE} WHERE id = ? AND owner IS NULL AND status IN ('SLEEPING', 'WAITING')"
"""What to do after a message was put into a mailbox."""

IS_NEEDED = """SELECT EXISTS (SELECT 1 FROM durable_messages WHERE instance_id = :rivals),
NOT EXISTS (SELECT 1 FROM durable_messages WHERE instance_id = :id AND name = :name)
AND NOT EXISTS (
    SELECT 1 FROM durable_instances WHERE id = :id AND (
        status IN ('SUCCESS', 'CANCELLED') OR (
            NOT EXISTS (SELECT 1 FROM json_each(awaited) WHERE value = :name)
            AND EXISTS (SELECT 1 FROM durable_parts WHERE instance = key AND name = :delivered)
        )
    )
)"""
"""Whether another instance may be meant with a message, and whether this one may still need it."""

SIZES = """SELECT id, status,
coalesce(length(call_stack), 0) + coalesce(length(outcome), 0) + coalesce(length(retry), 0)
+ (SELECT coalesce(sum(length(value)), 0) FROM durable_parts WHERE instance = key AND name GLOB :own || '*'),
(SELECT coalesce(sum(length(value)), 0) FROM durable_parts WHERE instance = key
    AND NOT name GLOB :history || '*' AND NOT name GLOB :own || '*')
+ (SELECT coalesce(sum(length(payload)), 0) FROM durable_messages WHERE instance_id = id),
(SELECT coalesce(sum(length(value)), 0) FROM durable_parts WHERE instance = key AND name GLOB :history || '*')
FROM durable_instances"""
SPACE = "SELECT * FROM pragma_page_size, pragma_page_count, pragma_freelist_count"


def bury(connection: sqlite3.Connection, owner: str) -> None:
    """An owner is gone: what it owned can go on elsewhere."""
    query = f"""UPDATE durable_instances SET owner = NULL, epoch = epoch + 1, recoveries = recoveries + 1, due = {DUE}
    WHERE owner = ?"""
    connection.execute(query, (owner,))
    connection.execute("DELETE FROM durable_owners WHERE name = ?", (owner,))


def row_of(connection: sqlite3.Connection, instance_id: str) -> tuple[Any, ...] | None:
    """The key of an instance, its owner, and the columns of its record."""
    query = f"SELECT key, owner, {COLUMNS} FROM durable_instances WHERE id = ?"
    row: tuple[Any, ...] | None = connection.execute(query, (instance_id,)).fetchone()
    return row


def select(connection: sqlite3.Connection, instance_id: str) -> Record | None:
    row = row_of(connection, instance_id)
    return None if row is None else record_in(row[2:])


def record_in(row: Sequence[Any]) -> Record:
    """The record in a row, of `COLUMNS`."""
    name, program, status, epoch, sequence, arguments, call_stack, retry, awaited, wake_at, outcome, error, *rest = row
    created_at, updated_at, recoveries = rest
    try:
        return Record(
            instance_id=name,
            program=program,
            status=Status(status),
            epoch=epoch,
            sequence=sequence,
            arguments=arguments,
            call_stack=call_stack,
            retry=() if retry is None else plain.loads(retry),
            awaited=tuple(json.loads(awaited)) if awaited else (),
            wake_at=wake_at,
            outcome=outcome,
            error=error,
            created_at=created_at,
            updated_at=updated_at,
            recoveries=recoveries,
        )
    except Exception as problem:
        raise damaged(name, problem) from problem


def changes(record: Record) -> tuple[Any, ...]:
    """What a transition changes beside the state, in the order of the columns."""
    return (
        pickle.dumps(record.retry) if record.retry else None,
        json.dumps(record.awaited) if record.awaited else None,
        record.wake_at,
        record.outcome,
        None if record.error is None else storable_text(record.error),
    )


def insert(connection: sqlite3.Connection, record: Record, owner: str | None) -> int:
    """Make a row; gives its key."""
    values = (
        record.instance_id,
        record.program,
        record.status.value,
        record.epoch,
        record.sequence,
        record.arguments,
        record.state,
        *changes(record),
        record.created_at,
        record.updated_at,
        record.recoveries,
        owner,
    )
    marks = ", ".join("?" * len(values))
    cursor = connection.execute(f"INSERT INTO durable_instances ({COLUMNS}, owner) VALUES ({marks})", values)
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def mailboxes(connection: sqlite3.Connection, instance_ids: Sequence[str]) -> dict[str, list[Message]]:
    """The messages to these instances."""
    query = """SELECT instance_id, number, name, payload FROM durable_messages
    WHERE instance_id IN (SELECT value FROM json_each(?)) ORDER BY number"""
    found: dict[str, list[Message]] = {}
    for instance_id, *fields in connection.execute(query, (json.dumps(instance_ids),)):
        found.setdefault(instance_id, []).append(Message(*fields))
    return found


def write_more(
    key: int | None, consumed: tuple[int, ...], parts: Parts, outbox: Sequence[Outgoing], final: bool
) -> Callable[[sqlite3.Connection], None]:
    """What a transition changes beside the instance's own row."""
    new = [(key, name, value) for name, value in parts.items() if value is not None]
    gone = [(key, name) for name, value in parts.items() if value is None]
    letters = [(message.instance_id, message.name, message.payload) for message in outbox]

    def work(connection: sqlite3.Connection) -> None:
        if consumed:
            connection.executemany("DELETE FROM durable_messages WHERE number = ?", ((number,) for number in consumed))
        if gone:
            connection.executemany("DELETE FROM durable_parts WHERE instance = ? AND name = ?", gone)
        if new:
            connection.executemany(PUT_PART, new)
        if letters:
            connection.executemany(PUT_MESSAGE, letters)
            connection.executemany(WAKE, ((receiver,) for receiver, _, _ in letters))
        if final:
            connection.execute("UPDATE durable_instances SET owner = NULL, due = NULL WHERE key = ?", (key,))
            connection.execute(_DROP_TRANSIENT, (key,))

    return work


def listing(selection: Selection) -> tuple[str, list[Any]]:
    """The query for a selection, and its values."""
    conditions = ["substr(program, 1, 1) <> ?"]
    values: list[Any] = [INTERNAL]
    if selection.status is not None:
        conditions.append(f"status IN ({', '.join('?' * len(selection.status))})")
        values += [status.value for status in selection.status]
    if selection.program is not None:
        conditions.append("program = ?")
        values.append(selection.program)
    if selection.prefix is not None:
        conditions.append("substr(id, 1, ?) = ?")
        values += [len(selection.prefix), selection.prefix]
    if selection.since is not None:
        conditions.append("created_at >= ?")
        values.append(selection.since)
    where = " AND ".join(conditions)
    values += [-1 if selection.limit is None else selection.limit, selection.offset]
    return f"SELECT {COLUMNS} FROM durable_instances WHERE {where} ORDER BY key DESC LIMIT ? OFFSET ?", values
