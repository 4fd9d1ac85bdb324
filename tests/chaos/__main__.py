"""``python -m tests.chaos [--store sqlite|redis|postgres ...]``: the long run."""

import argparse
import asyncio
import random
import tempfile
from pathlib import Path

from .chaos import experiment
from .servers import KINDS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--store", choices=KINDS, action="append", help="which; all of them if left out")
    parser.add_argument("--instances", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--trouble", type=float, default=3.0, help="seconds between two disruptions, on average")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds after which all must have ended")
    options = parser.parse_args()
    for kind in options.store or KINDS:
        print(f"{kind}, seed {options.seed}", flush=True)
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            server = KINDS[kind](Path(folder))
            try:
                arguments = (server, Path(folder), options.instances, options.seed, options.trouble, options.limit)
                print(asyncio.run(experiment(*arguments)), flush=True)
            finally:
                server.close()


if __name__ == "__main__":
    main()
