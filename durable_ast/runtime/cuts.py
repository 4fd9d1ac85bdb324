"""When the branches of an instance are saved: one cut an event loop turn, one write at a time.

A cut takes the branches that asked for a checkpoint, those that nobody has saved yet with those that
began them, and those that others have made go on or have cancelled.  What is written for them, and
who is drawn in because of shared objects, is decided by `parts`.

Where a write need not take time, the cut is taken where it is asked for, and who asks goes on: an
await that plain asyncio would not have suspended at suspends here neither, and no other branch runs.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..errors import NotPersistableError
from ..state.snapshot import failure as unsaved_value
from ..stores.transactions import OpenTransaction
from .branch import Branch
from .call_stack import CallStack
from .cut import Line, capture, key_of, on_its_way
from .discard import discard
from .eagerly import begin
from .effects import NO_EFFECTS, Effects, united
from .frames import DrivenByHandError
from .parts import Parts, Unsaved
from .unsaved import Problem, explain_ended, explain_unsaved, is_entering, unsaved_result

if TYPE_CHECKING:
    from .branches import Branches


_AT_ONCE = 100
"""How many branches an instance may have at most for each to be saved apart."""


class Settled(asyncio.Future[None]):
    """A future that its waiters cannot cancel: a checkpoint is written whoever has lost interest.
    A task that is cancelled while it waits learns of it afterwards."""

    def cancel(self, msg: Any = None) -> bool:
        """Refuse."""
        return False


@dataclass(slots=True, eq=False)
class _Request:
    """A checkpoint that a branch waits for."""

    branch: Branch
    is_pause: bool
    step: str | None
    written: Settled = field(default_factory=Settled)


class Cuts:
    """The checkpoints of an instance with several branches.

    Args:
        branches: its branches.

    Attributes:
        parts: their records.
        changed: branches that must be in the next cut although they have not asked for it: others
            have made them go on, or have cancelled them.
        unsaved: branches that were never saved.
        gone: branches that have ended and whose tasks are gone.
    """

    def __init__(self, branches: Branches) -> None:
        self._branches = branches
        self.parts = Parts()
        self.changed: set[Branch] = set()
        self.unsaved: list[Branch] = []
        self.gone: list[Branch] = []
        self._requests: list[_Request] = []
        self._effects: list[tuple[Branch, Effects]] = []
        self._takes_all = False
        self._is_writing = False
        self._is_scheduled = False
        self._is_held = False
        self._context = contextvars.copy_context()
        """Where the instance is known, whoever asks for a cut."""
        self._ending: tuple[_Request, OpenTransaction] | None = None
        """The transaction that ends with the next cut, and what its branch waits for."""

    @property
    def is_under_way(self) -> bool:
        """Whether a cut is being written, or about to be taken."""
        return self._is_writing or self._is_scheduled or self._is_held

    def hold(self) -> None:
        """Take no cut, because not every branch stands where it could be captured."""
        self._is_held = True

    def take_all(self) -> None:
        """Save every branch."""
        self._takes_all = True
        self._schedule()

    def let_go(self) -> None:
        """There are no more cuts; nobody must wait for one."""
        _settle(self._requests, None)
        self._requests.clear()

    def abandon(self) -> None:
        """The event loop is gone."""
        writer = self._branches.instance.cut
        if writer is not None and not writer.done():
            writing: Any = writer.get_coro()
            discard(writing)

    def request(
        self,
        branch: Branch,
        effects: Effects = NO_EFFECTS,
        *,
        is_pause: bool = False,
        step: str | None = None,
        frame: FrameType | None = None,
    ) -> Awaitable[None]:
        """Have a branch saved as it stands, with a cut that is taken now, or with the next one.

        Args:
            branch: the branch.
            effects: what else is done in the same transition.
            is_pause: whether it must be saved, because it is about to leave memory.
            step: the name of the step whose value must be saved, if there is one.
            frame: its innermost frame, if it has not ended.
        """
        if effects is not NO_EFFECTS:
            self._effects.append((branch, effects))
        request = _Request(branch, is_pause, step)
        self._requests.append(request)
        if self._can_cut_now and _is_captured(branch, frame):
            self._context.run(self._try_cut)
        else:
            self._schedule()
        return request.written

    def commit(self, branch: Branch, effects: Effects, opened: OpenTransaction) -> Awaitable[None]:
        """Take a cut in which a branch must be, and end a transaction with it."""
        if effects is not NO_EFFECTS:
            self._effects.append((branch, effects))
        request = _Request(branch, is_pause=True, step=None)
        self._requests.append(request)
        self._ending = request, opened
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._try_cut, context=self._context)
        return request.written

    def go_on(self) -> None:
        """Take cuts again: all branches are back, or a transaction is over, in which nothing could be saved."""
        self._is_held = False
        if self._requests or self.unsaved or self.changed or self._takes_all:
            self._schedule()

    @property
    def _can_cut_now(self) -> bool:
        if self.is_under_way or self._branches.instance.region is not None:
            return False
        return self._branches.instance.saves_at_once and len(self._branches.live) <= _AT_ONCE

    def _schedule(self) -> None:
        is_open = self._branches.instance.region is not None
        if not self.is_under_way and not is_open:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._try_cut, context=self._context)

    def _try_cut(self) -> None:
        self._is_scheduled = False
        if self._branches.root.halted is not None or self._branches.has_ended:
            return
        if self._branches.instance.region is not None and self._ending is None:
            return  # it will go on
        requests, self._requests = self._requests, []
        try:
            self._cut(requests)
        except Exception as error:
            self._requests += requests  # nobody must wait for a checkpoint that is never written
            self._branches.halt(error)

    def _cut(self, requests: list[_Request]) -> None:
        wanted = {request.branch: None for request in requests}
        changed = (
            self._branches.live.values()
            if self._takes_all
            else [branch for branch in self.changed if not _is_gone(branch)]
        )
        wanted.update(dict.fromkeys(changed))
        self.changed.clear()
        if (
            self._branches.root.task is not None
            and not self._branches.root.task.done()
            and _is_out_of_date(self._branches.root)
        ):
            wanted[self._branches.root] = None
        for branch in self.unsaved:
            wanted[branch] = None
            parent = _line(branch).parent
            if parent is not None:
                wanted[parent] = None
        for branch in wanted:
            if _line(branch).state is None:
                capture(branch)
        written = self.parts.write(wanted, {request.branch for request in requests if not _line(request.branch).ended})
        records, failures = written.records, written.failures
        if written.dropped and self._must_give_up(written.dropped):
            self.parts.give_up()
            records = {}
            self.changed.update(wanted)
            failures = [_failure_of(branch, failures) for branch in wanted]
        else:
            self.changed.update(written.dropped - {failure.branch for failure in failures})
            self.unsaved.clear()
            records.update(self._forgotten())
        self._refuse(requests, failures)
        if self._takes_all:
            self._takes_all = False
            if failures:
                self._branches.halt(_error_of(failures[0]))
                return
        within = self._ended()
        effects = self._effects_with(records)
        if not records and effects is NO_EFFECTS:
            _settle(requests, None)
            return
        self._is_writing = True
        writing = self._branches.instance.save_cut(records, effects, *self._branches.standing(), within)
        if writing is None:
            self._is_over(requests)
        else:
            self._branches.instance.cut = begin(self._write(writing, requests))

    def _ended(self) -> OpenTransaction | None:
        """The transaction that ends with this cut; if its branch could not be saved, it must not."""
        if self._ending is None:
            return None
        (request, opened), self._ending = self._ending, None
        if not request.written.done():
            return opened
        self._effects = [item for item in self._effects if item[0] is not request.branch]
        return None

    async def _write(self, writing: Awaitable[None], requests: list[_Request]) -> None:
        error: BaseException | None = None
        try:
            await writing
        except BaseException as raised:
            error = raised
        self._is_over(requests, error)

    def _is_over(self, requests: list[_Request], error: BaseException | None = None) -> None:
        self._is_writing = False
        _settle(requests, error)
        if self._requests:
            self._schedule()
        else:
            self._branches.check_idle(2)

    def _effects_with(self, records: dict[str, bytes | None]) -> Effects:
        """The effects of the branches that these records are of; the others keep theirs for later."""
        due = [effects for branch, effects in self._effects if key_of(_line(branch).number) in records]
        self._effects = [item for item in self._effects if key_of(_line(item[0]).number) not in records]
        return united(due)

    def _must_give_up(self, dropped: set[Branch]) -> bool:
        """Whether others would refer to a branch of which nothing is stored, or one would be there
        that nobody has begun."""
        begun = {branch for new in self.unsaved for branch in (new, _line(new).parent)}
        return self._branches.root in dropped or not begun.isdisjoint(dropped)

    def _forgotten(self) -> dict[str, bytes | None]:
        """The records of the branches that have ended and that nobody refers to any more."""
        if not self.gone or self.parts.has_errors:
            return {}
        gone, self.gone = self.gone, []
        keys = (self.parts.forget(branch) for branch in gone)
        return {key: None for key in keys if key is not None}

    def _refuse(self, requests: list[_Request], failures: list[Unsaved]) -> None:
        """Tell those whose part could not be saved."""
        for failure in failures:
            for request in requests:
                if request.branch is not failure.branch or request.written.done():
                    continue
                if not request.is_pause and is_entering(failure.origin.stack):
                    continue
                error = _error_of_step(failure, request)
                if error is None and self._branches.instance.must_save(request.is_pause):
                    error = _error_of(failure)
                if error is not None:
                    request.written.set_exception(error)
                else:
                    _warn(request, failure)


def _failure_of(branch: Branch, failures: list[Unsaved]) -> Unsaved:
    """Why a branch is not saved, if others are not because they cannot be."""
    found = next((failure for failure in failures if failure.branch is branch), failures[0])
    if found.branch is branch:
        return found
    failure = Unsaved(branch, _line(branch).state or capture(branch), found.error, found.names)
    failure.origin = found
    return failure


def _warn(request: _Request, failure: Unsaved) -> None:
    try:
        _problem(failure).warn()
    except Warning as error:  # the user wants an error instead
        request.written.set_exception(error)


def _error_of_step(failure: Unsaved, request: _Request) -> NotPersistableError | None:
    """What to say if it is the value of a step that cannot be saved."""
    if request.step is None:
        return None
    reason = unsaved_value(failure.stack.waiting)
    return None if reason is None else unsaved_result(failure.stack, request.step, reason)


def _error_of(failure: Unsaved) -> NotPersistableError:
    return NotPersistableError(_problem(failure).text)


def _problem(failed: Unsaved) -> Problem:
    failure = failed.origin
    stack, branch = failure.stack, failure.branch
    while not stack.stack:
        parent = _line(branch).parent
        assert parent is not None
        branch = parent
        state = _line(branch).state or capture(branch)
        stack = CallStack(state.calls, state.waiting)
    if stack is failure.stack:
        return explain_unsaved(stack, failure.error, failure.names)
    return explain_ended(failure.stack, stack, failure.error, failure.names)


def _is_captured(branch: Branch, frame: FrameType | None) -> bool:
    """Capture a branch that runs, or has ended; gives whether it could be done."""
    try:
        capture(branch, frame)
    except DrivenByHandError:
        return False
    return True


def _is_gone(branch: Branch) -> bool:
    """Whether there is nothing of a branch to capture."""
    return branch.task is None and _line(branch).state is None


def _is_out_of_date(branch: Branch) -> bool:
    """Whether the root, whose task is none of ours, was cancelled since it was captured, or will be."""
    line = _line(branch)
    assert branch.task is not None
    if line.state is not None and line.state.facts.cancelling != branch.task.cancelling():
        line.state = None
    return line.state is None and (line.cancelled is not None or on_its_way(branch) is not None)


def _settle(requests: list[_Request], error: BaseException | None) -> None:
    for request in requests:
        if request.written.done():
            continue
        if error is None:
            request.written.set_result(None)
        else:
            request.written.set_exception(error)


def _line(branch: Branch) -> Line:
    assert branch.line is not None
    return branch.line
