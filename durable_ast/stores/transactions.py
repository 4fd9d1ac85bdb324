"""A transaction of a store's own database that a user's SQL and a checkpoint share.

`Connection` and `Cursor` are what the stores of this library have in common there: psycopg's
`AsyncConnection` is one, and SQLite gets one of the same shape.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows it has changed, or gives, as the database tells it."""

    async def fetchone(self) -> Any:
        """The next row, a tuple; None if there is none left."""

    async def fetchmany(self, size: int = ...) -> Sequence[Any]:
        """The next rows."""

    async def fetchall(self) -> Sequence[Any]:
        """All rows that are left."""

    def __aiter__(self) -> AsyncIterator[Any]:
        """``async for row in cursor``."""


class Connection(Protocol):
    """Runs SQL in a transaction."""

    def execute(self, query: Any, params: Any = ...) -> Awaitable[Cursor]:
        """Run one statement.

        Args:
            query: the statement, with the placeholders of the database: ``?`` or ``:name`` in SQLite,
                ``%s`` or ``%(name)s`` in PostgreSQL.
            params: the values for them, a sequence or a mapping.
        """


class OpenTransaction(ABC):
    """A transaction that was begun for an instance.

    Attributes:
        connection: what the user gets.
    """

    connection: Connection

    @abstractmethod
    async def prepare(self) -> None:
        """Make sure that it can be committed.

        Raises:
            TransactionError: a statement has failed in it, or has ended it.
            Exception: the database finds fault with what was done in it.
        """

    @abstractmethod
    async def roll_back(self) -> None:
        """End it, if it has not ended; nothing that was done in it has happened."""

    @abstractmethod
    def abandon(self) -> None:
        """The same, for whoever cannot wait; does nothing to one that has ended."""

    @abstractmethod
    def is_lost(self) -> bool:
        """Whether it cannot go on because the database is out of reach."""
