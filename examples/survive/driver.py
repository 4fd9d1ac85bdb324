"""Kill the billing run at random moments until it is done, and see what has become of it.

    python -m examples.survive.driver [--seed N] [--kills N] [--patience SECONDS]

Each worker is a process group of its own and is ended by SIGKILL, which no program can catch.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from durable_ast import DurableBackend, SQLiteStore, Status
from durable_ast.inspection.stacks import saved_instance
from durable_ast.inspection.view import view_of

from . import program, world
from .outcome import Outcome
from .screen import Scene, screen

INSTANCE = "month-end"
ROOT = Path(__file__).parents[2]


def plain(traces: Path) -> dict[str, object]:
    """What the same function does without durability, where somebody approves at once."""

    async def approve(name: str) -> dict[str, bool]:
        return {"yes": True}

    with (
        patch.dict(os.environ, TRACES=str(traces)),
        patch.object(program, "wait_for_event", approve),
        patch.object(world, "PATIENCE", 0.0),
    ):
        return asyncio.run(program.month_end("2026-10"))


class Worker:
    """A worker process, and whatever it has started."""

    def __init__(self, database: Path, traces: Path, patience: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "examples.survive.worker", str(database)],
            cwd=ROOT,
            env={**os.environ, "TRACES": str(traces), "WORLD_PATIENCE": str(patience)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a process group of its own
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> bool:
        """Kill the process group; False if it had ended by itself."""
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.wait() == -signal.SIGKILL

    def result(self) -> object:
        """What a worker has printed that came to its end."""
        output, _ = self.process.communicate()
        if self.process.returncode != 0:
            raise SystemExit(f"the worker ended with exit code {self.process.returncode}")
        return json.loads(output)


class Moment:
    """When a worker dies: while it starts, or some time after it has taken over."""

    def __init__(self, dice: random.Random) -> None:
        self._starting = dice.random() < 0.2
        self._patience = dice.uniform(0.05, 0.4) if self._starting else dice.uniform(0.0, 0.7)
        self._since = time.monotonic() if self._starting else None

    def has_come(self, has_taken_over: bool) -> bool:
        if self._since is None and has_taken_over:
            self._since = time.monotonic()
        return self._since is not None and time.monotonic() - self._since >= self._patience


async def survive(database: Path, traces: Path, options: argparse.Namespace, scene: Scene) -> Outcome:
    """Kill workers until one comes to its end."""
    dice = random.Random(options.seed)
    store = SQLiteStore(database)
    outcome = Outcome()
    approved = False
    while True:
        last = await store.read(INSTANCE)
        epoch = 0 if last is None else last.epoch
        worker = Worker(database, traces, options.patience)
        outcome.born(worker.pid)
        moment = Moment(dice)
        try:
            while worker.process.poll() is None:
                await asyncio.sleep(0.04)
                saved = await saved_instance(store, INSTANCE)
                taken_over = saved is not None and saved.record.epoch > epoch
                waiting = saved is not None and saved.record.status is Status.WAITING
                scene.shows(None if saved is None else view_of(saved), worker.pid, outcome.kills)
                if waiting and not approved and (outcome.killed_waiting or outcome.kills == options.kills):
                    await asyncio.wrap_future(DurableBackend(store).publish_event(INSTANCE, "approved", {"yes": True}))
                    approved = True
                    scene.says("somebody approves")
                elif outcome.kills < options.kills and moment.has_come(taken_over) and worker.kill():
                    outcome.died(waiting)
                    scene.killed(worker.pid, outcome.kills)
        finally:
            worker.kill()  # should this process be interrupted
        if worker.process.returncode != -signal.SIGKILL:
            outcome.result = worker.result()
            await store.close()
            return outcome


def main() -> int:
    """Run the demonstration; 0 if everything holds that it is meant to show."""
    parser = argparse.ArgumentParser(description="Kill a billing run at random moments until it is done.")
    parser.add_argument("--seed", type=int, help="when to kill; another each time if left out")
    parser.add_argument("--kills", type=int, default=100, help="stop killing after so many")
    parser.add_argument("--patience", type=float, default=0.05, help="seconds that each step takes")
    options = parser.parse_args()
    with _folder() as folder:
        expected = plain(folder / "plain")
        wanted = (folder / "plain").read_text().splitlines()
        (folder / "traces").touch()
        with screen(folder / "traces", wanted) as scene:
            outcome = asyncio.run(survive(folder / "durable.db", folder / "traces", options, scene))
            outcome.compare(expected, wanted, (folder / "traces").read_text().splitlines())
            scene.ends(outcome)
    return 0 if outcome.holds else 1


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="survive-") as name:
        yield Path(name)


if __name__ == "__main__":
    sys.exit(main())
