"""An instance goes on: its saved branches become frames and tasks again.

All tasks are made before any graph is read, so that a graph can refer to any of them; those of
branches that have ended give their outcomes before anything else runs, and the others go on in the
order in which they began to wait, before those that have not begun.  A branch that was inside of a
context manager that could not be saved runs ahead until it has entered that again (see `entering`);
nothing of the user's code goes on before all are back.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import itertools
import math
from dataclasses import replace
from typing import Any

from ..state.schema import BRANCHES
from . import sources, variables
from .async_generators import advance
from .awaiting import leaf_of
from .branch import Branch
from .branch_task import BranchTask
from .branches import Branches
from .call_stack import NOTHING, CallStack
from .cut import MARK as CUT
from .cut import ROOT, SHARED, Errors, Facts, Header, State, header_of, stages_of, state_of
from .entering import Alone, Entering, NotEntered, Together
from .frames import restore
from .functions import Frame
from .staged import MARK as STAGED
from .tasks import tasks_by_number
from .unstaged import Loader, opened


async def restored(branch: Branch, data: bytes) -> Frame:
    """The outermost frame of an instance whose root was saved as `data`."""
    if data.startswith(CUT):
        return await _Return(branch).all(data)
    await sources.fetch(branch.instance.store, [data])
    with tasks_by_number({ROOT: branch.task}):
        if data.startswith(STAGED):
            loader = Loader(opened(data), Alone(branch))
            branch.steps, saved = loader.facts
            variables.restore(saved)
            staged: Frame = loader.frame()
            return staged
        stack = CallStack.from_bytes(data)
        branch.flights, branch.steps = stack.flights, stack.steps
        variables.restore(stack.variables)
        return restore(stack.stack, leaf_of(branch, stack.waiting), branch.leaf, advance)


class _Return:
    """The branches of one instance, on their way back."""

    def __init__(self, root: Branch) -> None:
        self._root = root
        self._siblings = Branches(root)
        self._branches: dict[int, Branch] = {ROOT: root}
        self._records: dict[int, tuple[Header, bytes]] = {}
        self._facts: dict[int, Facts] = {}
        self._entering = Entering(self._siblings.cuts)
        self._contexts: dict[int, contextvars.Context] = {}
        self._waiting: set[int] = set()
        """The branches that have to wait for managers, or have some themselves."""

    async def all(self, data: bytes) -> Frame:
        """Bring all back; gives the outermost frame of the root."""
        instance = self._root.instance
        stored = await instance.store.parts(instance.record.instance_id, BRANCHES)
        shared = stored.pop(SHARED, None)
        records = [data, *stored.values()]
        await sources.fetch(instance.store, records)
        found = sorted(
            ((header_of(record), record) for record in records),
            key=lambda item: (not item[0].ended, item[0].order or math.inf, item[0].number),
        )
        self._records = {header.number: (header, record) for header, record in found}
        instance.managers = itertools.count(1 + max((n for header, _ in found for n in header.opens), default=0))
        for header, _ in found:
            if header.number != ROOT:
                self._make(header)
        for header, record in found:
            self._siblings.cuts.parts.adopt_branch(self._branches[header.number], record)
        self._entering.tasks = {number: branch.task for number, branch in self._branches.items()}
        try:
            return await self._go_on(shared)
        except BaseException as error:
            self._siblings.halt(error)
            self._entering.let_go()
            raise

    async def _go_on(self, shared: bytes | None) -> Frame:
        entering = self._entering
        with entering.reading():
            if shared is not None:
                entering.read_shared(shared)
            self._waiting = {number for number, (header, _) in self._records.items() if entering.expects(header)}
        for number in self._records.keys() - self._waiting - {ROOT}:
            self._contexts[number].run(self._read, number)
        if ROOT not in self._waiting:
            self._read(ROOT)
        live = [number for number, (header, _) in self._records.items() if not header.ended]
        entering.begin(live, [number for number in live if number in self._waiting or self._was_cancelled(number)])
        header, _ = self._records[ROOT]
        again = await self._brought_back(self._root)
        if not header.opens:  # else it goes on by itself until it has entered its managers
            variables.restore(self._facts[ROOT].variables)
            again = await entering.gate(ROOT) or again
            await self._settle(self._root, self._facts[ROOT], again)
        assert self._root.frame is not None
        return self._root.frame

    def _make(self, header: Header) -> None:
        branch = self._siblings.new(self._root, header.number)
        self._branches[header.number] = branch
        run = self._outcome(branch) if header.ended else self._run(branch)
        context = self._contexts[header.number] = contextvars.copy_context()
        task = BranchTask(run, loop=asyncio.get_running_loop(), context=context)
        if header.ended:
            task.add_done_callback(_retrieved)
        self._siblings.bind(branch, task)

    def _read(self, number: int) -> None:
        """Read the record of a branch, in its own context: tokens of context variables are good there."""
        with self._entering.reading():
            self._place(state_of(self._records[number][1], self._entering.found))

    def _place(self, state: State) -> None:
        """Give a branch what it had."""
        branch = self._branches[state.number]
        self._begin(branch, state.facts)
        line = branch.line
        assert line is not None
        line.waiting, line.order, line.ended = state.waiting, state.order, state.ended
        line.errors = _with_newest(line.errors, state)
        line.state = state
        if isinstance(branch.task, BranchTask):
            branch.task.call_again(state.callbacks)
        if not state.ended:
            branch.flights, line.first = state.flights, state
            cancelled = state.facts.cancelled if self._is_interrupted(branch) else None
            leaf = leaf_of(branch, state.waiting) if cancelled is None else _interrupted(cancelled)
            branch.frame = restore(state.calls, leaf, branch.leaf, advance)

    def _was_cancelled(self, number: int) -> bool:
        return self._facts[number].cancelled is not None or self._facts[number].cancelling > 0

    def _is_interrupted(self, branch: Branch) -> bool:
        """Whether what a branch waited for was cancelled, and has not learnt of it."""
        assert branch.line is not None
        is_cancelled = branch is not self._root and self._facts[branch.line.number].cancelled is not None
        return is_cancelled and branch.line.waiting[0] in _INTERRUPTED

    def _begin(self, branch: Branch, facts: Facts) -> None:
        """Give a branch what is known of it beside its frames."""
        line = branch.line
        assert line is not None and branch.task is not None
        line.order, line.is_saved = self._records[line.number][0].order, True
        self._siblings.note_order(line.order)
        if branch is not self._root:
            branch.task.set_name(facts.name)
        self._facts[line.number] = facts
        branch.steps = facts.steps
        if self._records[line.number][0].ended and isinstance(branch.task, BranchTask):
            branch.task.heard = facts.cancelling

    async def _brought_back(self, branch: Branch) -> asyncio.CancelledError | None:
        """Give a branch its frame, if it had to wait for that; gives the cancellation that came
        meanwhile.

        Raises:
            NotEntered: a manager that it needs could not be entered again.
        """
        assert branch.line is not None
        header, record = self._records[branch.line.number]
        if header.number not in self._waiting:
            return None
        again = await self._entering.there(header.needs[0])
        if not header.opens:
            self._read(header.number)
            self._entering.is_back(header.number)
            return again
        with self._entering.reading():
            together = Together(self._entering, branch, header)
            loader = Loader(stages_of(record), together)
            facts = Facts(*loader.facts)
            self._begin(branch, facts)
            together.cancelled = again
            together.settle = functools.partial(self._settle, branch, facts)
            variables.restore(facts.variables)
            branch.frame = loader.frame()
        return None

    async def _run(self, branch: Branch) -> Any:
        assert branch.line is not None
        number = branch.line.number
        again = await self._returned(branch)
        if not self._records[number][0].opens:
            again = await self._entering.gate(number) or again
            if branch.halted is not None:
                raise asyncio.CancelledError
            variables.restore(self._facts[number].variables)
            facts = self._facts[number]
            await self._settle(branch, facts, again)
            cancelled = facts.cancelled if again is None else again.args
            if cancelled is not None and branch.line.waiting[0] == NOTHING[0]:
                raise again or asyncio.CancelledError(*cancelled)  # it was cancelled before it began
        return await self._siblings.run(branch)

    async def _returned(self, branch: Branch) -> asyncio.CancelledError | None:
        """Bring a branch back; if one of its managers is gone for good, it ends with the reason."""
        try:
            return await self._brought_back(branch)
        except NotEntered as lost:
            self._end(branch, lost.error)
            raise lost.error from None

    async def _settle(self, branch: Branch, facts: Facts, again: asyncio.CancelledError | None) -> None:
        """Cancel a branch as often as it was, and once more if that was on its way, or came meanwhile."""
        line = branch.line
        assert branch.task is not None and line is not None
        line.cancelled = None if self._is_interrupted(branch) else facts.cancelled
        for _ in range(facts.cancelling if branch is not self._root else 0):
            asyncio.Task.cancel(branch.task)  # this is no request
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        asked, line.cancelled = line.cancelled if again is None else again.args, None  # others go on already
        if asked is not None:
            branch.cancel_later(asyncio.CancelledError(*asked))
        self._entering.is_settled(line.number)

    async def _outcome(self, branch: Branch) -> Any:
        assert branch.line is not None
        await self._returned(branch)
        kind, value = branch.line.waiting
        if kind == "error":
            raise value
        return value

    def _end(self, branch: Branch, error: BaseException) -> None:
        """A branch has lost a manager for good, and its end with it."""
        assert branch.line is not None and branch.task is not None
        branch.line.ended, branch.line.waiting, branch.line.state = True, ("error", error), None
        branch.task.add_done_callback(_retrieved)
        self._siblings.cuts.changed.add(branch)
        self._entering.is_back(branch.line.number)
        self._entering.is_settled(branch.line.number)


_INTERRUPTED = ("again", "event", "signal", "sleep", "step")
"""What is not begun again only to be cancelled."""


async def _interrupted(args: tuple[Any, ...]) -> None:
    raise asyncio.CancelledError(*args)


def _with_newest(errors: Errors, state: State) -> Errors:
    """The exceptions in a branch that was restored."""
    inside = [*state.flights, *(state.waiting[1:] if state.waiting[0] == "error" else ())]
    newest = inside[-1:] if errors.before is not None else []
    return replace(errors, inside={id(error): error for error in inside}, newest=frozenset(map(id, newest)))


def _retrieved(task: asyncio.Task[Any]) -> None:
    """Whoever wanted to know of an error has been told before the instance went on here."""
    if not task.cancelled():
        task.exception()
