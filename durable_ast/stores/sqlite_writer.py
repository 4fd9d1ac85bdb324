"""One thread, one connection: everything a process does with a SQLite file.

Jobs are done in the order in which they come.  Those that are waiting when the thread turns to them
share one transaction, so a thousand instances that checkpoint at once cost one commit; and no call
ever blocks an event loop.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import queue
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import CorruptStateError, DurableError, NewerFormatError, StoreError

Work: TypeAlias = Callable[[sqlite3.Connection], Any]

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE instances (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    program TEXT NOT NULL,
    status TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    arguments TEXT,
    call_stack BLOB,
    retry BLOB,
    awaited TEXT,
    wake_at REAL,
    outcome BLOB,
    error TEXT,
    owner TEXT
);
CREATE TABLE messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    instance_id TEXT NOT NULL,
    name TEXT NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX messages_of_instance ON messages (instance_id, number);
CREATE TABLE states (id TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (version TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
"""

_LARGEST_BATCH = 5000
_PATIENCE = 30.0
"""Seconds to wait for another process that holds the file."""


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work
    flush: bool
    reply: Callable[[Any, BaseException | None], None]


class SQLiteWriter:
    """Does jobs on the file at `path`; opens it with the first one."""

    def __init__(self, path: str, synchronous: str) -> None:
        self.path = path
        self._full = synchronous == "FULL"
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        _open_writers.add(self)

    # from any thread

    def submit(self, work: Work, *, flush: bool = True) -> Future[Any]:
        """Do a job; the future is done when it is committed."""
        future: Future[Any] = Future()

        def reply(result: Any, error: BaseException | None) -> None:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self._put(_Job(work, flush, reply))
        return future

    def submit_from_loop(self, work: Work, *, flush: bool = True) -> asyncio.Future[Any]:
        """The same for a coroutine; must be called in its event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        deliveries = _Deliveries.of(loop)

        def reply(result: Any, error: BaseException | None) -> None:
            deliveries.add(future, result, error)

        self._put(_Job(work, flush, reply))
        return future

    def close(self) -> None:
        """Finish what was submitted, and close the file."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            self._jobs.put(None)
            thread.join()

    def _put(self, job: _Job) -> None:
        if self._thread is None or self._pid != os.getpid():
            self._start()
        self._jobs.put(job)

    def _start(self) -> None:
        with self._starting:
            if self._pid != os.getpid():  # a fork has the file open, but not the thread
                if self.path == ":memory:":
                    raise StoreError("a SQLite store in memory cannot be used after fork(); use a file")
                self._jobs, self._pid, self._thread = queue.SimpleQueue(), os.getpid(), None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="durable-ast-sqlite", daemon=True)
                self._thread.start()

    # in the thread

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        level = ""
        while True:
            batch, last = self._next_batch()
            if batch:
                try:
                    if connection is None:
                        connection, level = open_database(self.path), ""
                    wanted = "FULL" if self._full and any(job.flush for job in batch) else "NORMAL"
                    if wanted != level:
                        connection.execute(f"PRAGMA synchronous = {wanted}")
                        level = wanted
                    answers = _in_one_transaction(connection, batch)
                except Exception as error:
                    answers = [(None, self._explained(error))] * len(batch)
                for job, (result, problem) in zip(batch, answers, strict=True):
                    job.reply(result, problem)
                _Deliveries.deliver_all()
            if last:
                if connection is not None:
                    connection.close()
                return

    def _next_batch(self) -> tuple[list[_Job], bool]:
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == _LARGEST_BATCH:
                break
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, job is None

    def _explained(self, error: Exception) -> DurableError:
        if isinstance(error, DurableError):
            return error
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            return CorruptStateError(f"{self.path} is no database of durable-ast, or is damaged: {error}")
        return StoreError(f"{self.path}: {error}; nothing was changed, the last checkpoint is kept")


def _in_one_transaction(connection: sqlite3.Connection, batch: list[_Job]) -> list[tuple[Any, BaseException | None]]:
    """Each job's result or its own error; an error of the database is everybody's."""
    answers: list[tuple[Any, BaseException | None]] = []
    _patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
    try:
        for job in batch:
            try:
                answers.append((job.work(connection), None))
            except sqlite3.Error:
                raise
            except Exception as error:
                answers.append((None, error))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return answers


def _patiently(attempt: Callable[[], Any]) -> None:
    """Try again while another process holds the file."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            attempt()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def open_database(path: str) -> sqlite3.Connection:
    """A connection to the file, which is created with its tables if it is new."""
    if path != ":memory:" and not os.path.exists(path):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # state is private to its user
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
    _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"))
    _patiently(lambda: _create(connection, path))
    return connection


def _create(connection: sqlite3.Connection, path: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise NewerFormatError(
                f"{path} was written by a later version of durable-ast (schema {version}; this version knows "
                f"{SCHEMA_VERSION}); upgrade durable-ast"
            )
        if version == 0:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


class _Deliveries:
    """Answers on their way to an event loop: one wake-up for all of a batch."""

    _by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Deliveries] = weakref.WeakKeyDictionary()
    _ready: set[_Deliveries] = set()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Deliveries:
        found = cls._by_loop.get(loop)
        if found is None:
            found = cls._by_loop[loop] = cls(loop)
        return found

    def add(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._answers.append((future, result, error))
        self._ready.add(self)

    @classmethod
    def deliver_all(cls) -> None:
        while cls._ready:
            deliveries = cls._ready.pop()
            answers, deliveries._answers = deliveries._answers, []
            loop = deliveries._loop()
            if loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(_deliver, answers)


def _deliver(answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in answers:
        if future.done():
            continue  # whoever asked was cancelled
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


_open_writers: weakref.WeakSet[SQLiteWriter] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for writer in list(_open_writers):
        writer.close()
