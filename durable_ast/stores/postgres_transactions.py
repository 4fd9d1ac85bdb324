"""A user's SQL in the database of a PostgreSQL store, in one transaction with a checkpoint.

Each transaction has a connection of its own, which the user gets as it is: with the settings that
the database gives to everybody, and not those of the store.  It lives in the user's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Sequence
from typing import Any, TypeAlias

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from ..errors import StoreError, TransactionError
from .transactions import OpenTransaction

Connection: TypeAlias = "psycopg.AsyncConnection[tuple[Any, ...]]"


_AS_NEW = """CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all();
DISCARD TEMP; DISCARD SEQUENCES"""
"""What DISCARD ALL does, but for prepared statements, which psycopg goes on using."""


class Connections:
    """Connections for transactions: as many at a time as are allowed, and used again.

    Args:
        conninfo: where the server is.
        name: how the server lists them.
        most: how many there are at a time, in one event loop.
    """

    def __init__(self, conninfo: str, name: str, most: int) -> None:
        self._conninfo, self._name, self._most = conninfo, name, most
        self._rooms: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            weakref.WeakKeyDictionary()
        )
        self._idle: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[Connection]] = weakref.WeakKeyDictionary()

    async def begin(self) -> PostgresTransaction:
        """A transaction on a connection, once there is one to be had.

        Raises:
            StoreError: the server is not reached.
        """
        loop = asyncio.get_running_loop()
        room = self._rooms.setdefault(loop, asyncio.Semaphore(self._most))
        await room.acquire()
        try:
            while self._idle.get(loop):
                with contextlib.suppress(psycopg.OperationalError):  # it has grown old
                    return await self._begun(self._idle[loop].pop())
            return await self._begun(
                await psycopg.AsyncConnection.connect(
                    self._conninfo, autocommit=True, fallback_application_name=self._name
                )
            )
        except psycopg.Error as error:
            room.release()
            raise StoreError(f"PostgreSQL: {error}; no transaction was begun") from error
        except BaseException:
            room.release()
            raise

    async def _begun(self, connection: Connection) -> PostgresTransaction:
        block = connection.transaction()
        try:
            await block.__aenter__()
        except BaseException:
            connection.pgconn.finish()
            raise
        return PostgresTransaction(self, connection, block)

    async def give_back(self, connection: Connection) -> None:
        """A connection is not used any more; others get it as if it were new."""
        loop = asyncio.get_running_loop()
        try:
            await connection.execute(_AS_NEW)
            self._idle.setdefault(loop, []).append(connection)
        except psycopg.Error:
            connection.pgconn.finish()
        except BaseException:
            connection.pgconn.finish()
            raise
        finally:
            self._rooms[loop].release()

    def drop(self, connection: Connection) -> None:
        """Close a connection at once; the server rolls back what was begun there."""
        connection.pgconn.finish()
        with contextlib.suppress(RuntimeError, KeyError):  # the event loop has ended
            self._rooms[asyncio.get_running_loop()].release()

    def close(self) -> None:
        """Close those that nobody uses."""
        for idle in self._idle.values():
            for connection in idle:
                connection.pgconn.finish()
        self._idle.clear()


class PostgresTransaction(OpenTransaction):
    """A transaction on a connection of its own.

    Args:
        connections: where it comes from.
        connection: commits by itself, but for the blocks of its `transaction`: these refuse
            ``commit()`` and ``rollback()``, and what SQL does to them shows.
        block: the block that is open.
    """

    def __init__(self, connections: Connections, connection: Connection, block: Any) -> None:
        self.connection: Connection = connection
        self._connections = connections
        self._block = block
        self._is_over = False

    async def prepare(self) -> None:
        match self.connection.info.transaction_status:
            case TransactionStatus.INERROR:
                raise TransactionError(
                    "a statement has failed in the transaction, so PostgreSQL does not commit it; put statements that may "
                    "fail into `async with connection.transaction():` of their own, or let their error leave the block"
                )
            case TransactionStatus.INTRANS:
                await self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            case _:
                raise TransactionError(
                    "a statement has ended the transaction (COMMIT, ROLLBACK): what it committed has happened without the "
                    "checkpoint. Leave that to the end of the block"
                )

    async def commit(self, schema: str, query: str, values: Sequence[Any]) -> bool:
        """Run a last statement in a schema, and commit if what it gives is true; gives that.

        Raises:
            StoreError: the server has not done it, or has not answered.
        """
        try:
            async with self.connection.pipeline():
                await self.connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(schema)))
                cursor = await self.connection.execute(query.encode(), values)
            row = await cursor.fetchone()
            if row is None or not row[0]:
                await self.roll_back()
                return False
            await self._block.__aexit__(None, None, None)
        except psycopg.Error as error:
            self.abandon()
            raise StoreError(
                f"PostgreSQL: {error}; whether the transaction was committed shows when the instance goes on"
            ) from error
        except BaseException:
            self.abandon()
            raise
        await self._give_back()
        return True

    async def roll_back(self) -> None:
        if self._is_over:
            return
        undo = psycopg.Rollback()
        try:
            await self._block.__aexit__(type(undo), undo, None)
        except psycopg.Error:  # the server does it when the connection ends
            self.abandon()
        except BaseException:
            self.abandon()
            raise
        else:
            await self._give_back()

    async def _give_back(self) -> None:
        self._is_over = True
        await self._connections.give_back(self.connection)

    def abandon(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._connections.drop(self.connection)

    def is_lost(self) -> bool:
        return self.connection.closed
