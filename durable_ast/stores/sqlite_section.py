"""A stretch of the writer's thread that belongs to one transaction alone.

SQLite has one writer at a time, so whoever writes to the file meanwhile waits; that they wait in the
queue of the thread, and not for a lock, costs nobody a timeout.  Nobody but the section's own jobs
sees the transaction, and it ends with its last job, or when it is given up.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import StoreError
from .answer import Answer, call_in
from .sqlite_file import roll_back


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    answer: Answer[Any]
    is_last: bool


class Section:
    """Jobs for one transaction, asked for in the event loop that it was made in.

    Args:
        begin: gives the connection, in a transaction; called in the thread.

    Attributes:
        begun: done once the transaction is open.
        is_over: whether its last job was asked for.
    """

    def __init__(self, begin: Callable[[], sqlite3.Connection]) -> None:
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self.begun: Answer[None] = Answer(loop=self._loop)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self.is_over = False

    # in the event loop

    def do(self, work: Callable[[sqlite3.Connection], Any], *, is_last: bool = False) -> Answer[Any]:
        """Do a job in the transaction.

        Args:
            work: the job.
            is_last: whether the section ends with it; what it leaves uncommitted is rolled back.
        """
        answer: Answer[Any] = Answer(loop=self._loop)
        if self.is_over:
            answer.set_exception(StoreError("the transaction is over"))
        else:
            self.is_over = is_last
            self._jobs.put(_Job(work, answer, is_last))
        return answer

    # from any thread

    def give_up(self) -> None:
        """Roll back what is not committed; does not wait."""
        self.is_over = True
        self._jobs.put(None)

    # in the writer's thread

    def run(self) -> None:
        """Begin, and do its jobs until it is over."""
        try:
            connection = self._begin()
        except Exception as error:
            call_in(self._loop, self.begun.set_exception, error)
            self._refuse_the_rest()
            return
        call_in(self._loop, self.begun.set_result, None)
        try:
            while True:
                job = self._jobs.get()
                if job is None:
                    return
                self._do(connection, job)
                if job.is_last:
                    return
        finally:
            roll_back(connection)
            self._refuse_the_rest()

    def _do(self, connection: sqlite3.Connection, job: _Job) -> None:
        try:
            result = job.work(connection)
        except Exception as error:
            call_in(self._loop, job.answer.set_exception, error)
        else:
            call_in(self._loop, job.answer.set_result, result)

    def _refuse_the_rest(self) -> None:
        self.is_over = True
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None:
                call_in(self._loop, job.answer.set_exception, StoreError("the transaction is over"))
