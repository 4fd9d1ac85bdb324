"""A task that fails is tried again; how often it was tried, and when it is due, survive as well.

python examples/retries.py           kill it while it waits, and start it again
"""

import asyncio
from pathlib import Path

from durable_ast import Workflow
from durable_ast.backoff import constant, exponential, jitter, linear

wf = Workflow("retries", db="retries.db", default_retries=2, default_backoff=jitter(exponential(base=0.1)))

ATTEMPTS = Path("attempts.txt")
"""Stands for a service that is down for a while."""


@wf.task(retries=5, backoff=constant(0.2), no_retry=(PermissionError,))
async def call_service(path: str) -> dict[str, str]:
    attempts = len(ATTEMPTS.read_text()) if ATTEMPTS.exists() else 0
    ATTEMPTS.write_text("x" * (attempts + 1))
    print(f"attempt {attempts + 1}", flush=True)
    if attempts < 3:
        raise ConnectionError("the service is down")
    return {"path": path, "status": "ok"}


@wf.task(backoff=linear(start=0.1, step=0.1), timeout=5)
def summarize(answer: dict[str, str]) -> str:
    """A sync function runs in a thread."""
    return f"{answer['path']} is {answer['status']}"


@wf.workflow(id="job-{job_id}")
async def job(job_id: int) -> str:
    answer = await call_service("/data")
    return await summarize(answer)


if __name__ == "__main__":
    print(asyncio.run(job(1)))
