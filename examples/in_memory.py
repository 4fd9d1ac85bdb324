"""Runs that need not outlive their process: nothing is written anywhere.

python examples/in_memory.py
"""

import asyncio

from durable_ast import InMemoryStore, Workflow
from durable_ast.backoff import constant

wf = Workflow("demo", db=InMemoryStore())

attempts = 0


@wf.task(retries=3, backoff=constant(0))
async def fetch(url: str) -> str:
    global attempts
    attempts += 1
    if attempts < 3:
        raise ConnectionError(f"attempt {attempts}: connection refused")
    print(f"fetched {url} in attempt {attempts}")
    return url.upper()


@wf.workflow(id="fetch-{job_id}")
async def job(job_id: int) -> str:
    return await fetch("https://example.com")


async def main() -> None:
    print(await job(1))
    print(await job(1), "again, and nothing runs")


if __name__ == "__main__":
    asyncio.run(main())
