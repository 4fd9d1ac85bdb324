"""Instances in PostgreSQL: for any number of processes on any number of machines.

Needs the extra ``postgres``.  A checkpoint is one round trip and one flush of the server's log, for
all instances of the process that checkpoint at the time.  They share one connection on purpose: what is
asked while it is busy goes into the next statement.  With 100 instances that made 8,000 checkpoints a
second where bare UPDATEs over ten pooled connections made 4,000, and with 1,000 it made 8,500 and they
1,400, on two busy cores.  Only `transaction` has connections of its own, from a pool.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

try:
    import psycopg
    from psycopg import sql
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ImportError("PostgreSQL needs psycopg: pip install 'durable-ast[postgres]'") from error

from ..errors import CorruptStateError, StoreError
from ..state.deltas import OF_RECORD
from ..state.history import PREFIX as HISTORY
from ..state.schema import INTERNAL, Message, Outgoing, Record, State, Status
from .claiming import InstanceBusy
from .damaged import listed
from .lease import now
from .names import check_instance_id
from .parts import NO_PARTS, Parts
from .postgres_arrays import arrays
from .postgres_rows import (
    CHANGE_MANY,
    CHANGE_MORE,
    CHANGE_ONE,
    COLUMNS,
    MORE,
    UNNESTED,
    all_changed,
    beside,
    changed,
    columns_of,
    record_in,
)
from .postgres_schema import create_schema
from .postgres_transactions import Connections, PostgresTransaction
from .remote import ConnectionBroke
from .remote_store import RemoteStore, Transition
from .selection import Selection
from .sizes import Size, Sizes, summed
from .transactions import OpenTransaction

log = logging.getLogger("durable_ast")

_FINAL = [status.value for status in Status if status.is_final]
_EPOCH = COLUMNS.removeprefix("key, id, ").split(", ").index("epoch")
"""Where the epoch is in a row, behind the id."""
_NOTE_OWNER = """INSERT INTO owners VALUES (%s, 0) ON CONFLICT (name) DO UPDATE SET name = excluded.name"""
"""An owner that was buried takes nothing that will not be buried too: its row is there, and stays
until this is done."""
_PATIENCE = 30.0
"""Seconds to go on trying to reach a server that is away."""
_LISTENS = 1.0
"""Seconds after which the connection for notices looks whether there is something else to do."""


class PostgresStore(RemoteStore):
    """Keeps instances in a schema of a PostgreSQL database, which is made if it is not there.

    Args:
        conninfo: where the server is, as ``postgresql://user@host/database`` or in the other form of
            libpq.
        schema: the name of the schema.
        lease: seconds after which others may take over from a process that is not heard of.
        transactions: how many connections there may be for `transaction` at a time.
    """

    def __init__(
        self, conninfo: str, *, schema: str = "durable_ast", lease: float = 10.0, transactions: int = 10
    ) -> None:
        super().__init__("durable-ast-postgres", lease)
        self.conninfo = conninfo
        self.schema = schema
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._connections = Connections(conninfo, f"durable_ast {schema}", transactions)

    # the server

    async def _run(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that a statement gives, in a transaction of its own.

        Raises:
            StoreError: the server cannot be reached, or refuses.
        """
        try:
            cursor = await (await self._connected()).execute(query.encode(), values)
            return await cursor.fetchall() if cursor.description else []
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise ConnectionBroke(f"PostgreSQL: {error}; what was asked may be done or not") from error
        except (psycopg.Error, UnicodeError) as error:
            raise StoreError(f"PostgreSQL: {error}; nothing was changed, the last checkpoint is kept") from error

    async def _run_safely(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The same for a statement that may be repeated: if the connection breaks, it is."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return await self._run(query, values)
            except ConnectionBroke:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    async def _connected(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        connection = self._connection
        if connection is None or connection.closed or connection.broken:
            connection = await self._connect()
            try:
                await self._prepare(connection)
            except BaseException:
                await connection.close()
                raise
            self._connection = connection  # only now: what could not be prepared is no connection of the store
        return connection

    async def _prepare(self, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        """Make sure that the schema is there and of this version, and that nothing is ours but what we know of."""
        await create_schema(connection, self.schema)
        # whatever was about to become ours when the last connection broke
        query = """UPDATE instances SET owner = NULL, epoch = epoch + 1, due = due_of(instances)
        WHERE owner = %s AND NOT (key = ANY (%s))"""
        await connection.execute(query, (self._lease.owner, [key for key, _ in self._held.values()]))

    async def _connect(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self.conninfo, autocommit=True, fallback_application_name=f"durable_ast {self.schema}"
                )
                break
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)
        try:
            await connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self.schema)))
        except BaseException:
            await connection.close()
            raise
        return connection

    # owning an instance

    async def _sign_in_as(self, owner: str) -> None:
        query = "INSERT INTO owners VALUES (%s, clock() + %s) ON CONFLICT DO NOTHING"
        await self._run_safely(query, (owner, self._lease.seconds))

    async def _listen(self) -> None:
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self.schema)))
                    self.notices.post_all()  # something may have happened before
                    while True:
                        await self._renew(connection)
                        async for notice in connection.notifies(timeout=min(_LISTENS, self._lease.seconds / 4)):
                            self.notices.post(notice.payload)
            except psycopg.Error:
                await asyncio.sleep(0.1)

    async def _renew(self, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        if not self._lease.wants_renewal:
            return
        asked = now()
        query = "UPDATE owners SET expires_at = clock() + %s WHERE name = %s AND expires_at > clock()"
        cursor = await connection.execute(query, (self._lease.seconds, self._lease.owner))
        if cursor.rowcount == 1:
            self._lease.renewed(asked)
        else:
            self._lost()

    async def _acquire(self, initials: Sequence[Record]) -> list[Any]:
        query = f"""
        WITH me AS ({_NOTE_OWNER}), made AS (
            INSERT INTO instances ({COLUMNS.removeprefix("key, ")}, owner)
            SELECT id, program, status, epoch + 1, sequence, arguments, call_stack, retry, awaited, wake_at, outcome,
                error, created_at, updated_at, recoveries, %s
            FROM {UNNESTED}
            ON CONFLICT (id) DO NOTHING
            RETURNING {COLUMNS}
        ), taken AS (
            UPDATE instances SET epoch = epoch + 1, owner = %s, due = NULL,
                recoveries = recoveries + CASE WHEN owner IS NULL THEN 0 ELSE 1 END
            WHERE id = ANY (%s) AND NOT status = ANY (%s) AND (owner IS NULL OR NOT is_alive(owner))
            RETURNING {COLUMNS}
        )
        SELECT true, made.* FROM made
        UNION ALL SELECT false, taken.* FROM taken
        UNION ALL SELECT false, {COLUMNS} FROM instances WHERE id = ANY (%s) AND status = ANY (%s)
        """
        owner, ids = self._lease.owner, [initial.instance_id for initial in initials]
        rows = await self._run_safely(query, (owner, owner, *columns_of(initials), owner, ids, _FINAL, ids, _FINAL))
        found: dict[str, Any] = {}
        for created, key, name, *rest in rows:
            try:
                found[name] = key, record_in((name, *rest)), created
            except CorruptStateError as error:
                found[name] = error
                await self._release([(name, rest[_EPOCH])])
        return [found.get(name) or InstanceBusy() for name in ids]

    async def _enqueue(self, records: Sequence[Record]) -> list[bool]:
        query = f"""
        WITH made AS (
            INSERT INTO instances ({COLUMNS.removeprefix("key, ")}, due)
            SELECT id, program, status, epoch, sequence, arguments, call_stack, retry, awaited, wake_at, outcome,
                error, created_at, updated_at, recoveries, CASE WHEN wake_at IS NULL THEN updated_at END
            FROM {UNNESTED} ORDER BY place
            ON CONFLICT (id) DO NOTHING
            RETURNING id
        )
        SELECT id, pg_notify(%s, id)::text FROM made
        """
        rows = await self._run_safely(query, (*columns_of(records), self.schema))
        made = {name for name, _ in rows}
        answers = []
        for record in records:
            answers.append(record.instance_id in made)
            made.discard(record.instance_id)
        return answers

    async def _claim_some(
        self, programs: list[str], limit: int, but: list[str]
    ) -> tuple[list[tuple[Any, Record]], float | None]:
        await self._run_safely("SELECT bury_the_dead()")
        query = f"""
        WITH me AS ({_NOTE_OWNER}), ready AS (
            SELECT key AS ready_key FROM instances WHERE due <= clock() AND program = ANY (%s)
            AND NOT (id = ANY (%s)) ORDER BY due LIMIT %s FOR UPDATE SKIP LOCKED
        )
        UPDATE instances SET epoch = epoch + 1, owner = %s, due = NULL FROM ready WHERE key = ready_key
        RETURNING {COLUMNS}
        """
        owner = self._lease.owner
        rows = await self._run_safely(query, (owner, programs, but, limit, owner))
        query = "SELECT min(due) FROM instances WHERE due > clock() AND program = ANY (%s)"
        ((next_due,),) = await self._run_safely(query, (programs,))
        claimed = []
        for key, *row in rows:
            try:
                claimed.append((key, record_in(row)))
            except CorruptStateError as error:
                log.error("%s; it is put aside", error)
                query = "UPDATE instances SET status = 'PARKED', owner = NULL WHERE key = %s"
                await self._run_safely(query, (key,))
        return sorted(claimed, key=lambda each: each[1].updated_at), next_due

    async def _release(self, instances: Sequence[tuple[str, int]]) -> list[None]:
        names, epochs = [name for name, _ in instances], [epoch for _, epoch in instances]
        await self._run_safely("SELECT release(%s, %s::bigint[], %s)", (names, epochs, self.schema))
        for name in names:
            self.notices.post(name)
        return [None] * len(names)

    async def _delete(self, ids: Sequence[str]) -> list[Any]:
        query = """
        WITH gone AS (
            DELETE FROM instances WHERE id = %s AND (owner IS NULL OR NOT is_alive(owner)) RETURNING id
        ), letters AS (
            DELETE FROM messages WHERE instance_id = %s
            AND NOT EXISTS (SELECT 1 FROM instances WHERE id = %s AND is_alive(owner))
        ), state AS (
            DELETE FROM states WHERE id = %s
            AND NOT EXISTS (SELECT 1 FROM instances WHERE id = %s AND is_alive(owner))
        )
        SELECT EXISTS (SELECT 1 FROM gone), EXISTS (SELECT 1 FROM instances WHERE id = %s)
        """
        answers: list[Any] = []
        for name in ids:
            ((gone, was_there),) = await self._run_safely(query, (name,) * 6)
            answers.append(InstanceBusy() if was_there and not gone else gone)
        return answers

    async def _drop_parts(self, wishes: Sequence[tuple[str, str]]) -> list[int]:
        query = """WITH gone AS (
            DELETE FROM parts WHERE instance = (SELECT key FROM instances WHERE id = %s) AND starts_with(name, %s)
            RETURNING 1
        )
        SELECT count(*) FROM gone"""
        return [(await self._run_safely(query, wish))[0][0] for wish in wishes]

    async def sizes(self, *, largest: int = 10) -> Sizes:
        sizes: Sizes = await self._remote.ask(self._sizes, largest, None)
        return sizes

    async def _sizes(self, wishes: Sequence[int]) -> list[Sizes]:
        query = """SELECT id, status,
        coalesce(octet_length(call_stack), 0) + coalesce(octet_length(outcome), 0) + coalesce(octet_length(retry), 0)
        + (SELECT coalesce(sum(octet_length(value)), 0) FROM parts WHERE instance = key AND starts_with(name, %s)),
        (SELECT coalesce(sum(octet_length(value)), 0) FROM parts WHERE instance = key
            AND NOT starts_with(name, %s) AND NOT starts_with(name, %s))
        + (SELECT coalesce(sum(octet_length(payload)), 0) FROM messages WHERE instance_id = id),
        (SELECT coalesce(sum(octet_length(value)), 0) FROM parts WHERE instance = key AND starts_with(name, %s))
        FROM instances"""
        rows = await self._run_safely(query, (OF_RECORD, OF_RECORD, HISTORY, HISTORY))
        found = [Size(name, Status(status), *map(int, counts)) for name, status, *counts in rows]
        return [summed(found, largest) for largest in wishes]

    # transitions

    async def _commit(self, transitions: Sequence[Transition]) -> list[bool]:
        last = {(each.key, each.record.epoch): each for each in transitions}
        rows = [last[place] for place in sorted(last)]
        if any(each.has_more for each in transitions):
            done = await self._commit_more(transitions, rows)
        else:
            query, values = (CHANGE_ONE, changed(rows[0])) if len(rows) == 1 else (CHANGE_MANY, all_changed(rows))
            done = {key for (key,) in await self._run_safely(query, values)}
        return [each.key in done for each in transitions]

    async def _commit_more(self, transitions: Sequence[Transition], rows: list[Transition]) -> set[int]:
        """Transitions with more than rows; they must not be repeated if they have been done."""
        columns = all_changed(rows)
        query = f"{CHANGE_MORE} SELECT keys, commit_more(keys, {MORE})::text FROM done"
        more = beside(transitions, [each.key for each in rows if each.record.status.is_final])
        while True:
            try:
                ((keys, _),) = await self._run(query, (*columns, *more, self.schema))
                return set(keys)
            except ConnectionBroke:  # either all of it was done or nothing
                check = """SELECT key FROM instances JOIN unnest(%s::bigint[], %s::bigint[], %s::bigint[])
                AS wanted (key, epoch, sequence) USING (key, epoch) WHERE instances.sequence >= wanted.sequence"""
                wanted = [(each.key, each.record.epoch, each.record.sequence) for each in rows]
                done = {key for (key,) in await self._run_safely(check, arrays(wanted, "bigint", "bigint", "bigint"))}
                if done:
                    return done

    async def begin(self, record: Record) -> OpenTransaction:
        await self._remote.ask(_after_all_before, None, record.instance_id)
        if self._owned(record.instance_id) is None:
            await self._refuse(record)
        return await self._connections.begin()

    async def commit_within(
        self,
        transaction: OpenTransaction,
        record: Record,
        consumed: Sequence[int],
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> None:
        assert isinstance(transaction, PostgresTransaction)
        held = self._owned(record.instance_id)
        if held is None or held[1] != record.epoch:
            await transaction.roll_back()
            await self._refuse(record)
        assert held is not None
        transition = Transition(record.copy(), held[0], tuple(consumed), parts, tuple(outbox))
        columns = all_changed([transition])
        more = beside([transition], [held[0]] if record.status.is_final else [])
        query = f"{CHANGE_MORE} SELECT cardinality(keys) = 1, commit_more(keys, {MORE})::text FROM done"
        if not await transaction.commit(self.schema, query, (*columns, *more, self.schema)):
            await self._refuse(transition.record)

    # looking

    async def _read(self, ids: Sequence[str]) -> list[Record | None]:
        rows = await self._run_safely(f"SELECT {COLUMNS} FROM instances WHERE id = ANY (%s)", (list(ids),))
        found = {row[1]: row[1:] for row in rows}
        return [record_in(found[name]) if name in found else None for name in ids]

    async def _parts(self, wishes: Sequence[tuple[str, str]]) -> list[dict[str, bytes]]:
        query = """SELECT name, value FROM parts
        WHERE instance = (SELECT key FROM instances WHERE id = %s) AND starts_with(name, %s)"""
        return [{name: bytes(value) for name, value in await self._run_safely(query, wish)} for wish in wishes]

    async def _select(self, selections: Sequence[Selection]) -> list[list[Record]]:
        query = f"""SELECT {COLUMNS} FROM instances
        WHERE NOT starts_with(program, %s)
        AND (%s::text[] IS NULL OR status = ANY (%s)) AND (%s::text IS NULL OR program = %s)
        AND (%s::text IS NULL OR starts_with(id, %s)) AND (%s::float8 IS NULL OR created_at >= %s)
        ORDER BY key DESC LIMIT %s OFFSET %s"""
        answers = []
        for each in selections:
            status = None if each.status is None else [status.value for status in each.status]
            filters = (status, each.program, each.prefix, each.since)
            values = [value for value in filters for _ in range(2)]
            rows = await self._run_safely(query, (INTERNAL, *values, each.limit, each.offset))
            answers.append([listed(record_in, row[1:], *row[1:3]) for row in rows])
        return answers

    # messages

    async def _messages(self, ids: Sequence[str]) -> list[list[Message]]:
        query = "SELECT instance_id, number, name, payload FROM messages WHERE instance_id = ANY (%s) ORDER BY number"
        found: dict[str, list[Message]] = {name: [] for name in ids}
        for instance_id, number, name, payload in await self._run_safely(query, (list(found),)):
            found[instance_id].append(Message(number, name, bytes(payload)))
        return [list(found[name]) for name in ids]

    async def _publish(self, messages: Sequence[tuple[str, str, bytes]]) -> list[int]:
        query = "SELECT publish(%s::text[], %s::text[], %s::bytea[], %s)"
        ((numbers,),) = await self._run(query, (*arrays(messages, "text", "text", "bytea"), self.schema))
        for name, _, _ in messages:
            self.notices.post(name)
        return list(numbers)

    async def _offer(self, messages: Sequence[tuple[str, str, bytes]]) -> list[bool]:
        query = "SELECT offer(%s, %s, %s::bytea, %s)"
        return [(await self._run_safely(query, (*message, self.schema)))[0][0] for message in messages]

    async def complete(
        self, instance_id: str, name: str, payload: bytes, delivered: str, rivals: str | None = None
    ) -> bool | None:
        wish = (check_instance_id(instance_id), name, payload, delivered, rivals)
        taken: bool | None = await self._remote.ask(self._complete, wish, instance_id)
        return taken

    async def _complete(self, wishes: Sequence[tuple[str, str, bytes, str, str | None]]) -> list[bool | None]:
        query = """SELECT CASE
        WHEN EXISTS (SELECT 1 FROM messages WHERE instance_id = %s) THEN NULL
        WHEN EXISTS (
            SELECT 1 FROM instances WHERE id = %s AND (
                status = ANY (%s) OR (
                    coalesce(awaited::jsonb ? %s, false) IS FALSE
                    AND EXISTS (SELECT 1 FROM parts WHERE instance = key AND parts.name = %s)
                )
            )
        ) THEN false
        ELSE offer(%s, %s, %s::bytea, %s)
        END"""
        answers = []
        for place, name, payload, delivered, rivals in wishes:
            values = (rivals, place, _FINAL, name, delivered, place, name, payload, self.schema)
            answers.append((await self._run_safely(query, values))[0][0])
        return answers

    # plain states

    async def _load(self, ids: Sequence[str]) -> list[State | None]:
        rows = await self._run_safely("SELECT id, state FROM states WHERE id = ANY (%s)", (list(ids),))
        found = {name: self.unpickle(state) for name, state in rows}
        return [found.get(name) for name in ids]

    async def _save(self, states: Sequence[tuple[str, bytes]]) -> list[None]:
        query = """INSERT INTO states SELECT * FROM unnest(%s::text[], %s::bytea[])
        ON CONFLICT (id) DO UPDATE SET state = excluded.state"""
        await self._run_safely(query, arrays(list(dict(states).items()), "text", "bytea"))
        return [None] * len(states)

    async def _disconnect(self) -> None:
        if self._connection is not None and not self._connection.closed:
            if self._lease.is_signed_in:
                await self._run("UPDATE owners SET expires_at = 0 WHERE name = %s", (self._lease.owner,))
                await self._run("SELECT bury_the_dead()")
            await self._connection.close()
        self._connections.close()


async def _after_all_before(asked: Sequence[None]) -> list[None]:
    """What was asked before about an instance is done."""
    return [None] * len(asked)
