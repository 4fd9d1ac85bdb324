"""A run, from the outside."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..errors import UnknownRunError
from ..runtime.children import requests_to_children
from ..runtime.control import CANCEL, PAUSE, TERMINATE
from ..runtime.environment import entered
from ..runtime.instance import outcome_of, stack_of
from ..runtime.moments import Moment, kept_behind, moments
from ..runtime.running_branch import current
from ..runtime.signals import VALUES
from ..state import snapshot
from ..state.known_classes import given
from ..state.schema import AT_ONCE, HELD, Outgoing, Record, Status
from ..stores.claiming import InstanceBusy
from ..stores.parts import NO_PARTS
from ..worker.at_work import lent_place
from .run import Run

if TYPE_CHECKING:
    from .workflow import Workflow

R = TypeVar("R")

OVER = (Status.SUCCESS, Status.ERROR, Status.CANCELLED, Status.PARKED)
"""Where a run stands that gives its outcome to whoever asks."""

_LOOK_AGAIN = 60.0
"""Seconds after which a run is looked at again, though nothing was heard of it."""

_LET_GO = 0.5
"""The same for a run that somebody is about to let go of, of which stores do not tell."""


class Handle(Generic[R]):
    """A run, wherever it is at work; `Workflow.start` and `Workflow.handle` give it.

    Attributes:
        id: the id of the run.
    """

    __slots__ = ("_workflow", "id")

    def __init__(self, workflow: Workflow, run_id: str) -> None:
        self._workflow = workflow
        self.id = run_id

    async def result(self, *, timeout: float | None = None) -> R:
        """Wait until the run has ended; gives its result.

        Args:
            timeout: how long to wait, in seconds; forever if it is None.

        Raises:
            Exception: the error that the run ended with.
            TimeoutError: the time was up first; the run goes on.
            UnknownRunError: there is no such run.
        """
        branch = current.get()
        with contextlib.nullcontext() if branch is None else lent_place(branch.instance.record.instance_id):
            record = await self._over(timeout)
        function = self._workflow.functions.get(record.program)
        with contextlib.nullcontext() if function is None else entered(function.program.function):
            result: R = outcome_of(record)
        return result

    async def _over(self, timeout: float | None) -> Record:
        deadline = None if timeout is None else time.monotonic() + timeout
        seen: Any = None
        while True:
            left = _LOOK_AGAIN if deadline is None else deadline - time.monotonic()
            task = self._workflow.runs.task(self.id)
            if task is None:
                seen = await self._workflow.instances.changed(self.id, seen, min(max(left, 0.0), _LOOK_AGAIN))
            else:
                await asyncio.wait({task}, timeout=max(left, 0.0))
            record = await self._record()
            if record.status in OVER and record.outcome is not None:
                return record
            del record  # it may be large, and the next look is at another one
            if task is not None and task.done() and not task.cancelled():
                stopped = task.exception()
                if stopped is not None:
                    raise stopped  # it could not be stored
            if left <= 0:
                raise TimeoutError(f"run {self.id!r} has not ended within {timeout} seconds")

    async def info(self) -> Run:
        """The facts about the run.

        Raises:
            UnknownRunError: there is no such run.
        """
        return Run.of(await self._record())

    async def status(self) -> Status:
        """Where the run stands.

        Raises:
            UnknownRunError: there is no such run.
        """
        return (await self._record()).status

    async def locals(self) -> dict[str, Any]:
        """The live variables of the workflow function, as of its last checkpoint.

        A variable that no later line reads is not kept.

        Raises:
            UnknownRunError: there is no such run.
        """
        stack = stack_of(await self._record()).stack
        return stack[0].visible_locals() if stack else {}

    async def history(self) -> list[Moment]:
        """The checkpoints of the run that are kept, oldest first; the last is how it stands.

        Earlier ones are kept if the `Workflow` was made with ``history=``.

        Raises:
            UnknownRunError: there is no such run.
        """
        found = await moments(self._workflow.instances, self.id)
        if not found:
            raise self._unknown()
        return found

    async def signal(self, name: str, payload: Any = None) -> None:
        """Put a signal into the mailbox of the run: behind those that are there already, to be
        delivered once.

        Args:
            name: what it waits for.
            payload: what it gets there, as it is.
        """
        await asyncio.wrap_future(self._workflow.backend.publish_event(self.id, name, payload))

    async def event(self, key: str, *, timeout: float | None = None) -> Any:
        """A value that the run has published; see `Workflow.get_event`."""
        name = VALUES + key
        deadline = None if timeout is None else time.monotonic() + timeout
        seen: Any = None
        while True:
            left = _LOOK_AGAIN if deadline is None else deadline - time.monotonic()
            seen = await self._workflow.instances.changed(self.id, seen, min(max(left, 0.0), _LOOK_AGAIN))
            data = (await self._workflow.instances.parts(self.id, name)).get(name)
            if data is not None:
                return given(data)
            if left <= 0:
                raise TimeoutError(f"run {self.id!r} has published no {key!r} within {timeout} seconds")

    async def cancel(self) -> None:
        """Ask the run to stop: what it awaits is cancelled, as asyncio does, and it may clean up.

        One that stands still goes on to do so; one that has not begun never begins.
        """
        if await self._never_begins():
            return
        await self._ask(CANCEL)
        if await self._is_to_pause(await self._record()):
            await self.resume()

    async def terminate(self) -> None:
        """End the run where it stands: nothing of it runs any more, no `finally` either."""
        record = await self._owned_or_paused()
        if record is None:
            await self._ask(TERMINATE)
        else:
            await self._end(record, "was terminated")

    async def pause(self) -> None:
        """Ask the run to stand still until `resume`; a step that is running is begun again then."""
        record = await self._owned()
        if record is None:
            await self._ask(PAUSE)
            return
        if record.status in OVER:
            self._release(record)
            return
        if record.status is Status.ENQUEUED and not record.is_held:
            record.wake_at = AT_ONCE
        record.status = Status.PAUSED
        await self._leave(record)

    async def resume(self) -> None:
        """Let a run that was paused, or was asked to pause, go on, here or wherever it is claimed.

        One that has failed, or was put aside, goes on as well, from where it failed; one in a queue
        waits for its turn.
        """
        record = await self._owned_or_paused()
        if record is None:
            return  # it is at work, or has ended
        if record.has_not_begun:
            record.status, record.wake_at = Status.ENQUEUED, HELD if record.is_held else None
        elif record.status in (Status.PAUSED, Status.ERROR, Status.PARKED):
            record.status, record.outcome, record.error = Status.RUNNING, None, None
        await self._leave(record, consumed=await self._requests_to_pause())
        self._go_on(record)

    async def hold(self) -> None:
        """If the run has failed, let it go on from there once its queue lets it go."""
        if (await self._record()).status not in OVER:
            return
        record = await self._owned_or_paused()
        if record is None:
            return
        if record.status not in OVER:
            self._put_back(record)
            return
        record.status, record.outcome, record.error, record.wake_at = Status.ENQUEUED, None, None, HELD
        await self._leave(record)

    async def let_go(self) -> bool:
        """Tell the run, which its queue holds, that it may begin; one that is paused stands still.

        Returns:
            Whether it knows.
        """
        record = await self._owned()
        if record is None:
            return False  # somebody pauses or ends it at the moment, or gives it other arguments
        if not record.is_held:
            self._put_back(record)
            return True
        record.wake_at = None if record.status is Status.ENQUEUED else AT_ONCE
        await self._leave(record)
        self._go_on(record)
        return True

    def _go_on(self, record: Record) -> None:
        if not record.stands_still and record.status not in OVER:
            self._workflow.go_on(record)

    async def remove(self) -> None:
        """End the run, if there is one, and forget it."""
        with contextlib.suppress(UnknownRunError):
            await self.terminate()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await self.result()
            seen: Any = None
            while True:
                try:
                    await self.delete()
                    return
                except InstanceBusy:  # whoever ended it has still to let go of it
                    seen = await self._workflow.instances.changed(self.id, seen, _LOOK_AGAIN)

    async def _never_begins(self) -> bool:
        """End the run if it has not begun; gives whether it has ended."""
        record = await self._owned() if (await self._record()).has_not_begun else None
        if record is None:
            return False
        if record.has_not_begun:
            await self._end(record, "was cancelled before it had begun")
            return True
        self._put_back(record)
        return False

    async def _end(self, record: Record, how: str) -> None:
        """End a run that the caller owns where it stands."""
        error = asyncio.CancelledError(f"run {self.id!r} {how}")
        before = record.copy()
        record.status, record.outcome = Status.CANCELLED, snapshot.dumps(("error", error))
        record.awaited, record.wake_at = (), None
        await self._leave(record, before, await requests_to_children(self._workflow.instances, self.id))

    async def _owned(self) -> Record | None:
        """The record, now owned by the caller; None if somebody is at work on it, or it has ended.

        Raises:
            UnknownRunError: there is no such run.
        """
        record = await self._record()
        try:
            record, _ = await self._workflow.instances.acquire(record)
        except InstanceBusy:
            return None
        return None if record.status.is_final else record

    async def _owned_or_paused(self) -> Record | None:
        """The same, once whoever was asked to pause the run, or has seen it fail, has let go of it."""
        seen: Any = None
        while True:
            owned = await self._owned()
            if owned is not None:
                return owned
            record = await self._record()
            if record.status not in (Status.ERROR, Status.PARKED) and not await self._is_to_pause(record):
                return None
            seen = await self._workflow.instances.changed(self.id, seen, _LET_GO)

    async def _is_to_pause(self, record: Record) -> bool:
        """Whether the run stands still, or will."""
        if record.status.is_final:
            return False
        return record.status is Status.PAUSED or bool(await self._requests_to_pause())

    async def _requests_to_pause(self) -> tuple[int, ...]:
        """The numbers of the messages that ask for it and were not obeyed yet."""
        messages = await self._workflow.instances.messages(self.id)
        return tuple(message.number for message in messages if message.name == PAUSE)

    async def _leave(
        self,
        record: Record,
        before: Record | None = None,
        outbox: Sequence[Outgoing] = (),
        consumed: Sequence[int] = (),
    ) -> None:
        """Write a record that the caller owns, and own it no longer.

        Args:
            record: the run from now on.
            before: as it stood, if it has ended.
            outbox: messages to others.
            consumed: the numbers of messages to it that have been obeyed.
        """
        store = self._workflow.instances
        record.sequence += 1
        try:
            parts = NO_PARTS if before is None else await kept_behind(store, before, record)
            writing = store.commit(record, consumed, True, parts, outbox)
            if writing is not None:
                await writing
        finally:
            self._release(record)

    def _put_back(self, record: Record) -> None:
        """Let go of a run that was taken for a moment, perhaps that in which it was to begin."""
        self._release(record)
        self._go_on(record)

    def _release(self, record: Record) -> None:
        self._workflow.instances.release(record.instance_id, record.epoch)

    async def _ask(self, what: str) -> None:
        """Ask the owner of the run; if there is none, it goes on here to do as it is asked."""
        record = await self._record()
        if record.status not in OVER:
            await asyncio.wrap_future(self._workflow.instances.publish(self.id, what, snapshot.dumps(None)))
            self._go_on(record)

    async def delete(self) -> bool:
        """Forget the run, with its signals and all that it has published; gives whether there was one.

        Raises:
            InstanceBusy: it is being run.
        """
        return await self._workflow.instances.delete(self.id)

    async def _record(self) -> Record:
        record = await self._workflow.instances.read(self.id)
        if record is None:
            raise self._unknown()
        return record

    def _unknown(self) -> UnknownRunError:
        return UnknownRunError(f"there is no run {self.id!r}")

    def __reduce__(self) -> Any:
        return Handle, (self._workflow, self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and (self.id, self._workflow) == (other.id, other._workflow)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<run {self.id!r}>"
