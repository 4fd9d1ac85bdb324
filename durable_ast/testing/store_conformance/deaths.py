"""Processes that are killed, or stopped for a while, at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ...errors import StaleOwnerError
from ...state.schema import Outgoing, Record, Status
from ...stores.base import InstanceStore
from .case import PROGRAMS, StoreCase, commit, new


class Deaths(StoreCase):
    """What was acknowledged is there; who was taken for dead writes nothing more."""

    def test_what_a_dead_process_owned_is_claimed(self, tmp_path: Path) -> None:
        if not self.lists:
            pytest.skip("its data is in one process")
        _killed(Child(self.open, tmp_path, self._own), 1)

        async def main() -> None:
            store = self.open(tmp_path)
            try:
                record = await self._claimed(store)
                assert (record.call_stack, record.recoveries) == (b"half way", 1)
                assert record.epoch > 1
                record = await commit(store, record)
                found = await store.read("one")
                assert found is not None and found.recoveries == 0
            finally:
                await store.close()

        asyncio.run(main())

    def test_what_was_acknowledged_survives_a_kill_at_any_moment(self, tmp_path: Path) -> None:
        if not self.lists:
            pytest.skip("its data is in one process")
        for round_number in range(3):
            least = _killed(Child(self.open, tmp_path, self._count), 7 * round_number + 5)

            async def main(least: int = int(least)) -> None:
                store = self.open(tmp_path)
                try:
                    record = await self._claimed(store)
                    count = int(record.state or b"0")
                    assert count >= least
                    assert (await store.parts("one"))["v/count"] == record.state
                    received = [int(message.payload) for message in await store.messages("two")]
                    assert received == list(range(1, count + 1))
                    assert [int(message.payload) for message in await store.messages("one")] == [count]
                finally:
                    await store.close()

            asyncio.run(main())

    def test_a_process_that_was_stopped_for_long_writes_nothing_more(self, tmp_path: Path) -> None:
        if not self.lease:
            pytest.skip("a process keeps what it owns for as long as it is there")
        child = Child(self.open, tmp_path, self._write_until_refused)
        child.hear(3)
        os.kill(child.pid, signal.SIGSTOP)

        async def main() -> None:
            store = self.open(tmp_path)
            try:
                record = await self._claimed(store)
                record = await commit(store, record, call_stack=b"taken over", parts={"v/by": b"other"})
                os.kill(child.pid, signal.SIGCONT)
                await asyncio.to_thread(child.hear, 1, b"refused\n")
                found = await store.read("one")
                assert found is not None and (found.call_stack, found.epoch) == (b"taken over", record.epoch)
                assert await store.parts("one") == {"v/by": b"other"}
            finally:
                child.kill()
                await store.close()

        asyncio.run(main())

    async def _own(self, store: InstanceStore, tell: Callable[[bytes], object]) -> None:
        record, _ = await store.acquire(new())
        await commit(store, record, call_stack=b"half way")
        tell(b"owned\n")
        await asyncio.sleep(3600)

    async def _count(self, store: InstanceStore, tell: Callable[[bytes], object]) -> None:
        """Count in the record, in a part, in messages to another instance, and in one to itself that the
        next checkpoint takes."""
        if await store.read("one") is None:
            await store.enqueue(new(status=Status.ENQUEUED, call_stack=None))
        record = await self._claimed(store)
        while True:
            count = b"%d" % (int(record.state or b"0") + 1)
            letters = Outgoing("two", "count", count), Outgoing("one", "last", count)
            last = tuple(message.number for message in await store.messages("one"))
            parts = {"v/count": count}
            record = await commit(store, record, consumed=last, call_stack=count, parts=parts, outbox=letters)
            tell(count + b"\n")

    async def _claimed(self, store: InstanceStore) -> Record:
        async with asyncio.timeout(60):
            while True:
                claimed = await store.claim(PROGRAMS, 1)
                if claimed.records:
                    return claimed.records[0]
                await asyncio.sleep(0.05)

    async def _write_until_refused(self, store: InstanceStore, tell: Callable[[bytes], object]) -> None:
        record, _ = await store.acquire(new())
        with contextlib.suppress(StaleOwnerError):
            while True:
                record = await commit(store, record, call_stack=b"mine", parts={"v/by": b"mine"})
                tell(b"written\n")
                await asyncio.sleep(0.01)
        tell(b"refused\n")
        await asyncio.sleep(3600)


_Work = Callable[[InstanceStore, Callable[[bytes], object]], Coroutine[Any, Any, None]]


class Child:
    """Another process that works with a store of its own.

    Args:
        open_store: opens the store.
        place: where its data is.
        work: what it does, given the store and a function that tells this process a line.
    """

    def __init__(self, open_store: Callable[[Path], InstanceStore], place: Path, work: _Work) -> None:
        self._reading, writing = os.pipe()
        self._heard = b""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads; they are not used
            self.pid = os.fork()
        if self.pid == 0:
            try:
                asyncio.run(work(open_store(place), lambda text: os.write(writing, text)))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(writing)

    def hear(self, lines: int, line: bytes = b"\n") -> None:
        """Wait until it has told so many lines, or so many times that one."""
        while self._heard.count(line) < lines:
            more = os.read(self._reading, 65536)
            assert more, "the other process ended by itself"
            self._heard += more

    def kill(self) -> bytes:
        """End it where it stands; gives the last line that it has told."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        while more := os.read(self._reading, 65536):
            self._heard += more
        os.close(self._reading)
        return self._heard.splitlines(keepends=True)[-1 if self._heard.endswith(b"\n") else -2]


def _killed(child: Child, lines: int) -> bytes:
    """Kill a process once it has told so many lines; gives the last one."""
    try:
        child.hear(lines)
    finally:
        last = child.kill()
    return last
