"""One instance at work in this process: its record, its branches, its end."""

from __future__ import annotations

import enum
import time
import traceback
from dataclasses import dataclass
from typing import Any

from ..errors import NotPersistableWarning, PauseForEventException
from ..state import snapshot
from ..state.schema import Message, Record, Status
from ..stores.base import InstanceStore, Write
from . import generators, staged
from .branch import Branch, Park, Signal, Stop, abandon, drive
from .call_stack import CallStack
from .functions import Frame
from .running_branch import current


class Durability(enum.Enum):
    """How far a checkpoint is behind what has happened."""

    STRICT = "strict"
    """The next step starts only once the checkpoint is on disk."""
    RELAXED = "relaxed"
    """Checkpoints are handed to the operating system, and reach the disk in its own time."""
    PAUSES = "pauses"
    """Checkpoints are taken only before pauses and at the end."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the instances of a program run."""

    durability: Durability = Durability.STRICT
    strict: bool = False
    """Whether a value that cannot be saved is an error, not a warning."""


class Instance:
    """An instance owned by this process, from its acquisition to its release."""

    def __init__(self, store: InstanceStore, record: Record, settings: Settings) -> None:
        self.store = store
        self.record = record
        self.settings = settings
        self.failure: BaseException | None = None

    # checkpoints

    @property
    def saves_steps(self) -> bool:
        """Whether the end of a step is a checkpoint."""
        return self.settings.durability is not Durability.PAUSES

    def must_save(self, pausing: bool) -> bool:
        """Whether a value that cannot be saved stops the run."""
        return self.settings.strict or pausing

    def note_flights(self, before: list[BaseException], after: list[BaseException], data: bytes) -> None:
        """Keep, for each exception in flight, the checkpoint before it was raised: should it end
        the run, a later call goes on from there."""
        record = self.record
        known = {id(error): state for error, state in zip(before, record.retry, strict=False)}
        last = record.call_stack if record.call_stack is not None else data
        record.retry = tuple(known.get(id(error), last) for error in after)

    async def save(
        self, call_stack: bytes, consumed: tuple[int, ...], pause: Park | None, wake_at: float | None
    ) -> None:
        """Write a checkpoint of the root branch."""
        record = self.record
        record.call_stack = call_stack
        record.status = Status.WAITING if pause else Status.SLEEPING if wake_at is not None else Status.RUNNING
        record.awaited = () if pause is None else (pause.event,)
        record.wake_at = wake_at if pause is None else pause.deadline
        await self._write(consumed)

    async def _write(self, consumed: tuple[int, ...] = ()) -> None:
        self.record.sequence += 1
        flush = self.settings.durability is not Durability.RELAXED
        written = self.store.commit(Write(self.record, consumed, flush))
        if written is not None:
            await written

    # events

    async def receive(self, event: str) -> Message | None:
        """The oldest message of that name."""
        messages = await self.store.messages(self.record.instance_id)
        return next((message for message in messages if message.name == event), None)

    async def _wait(self, pause: Park) -> Message | None:
        """Stay in memory until the event is there, or the time is up."""
        seen: Any = None
        while True:
            seen = await self.store.changed(self.record.instance_id, seen, _until(pause.deadline))
            message = await self.receive(pause.event)
            if message is not None or (pause.deadline is not None and time.time() >= pause.deadline):
                return message

    # the run

    async def run(self, branch: Branch, frame: Frame, wait: bool) -> Any:
        """Drive the root branch to its end, or to a pause that leaves memory.

        Raises:
            PauseForEventException: it waits for an event, and `wait` is false.
        """
        token = current.set(branch)
        try:
            result = await drive(frame, None)
            while isinstance(result, Signal):
                match result:
                    case Stop(error=error):
                        abandon(frame)
                        self.failure = error
                        raise error
                    case Park() if wait:
                        result = await drive(frame, await self._wait(result))
                    case Park(event=event):
                        abandon(frame)
                        self.failure = PauseForEventException(event, self.record.instance_id)
                        raise self.failure
        finally:
            current.reset(token)
        return result

    async def succeed(self, result: Any) -> None:
        """Store the result: the instance has ended for good."""
        record = self.record
        try:
            outcome = snapshot.dumps(("value", result))
        except Exception as error:
            self._unsaved_result(result, error)
            return
        record.status, record.outcome, record.error = Status.SUCCESS, outcome, None
        record.call_stack, record.retry, record.awaited, record.wake_at = None, (), (), None
        await self._write()

    def _unsaved_result(self, result: Any, error: Exception) -> None:
        import warnings

        warnings.warn(
            f"the result of {self.record.program} ({type(result).__qualname__}) cannot be saved ({error}); calling "
            f"instance {self.record.instance_id!r} again goes on from its last checkpoint",
            NotPersistableWarning,
            stacklevel=2,
        )

    async def fail(self, error: BaseException, flights: list[BaseException]) -> None:
        """Store the error.  The instance can be called again: it then goes on from the checkpoint
        before the error was raised."""
        record = self.record
        causes = (error, error.__cause__)
        for flight, state in zip(flights, record.retry, strict=False):
            if any(flight is cause for cause in causes):
                record.call_stack = state
                break
        record.status, record.retry, record.awaited, record.wake_at = Status.ERROR, (), (), None
        record.outcome = snapshot.dumps(("error", error))
        record.error = "".join(traceback.format_exception(error))
        await self._write()


def outcome_of(record: Record) -> Any:
    """The result of an instance that has ended; its error is raised."""
    assert record.outcome is not None
    kind, value = snapshot.loads(record.outcome)
    if kind == "error":
        raise value
    return value


def stack_of(record: Record) -> CallStack:
    """The call stack of an instance as of its last checkpoint, to look at."""
    data = record.call_stack
    if data is None:
        return CallStack()
    with generators.only_looking():
        return staged.look(data) if data.startswith(staged.MARK) else CallStack.from_bytes(data)


def _until(deadline: float | None) -> float:
    """How long to wait for a deadline at most, in seconds; the clock may be set meanwhile."""
    return 60.0 if deadline is None else min(max(deadline - time.time(), 0.0), 60.0)
