"""An instance goes on: its saved branches become frames and tasks again.

All tasks are made before any graph is read, so that a graph can refer to any of them; those of
branches that have ended give their outcomes before anything else runs, and the others go on in the
order in which they began to wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import Any

from ..state.schema import BRANCHES
from . import sources, variables
from .async_generators import advance
from .awaiting import leaf_of
from .branch import Branch
from .branch_task import BranchTask
from .branches import Branches
from .call_stack import CallStack, Waiting
from .cut import MARK as CUT
from .cut import ROOT, SHARED, Facts, State, header_of, objects_in, state_of
from .cuts import Settled
from .frames import restore
from .functions import Frame
from .staged import MARK as STAGED
from .staged import Loader
from .tasks import tasks_by_number
from .variables import Variables


async def restored(branch: Branch, data: bytes) -> Frame:
    """The outermost frame of an instance whose root was saved as `data`."""

    def leaf(waiting: Waiting, flights: list[BaseException], steps: int, saved: Variables) -> Any:
        branch.flights, branch.steps = flights, steps
        variables.restore(saved)
        return leaf_of(branch, waiting)

    if data.startswith(CUT):
        return await _Return(branch).all(data)
    await sources.fetch(branch.instance.store, [data])
    with tasks_by_number({ROOT: branch.task}):
        if data.startswith(STAGED):
            return Loader(data, leaf, branch.leaf).frame()
        stack = CallStack.from_bytes(data)
        return restore(
            stack.stack, leaf(stack.waiting, stack.flights, stack.steps, stack.variables), branch.leaf, advance
        )


class _Return:
    """The branches of one instance, on their way back."""

    def __init__(self, root: Branch) -> None:
        self._root = root
        self._siblings = Branches(root)
        self._branches: dict[int, Branch] = {ROOT: root}
        self._gates: dict[int, Settled] = {}
        self._facts: dict[int, Facts] = {}

    async def all(self, data: bytes) -> Frame:
        """Bring all back; gives the outermost frame of the root."""
        instance = self._root.instance
        stored = await instance.store.parts(instance.record.instance_id, BRANCHES)
        shared = stored.pop(SHARED, None)
        records = [data, *stored.values()]
        await sources.fetch(instance.store, records)
        waiting = sorted((not ended, order, number) for number, order, ended in map(header_of, records) if number)
        for is_live, _, number in waiting:
            self._make(number, is_live)
        root: Frame | None = None
        with tasks_by_number({number: branch.task for number, branch in self._branches.items()}):
            if shared is not None:
                self._siblings.cuts.parts.adopt(objects_in(shared))
            for record in records:
                branch = self._branches[header_of(record)[0]]
                state = state_of(record, functools.partial(self._siblings.cuts.parts.refers, branch))
                frame = self._place(state, record)
                root = frame if branch is self._root else root
        assert root is not None
        variables.restore(self._facts[ROOT].variables)
        if self._facts[ROOT].cancelled:
            self._root.cancel_later(asyncio.CancelledError())
        try:
            await asyncio.sleep(0)  # what had ended ends, and the others come to their gates
        except asyncio.CancelledError as error:
            self._root.cancel_later(error)
        for gate in self._gates.values():
            gate.set_result(None)
        return root

    def _make(self, number: int, is_live: bool) -> None:
        branch = self._siblings.new(self._root, number)
        self._branches[number] = branch
        if is_live:
            self._gates[number] = Settled()
        run = self._run(branch) if is_live else self._outcome(branch)
        task = BranchTask(run, loop=asyncio.get_running_loop())
        if not is_live:
            task.add_done_callback(_retrieved)
        self._siblings.bind(branch, task)

    def _place(self, state: State, record: bytes) -> Frame | None:
        """Give a branch what it had."""
        branch = self._branches[state.number]
        line = branch.line
        assert line is not None and branch.task is not None
        line.waiting, line.order, line.ended, line.is_saved = state.waiting, state.order, state.ended, True
        line.last, line.before = record, state.before
        self._siblings.note_order(state.order)
        if state.number != ROOT:
            branch.task.set_name(state.facts.name)
        self._facts[state.number] = state.facts
        if state.ended:
            line.state = state
            return None
        branch.flights, branch.steps = state.flights, state.facts.steps
        branch.frame = restore(state.calls, leaf_of(branch, state.waiting), branch.leaf, advance)
        line.state = state
        return branch.frame

    async def _run(self, branch: Branch) -> Any:
        assert branch.line is not None and branch.task is not None
        number = branch.line.number
        again = False
        try:
            await self._gates[number]
        except asyncio.CancelledError:
            again = True
        facts = self._facts[number]
        variables.restore(facts.variables)
        for _ in range(facts.cancelling):
            branch.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        if again or facts.cancelled:
            branch.cancel_later(asyncio.CancelledError())
        return await self._siblings.run(branch)

    async def _outcome(self, branch: Branch) -> Any:
        assert branch.line is not None
        kind, value = branch.line.waiting
        if kind == "error":
            raise value
        return value


def _retrieved(task: asyncio.Task[Any]) -> None:
    """Whoever wanted to know of an error has been told before the instance went on here."""
    if not task.cancelled():
        task.exception()
