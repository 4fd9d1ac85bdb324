"""Transactions that the user's SQL and a checkpoint share: `async with transaction() as connection`.

The checkpoint behind the block is written in the transaction, so both are committed or neither.  In
between nothing of the instance is written: what other branches want to save waits, and what the
block itself wants to write beside (messages, published values) goes into the transaction.  A process
that dies in the block has done nothing of it; the instance goes on in front of it.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractAsyncContextManager
from types import CoroutineType, FrameType
from typing import TYPE_CHECKING, Any

from ..errors import NotPersistableError, StaleOwnerError, StoreError, TransactionError
from ..stores.transactions import Connection, OpenTransaction
from .effects import NO_EFFECTS, Effects, united
from .functions import frames
from .recipes import recipe_of
from .running_branch import current

if TYPE_CHECKING:
    from .branch import Branch


class Region:
    """A block of `transaction` that a branch is in.

    Attributes:
        opened: the transaction.
        over: whether the block has been left.
    """

    def __init__(self, branch: Branch, opened: OpenTransaction) -> None:
        self._branch = branch
        self._effects: list[Effects] = []
        self._saved_steps = branch.saves_steps
        self.opened = opened
        self.over = asyncio.Event()

    def postpone(self, effects: Effects) -> None:
        """Have effects with the transaction, if it is committed."""
        if effects is not NO_EFFECTS:
            self._effects.append(effects)

    @property
    def effects(self) -> Effects:
        """What the transaction does beside."""
        return united(self._effects)

    def end(self) -> None:
        """The block has been left; what waited for that goes on."""
        branch, instance = self._branch, self._branch.instance
        branch.region = None
        branch.saves_steps = self._saved_steps and not (branch.siblings is not None and branch.siblings.has_ended)
        instance.region = None
        self.over.set()
        if branch.siblings is not None:
            branch.siblings.cuts.go_on()


class Transaction(AbstractAsyncContextManager[Connection]):
    """A block of SQL that is committed with the checkpoint behind it; made by `transaction`."""

    def __init__(self) -> None:
        self.region: Region | None = None

    def __aenter__(self) -> CoroutineType[Any, Any, Connection]:
        return begin(self)  # type: ignore[return-value]

    def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> CoroutineType[Any, Any, None]:
        return end(self, error)  # type: ignore[return-value]

    def __reduce__(self) -> Any:
        if self.region is not None:
            raise TypeError("a transaction that is open cannot be saved")
        return Transaction, ()


def transaction() -> Transaction:
    """A transaction in the store's own database, for SQL that must happen exactly once.

    ``async with transaction() as connection:`` in a durable function begins it.  At the end of the
    block it is committed together with the checkpoint there: whatever dies, both have happened or
    neither, and in the second case the block runs again from its beginning.  If an exception leaves
    the block, it is rolled back.  In a PostgreSQL store the connection is a `psycopg.AsyncConnection`;
    in a SQLite store it has `execute` and `executemany`, to be awaited, and gives a cursor whose
    `fetchone`, `fetchmany` and `fetchall` are awaited too.  See `Connection`.

    Keep the block short, and to SQL: whatever else it awaits runs again with it, and nothing of the
    instance is written while it is open (in a SQLite store, nothing of any instance).  It cannot wait
    for events or for other branches.

    Raises:
        TransactionError: on entering: the store has no transactions, or this is no place for one.
            On leaving: a statement has failed or ended the transaction, so it cannot be committed.

    >>> import asyncio
    >>> from durable_ast import DurableBackend, SQLiteStore, make_durable, transaction
    >>> @make_durable
    ... async def pay(account: str, cents: int) -> int:
    ...     async with transaction() as connection:
    ...         await connection.execute("CREATE TABLE IF NOT EXISTS accounts (name, cents)")
    ...         await connection.execute("INSERT INTO accounts VALUES (?, ?)", (account, cents))
    ...         cursor = await connection.execute("SELECT sum(cents) FROM accounts")
    ...         (total,) = await cursor.fetchone()
    ...     return total
    >>> backend = DurableBackend(SQLiteStore(":memory:"))
    >>> asyncio.run(pay("Ada", 700, orchestration_backend=backend, instance_id="pay-1"))
    700
    """
    return Transaction()


def begin_block(branch: Branch, coroutine: Any) -> Any:
    """Start a `begin` that was recognised."""
    if branch.siblings is not None:
        branch.siblings.begins(branch, recipe_of(coroutine))
    return coroutine


async def begin(transaction: Transaction) -> Connection:
    """Enter a block."""
    branch = _branch_at(sys._getframe(1))
    instance = branch.instance
    while instance.region is not None:
        await instance.region.over.wait()
    instance.region = transaction.region = branch.region = region = Region(branch, _NotYet())
    try:
        await instance.settled()
        await instance.keep_texts()
        region.opened = await instance.store.begin(instance.record)
    except (StoreError, StaleOwnerError) as error:
        region.end()
        await branch.stop(error)
    except BaseException:
        region.end()
        raise
    branch.saves_steps = False
    connection: Connection = region.opened.connection
    return connection


async def end(transaction: Transaction, error: BaseException | None) -> None:
    """Leave a block: with a commit, unless an error does."""
    region, transaction.region = transaction.region, None
    branch = current.get()
    if region is None or branch is None or branch.region is not region:
        raise TransactionError("the instance has ended, and its transaction with it; nothing of it has happened")
    opened = region.opened
    if error is None:
        await _commit(branch, region, sys._getframe(1))
        return
    if isinstance(error, GeneratorExit):  # there is nobody to wait
        opened.abandon()
        region.end()
        return
    is_lost = opened.is_lost()
    await _rolled_back(region)
    if is_lost and isinstance(error, Exception):
        await branch.stop(
            StoreError(
                f"the connection of a transaction broke ({type(error).__name__}: {error}); nothing of it has happened, and "
                "the block runs again when the instance goes on"
            )
        )


async def _commit(branch: Branch, region: Region, frame: FrameType) -> None:
    """End a block with a checkpoint."""
    try:
        await region.opened.prepare()
        saving = branch.commit(region.opened, region.effects, frame)
    except (NotPersistableError, StaleOwnerError, StoreError) as error:
        await _rolled_back(region)
        await branch.stop(error)
    except BaseException:
        await _rolled_back(region)
        raise
    if saving is None:
        await _rolled_back(region)
        raise TransactionError("the instance has ended, so the transaction was rolled back")
    writing, cancelled = asyncio.ensure_future(saving), None
    while not writing.done():  # whether it is committed must be known, whoever has lost interest
        try:
            await asyncio.wait([writing])
        except asyncio.CancelledError as error:
            cancelled = error
    if branch.region is not region:
        raise TransactionError("the instance has ended, so the transaction was rolled back")
    problem = writing.exception()
    if problem is not None:
        await _rolled_back(region)
        await branch.stop(problem)
    region.end()
    if cancelled is not None:
        branch.cancel_later(cancelled)


async def _rolled_back(region: Region) -> None:
    try:
        await region.opened.roll_back()
    except BaseException:
        region.opened.abandon()
        raise
    finally:
        region.end()


def _branch_at(frame: FrameType) -> Branch:
    """The branch that enters a block in a frame of its own."""
    branch = current.get()
    if branch is None:
        raise TransactionError(
            "transaction() was entered outside of a durable function, so there is no checkpoint to commit with; use a "
            "connection of your own"
        )
    if branch.in_step or id(frame.f_code) not in frames:
        raise TransactionError(
            "transaction() was entered in the middle of a step, which has no checkpoint of its own; enter it in the "
            "durable function, or in an async function of the same package that it awaits"
        )
    if branch.region is not None:
        raise TransactionError("a transaction is open here already; use its connection (and SAVEPOINT, to undo a part)")
    return branch


class _NotYet(OpenTransaction):
    """A transaction that is being begun."""

    async def prepare(self) -> None:
        pass

    async def roll_back(self) -> None:
        pass

    def abandon(self) -> None:
        pass

    def is_lost(self) -> bool:
        return False
