"""A worker process: ``python -m tests.worker.fleet STORE``."""

import argparse
import asyncio

from durable_ast import Worker, open_store

from . import programs


async def main(options: argparse.Namespace) -> None:
    store = open_store(options.store)
    found = [each for each in vars(programs).values() if type(each).__name__ == "DurableProgram"]
    await Worker(store, found, max_recoveries=options.max_recoveries).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--max-recoveries", type=int, default=10)
    asyncio.run(main(parser.parse_args()))
