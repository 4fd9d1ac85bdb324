"""The experiment: instances, workers, letters, and trouble."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from durable_ast import DurableBackend, Status, StoreError, open_store
from durable_ast.runtime.instance import outcome_of
from durable_ast.stores.base import InstanceStore

from .evidence import check, effects
from .programs import LETTERS, journey

_WORKERS = 3


@dataclass
class Report:
    """What happened."""

    instances: int
    seconds: float = 0.0
    kills: int = 0
    stops: int = 0
    restarts: int = 0
    cuts: int = 0
    repeated_steps: int = 0
    reposts: int = 0
    stopped: set[int] = field(default_factory=set, repr=False)

    @property
    def disruptions(self) -> int:
        return self.kills + self.stops + self.restarts + self.cuts


async def experiment(
    server: Any, folder: Path, instances: int, seed: int, trouble: float, limit: float, most: int | None = None
) -> Report:
    """Run all instances to their ends while workers and servers die, and check the evidence.

    Args:
        server: one of `servers.KINDS`, started.
        folder: for the log.
        instances: how many.
        seed: of all chance.
        trouble: seconds between two disruptions, on average.
        limit: seconds after which all must have ended.
        most: after how many disruptions there is peace; never, if it is None.  The letters are spread
            over them, so that no machine is done before they have come.
    """
    chance = random.Random(seed)
    report = Report(instances)
    log = folder / "log"
    log.touch()
    store = open_store(server.url, **server.options)
    begun = time.monotonic()
    backend = DurableBackend(store)
    for number in range(instances):
        await journey.start(number, instance_id=f"journey-{number}", orchestration_backend=backend)
    fleet = [await _worker(server, log, chance) for _ in range(_WORKERS)]
    posting = asyncio.create_task(_post(backend, instances, chance, most or 0, report))
    troubling = asyncio.create_task(_trouble(server, log, fleet, chance, trouble, most, report))
    try:
        async with asyncio.timeout(limit):
            while not posting.done() or await store.records(status=set(Status) - {Status.SUCCESS}, limit=1):
                for task in (troubling, posting):
                    if task.done():
                        task.result()
                await asyncio.sleep(0.1)
    except TimeoutError:
        left = await store.records(status=set(Status) - {Status.SUCCESS}, limit=5)
        raise AssertionError(f"not all have ended in {limit} seconds, such as {left}") from None
    finally:
        troubling.cancel()
        posting.cancel()
        await asyncio.gather(troubling, posting, return_exceptions=True)
        for process in fleet:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                await process.wait()
    report.seconds = time.monotonic() - begun
    await _check_results(store, report.reposts)
    await store.close()
    report.repeated_steps = check(effects(log), instances, report.disruptions, report.stopped)
    return report


async def _worker(server: Any, log: Path, chance: random.Random) -> asyncio.subprocess.Process:
    environment = {**os.environ, "CHAOS_LOG": str(log), "CHAOS_CLOCK": str(chance.uniform(-2, 2))}
    command = (sys.executable, "-m", "tests.chaos.fleet", server.url, json.dumps(server.options))
    return await asyncio.create_subprocess_exec(*command, env=environment)


async def _post(backend: DurableBackend, instances: int, chance: random.Random, most: int, report: Report) -> None:
    """Publish the letters of every instance, in their order, mixed with those of others; one that was
    not confirmed was or was not stored, so it is offered again."""
    waiting = [number for number in range(instances) for _ in range(LETTERS)]
    chance.shuffle(waiting)
    sent = [0] * instances
    for place, number in enumerate(waiting):
        while report.disruptions < most * place // len(waiting):
            await asyncio.sleep(0.01)
        letter = sent[number]
        while True:
            try:
                await asyncio.wrap_future(backend.publish_event(f"journey-{number}", "letter", letter))
                break
            except StoreError:
                report.reposts += 1
                await asyncio.sleep(0.05)
        sent[number] += 1
        if chance.random() < 0.05:
            await asyncio.sleep(0.01)


async def _trouble(
    server: Any,
    log: Path,
    fleet: list[asyncio.subprocess.Process],
    chance: random.Random,
    pause: float,
    most: int | None,
    report: Report,
) -> None:
    while most is None or report.disruptions < most:
        await asyncio.sleep(chance.expovariate(1 / pause))
        place = chance.randrange(len(fleet))
        process = fleet[place]
        match chance.choice(("kill", "stop", "restart", "cut")):
            case "kill":
                process.kill()
                await process.wait()
                report.kills += 1
                fleet[place] = await _worker(server, log, chance)
            case "stop":
                process.send_signal(signal.SIGSTOP)
                report.stopped.add(process.pid)
                report.stops += 1
                await asyncio.sleep(chance.uniform(0.2, 2) * server.options.get("lease", 0.5))
                process.send_signal(signal.SIGCONT)
            case "restart":
                report.restarts += await asyncio.to_thread(server.restart)
            case "cut":
                report.cuts += await asyncio.to_thread(server.cut)


async def _check_results(store: InstanceStore, reposts: int) -> None:
    """Each letter arrived once, in order, but for those that were offered again."""
    twice = 0
    for record in await store.records():
        result = outcome_of(record)
        letters, notes, arms = result[:LETTERS], result[LETTERS:-2], result[-2:]
        assert notes == list(range(LETTERS)), f"{record.instance_id} was told {notes} by the other of its pair"
        assert arms == ["left", "right"], f"{record.instance_id} gave {result}"
        once = [letter for place, letter in enumerate(letters) if place == 0 or letters[place - 1] != letter]
        assert once == list(range(len(once))), f"{record.instance_id} received {letters}"
        twice += len(letters) - len(once)
    assert twice <= reposts, f"{twice} letters arrived twice, and {reposts} were offered again"
