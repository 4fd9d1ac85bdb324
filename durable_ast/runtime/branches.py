"""The branches of an instance: its concurrent call stacks, from the first task that it starts on.

Each runs in a task of its own, driven like the root.  What they have reached is saved together (see
`cuts`).
"""

from __future__ import annotations

import asyncio
import atexit
import weakref
from collections.abc import Awaitable, Coroutine
from types import CoroutineType, FrameType
from typing import TYPE_CHECKING, Any

from ..errors import DurableError, PauseForEventException, TransactionError
from ..stores.transactions import OpenTransaction
from .awaiting import adopted
from .branch import Asleep, Branch, Park, Stop, abandon, drive
from .branch_task import BranchTask
from .call_stack import Waiting
from .cut import ROOT, Line, capture, capture_start, request_of
from .cuts import Cuts
from .effects import Effects
from .functions import Frame, Function, function_of, function_of_frame
from .recipes import recipe_of
from .running_branch import current
from .tracebacks import without_library_frames

if TYPE_CHECKING:
    from .instance import Instance


_STEPS = ("again", "await", "step")
"""What a branch waits for that waits for a step."""


class Branches:
    """All branches of an instance.

    Args:
        root: the one that the program's own function runs in.
    """

    def __init__(self, root: Branch) -> None:
        self.root = root
        self.instance: Instance = root.instance
        self.live: dict[int, Branch] = {ROOT: root}
        self._next = 1
        self._order = 0
        self._busy: set[Branch] = {root}
        self._paused: dict[Branch, Park] = {}
        self._asleep: set[Branch] = set()
        """Branches that are in none of these three wait for others."""
        self.cuts = Cuts(self)
        self.has_ended = False
        self._loop = asyncio.get_running_loop()
        _let_go_of_the_dead()
        _at_work.add(self)
        root.siblings = self
        root.line = Line(ROOT, None, is_saved=True, requests=0 if root.task is None else root.task.cancelling())
        root.program_plans = root.program_plans.concurrent
        if not root.in_step:
            root.plans = root.program_plans

    # starting

    def start(
        self, parent: Branch, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> BranchTask:
        """A new branch, in a task of its own."""
        branch = self.new(parent, self._next)
        self._next += 1
        frame = self._own_frame(branch, coroutine)
        recipe = None if frame is not None else recipe_of(coroutine)
        branch.frame = frame or _single(coroutine)
        branch.variables = self.instance.seen.variables()
        _line(branch).first = capture_start(branch, _only().ref, recipe)
        self.cuts.unsaved.append(branch)
        run: Any = self.run(branch)
        run.__name__, run.__qualname__ = branch.frame.__name__, branch.frame.__qualname__
        options.pop("eager_start", None)
        task = BranchTask(run, loop=loop, **options)
        self.bind(branch, task)
        return task

    def new(self, parent: Branch | None, number: int) -> Branch:
        """A branch that has no task yet."""
        branch = Branch(self.instance, self.root.program_plans)
        branch.siblings = self
        branch.line, branch.name = Line(number, parent), str(number)
        self._next = max(self._next, number + 1)
        return branch

    def bind(self, branch: Branch, task: BranchTask) -> None:
        """The task of a branch."""
        branch.task, task.branch = task, branch
        self.live[_line(branch).number] = branch
        self._busy.add(branch)
        task.add_done_callback(self._done)

    def _own_frame(self, branch: Branch, coroutine: Coroutine[Any, Any, Any]) -> Frame | None:
        """The frame of a coroutine of the user's own; None for any other."""
        if type(coroutine) is not CoroutineType or coroutine.cr_suspended or coroutine.cr_frame is None:
            return None
        return coroutine if function_of_frame(coroutine.cr_code) is not None else adopted(branch, coroutine)

    # running

    async def run(self, branch: Branch) -> Any:
        """Drive a branch to its end."""
        current.set(branch)
        assert branch.frame is not None
        try:
            result = await drive(branch, branch.frame, None)
            if isinstance(result, Stop):
                self.halt(result.error)
                raise asyncio.CancelledError
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            if branch.halted is None:
                error.__traceback__ = without_library_frames(error.__traceback__)
                await self._end(branch, ("error", error))
            raise
        await self._end(branch, ("value", result))
        return result

    async def parked(self, branch: Branch, pause: Park) -> Any:
        """Wait for an event; if nothing else is left to do, and the caller does not want to wait, the
        instance leaves memory."""
        self._rests(branch, pause)
        asyncio.get_running_loop().call_soon(self.check_idle, 2)
        return await self.instance.wait(pause)

    def naps(self) -> None:
        """A branch has begun to sleep for long."""
        asyncio.get_running_loop().call_soon(self.check_idle, 2)

    async def _end(self, branch: Branch, outcome: Waiting) -> None:
        line = _line(branch)
        line.ended, line.waiting, line.state, line.is_inward = True, outcome, None, False
        if self.has_ended:
            return
        if not self.instance.saves_steps:
            self.cuts.unsaved.append(branch)
            return
        try:
            await self.cuts.request(branch)
        except asyncio.CancelledError:
            pass  # it has ended: there is nothing left to cancel
        except DurableError as error:
            self.halt(error)
            raise asyncio.CancelledError from None

    def _done(self, task: asyncio.Task[Any]) -> None:
        assert isinstance(task, BranchTask)
        branch = task.branch
        line = _line(branch)
        if not line.ended:  # it was cancelled before it began, or halted
            line.ended, line.waiting, line.state = True, ("error", asyncio.CancelledError()), None
            self.cuts.changed.add(branch)
        if line.callbacks:  # they are called now
            line.callbacks, line.state = (), None
            self.cuts.changed.add(branch)
        if line.state is None and branch.halted is None:
            capture(branch)
        weakref.finalize(task, self.cuts.gone.append, branch)
        branch.task = None
        if branch.frame is not None and not branch.frame.cr_suspended:
            branch.frame.close()
        branch.frame = None
        self.live.pop(line.number, None)
        self._busy.discard(branch)
        self._asleep.discard(branch)
        self._paused.pop(branch, None)
        asyncio.get_running_loop().call_soon(self.check_idle, 2)

    def halt(self, error: BaseException) -> None:
        """Nothing of the instance runs any further, unless it has ended already."""
        if self.root.halted is not None or self.has_ended:
            return
        self.instance.failure = error
        self.cuts.let_go()
        for branch in list(self.live.values()):
            branch.halted = error
            if branch.frame is not None and branch.frame.cr_suspended:
                abandon(branch.frame)
            if branch.task is not None and branch.task is not asyncio.current_task():
                branch.task.cancel()

    def end(self) -> None:
        """The root has ended, and with it the instance; branches that are left are plain tasks now."""
        self.has_ended = True
        _at_work.discard(self)
        if self.are_dead:
            self.abandon()
            return
        self.cuts.let_go()
        for branch in self.live.values():
            branch.saves_steps = False

    @property
    def are_dead(self) -> bool:
        """Whether their event loop is gone, and nothing can run any further."""
        return self._loop.is_closed()

    def abandon(self) -> None:
        """Let go of all frames without running what is left of them."""
        for branch in self.live.values():
            if branch.frame is not None and branch.frame.cr_suspended:
                abandon(branch.frame)
        self.cuts.abandon()

    # waiting

    def awaiting(self, branch: Branch, awaitable: Any, *, is_inward: bool) -> None:
        """A branch is about to wait for something that is not saved."""
        if is_inward:
            branch.must_not_wait("another branch was awaited")
        self.begins(branch, recipe_of(awaitable), is_inward)
        if is_inward:
            asyncio.get_running_loop().call_soon(self.check_idle, 2)

    def begins(self, branch: Branch, waiting: Waiting, is_inward: bool = False) -> None:
        """A branch is about to wait for what it would begin anew in this way."""
        self._stand(branch, waiting, is_inward)
        branch.flights = branch.in_flight()
        branch.variables = self.instance.seen.variables()

    def note_order(self, order: int) -> None:
        """A place in the queue that is taken."""
        self._order = max(self._order, order)

    def _stand(self, branch: Branch, waiting: Waiting, is_inward: bool = False) -> None:
        line = _line(branch)
        self._order += 1
        if line.is_inward:
            self.cuts.changed.add(branch)
        line.waiting, line.order, line.state, line.is_inward = waiting, self._order, None, is_inward
        line.wake_at = None
        self._note_requests(branch)
        self.cuts.parts.moved.add(branch)
        self._rests(branch, None)

    def _note_requests(self, branch: Branch) -> None:
        """Note whether the task, which is running, will learn at its next await that it is cancelled."""
        task: Any = branch.task
        if task is not None:
            line = _line(branch)
            line.requests, line.cancelled = task.cancelling(), request_of(task) if task._must_cancel else None

    def _rests(self, branch: Branch, pause: Park | None) -> None:
        """Note whether a branch is at a pause, sleeps for long, waits for others only, or is busy."""
        line = _line(branch)
        if pause is not None:
            self._paused[branch] = pause
        else:
            self._paused.pop(branch, None)
        is_asleep = line.wake_at is not None and self.instance.leaves_until(line.wake_at)
        (self._asleep.add if is_asleep else self._asleep.discard)(branch)
        is_busy = pause is None and not is_asleep and not line.is_inward
        (self._busy.add if is_busy else self._busy.discard)(branch)

    def standing(self) -> tuple[bool, list[Park], list[float]]:
        """Whether a branch does more than wait; the events that branches wait for; when they want to
        be woken, in seconds since 1970."""
        is_awake = any(_line(branch).wake_at is None for branch in self._busy)
        waiting = () if is_awake else (*self._busy, *self._asleep)
        dues = [due for branch in waiting if (due := _line(branch).wake_at) is not None]
        return is_awake, list(self._paused.values()), dues

    def check_idle(self, turns: int) -> None:
        """Leave memory once every branch waits for an event, sleeps for long, or waits for another
        branch that does."""
        if self.instance.stays_with_branches or self.has_ended or self.root.halted is not None:
            return
        if self.cuts.is_under_way or self._busy or not (self._paused or self._asleep):
            return
        if turns:
            asyncio.get_running_loop().call_soon(self.check_idle, turns - 1)
        elif any(_line(branch).state is None for branch in self.live.values()):
            self.cuts.take_all()
        elif self._paused:
            pause = next(iter(self._paused.values()))
            self.halt(PauseForEventException(pause.event, self.instance.record.instance_id))
        else:
            self.halt(Asleep())

    # checkpoints

    def checkpoint(
        self,
        branch: Branch,
        waiting: Waiting,
        frame: FrameType,
        effects: Effects,
        pause: Park | None,
        wake_at: float | None,
        step: str | None,
        within: OpenTransaction | None,
    ) -> Awaitable[None] | None:
        """Save a branch as it stands, with the next cut; the arguments are those of
        `Branch.checkpoint`."""
        line = _line(branch)
        line.begun = line.waiting if waiting[0] == "error" and line.waiting[0] in _STEPS else None
        self._stand(branch, waiting)
        line.wake_at = wake_at
        self._rests(branch, pause)
        if self.has_ended:
            return None
        if within is not None:
            return self.cuts.commit(branch, effects, within)
        return self.cuts.request(branch, effects, is_pause=pause is not None, step=step, frame=frame)


_at_work: set[Branches] = set()
"""Kept alive until they end.  Were they collected with their event loop, the collector would take
their frames apart one by one, and so run what is left of the user's blocks."""


def _let_go_of_the_dead() -> None:
    for branches in [branches for branches in _at_work if branches.are_dead]:
        branches.abandon()
        _at_work.discard(branches)


@atexit.register
def _let_go() -> None:
    for branches in _at_work:
        branches.abandon()


def start_branch(
    parent: Branch, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> BranchTask:
    """Start a branch from another one."""
    try:
        parent.must_not_wait("a task was started")
    except TransactionError:
        coroutine.close()
        raise
    siblings = parent.siblings or Branches(parent)
    return siblings.start(parent, loop, coroutine, **options)


def _line(branch: Branch) -> Line:
    assert branch.line is not None
    return branch.line


def _only() -> Function:
    return function_of(only.__code__, only.__globals__)


def _single(awaitable: Any) -> Frame:
    """A frame that awaits one step."""
    frame: Frame = _only().running(None)(awaitable)
    name = getattr(awaitable, "__name__", type(awaitable).__name__)
    frame.__name__, frame.__qualname__ = name, getattr(awaitable, "__qualname__", name)
    return frame


async def only(awaitable: Any) -> Any:
    """The outermost frame of a branch that is one step.

    The runtime compiles this function like one of the user's.
    """
    return await awaitable
