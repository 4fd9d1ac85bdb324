"""Looks, for all who wait in this process at once, at what others have written to a SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Collection

from .answer import call_in
from .notices import Notices
from .sqlite_writer import SQLiteWriter

_POLL = 0.1
"""Seconds between two looks."""


class SQLiteWatch:
    """Posts notices of what other connections have written, while somebody waits.

    Args:
        writer: does the looking.
        notices: who is told.
        held: the instances that are at work here, so that others only send them messages.
    """

    def __init__(self, writer: SQLiteWriter, notices: Notices, held: Collection[str]) -> None:
        self._writer = writer
        self._notices = notices
        self._held = held
        self._waiting: Counter[asyncio.AbstractEventLoop] = Counter()
        self._looking: set[asyncio.AbstractEventLoop] = set()
        self._version: int | None = None
        self._last_message = 0

    def begin(self) -> asyncio.AbstractEventLoop:
        """Somebody waits in this event loop, which is given, until `end` is called with it."""
        loop = asyncio.get_running_loop()
        self._waiting[loop] += 1
        if loop not in self._looking:
            self._looking.add(loop)
            self._look(loop)
        return loop

    def end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Somebody waits no longer."""
        self._waiting[loop] -= 1

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._waiting[loop]:
            del self._waiting[loop]
            self._looking.discard(loop)
            return
        found = self._writer.submit(self._find, flush=False)
        found.add_done_callback(lambda _: call_in(loop, self._look_later, loop))

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(_POLL, self._look, loop)

    def _find(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        self._version = version
        query = "SELECT instance_id, max(number) FROM durable_messages WHERE number > ? GROUP BY instance_id"
        found = dict(connection.execute(query, (self._last_message,)))
        self._last_message = max(found.values(), default=self._last_message)
        self._notices.post_waiting(lambda topic: topic in found or topic not in self._held)
