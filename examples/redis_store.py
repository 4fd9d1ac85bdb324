"""Runs in Redis, for processes on many machines; finished ones are forgotten after an hour.

python examples/redis_store.py       needs a server at REDIS_URL, or at localhost:6379
"""

import asyncio
import os

from durable_ast import RedisStore, Workflow

store = RedisStore(
    url=os.environ.get("REDIS_URL", "redis://localhost:6379/0"),
    ttl=3600,
    prefix=os.environ.get("REDIS_PREFIX", "example"),
)
wf = Workflow("redis", db=store)


@wf.task
async def fetch(job_id: str) -> dict[str, str]:
    print(f"fetch {job_id}", flush=True)
    await asyncio.sleep(0.2)
    return {"job": job_id}


@wf.task
async def transform(data: dict[str, str]) -> str:
    print(f"transform {data['job']}", flush=True)
    await asyncio.sleep(0.2)
    return f"transformed {data['job']}"


@wf.workflow(id="pipeline-{job_id}")
async def pipeline(job_id: str) -> str:
    return await transform(await fetch(job_id))


async def main() -> None:
    try:
        print(await pipeline("7"))
    finally:
        await wf.close()


if __name__ == "__main__":
    asyncio.run(main())
