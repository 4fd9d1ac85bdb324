"""One process of the demonstration: starts the billing run, or goes on with it where it stands."""

import asyncio
import json
import sys

from durable_ast import DurableBackend, SQLiteStore, make_durable

from .program import month_end


async def main(database: str) -> None:
    backend = DurableBackend(SQLiteStore(database))
    durable = make_durable(month_end)
    result = await durable("2026-10", instance_id="month-end", orchestration_backend=backend, wait=True)
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
