"""Run random programs for as long as you like.

    python -m tests.fuzz --hours 2

Programs run in processes of their own, some hundreds in each, with another seed each time.  The first
that differs is shrunk and printed, and the seed that makes it again.
"""

import argparse
import random
import subprocess
import sys
import time

from hypothesis import HealthCheck, Phase, given, seed, settings

from .oracle import check
from .programs import programs

BATCH = 400


def batch(number: int) -> None:
    """The programs of one seed."""
    ran = runs = 0

    @seed(number)
    @settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def compare(text: str) -> None:
        nonlocal ran, runs
        try:
            runs += check(text)
            ran += 1
        except AssertionError as error:
            raise AssertionError(f"{error}\n\n{text}") from None

    compare()
    print(f"{ran} programs, {runs} runs", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=float, default=0.1, help="how long to go on (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="run the one batch of this seed")
    options = parser.parse_args()
    if options.seed is not None:
        batch(options.seed)
        return 0
    end = time.monotonic() + options.hours * 3600
    while time.monotonic() < end:
        number = random.randrange(1 << 32)
        done = subprocess.run([sys.executable, "-m", "tests.fuzz", "--seed", str(number)], check=False)
        if done.returncode:
            print(f"again with: python -m tests.fuzz --seed {number}")
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
