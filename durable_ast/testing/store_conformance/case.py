"""What the tests of a store have in common: where they keep data, and how they write a transition."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...state.schema import Outgoing, Record
from ...stores.base import InstanceStore
from ...stores.parts import NO_PARTS, Parts

PROGRAMS = ("tests:program",)


ODD_IDS = (
    "../up",
    "/etc/passwd",
    "a" * 512,
    "q'uo\"te; DROP TABLE instances; --",
    "per%cent_under{brace}*glob?[x]",
    "line\nbreak\ttab\r",
    "ünï-日本-🐍",
    ".",
    "..",
    ".hidden",
    "CON",
    "trailing",
    "trailing.",
    "trailing ",
    " ",
    "case",
    "CASE",
    "\x01\x7f",
)


class Place:
    """Where a test keeps its data, and the stores that it opened there."""

    def __init__(self, open_store: Callable[[Path], InstanceStore], path: Path) -> None:
        self._open, self._path = open_store, path
        self._stores: list[InstanceStore] = []

    def open(self) -> InstanceStore:
        """Another store on the same data."""
        self._stores.append(self._open(self._path))
        return self._stores[-1]

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


_Scenario = Callable[[Any, Place], Coroutine[Any, Any, None]]


def scenario(test: _Scenario) -> Callable[[Any, Path], None]:
    """A test method that is given a place."""

    @functools.wraps(test)
    def run(self: StoreCase, tmp_path: Path) -> None:
        async def main() -> None:
            place = Place(self.open, tmp_path)
            try:
                await test(self, place)
            finally:
                await place.close()

        asyncio.run(main())

    run.__signature__ = inspect.signature(_takes_place)  # type: ignore[attr-defined]
    return run


def _takes_place(self: Any, tmp_path: Path) -> None: ...


def new(instance_id: str = "one", **facts: Any) -> Record:
    """The record of an instance that has not started."""
    return Record(**{"instance_id": instance_id, "program": PROGRAMS[0], "call_stack": b"start", **facts})


async def commit(
    store: InstanceStore,
    record: Record,
    *,
    consumed: tuple[int, ...] = (),
    parts: Parts = NO_PARTS,
    outbox: tuple[Outgoing, ...] = (),
    **changes: Any,
) -> Record:
    """Commit the next transition of an instance; gives its record from then on."""
    record = replace(record, sequence=record.sequence + 1, **changes)
    await done(store.commit(record, consumed, True, parts, outbox))
    return record


async def done(writing: Awaitable[None] | None) -> None:
    """Wait for a commit."""
    if writing is not None:
        await writing


async def names(store: InstanceStore, instance_id: str) -> list[str]:
    """The names of the messages in a mailbox."""
    return [message.name for message in await store.messages(instance_id)]


class StoreCase:
    """Tests of a store.  Subclasses define `open`, and say what their store cannot do."""

    lists = True
    """Whether it can list all instances, also those that another store object has written."""

    lease = 0.0
    """Seconds after which others may take over from a process that is there but does nothing; 0 if a
    process keeps what it owns for as long as it is there."""

    def open(self, place: Path) -> InstanceStore:
        """A store whose data is at `place`."""
        raise NotImplementedError
