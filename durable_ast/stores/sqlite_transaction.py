"""A user's SQL in the file of a SQLite store, in one transaction with a checkpoint.

It runs in the writer's thread, so no statement blocks an event loop.  The tables of the library are
not its business, and whether the transaction is committed the library decides: a statement that
would touch either is refused before it runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from ..errors import TransactionError
from .sqlite_file import TABLES
from .sqlite_section import Section
from .transactions import OpenTransaction

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]

_PRAGMAS = frozenset(("table_info", "table_xinfo", "index_list", "index_info", "foreign_key_list", "foreign_key_check"))
"""Those that only look."""
_NAMED_SECOND = frozenset(
    (
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_DROP_INDEX,
        sqlite3.SQLITE_DROP_TRIGGER,
        sqlite3.SQLITE_ALTER_TABLE,
    )
)
"""Actions whose second argument is the table."""


class SQLiteCursor:
    """What a statement gave; its rows have been read.

    Attributes:
        description: the names of the columns, as `sqlite3` describes them; None if it gives no rows.
        rowcount: how many rows an INSERT, UPDATE, DELETE or REPLACE has changed; -1 for others.
        lastrowid: the id of the row that was inserted last.
    """

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.description = cursor.description
        rows = cursor.fetchall() if cursor.description else []
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid
        self._rows = iter(rows)

    async def fetchone(self) -> Any:
        """The next row, a tuple; None if there is none left."""
        return next(self._rows, None)

    async def fetchmany(self, size: int = 1) -> list[Any]:
        """The next rows."""
        return [row for row, _ in zip(self._rows, range(size), strict=False)]

    async def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return list(self._rows)

    async def __aiter__(self) -> AsyncIterator[Any]:
        for row in self._rows:
            yield row


class SQLiteConnection:
    """Runs SQL in a transaction that is open; `transaction` gives it."""

    def __init__(self, transaction: SQLiteTransaction) -> None:
        self._transaction = transaction

    async def execute(self, query: str, params: Parameters = ()) -> SQLiteCursor:
        """Run one statement.

        Args:
            query: the statement, with ``?`` or ``:name`` for its values.
            params: the values, a sequence or a mapping.

        Raises:
            sqlite3.Error: the database refuses it; the transaction goes on.
            TransactionError: it would touch what is the library's, or end the transaction.
        """
        return await self._transaction.run(lambda connection: connection.execute(query, params))

    async def executemany(self, query: str, params: Iterable[Parameters]) -> SQLiteCursor:
        """Run one statement for each of the values."""
        values = list(params)
        return await self._transaction.run(lambda connection: connection.executemany(query, values))


class SQLiteTransaction(OpenTransaction):
    """A section of the writer's thread.

    Args:
        section: it is open.
    """

    def __init__(self, section: Section) -> None:
        self.connection = SQLiteConnection(self)
        self.section = section
        self._refused = ""
        self._was_ended = False

    async def run(self, statement: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> SQLiteCursor:
        """Run a statement of the user's."""
        result: SQLiteCursor = await self.section.do(lambda connection: self._run(connection, statement))
        return result

    def _run(
        self, connection: sqlite3.Connection, statement: Callable[[sqlite3.Connection], sqlite3.Cursor]
    ) -> SQLiteCursor:
        self.check()
        self._refused = ""
        connection.set_authorizer(self._allows)
        try:
            return SQLiteCursor(statement(connection))
        except sqlite3.DatabaseError as error:
            if not self._refused:
                raise
            raise TransactionError(f"inside of transaction() {self._refused} ({error})") from None
        finally:
            connection.set_authorizer(None)
            self._was_ended = not connection.in_transaction

    def check(self) -> None:
        """Make sure that it can go on.

        Raises:
            TransactionError: a statement has ended it.
        """
        if self._was_ended:
            raise TransactionError(
                "a statement has rolled the transaction back (OR ROLLBACK, RAISE(ROLLBACK), or a full disk), so there is "
                "nothing to commit; leave the block of transaction() with an exception, and begin another one"
            )

    def _allows(self, action: int, first: str | None, second: str | None, *where: str | None) -> int:
        """What SQLite asks about everything that a statement is going to do."""
        table = second if action in _NAMED_SECOND else first
        if action == sqlite3.SQLITE_TRANSACTION:
            self._refused = f"{first} is not for the user: the transaction is committed with the checkpoint"
        elif action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
            self._refused = "no other file can be attached or detached"
        elif action == sqlite3.SQLITE_PRAGMA and first not in _PRAGMAS:
            self._refused = f"PRAGMA {first} would change the connection, which is the store's"
        elif table in TABLES and action not in (sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_PRAGMA):
            self._refused = f"the table {table} cannot be used: it is the store's own"
        else:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    async def prepare(self) -> None:
        self.check()

    async def roll_back(self) -> None:
        if not self.section.is_over:
            await self.section.do(_nothing, is_last=True)

    def abandon(self) -> None:
        self.section.give_up()

    def is_lost(self) -> bool:
        return False


def _nothing(connection: sqlite3.Connection) -> None:
    """The last job of a section that is rolled back."""
