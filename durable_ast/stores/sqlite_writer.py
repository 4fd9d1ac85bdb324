"""One thread, one connection: everything a process does with a SQLite file.

Jobs are done in the order in which they come.  Those that are waiting when the thread turns to them
share one transaction, so a thousand instances that checkpoint at once cost one commit; and no call
ever blocks an event loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import queue
import sqlite3
import threading
import weakref
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..errors import CorruptStateError, DurableError, StoreError
from . import process
from .answer import Answer, call_in, promise
from .sqlite_file import open_database, open_impatient, patiently, roll_back
from .sqlite_section import Section

Work: TypeAlias = Callable[[sqlite3.Connection], Any]
Outcome: TypeAlias = tuple[Any, BaseException | None]
Row: TypeAlias = tuple[Any, ...]
Key: TypeAlias = tuple[Any, ...]

_CLOSED = object()
"""Comes after the last job of all."""
_LARGEST_BATCH = 5000
_TIDY_AFTER = 1000
"""Commits made at once after which the write-ahead log is brought into the database."""


@dataclass(slots=True, eq=False)
class _Job:
    work: Work
    flush: bool
    future: Answer[Any] | Future[Any]


@dataclass(slots=True, eq=False)
class _Commits:
    """The commits of one turn of an event loop.  They share one answer: the keys of the rows that
    were not there."""

    flush: bool
    future: Answer[Collection[Key]]
    rows: dict[Key, Row] = field(default_factory=dict)
    """The last row for each key: what a turn writes over and over is written once."""
    more: list[tuple[Key, Work]] = field(default_factory=list)
    """What else is to be done for the rows that are there."""


_Jobs: TypeAlias = "queue.SimpleQueue[_Job | _Commits | Section | None]"


class SQLiteWriter:
    """Does jobs on the file at `path`; opens it with the first one.

    Args:
        path: the file.
        synchronous: ``FULL`` or ``NORMAL``, for jobs that are to be flushed.
        commit: the statement of a commit, which changes one row; the last two of its values say which.
        patience: seconds to wait for another process that has the file locked.
    """

    def __init__(self, path: str, synchronous: str, commit: str, patience: float) -> None:
        self.path = path
        self._full = synchronous == "FULL"
        self._commit = commit
        self._patience = patience
        self._reset()
        _open_writers.add(self)

    def _reset(self) -> None:
        self._pid = process.number
        self._starting = threading.Lock()
        self._jobs: _Jobs = queue.SimpleQueue()
        self._sections: set[Section] = set()
        """Those that are not over."""
        self._broken: set[Key] = set()
        """Those of whose commits one was lost: none that comes after it counts."""
        self._turns: dict[asyncio.AbstractEventLoop, _Commits] = {}
        self._submitted = self._done = 0
        self._thread: threading.Thread | None = None
        self._before: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._level = ""
        """How far the connection waits for the disk."""
        self._at_once: sqlite3.Connection | None = None
        self._untidy = 0

    # from any thread

    def submit(self, work: Work, *, flush: bool = True) -> Future[Any]:
        """Do a job; the future is done when it is committed."""
        for loop in list(self._turns):
            self._hand_over(loop)
        future = promise()
        self._put(_Job(work, flush, future))
        return future

    def submit_from_loop(self, work: Work, *, flush: bool = True) -> Answer[Any]:
        """The same for a coroutine; must be called in its event loop."""
        loop = asyncio.get_running_loop()
        self._hand_over(loop)  # what was committed before comes first
        future: Answer[Any] = Answer(loop=loop)
        self._put(_Job(work, flush, future))
        return future

    def commit(self, row: Row, *, flush: bool, alone: bool, more: Work | None = None) -> Answer[Collection[Key]]:
        """Commit a row; must be called in an event loop.  Gives, once it is committed, the keys of those
        rows of this turn that were not there.

        Args:
            row: the values for the commit statement.
            flush: whether to wait for the disk.
            alone: whether no other commit is to be expected in this turn of the loop.
            more: what else to do in the same transaction, if the row is there.
        """
        loop = asyncio.get_running_loop()
        commits = self._turns.get(loop)
        if commits is None:
            commits = _Commits(flush, Answer(loop=loop))
            if not alone:
                self._turns[loop] = commits
                loop.call_soon(self._hand_over, loop)
        key = row[-2:]
        commits.rows[key] = row
        if more is not None:
            commits.more.append((key, more))
        commits.flush = commits.flush or flush
        if alone:
            self._turns.pop(loop, None)
            self._put(commits)
        return commits.future

    def commit_at_once(self, row: Row) -> bool:
        """Commit a row without waiting for anything, neither the disk nor another writer.

        Handing a commit to the thread and back takes longer than the commit; where no other would
        share it, this is better.  Returns whether it is done; if it is not, nothing has happened.
        """
        connection = self._at_once
        if connection is None or self._turns or self._submitted != self._done or self._pid != process.number:
            return False
        if row[-2:] in self._broken:
            return False
        try:
            if connection.execute(self._commit, row).rowcount != 1:
                return False
        except sqlite3.Error:
            return False  # the thread will have the same trouble, and more patience
        self._untidy += 1
        if self._untidy == _TIDY_AFTER:
            self.submit(_nothing, flush=False)
        return True

    def section(self) -> Section:
        """A transaction that is begun when everything before it is done, and that nothing else is
        done in; must be called in an event loop."""
        self._hand_over(asyncio.get_running_loop())
        section = Section(self._begun)
        self._sections.add(section)
        self._put(section)
        return section

    async def alone(self, work: Work) -> Any:
        """Do a job outside of any transaction."""
        self._hand_over(asyncio.get_running_loop())
        section = Section(self._connected_flushing)
        self._put(section)
        return await self.last_of(section, work)

    def _connected_flushing(self) -> sqlite3.Connection:
        return self._connected(flush=True)

    def last_of(self, section: Section, work: Work) -> Answer[Any]:
        """The last job of a section; what the database says against it is said as for any other job."""

        def explained(connection: sqlite3.Connection) -> Any:
            try:
                return work(connection)
            except Exception as error:
                raise self._explained(error) from error

        return section.do(explained, is_last=True)

    def close(self) -> None:
        """Finish what was submitted, and close the file; sections that are open are given up."""
        with self._starting:
            thread, jobs = self._thread, self._jobs
            if thread is None or self._pid != process.number:
                return
            for section in list(self._sections):
                section.give_up()
            jobs.put(None)
            # whoever comes later has another thread, which begins when this one has ended
            self._thread, self._before, self._jobs = None, thread, queue.SimpleQueue()
        thread.join()

    def finish(self) -> None:
        """Nobody will submit anything more: end the thread once it has done what it has; waits for
        nothing, so a garbage collector may call it."""
        if self._thread is not None and self._pid == process.number:
            self._jobs.put(None)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """The commits of a turn are complete."""
        commits = self._turns.pop(loop, None)
        if commits is not None:
            self._put(commits)

    def _put(self, job: _Job | _Commits | Section) -> None:
        if self._pid != process.number:  # a fork has the file open, but not the thread
            if self.path == ":memory:":
                raise StoreError("a SQLite store in memory cannot be used after fork(); use a file")
            _of_the_parent.append((self._connection, self._at_once))
            self._reset()
        with self._starting:
            if self._thread is None:
                work = functools.partial(self._work, self._jobs, self._before)
                thread = threading.Thread(target=work, name="durable-ast-sqlite", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    raise StoreError(f"{self.path}: {error}; nothing was changed") from error
                self._thread = thread  # only now: nobody waits for one that could not be started
            self._submitted += 1
            self._jobs.put(job)

    # in the thread

    def _work(self, jobs: _Jobs, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        while True:
            batch, after = _next_batch(jobs)
            if batch:
                self._do(batch)
            del batch  # while the thread waits it must not hold those who asked
            if isinstance(after, Section):
                after.run()
                self._sections.discard(after)
                self._done += 1
            elif after is _CLOSED:
                self._close()
                return

    def _do(self, batch: list[_Job | _Commits]) -> None:
        try:
            connection = self._connected(flush=any(job.flush for job in batch))
            answers = self._in_one_transaction(connection, batch)
        except Exception as error:
            answers = [(None, self._explained(error))] * len(batch)
            self._broken.update(key for job in batch if isinstance(job, _Commits) for key in job.rows)
        self._done += len(batch)
        _send(batch, answers)
        if self._connection is not None and self._untidy >= _TIDY_AFTER:
            self._untidy = 0
            with contextlib.suppress(sqlite3.Error):  # nothing is lost; the log grows until it can be done
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _begun(self) -> sqlite3.Connection:
        """The connection, in a transaction."""
        try:
            connection = self._connected(flush=True)
            patiently(lambda: connection.execute("BEGIN IMMEDIATE"), self._patience)
        except Exception as error:
            raise self._explained(error) from error
        return connection

    def _connected(self, *, flush: bool) -> sqlite3.Connection:
        """The connection, which waits for the disk or does not."""
        if self._connection is None:
            self._connection, self._level = open_database(self.path, self._patience), ""
            if self.path != ":memory:":
                self._at_once = open_impatient(self.path, self._patience)
        roll_back(self._connection)  # the last one may not have succeeded in it
        wanted = "FULL" if self._full and flush else "NORMAL"
        if wanted != self._level:
            self._connection.execute(f"PRAGMA synchronous = {wanted}")
            self._level = wanted
        return self._connection

    def _close(self) -> None:
        for each in (self._at_once, self._connection):
            if each is not None:
                each.close()
        self._at_once = self._connection = None

    def _in_one_transaction(self, connection: sqlite3.Connection, batch: list[_Job | _Commits]) -> list[Outcome]:
        """Each job's result or its own error; an error of the database is everybody's."""
        patiently(lambda: connection.execute("BEGIN IMMEDIATE"), self._patience)
        try:
            answers = [self._answer(connection, job) for job in batch]
            connection.execute("COMMIT")
        except BaseException:
            roll_back(connection)
            raise
        return answers

    def _answer(self, connection: sqlite3.Connection, job: _Job | _Commits) -> Outcome:
        if isinstance(job, _Commits):
            lost = self._broken & job.rows.keys()
            rows = {key: row for key, row in job.rows.items() if key not in lost} if lost else job.rows
            changed = connection.executemany(self._commit, rows.values()).rowcount
            missing = lost if changed == len(rows) else lost | self._missing(connection, rows)
            for key, work in job.more:
                if key not in missing:
                    work(connection)
            return missing, None
        try:
            return job.work(connection), None
        except sqlite3.Error:
            raise
        except Exception as error:
            return None, error

    def _missing(self, connection: sqlite3.Connection, rows: dict[Key, Row]) -> set[Key]:
        """Which rows were not there; to write the others once more changes nothing."""
        return {key for key, row in rows.items() if connection.execute(self._commit, row).rowcount != 1}

    def _explained(self, error: Exception) -> DurableError:
        if isinstance(error, StoreError):
            return StoreError(f"{self.path}: {error}")
        if isinstance(error, DurableError):
            return error
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            return CorruptStateError(f"{self.path} is no database of durable-ast, or is damaged: {error}")
        return StoreError(f"{self.path}: {error}; nothing was changed, the last checkpoint is kept")


def _next_batch(jobs: _Jobs) -> tuple[list[_Job | _Commits], Section | object]:
    """The jobs to be done together, and what comes after them: a section, or the end."""
    batch: list[_Job | _Commits] = []
    job = jobs.get()
    while isinstance(job, (_Job, _Commits)):
        batch.append(job)
        if len(batch) == _LARGEST_BATCH:
            return batch, None
        try:
            job = jobs.get_nowait()
        except queue.Empty:
            return batch, None
    return batch, _CLOSED if job is None else job


def _nothing(connection: sqlite3.Connection) -> None:
    """A job that only wakes the thread."""


def _send(batch: list[_Job | _Commits], answers: list[Outcome]) -> None:
    """Tell everybody; an event loop is woken once for all of its answers."""
    ready: dict[asyncio.AbstractEventLoop, list[tuple[Answer[Any], Any, BaseException | None]]] = {}
    for job, (result, error) in zip(batch, answers, strict=True):
        future = job.future
        if isinstance(future, Answer):
            ready.setdefault(future.get_loop(), []).append((future, result, error))
        elif error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
    for loop, deliveries in ready.items():
        call_in(loop, _deliver, deliveries)


def _deliver(deliveries: list[tuple[Answer[Any], Any, BaseException | None]]) -> None:
    for future, result, error in deliveries:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


_of_the_parent: list[tuple[sqlite3.Connection | None, ...]] = []
"""Connections that a fork has copied: to close them here would take the parent's locks away."""

_open_writers: weakref.WeakSet[SQLiteWriter] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for writer in list(_open_writers):
        writer.close()
