"""A worker process: ``python -m tests.chaos.fleet STORE OPTIONS`` (a URL, and options as JSON)."""

import asyncio
import json
import os
import signal
import sys
import time


async def main(url: str, options: str) -> None:
    from durable_ast import Worker, open_store

    from .programs import journey

    worker = Worker(
        open_store(url, **json.loads(options)), [journey], concurrency=50, max_recoveries=1000, longest_nap=0.05
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.drain)
    await worker.run(grace=10)


def set_clock_wrong() -> None:
    """By as much as the environment says, for everything that asks from now on."""
    true, wrong = time.time, float(os.environ["CHAOS_CLOCK"])
    time.time = lambda: true() + wrong


if __name__ == "__main__":
    set_clock_wrong()
    asyncio.run(main(*sys.argv[1:]))
