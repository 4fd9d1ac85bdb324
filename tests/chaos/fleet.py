"""A worker process: ``python -m tests.chaos.fleet STORE OPTIONS`` (a URL, and options as JSON)."""

import asyncio
import json
import signal
import sys

from durable_ast import Worker, open_store

from .programs import journey


async def main(url: str, options: str) -> None:
    worker = Worker(
        open_store(url, **json.loads(options)), [journey], concurrency=50, max_recoveries=1000, longest_nap=0.05
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.drain)
    await worker.run(grace=10)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
