"""Commits that follow an instance while it goes on: what `Durability.RELAXED` means, and how a journal is
written while the library that runs in a step prepares its next unit.

Stores write the commits of an instance in their order, so a crash loses the last ones at most, and
never one in between.  How many these can be is bounded: whoever adds to a trail that is as long as
it may be waits until all of it is written.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Coroutine

LONGEST = 32
"""How many commits may follow; a crash repeats so many steps at most."""


class Trail:
    """The commits of one instance that are still being written, oldest first."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._commits: deque[Awaitable[None]] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    def add(self, commit: Awaitable[None]) -> Awaitable[None] | None:
        """Let a commit follow; if something is returned, the instance must await it to go on.

        Raises:
            BaseException: a commit before this one has failed with it.
        """
        self._commits.append(commit)
        if self._error is not None:
            self._drop()
            raise self._error
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())
        return self.settled() if len(self._commits) >= self._longest else None

    async def settled(self) -> None:
        """Wait until everything is written.

        Raises:
            BaseException: a commit has failed with it.
        """
        await self.ended()
        if self._error is not None:
            raise self._error

    async def ended(self) -> None:
        """Wait until nothing is being written any more, whether or not it could be."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        try:
            while self._commits:
                await self._commits[0]
                self._commits.popleft()
        except BaseException as error:
            self._error = error
            if isinstance(error, asyncio.CancelledError):
                raise  # the loop ends
        finally:
            self._writing = None
            self._drop()

    def _drop(self) -> None:
        """What comes after a failed commit counts no more."""
        for commit in self._commits:
            if isinstance(commit, Coroutine):
                commit.close()
        self._commits.clear()
