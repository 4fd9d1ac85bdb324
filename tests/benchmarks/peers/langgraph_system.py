"""LangGraph's functional API on SQLite."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task
from langgraph.types import Command, interrupt

from .work import answer, long_list


@task
async def step(number: int) -> dict[str, Any]:
    return answer(number)


@task
async def filled(items: int) -> list[str]:
    return long_list(items)


class OnSQLite:
    """With ``durability="sync"``: flushed, but a task's result is not waited for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def open(self) -> None:
        self._connection = await aiosqlite.connect(self._folder / "langgraph.db")
        saver = AsyncSqliteSaver(self._connection)
        await saver.setup()

        @entrypoint(checkpointer=saver)
        async def steps(count: int) -> Any:
            result: Any = None
            for number in range(count):
                result = await step(number)
            return result

        @entrypoint(checkpointer=saver)
        async def parked(count: int) -> Any:
            for number in range(count):
                await step(number)
            return interrupt("go")

        @entrypoint(checkpointer=saver)
        async def carried(sizes: tuple[int, int]) -> int:
            items, count = sizes
            held = await filled(items)
            for number in range(count):
                held[number] = "changed"
                await step(number)
            return len(held)

        self._steps, self._parked, self._carried = steps, parked, carried

    async def _invoke(self, graph: Any, value: Any, name: str) -> Any:
        config = {"configurable": {"thread_id": name}, "recursion_limit": 100_000}
        return await graph.ainvoke(value, config, durability="sync")

    async def sequence(self, steps_of_it: int) -> None:
        await self._invoke(self._steps, steps_of_it, "it")

    async def crowd(self, instances: int, steps_of_each: int) -> None:
        await asyncio.gather(*(self._invoke(self._steps, steps_of_each, f"it-{n}") for n in range(instances)))

    async def park(self, instances: int, steps_of_each: int) -> None:
        await asyncio.gather(*(self._invoke(self._parked, steps_of_each, f"it-{n}") for n in range(instances)))

    async def wake(self, instances: int, steps_of_each: int) -> None:
        async def one(number: int) -> None:
            assert await self._invoke(self._parked, Command(resume="now"), f"it-{number}") == "now"

        await asyncio.gather(*map(one, range(instances)))

    async def carry(self, items: int, steps_of_it: int) -> None:
        await self._invoke(self._carried, (items, steps_of_it), "it")

    async def close(self) -> None:
        await self._connection.close()
