"""One instance at work in this process: its record, its branches, its end."""

from __future__ import annotations

import asyncio
import enum
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias

from ..errors import CorruptStateError, PauseForEventException
from ..state import resources, snapshot
from ..state.history import History
from ..state.known_classes import as_they_are, given
from ..state.pieces import Pieces
from ..state.schema import Message, Record, Status
from ..stores.base import InstanceStore
from ..stores.parts import are_news
from ..stores.transactions import OpenTransaction
from . import generators, sources, staged, unstaged
from .branch import Asleep, Branch, Park, Signal, Stop, abandon, drive
from .branch_task import install, uninstall
from .branches import start_branch
from .call_stack import CallStack
from .children import requests_to_children
from .cut import MARK as CUT
from .cut import ROOT, key_of, stack_in
from .effects import NO_EFFECTS, Effects
from .event_log import EventLog
from .functions import Frame
from .mailbox import Delivered, Mailbox
from .running_branch import current
from .spans import spans_of
from .tracebacks import own_lines
from .trail import Trail
from .unsaved import unsaved_outcome
from .variables import Seen

if TYPE_CHECKING:
    from .transactions import Region


class Durability(enum.Enum):
    """How far a checkpoint is behind what has happened."""

    STRICT = "strict"
    """The next step starts only once the checkpoint is on disk."""
    RELAXED = "relaxed"
    """Checkpoints follow while the instance goes on: a crash of the process repeats the last steps, 32 at
    most.  They reach the disk when the operating system writes them.  A pause and the end wait for
    all of them."""
    PAUSES = "pauses"
    """Checkpoints are taken only before pauses and at the end."""


class Stays(enum.Enum):
    """When an instance stays in memory although it waits for an event."""

    ALWAYS = "always"
    UNLESS_PLAIN = "unless plain"
    """Where it has branches, or managers that would have to be entered again, or has to look by itself for
    what it waits for; and in steps."""
    IN_STEPS = "in steps"
    """Only where a step waits, which would have to run again."""
    NEVER = "never"


OnChange: TypeAlias = Literal["finish", "refuse"]
Keep: TypeAlias = int | Literal["all"]
"""How many checkpoints are kept, with the last one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the instances of a program run."""

    durability: Durability = Durability.STRICT
    strict: bool = False
    """Whether a value that cannot be saved is an error, not a warning."""
    on_change: OnChange = "finish"
    """What becomes of an instance that stands in edited code."""
    history: Keep = 1


class Instance:
    """An instance owned by this process, from its acquisition to its release.

    Args:
        store: where it is kept.
        record: what is known of it.
        settings: how it runs.
        stays: when it stays in memory although it waits.
        longest_nap: how long it may sleep in memory, in seconds.
    """

    def __init__(
        self, store: InstanceStore, record: Record, settings: Settings, stays: Stays, longest_nap: float = math.inf
    ) -> None:
        self.store = store
        self.record = record
        self.settings = settings
        self.failure: BaseException | None = None
        self._stays = stays
        self._longest_nap = longest_nap
        self.root_task: asyncio.Task[Any] | None = None
        self.seen = Seen()
        self.mailbox = Mailbox(store, record)
        self.managers = itertools.count(1)
        """The numbers of its managers that cannot be saved."""
        self.cut: asyncio.Task[None] | None = None
        """Writes the last checkpoint of its branches."""
        self._event_log: EventLog | None = None
        self._publishing: asyncio.Lock | None = None
        self._inside: list[Park] = []
        self.spans = spans_of(record)
        self.obeyed: dict[int, bool] = {}
        """The messages that ask something of the instance, and whether that is in effect."""
        self._flush = settings.durability is not Durability.RELAXED
        self._trail = Trail() if settings.durability is Durability.RELAXED else None
        self._sources = sources.kept_by(store)
        self._history: History | None = None
        self.region: Region | None = None
        """The block of a transaction that one of its branches is in."""

    @property
    def publishing(self) -> asyncio.Lock:
        """Keeps what is published in the order in which it is numbered."""
        if self._publishing is None:
            self._publishing = asyncio.Lock()
        return self._publishing

    @property
    def saves_at_once(self) -> bool:
        """Whether a checkpoint need not keep who asks for it waiting."""
        return self.store.is_at_once or self._trail is not None

    @property
    def event_log(self) -> EventLog:
        """What it tells the world."""
        if self._event_log is None:
            self._event_log = EventLog(self.parts)
        return self._event_log

    async def remember(self, *, anew: bool) -> None:
        """Keep earlier checkpoints from now on, if the program wants that.

        Args:
            anew: whether there are none yet.
        """
        keep = self.settings.history
        if keep != 1:
            parts = {} if anew else await self.store.parts(self.record.instance_id)
            self._history = History(None if keep == "all" else keep, self.record, parts)

    # checkpoints

    @property
    def saves_steps(self) -> bool:
        """Whether the end of a step is a checkpoint."""
        return self.settings.durability is not Durability.PAUSES

    def must_save(self, pausing: bool) -> bool:
        """Whether a value that cannot be saved stops the run."""
        return self.settings.strict or pausing

    def note_flights(self, before: list[BaseException], after: list[BaseException]) -> None:
        """Keep, for each exception in flight, the checkpoint before it was raised: should it end
        the run, a later call goes on from there."""
        record = self.record
        known = {id(error): state for error, state in zip(before, record.retry, strict=False)}
        last = record.state or _START
        record.retry = tuple(known.get(id(error), last) for error in after)

    def save(
        self,
        call_stack: bytes | Pieces,
        effects: Effects,
        pause: Park | None,
        wake_at: float | None,
        within: OpenTransaction | None = None,
    ) -> Awaitable[None] | None:
        """Write a checkpoint of the root branch, and end a transaction with it if there is one."""
        if self._needs_texts and within is None:
            return self._after_texts(self.save, call_stack, effects, pause, wake_at)
        record = self.record
        record.call_stack = call_stack
        if pause is not None:
            record.status, record.awaited, record.wake_at = Status.WAITING, (pause.event,), pause.deadline
        else:
            record.status = Status.RUNNING if wake_at is None else Status.SLEEPING
            record.awaited, record.wake_at = (), wake_at
        return self._write(effects, within=within)

    def save_cut(
        self,
        parts: dict[str, bytes | None],
        effects: Effects,
        is_awake: bool,
        pauses: list[Park],
        dues: list[float],
        within: OpenTransaction | None = None,
    ) -> Awaitable[None] | None:
        """Write a checkpoint of several branches.

        Args:
            parts: their records; the root's becomes part of the instance's own.
            effects: what else it does.
            is_awake: whether any of them does more than wait.
            pauses: the events that they wait for.
            dues: when they want to be woken, in seconds since 1970.
            within: the transaction that ends with it.
        """
        if self._needs_texts and within is None:
            return self._after_texts(self.save_cut, parts, effects, is_awake, pauses, dues)
        record = self.record
        root = parts.pop(key_of(ROOT), None)
        if root is not None:
            record.call_stack = root
        deadlines = [pause.deadline for pause in pauses if pause.deadline is not None]
        record.status = Status.RUNNING if is_awake else Status.WAITING if pauses else Status.SLEEPING
        record.awaited = tuple(dict.fromkeys(pause.event for pause in pauses))
        record.wake_at = min((*dues, *deadlines), default=None)
        return self._write(effects.with_parts(parts), within=within)

    @property
    def is_to_be_cancelled(self) -> bool:
        """Whether a cancellation was asked for that has not reached the user's code."""
        return not all(self.obeyed.values())

    def is_cancelled(self) -> None:
        """A cancellation has reached the user's code: whoever asked for it is heard."""
        self.obeyed.update(dict.fromkeys(self.obeyed, True))

    async def settled(self) -> None:
        """Wait until what was written is there.

        Raises:
            DurableError: it could not be written.
        """
        if self._trail is not None:
            await self._trail.settled()

    async def _undisturbed(self) -> None:
        """Wait until no transaction is open: it ends with a checkpoint that comes after all others."""
        while self.region is not None:
            await self.region.over.wait()

    def _write(
        self, effects: Effects = NO_EFFECTS, *, flush: bool = True, within: OpenTransaction | None = None
    ) -> Awaitable[None] | None:
        self.record.sequence += 1
        if self.obeyed:
            effects = effects.with_consumed(number for number, in_effect in self.obeyed.items() if in_effect)
        if self._history is not None:
            effects = effects.with_parts(self._history.parts(self.record, effects.parts))
        flush = self._flush and flush
        writing: Awaitable[None] | None
        if within is not None:
            writing = self.store.commit_within(within, self.record, effects.consumed, effects.parts, effects.outbox)
        else:
            writing = self.store.commit(self.record, effects.consumed, flush, effects.parts, effects.outbox)
        if self._trail is not None and within is None:
            waiting = None if writing is None else self._trail.add(writing)
            writing = waiting if self.record.status is Status.RUNNING else self._trail.settled()
        return writing

    @property
    def _needs_texts(self) -> bool:
        """Whether a checkpoint may name functions whose text the store does not have."""
        return len(sources.noted) != self._sources

    async def _after_texts(self, write: Callable[..., Awaitable[None] | None], *arguments: Any) -> None:
        """Give the store these texts, then write: no checkpoint may be there without what it needs."""
        await self.keep_texts()
        writing = write(*arguments)
        if writing is not None:
            await writing

    async def keep_texts(self) -> None:
        """Give the store the texts of the functions that checkpoints may name from now on."""
        noted = len(sources.noted)
        await sources.keep(self.store)
        self._sources = noted

    async def _written(self, effects: Effects = NO_EFFECTS) -> None:
        await self._undisturbed()
        if self.cut is not None:
            await asyncio.wait([self.cut])
        await self.settled()  # an end that is stored is final, so nothing before it may be missing
        writing = self._write(effects)
        if writing is not None:
            await writing

    async def note(self, effects: Effects) -> None:
        """Have some effects of the instance, which stands where it stood."""
        writing = self.noting(effects)
        if writing is not None:
            await writing

    def noting(self, effects: Effects) -> Awaitable[None] | None:
        """The same for whoever goes on meanwhile."""
        branch = current.get()
        if branch is not None and branch.region is not None:
            branch.region.postpone(effects)
            return None
        if not (self.saves_steps or effects.consumed or effects.outbox or are_news(effects.parts)):
            return None
        if self._needs_texts:
            return self._after_texts(self.noting, effects)
        return self._write(effects) if self.region is None else self._write_undisturbed(effects)

    async def _write_undisturbed(self, effects: Effects) -> None:
        await self._undisturbed()
        writing = self._write(effects)
        if writing is not None:
            await writing

    async def publish(self, events: Sequence[Any]) -> None:
        """Add to the event log; it need not have reached the disk to count."""
        branch = current.get()
        if branch is not None:
            branch.must_not_wait("events were published")
        async with self.publishing:
            await self._undisturbed()
            writing = self._write(Effects(parts=await self.event_log.append(events)), flush=False)
            if writing is not None:
                await writing

    async def parts(self, prefix: str) -> dict[str, bytes]:
        """The parts of the instance whose names begin so."""
        return await self.store.parts(self.record.instance_id, prefix)

    def leaves_until(self, due: float) -> bool:
        """Whether to leave memory when it sleeps until then."""
        return due - time.time() > self._longest_nap

    @property
    def stays_with_branches(self) -> bool:
        """Whether to stay in memory when all of its branches wait."""
        return self._stays in (Stays.ALWAYS, Stays.UNLESS_PLAIN)

    def stays_at(self, pause: Park) -> bool:
        """Whether to stay in memory at a pause, if it has no branches."""
        if self._stays is not Stays.UNLESS_PLAIN:
            return self._stays is Stays.ALWAYS
        state = self.record.call_stack
        return pause.poll is not None or (isinstance(state, bytes) and state.startswith(staged.MARK))

    # events

    async def find(self, pause: Park) -> Message | None:
        """What ends a pause, if it is there."""
        if pause.after is None:
            return await self.mailbox.receive(pause.event)
        return await self.mailbox.hear(pause.event, pause.after)

    async def receive_inside(
        self, event: str, deadline: float | None, after: Delivered | None = None, poll: float | None = None
    ) -> Message | None:
        """Wait for a message inside of a step, which goes on running meanwhile.

        Raises:
            PauseForEventException: nobody wants to wait with it.
        """
        pause = Park(event, deadline, after, poll)
        message = await self.find(pause)
        if message is not None or (deadline is not None and time.time() >= deadline):
            return message
        self._inside.append(pause)
        try:
            self._show_waits_inside()
            await self._written()
            if self._stays is Stays.NEVER:
                raise PauseForEventException(pause.event, self.record.instance_id)
            return await self.wait(pause)
        finally:
            if self._stays is not Stays.NEVER:
                self._inside.remove(pause)
                self._show_waits_inside()

    def _show_waits_inside(self) -> None:
        """Let the record say what the running steps wait for."""
        record, pauses = self.record, self._inside
        record.status = Status.WAITING if pauses else Status.RUNNING
        record.awaited = tuple(dict.fromkeys(pause.event for pause in pauses))
        record.wake_at = min((pause.deadline for pause in pauses if pause.deadline is not None), default=None)

    async def wait(self, pause: Park) -> Message | None:
        """Stay in memory until the event is there, or the time is up."""
        seen: Any = None
        while True:
            longest = _until(pause.deadline) if pause.poll is None else min(_until(pause.deadline), pause.poll)
            seen = await self.store.changed(self.record.instance_id, seen, longest)
            message = await self.find(pause)
            if message is not None or (pause.deadline is not None and time.time() >= pause.deadline):
                return message

    # the run

    async def run(self, branch: Branch, frame: Frame) -> Any:
        """Drive the root branch to its end, or to a pause that leaves memory.

        Raises:
            PauseForEventException: it waits for an event, and nobody wants to wait with it.
        """
        loop = asyncio.get_running_loop()
        factory = install(loop, start_branch)
        branch.frame = frame
        try:
            result = await drive(branch, frame, None)
            if isinstance(result, Signal):
                await self._leave(branch, frame, result)
            return result
        except asyncio.CancelledError:
            if branch.halted is None:
                raise
        finally:
            if self.region is not None:
                self.region.opened.abandon()
                self.region.end()
            uninstall(loop, factory)
            if branch.siblings is not None:
                branch.siblings.end()
        assert branch.task is not None
        branch.task.uncancel()  # it was cancelled to wake it up
        raise branch.halted

    def is_left(self, root: Branch) -> None:
        """Nobody drives it any more.  What refers to each other here would stay in memory until the
        garbage collector looks."""
        self.failure = self.root_task = None
        root.task = root.frame = None

    async def _leave(self, branch: Branch, frame: Frame, why: Signal) -> NoReturn:
        """Leave the frames where they stand."""
        match why:
            case Stop(error=error):
                if branch.halted is not None:
                    abandon(frame)
                    raise asyncio.CancelledError
                if branch.siblings is not None:
                    branch.siblings.halt(error)
                if self._trail is not None:
                    await self._trail.ended()
                self.failure = error
            case Park(event=event):
                self.failure = PauseForEventException(event, self.record.instance_id)
            case _:
                self.failure = Asleep()
        abandon(frame)
        raise self.failure

    async def begin(self) -> None:
        """It runs, whatever it did before."""
        record = self.record
        if record.status in (Status.ENQUEUED, Status.ERROR, Status.PARKED):
            record.status, record.outcome, record.error = Status.RUNNING, None, None
            await self._written()

    async def stand_still(self) -> None:
        """Let the record say that the instance was told to stand still."""
        self.record.status = Status.PAUSED
        await self._written()

    async def succeed(self, result: Any) -> None:
        """Store the result: the instance has ended for good.

        Raises:
            NotPersistableError: it cannot be saved; that is the outcome then.
        """
        record = self.record
        try:
            outcome = snapshot.dumps(("value", result))
        except Exception as reason:
            error = unsaved_outcome(record.program, result, reason)
            await self._ended(Status.ERROR, snapshot.dumps(("error", error)), error)
            raise error from reason
        record.call_stack = None
        await self._ended(Status.SUCCESS, outcome, None)

    async def _ended(
        self, status: Status, outcome: bytes, error: BaseException | None, effects: Effects = NO_EFFECTS
    ) -> None:
        """Store how the instance has ended."""
        record = self.record
        record.status, record.outcome = status, outcome
        record.error = None if error is None else own_lines(error)
        record.retry, record.awaited, record.wake_at = (), (), None
        await self._written(effects)
        if self.spans is not None:
            self.spans.ended(error)

    async def fail(self, error: BaseException, root: Branch) -> None:
        """Store the error.  The instance can be called again: it then goes on from the checkpoint
        before the error was raised."""
        record = self.record
        effects = NO_EFFECTS
        if root.siblings is not None and not isinstance(error, asyncio.CancelledError):
            parts = root.siblings.cuts.parts.without(error)
            record.call_stack = parts.pop(key_of(ROOT), record.call_stack)
            effects = Effects(parts=parts)
        causes = (error, error.__cause__)
        for flight, state in zip(root.flights, record.retry, strict=False):
            if any(flight is cause for cause in causes):
                record.call_stack = state or None
                break
        status = Status.CANCELLED if isinstance(error, asyncio.CancelledError) else Status.ERROR
        if status is Status.CANCELLED:
            effects = Effects(outbox=await requests_to_children(self.store, record.instance_id))
        await self._ended(status, snapshot.dumps(("error", error)), error, effects)


_START = b""
"""The state of an instance whose arguments could not be saved, before its first checkpoint."""


def outcome_of(record: Record) -> Any:
    """The result of an instance that has ended; its error is raised.

    Raises:
        CorruptStateError: what is stored of it is damaged.
    """
    if record.outcome is None:
        raise CorruptStateError(f"instance {record.instance_id!r} is {record.status}, and its outcome is missing")
    kind, value = given(record.outcome)
    if kind == "error":
        raise value
    return value


def stack_of(record: Record) -> CallStack:
    """The call stack of an instance as of its last checkpoint, to look at."""
    data = record.state
    if data is None:
        return CallStack()
    with generators.only_looking(), resources.only_looking(), as_they_are():
        if data.startswith(CUT):
            return stack_in(data)
        return unstaged.stack_in(data) if data.startswith(staged.MARK) else CallStack.from_bytes(data)


def _until(deadline: float | None) -> float:
    """How long to wait for a deadline at most, in seconds; the clock may be set meanwhile."""
    return 60.0 if deadline is None else min(max(deadline - time.time(), 0.0), 60.0)
