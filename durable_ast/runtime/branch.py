"""One line of execution of an instance, and how it is driven.

A branch is a chain of real coroutines, each awaiting the next; asyncio's futures pass through it
untouched.  What the runtime itself has to say (stop here, the store has failed; wait for an event)
comes up the same way, as a `Signal`, and ends the drive without unwinding anything: user code never
sees it, so it cannot catch it.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Awaitable, Generator, Mapping
from dataclasses import dataclass
from types import CoroutineType, FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import DurableError, NotPersistableError, TransactionError
from ..state.delta import LARGE
from ..state.pieces import Lists, Pieces
from ..state.snapshot import failure, sealed
from ..stores.parts import NO_PARTS, Parts
from ..stores.transactions import OpenTransaction
from . import generators, staged
from .async_generators import advance, throw
from .call_stack import CallStack, FrameState, Waiting, stack_in_pieces, stack_to_bytes
from .control import is_interrupted
from .discard import discard
from .effects import NO_EFFECTS, Effects
from .frames import DrivenByHandError, Wrappers, capture, capture_plain, handled_in, position_of
from .functions import Frame
from .journal import Journal, Scope
from .lost import Outside, Savable, names_of
from .mailbox import Delivered
from .tracebacks import without_our_frame
from .unsaved import Blamed, Problem, explain_unsaved, is_entering, unsaved_result, warn_driven_by_hand
from .variables import Variables

if TYPE_CHECKING:
    from .branches import Branches
    from .cut import Line
    from .instance import Instance
    from .plans import Plan, Plans
    from .transactions import Region


class Signal:
    """Something for whoever drives the branch."""


@dataclass(frozen=True, slots=True)
class Stop(Signal):
    """The branch cannot go on here; the error is for the caller of the program."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Park(Signal):
    """The branch waits for an event, and may leave memory."""

    event: str
    deadline: float | None
    after: Delivered | None = None
    """The delivery to wait beyond, if it is a signal that is waited for (see `signals`)."""
    poll: float | None = None
    """Seconds after which to look again, in a store that cannot tell."""


@dataclass(frozen=True, slots=True)
class Nap(Signal):
    """The branch sleeps for long, and leaves memory."""

    due: float


class Asleep(Exception):
    """The instance sleeps, and has left memory; for whoever drives it."""


@types.coroutine
def signal(message: Signal) -> Generator[Signal, Any, Any]:
    """Send a signal to the driver; gives its answer."""
    return (yield message)


@types.coroutine
def drive(branch: Branch, frame: Frame, answer: Any) -> Generator[Any, Any, Any]:
    """Run the frames until they end, fail, or send a signal, which is then the result."""
    error: BaseException | None = None
    while True:
        try:
            yielded = frame.send(answer) if error is None else frame.throw(error)
        except StopIteration as stop:
            return stop.value
        if isinstance(yielded, Signal):
            return yielded
        error = None
        try:
            answer = yield yielded
        except GeneratorExit:  # the event loop is gone: this is no way out of the user's blocks
            abandon(frame)
            raise
        except BaseException as raised:
            if isinstance(raised, asyncio.CancelledError):
                if is_interrupted():  # nor is this
                    abandon(frame)
                    raise
                branch.instance.is_cancelled()
            error = raised
            if branch.line is not None and isinstance(raised, asyncio.CancelledError):
                branch.line.cancelled, branch.line.state = raised.args, None
        if branch.halted is not None:
            return Stop(branch.halted)


def abandon(frame: Frame) -> None:
    """Let go of suspended frames, and of the generators that were saved with them, without running
    what is left of them."""
    for generator in generators.saved:
        discard(generator)
    generators.saved.clear()
    awaited: Any = frame
    while isinstance(awaited, CoroutineType):
        inner = awaited.cr_await
        discard(awaited)
        awaited = inner


class Branch:
    """One call stack at work.

    Attributes:
        instance: what it belongs to.
        plans: what to do with a coroutine, by the id of its code object (see `awaiting`); nothing
            while a step is running: what is awaited inside of it is none of ours.
        program_plans: the same at any time.
        saves_steps: whether the end of a step is a checkpoint.
        flights: the exceptions that user code was handling at the last checkpoint.
        name: which branch of the instance it is.
        steps: how many steps it has taken, with the one that is running.
        frame: the outermost frame.
        task: the task that drives it.
        siblings: the other branches of the instance, once there are or have been any.
        line: what the others know of this one, once there are any.
        halted: why it must not run any further, if so.
        region: the block of a transaction that it is in.
        variables: its context variables, when it last began to wait.
    """

    __slots__ = (
        "_blamed",
        "_caller",
        "_journal",
        "_lists",
        "_outer_error",
        "_savable",
        "_scope",
        "flights",
        "frame",
        "halted",
        "instance",
        "line",
        "name",
        "plans",
        "program_plans",
        "region",
        "saves_steps",
        "siblings",
        "steps",
        "task",
        "variables",
    )

    def __init__(self, instance: Instance, plans: Plans) -> None:
        self.instance = instance
        self.plans: Mapping[int, Plan] = plans
        self.program_plans = plans
        self.saves_steps = instance.saves_steps
        self.flights: list[BaseException] = []
        self.name = ""
        self.steps = 0
        self.variables: Variables = ()
        self._blamed: Blamed | None = None
        self._caller: FrameType | None = None
        self._scope: Scope | None = None
        self._journal: Journal | None = None
        self._lists: Lists | None = None
        self.frame: Frame | None = None
        self.task: asyncio.Task[Any] | None = None
        self.siblings: Branches | None = None
        self.line: Line | None = None
        self.halted: BaseException | None = None
        self.region: Region | None = None
        self._outer_error = sys.exception()
        self._savable: Savable | None = None

    @property
    def savable(self) -> Savable:
        """Which of the managers that it has entered can be saved."""
        if self._savable is None:
            self._savable = Savable(self.instance.managers)
        return self._savable

    @property
    def in_step(self) -> bool:
        """Whether a step is running."""
        return self.plans is _NO_PLANS

    async def step(self, awaitable: Awaitable[Any]) -> Any:
        """Await a step; its end is a checkpoint, whether it gives a value or an error."""
        self.plans = _NO_PLANS
        self.steps += 1
        self._caller = sys._getframe(1)
        try:
            value = await awaitable
        except BaseException as error:
            self.end_step()
            await self.failed(error, sys._getframe(1))
            raise
        self.end_step()
        if self.saves_steps:
            saving = self.checkpoint(("value", value), sys._getframe(1))
            if saving is not None:
                try:  # as `saved` does, which would be one more coroutine for each step
                    await saving
                except (DurableError, asyncio.CancelledError) as error:
                    await self._interrupted(error)
        return value

    def begin_step(self, caller: FrameType, name: str, attempt: int) -> Scope:
        """A step that `caller` awaits is about to run; gives what it can be seen as from inside."""
        self.plans = _NO_PLANS
        self.steps += attempt == 1
        self._caller = caller
        self._scope = Scope(self, self._path_of_step(caller), name, attempt)
        return self._scope

    def end_step(self) -> None:
        """The step has ended, however it did."""
        self.plans = self.program_plans
        self._caller = None
        if self._scope is not None:
            self._scope.is_open = False
            self._scope = None

    @property
    def steps_before(self) -> int:
        """How many steps it has begun and will not begin again when it goes on from here."""
        is_first = self._scope is None or self._scope.attempt == 1
        return self.steps - (self.in_step and is_first)

    @property
    def caller(self) -> FrameType | None:
        """The frame that awaits the step that is running."""
        return self._caller

    @property
    def scope(self) -> Scope:
        """The step that is running, as seen from inside."""
        if self._scope is None:
            assert self._caller is not None
            path = self._path_of_step(self._caller)
            self._scope = Scope(self, path, path)
        return self._scope

    def _path_of_step(self, caller: FrameType) -> str:
        return f"{self.steps} {position_of(caller)}"

    @property
    def journal(self) -> Journal:
        """What has finished inside of the running step."""
        if self._journal is None:
            self._journal = Journal(self)
        return self._journal

    @property
    def fault(self) -> BaseException | None:
        """Why the branch must not go on: something that happened in its step could not be stored."""
        return None if self._journal is None else self._journal.fault

    async def leaf(self, frame: Awaitable[Any]) -> Any:
        """Await a frame that has no steps, only pauses: its end is a checkpoint too."""
        try:
            value = await frame
        except BaseException as error:
            await self.failed(error, sys._getframe(1))
            raise
        saving = self.checkpoint(("value", value), sys._getframe(1))
        if saving is not None:
            await self.saved(saving)
        return value

    async def failed(self, error: BaseException, frame: FrameType, effects: Effects = NO_EFFECTS) -> None:
        """A step has raised `error`; called in its handler, in a coroutine awaited by `frame`."""
        if isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit)):
            return  # the process is ending, the instance is not
        if self.fault is not None:
            await self.stop(self.fault)
        error.__traceback__ = without_our_frame(error.__traceback__)
        _link(error, handled_in(frame, WRAPPERS.driver))
        if self.saves_steps or effects is not NO_EFFECTS:
            saving = self.checkpoint(("error", error), frame, raised=error, effects=effects)
            if saving is not None:
                await self.saved(saving)

    def checkpoint(
        self,
        waiting: Waiting,
        frame: FrameType,
        *,
        raised: BaseException | None = None,
        effects: Effects = NO_EFFECTS,
        pause: Park | None = None,
        wake_at: float | None = None,
        step: str | None = None,
        within: OpenTransaction | None = None,
    ) -> Awaitable[None] | None:
        """Save the branch as it stands; what is returned must be given to `saved`.

        In the block of a transaction nothing is saved, and the effects are the transaction's.

        Args:
            waiting: what the innermost call gets when it goes on from here.
            frame: the innermost frame.
            raised: the exception that the innermost call is about to see.
            effects: what else this checkpoint does.
            pause: the event that it waits for.
            wake_at: when it wants to be woken, in seconds since 1970.
            step: the name of the step whose value it is, if that must be saved.
            within: the transaction that ends with it; an error is raised then.
        """
        if self.region is not None and within is None:
            self.region.postpone(effects)
            return None
        if self._journal is not None and self._journal.fault is not None:
            return self.stop(self._journal.fault)
        flights = self.in_flight(raised)
        self.variables = self.instance.seen.variables()
        if self.siblings is not None:
            self.flights = flights
            return self.siblings.checkpoint(
                self, waiting, frame, effects.with_parts(self._passed(waiting)), pause, wake_at, step, within
            )
        try:
            frames = capture_plain(frame, WRAPPERS.driver)
            data: bytes | Pieces
            if frames is not None:
                data = self._plain_state(waiting, frames, flights)
            else:
                data = self._with_more_than_locals(waiting, frame, flights)
        except Exception as problem:
            if within is not None:
                unsaved = self._explained(self._stack(waiting, frame, flights), problem)
                raise NotPersistableError(unsaved.text) from problem
            return self._not_saved(waiting, frame, flights, problem, pause is not None, step)
        finally:
            generators.saved.clear()
        instance = self.instance
        if flights or self.flights:
            instance.note_flights(self.flights, flights)
            self.flights = flights
        try:
            return instance.save(data, effects.with_parts(self._passed(waiting)), pause, wake_at, within)
        except DurableError as problem:
            if within is not None:
                raise
            return self.stop(problem)

    def _plain_state(self, waiting: Waiting, frames: list[FrameState], flights: list[BaseException]) -> bytes | Pieces:
        if self._lists is None:
            data = stack_to_bytes(waiting, frames, self.steps, flights, self.variables)
            if len(data) < LARGE:
                return data
            self._lists = Lists()
        pieces = stack_in_pieces(waiting, frames, self.steps, flights, self.variables, self._lists)
        if len(pieces) < LARGE:
            self._lists = None
            return bytes(pieces)  # stores take small states whole
        return pieces

    def commit(self, opened: OpenTransaction, effects: Effects, frame: FrameType) -> Awaitable[None] | None:
        """Save the branch as it stands behind the block of a transaction, in that transaction; None if
        there is nothing to save any more.

        Raises:
            DurableError: it cannot be saved, or somebody else owns the instance.
        """
        return self.checkpoint(("value", None), frame, effects=effects, within=opened)

    def must_not_wait(self, what: str) -> None:
        """Make sure that the branch is in no transaction.

        Raises:
            TransactionError: it is.
        """
        if self.region is not None:
            raise TransactionError(
                f"{what} inside of transaction(): nothing of the instance is saved there, so it cannot wait for anything "
                "but its own work; leave the block first"
            )

    def _passed(self, waiting: Waiting) -> Parts:
        """The journal's entries that a checkpoint is past."""
        if self._journal is None or self.flights or waiting[0] == "step":
            return NO_PARTS  # with an error in flight, the instance may yet be called to try again
        return self._journal.forget()

    def _with_more_than_locals(self, waiting: Waiting, frame: FrameType, flights: list[BaseException]) -> bytes:
        stack = self._stack(waiting, frame, flights)
        lost = self.savable.lost(stack.stack)
        if not lost:
            return stack.to_bytes()
        facts, tail = (stack.steps, stack.variables), (stack.waiting, stack.flights)
        return staged.MARK + sealed(staged.dumps(stack.stack, lost, facts, tail, Outside(names_of(lost))).data)

    def _stack(self, waiting: Waiting, frame: FrameType, flights: list[BaseException]) -> CallStack:
        return CallStack(capture(frame, WRAPPERS), waiting, flights, self.steps, self.variables)

    async def saved(self, saving: Awaitable[None]) -> None:
        """Wait until a checkpoint is written; if it cannot be, the branch stops."""
        try:
            await saving
        except (DurableError, asyncio.CancelledError) as error:
            await self._interrupted(error)

    async def _interrupted(self, error: DurableError | asyncio.CancelledError) -> None:
        """Something came in between while a checkpoint was written."""
        if isinstance(error, DurableError):
            await self.stop(error)
        else:
            self.cancel_later(error)

    def cancel_later(self, error: asyncio.CancelledError) -> None:
        """The task was cancelled where the user's code does not wait: it learns of it at its next await."""
        assert self.task is not None
        self.task.uncancel()
        self.task.cancel(*error.args)

    async def stop(self, error: BaseException) -> NoReturn:
        """Give up here, with an error for the caller; no user code runs any more."""
        await signal(Stop(error))
        raise AssertionError("a stopped branch was driven on")

    def _not_saved(
        self,
        waiting: Waiting,
        frame: FrameType,
        flights: list[BaseException],
        error: Exception,
        pausing: bool,
        step: str | None,
    ) -> Awaitable[None] | None:
        try:
            stack = self._stack(waiting, frame, flights)
        except DrivenByHandError as driven:
            if self.instance.must_save(pausing):
                raise  # a signal would end up with whoever drives it
            warn_driven_by_hand(driven)
            return None
        if not pausing and is_entering(stack):
            return None
        if step is not None:
            reason = failure(stack.waiting)
            if reason is not None:
                return self.stop(unsaved_result(stack, step, reason))
        if self._blamed is not None and self._blamed.is_in(stack) and not self.instance.must_save(pausing):
            return None  # it was told, and to find out takes longer than a checkpoint
        problem = self._explained(stack, error)
        if self.instance.must_save(pausing):
            return self.stop(NotPersistableError(problem.text))
        self._blamed = problem.blamed
        problem.warn()
        return None

    def _explained(self, stack: CallStack, error: Exception) -> Problem:
        return explain_unsaved(stack, error, Outside(names_of(self.savable.lost(stack.stack))))

    def in_flight(self, raised: BaseException | None = None) -> list[BaseException]:
        """The exceptions being handled by user code, outermost first; with one that it is about to see."""
        error = raised if raised is not None else sys.exception()
        chain: list[BaseException] = []
        while error is not None and error is not self._outer_error and error not in chain:
            chain.append(error)
            error = error.__context__
        chain.reverse()
        return chain


def _link(error: BaseException, handled: BaseException | None) -> None:
    """Let an error know the exception that was being handled when it was raised.

    CPython does so while an error that was thrown into the innermost coroutine passes through the
    others.  Waiting for a checkpoint on its way ends that: from then on it is raised again.
    """
    if handled is None or any(link is handled for link in _chain(error)):
        return
    for link in _chain(handled):
        if link.__context__ is error:
            link.__context__ = None  # as CPython does, so that there is no circle
    error.__context__ = handled


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what was being handled when it was raised, and so on."""
    chain = [error]
    while (link := chain[-1].__context__) is not None and all(link is not known for known in chain):
        chain.append(link)
    return chain


_NO_PLANS: Mapping[int, Plan] = {}
WRAPPERS = Wrappers(drive.__code__, Branch.leaf.__code__, (advance.__code__, throw.__code__))
