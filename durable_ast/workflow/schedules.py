"""Workflows that are started by the clock.

Every time of a schedule is the id of a run, so however many processes have the schedule, the run is
started once.  Which times have passed is kept in the store; what was missed while no process ran is
known when one comes back.
"""

from __future__ import annotations

import asyncio
import datetime
import itertools
import logging
import zoneinfo
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..state.schema import Status
from .functions import WorkflowFunction

if TYPE_CHECKING:
    from .workflow import Workflow

log = logging.getLogger("durable_ast")

Overlap = Literal["skip", "allow", "cancel"]
"""What happens at a time of a schedule when the run before has not ended."""

CatchUp = Literal["none", "latest", "all"]
"""Which of the times that were missed are made up for."""

UNFINISHED = (Status.ENQUEUED, Status.RUNNING, Status.SLEEPING, Status.WAITING, Status.PAUSED)

_MINUTE = datetime.timedelta(minutes=1)
"""The times of a cron expression are whole minutes; what is started within one was not missed."""

_LONGEST_NAP = 30.0
"""Seconds after which the clock is looked at again: it may have been set."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a workflow is started.

    Args:
        function: the workflow; its one parameter, if it has one, is the time it is started for.
        cron: the times, as a cron expression.
        zone: the time zone that they are meant in.
        overlap: what happens when the run before has not ended.
        catch_up: which missed times are made up for.

    Raises:
        ValueError: the expression, the time zone or an option is none.
    """

    function: WorkflowFunction[..., Any]
    cron: str
    zone: str
    overlap: Overlap
    catch_up: CatchUp

    def __post_init__(self) -> None:
        if not self.function.accepts(self.arguments(datetime.datetime.now(datetime.UTC))):
            raise ValueError(
                f"a schedule starts {self.function.__qualname__}() with its time, or with nothing; it takes "
                f"({', '.join(self.function.parameters)})"
            )
        for name, text in (("cron", self.cron), ("tz", self.zone)):
            if not isinstance(text, str):
                raise ValueError(f"{name} must be a text, not {text!r}")
        if self.overlap not in get_args(Overlap):
            raise ValueError(f"overlap must be one of {get_args(Overlap)}, not {self.overlap!r}")
        if self.catch_up not in get_args(CatchUp):
            raise ValueError(f"catch_up must be one of {get_args(CatchUp)}, not {self.catch_up!r}")
        try:
            zoneinfo.ZoneInfo(self.zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{self.zone!r} is no time zone; one is 'Europe/Berlin'") from error
        next(self.times(datetime.datetime.now(datetime.UTC)))

    def times(self, after: datetime.datetime) -> Iterator[datetime.datetime]:
        """The times after a time, in order."""
        return self._simulated(after, backwards=False)

    def due(self, after: datetime.datetime, now: datetime.datetime) -> list[datetime.datetime]:
        """Of the times that have come since `after`, those that are to be started."""
        if self.catch_up == "all":
            return list(itertools.takewhile(lambda time: time <= now, self.times(after)))
        last = next(self._simulated(now.replace(second=0, microsecond=0) + _MINUTE, backwards=True))
        if last <= after or (self.catch_up == "none" and now - last >= _MINUTE):
            return []
        return [last]

    def _simulated(self, start: datetime.datetime, *, backwards: bool) -> Iterator[datetime.datetime]:
        try:
            from cronsim import CronSim, CronSimError
        except ImportError as error:
            raise ImportError("schedules need cronsim: pip install 'durable-ast[schedule]'") from error
        try:
            return iter(CronSim(self.cron, start.astimezone(zoneinfo.ZoneInfo(self.zone)), reverse=backwards))
        except CronSimError as error:
            raise ValueError(f"{self.cron!r} is no cron expression: {error}") from None

    def arguments(self, time: datetime.datetime) -> tuple[datetime.datetime, ...]:
        """What the workflow is started with."""
        return (time,) if self.function.parameters else ()

    @property
    def prefix(self) -> str:
        """What the ids of its runs begin with."""
        return f"{self.function.workflow.name}-{self.function.__name__}@"

    @property
    def key(self) -> str:
        """What the time is kept under up to which its runs were started."""
        return f"schedule {self.function.program.label} {self.cron} {self.zone}"

    def run_id(self, time: datetime.datetime) -> str:
        """The id of the run of a time."""
        return self.prefix + time.isoformat(timespec="minutes")


class Scheduler:
    """Starts the runs of schedules when their times come.

    Args:
        workflow: whose store the runs are in.
        start: starts a run of a schedule.
    """

    def __init__(self, workflow: Workflow, start: Callable[[Schedule, datetime.datetime], Awaitable[None]]) -> None:
        self._workflow = workflow
        self._start = start
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Watch the clock, in the background."""
        loop, task = asyncio.get_running_loop(), self._task
        if self._workflow.schedules and (task is None or task.done() or task.get_loop() is not loop):
            self._task = loop.create_task(self._watch(), name="durable_ast schedules")

    async def stop(self) -> None:
        """Watch the clock no longer."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            now = datetime.datetime.now(datetime.UTC)
            try:
                await self.fire(now)
            except Exception:
                log.exception("schedules of %r: trying again", self._workflow.name)
            following = min(next(schedule.times(now)) for schedule in self._workflow.schedules)
            left = (following - datetime.datetime.now(datetime.UTC)).total_seconds()
            await asyncio.sleep(min(max(left, 0.0), _LONGEST_NAP))

    async def fire(self, now: datetime.datetime) -> None:
        """Start what is due at a time, and has not been started."""
        for schedule in self._workflow.schedules:
            key = schedule.key
            state = await self._workflow.instances.load(key)
            if state is None:  # it is new: its times are those from now on
                await self._workflow.instances.save(key, {"passed": now.isoformat()})
                continue
            passed = datetime.datetime.fromisoformat(state["passed"])
            due = schedule.due(passed, now)
            if due:
                await self._start_all(schedule, due)
                await self._workflow.instances.save(key, {"passed": due[-1].isoformat()})

    async def _start_all(self, schedule: Schedule, times: list[datetime.datetime]) -> None:
        for time in times:
            before = await self._workflow.instances.records(
                status=UNFINISHED, program=schedule.function.program.label, prefix=schedule.prefix
            )
            running = [record.instance_id for record in before if record.instance_id != schedule.run_id(time)]
            if running and schedule.overlap == "skip":
                log.info("%s: not started, %s has not ended", schedule.run_id(time), running[0])
                continue
            if schedule.overlap == "cancel":
                for run_id in running:
                    await self._workflow.handle(run_id).cancel()
            await self._start(schedule, time)
