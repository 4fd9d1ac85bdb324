"""durable_ast on SQLite, PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from durable_ast import DurableBackend, PauseForEventException, SQLiteStore, make_durable, wait_for_event
from durable_ast.stores.urls import open_store

from .work import answer, long_list


async def step(number: int) -> dict[str, Any]:
    """A step."""
    return answer(number)


async def filled(items: int) -> list[str]:
    """A step that gives a long list."""
    return long_list(items)


@make_durable
async def steps(count: int) -> Any:
    """Step after step."""
    result: Any = None
    for number in range(count):
        result = await step(number)
    return result


@make_durable
async def parked(count: int) -> Any:
    """Step after step, then an event."""
    for number in range(count):
        await step(number)
    return await wait_for_event("go")


@make_durable
async def carried(items: int, count: int) -> int:
    """Step after step with a long list."""
    held = await filled(items)
    for number in range(count):
        held[number] = "changed"
        await step(number)
    return len(held)


class Flushed:
    """Each checkpoint is on the disk before the next step begins."""

    level = "FULL"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _store(self) -> Any:
        return SQLiteStore(self._folder / "durable.db", synchronous=self.level)

    async def open(self) -> None:
        self._backend = DurableBackend(self._store())
        await self._backend.store.read("it")  # whatever it reads from is there, as those of the others are

    def _options(self, name: str) -> dict[str, Any]:
        return {"orchestration_backend": self._backend, "instance_id": name}

    async def sequence(self, steps_of_it: int) -> None:
        await steps(steps_of_it, **self._options("it"))

    async def crowd(self, instances: int, steps_of_each: int) -> None:
        await asyncio.gather(*(steps(steps_of_each, **self._options(f"it-{n}")) for n in range(instances)))

    async def park(self, instances: int, steps_of_each: int) -> None:
        async def one(number: int) -> None:
            with contextlib.suppress(PauseForEventException):
                await parked(steps_of_each, **self._options(f"it-{number}"))

        await asyncio.gather(*map(one, range(instances)))

    async def wake(self, instances: int, steps_of_each: int) -> None:
        async def one(number: int) -> None:
            await asyncio.wrap_future(self._backend.publish_event(f"it-{number}", "go", "now"))
            assert await parked(steps_of_each, **self._options(f"it-{number}")) == "now"

        await asyncio.gather(*map(one, range(instances)))

    async def carry(self, items: int, steps_of_it: int) -> None:
        await carried(items, steps_of_it, **self._options("it"))

    async def close(self) -> None:
        await self._backend.store.close()


class Unflushed(Flushed):
    """A checkpoint survives the process, but the last ones not a power cut."""

    level = "NORMAL"


class OnPostgres(Flushed):
    """On a PostgreSQL server."""

    def _store(self) -> Any:
        from .postgres import database_of

        return open_store(database_of(self._folder))
