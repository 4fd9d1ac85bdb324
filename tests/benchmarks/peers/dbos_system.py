"""DBOS Transact on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

try:  # it wants a newer SQLite than the standard library may have
    import pysqlite3

    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2
except ImportError:
    pass

from dbos import DBOS, SetWorkflowID

from .work import answer, long_list


@DBOS.step()
async def step(number: int) -> dict[str, Any]:
    return answer(number)


@DBOS.step()
async def filled(items: int) -> list[str]:
    return long_list(items)


@DBOS.workflow()
async def steps(count: int) -> Any:
    result: Any = None
    for number in range(count):
        result = await step(number)
    return result


@DBOS.workflow()
async def parked(count: int) -> Any:
    for number in range(count):
        await step(number)
    return await DBOS.recv_async("go", timeout_seconds=3600)


@DBOS.workflow()
async def carried(items: int, count: int) -> int:
    held = await filled(items)
    for number in range(count):
        held[number] = "changed"
        await step(number)
    return len(held)


class OnSQLite:
    """In a SQLite file; always flushed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handles: dict[int, Any] = {}

    def _url(self) -> str:
        return f"sqlite:///{self._folder}/dbos.sqlite"

    async def open(self) -> None:
        DBOS(
            config={
                "name": "measured",
                "system_database_url": self._url(),
                "log_level": "CRITICAL",
                "run_admin_server": False,
                "executor_id": "it",
                "application_version": "1",
                "notification_listener_polling_interval_sec": 0.05,
            }
        )
        DBOS.launch()

    async def sequence(self, steps_of_it: int) -> None:
        await steps(steps_of_it)

    async def crowd(self, instances: int, steps_of_each: int) -> None:
        await asyncio.gather(*(steps(steps_of_each) for _ in range(instances)))

    async def park(self, instances: int, steps_of_each: int) -> None:
        for number in range(instances):
            with SetWorkflowID(f"it-{number}"):
                self._handles[number] = await DBOS.start_workflow_async(parked, steps_of_each)
        for number in range(instances):
            while len(await DBOS.list_workflow_steps_async(f"it-{number}")) < steps_of_each:
                await asyncio.sleep(0.02)

    async def wake(self, instances: int, steps_of_each: int) -> None:
        async def one(number: int) -> None:
            await DBOS.send_async(f"it-{number}", "now", "go")
            handle = self._handles.get(number) or await DBOS.retrieve_workflow_async(f"it-{number}")
            assert await handle.get_result(polling_interval_sec=0.02) == "now"

        await asyncio.gather(*map(one, range(instances)))

    async def carry(self, items: int, steps_of_it: int) -> None:
        await carried(items, steps_of_it)

    async def close(self) -> None:
        """The process is about to end."""


class OnPostgres(OnSQLite):
    """On a PostgreSQL server."""

    def _url(self) -> str:
        from .postgres import database_of

        return database_of(self._folder)
