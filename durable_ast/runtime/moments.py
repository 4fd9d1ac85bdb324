"""An instance as one of its checkpoints had it, to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..state.history import PREFIX, Checkpoint, History
from ..state.schema import Record, Status
from ..stores.base import InstanceStore
from ..stores.parts import NO_PARTS, Parts
from .call_stack import CallStack
from .instance import stack_of


@dataclass(frozen=True, slots=True)
class Moment:
    """An instance as one of its checkpoints had it; `InstanceHandle.history` gives them.

    Attributes:
        number: which checkpoint it is.
        status: where the instance stood.
        time: when the checkpoint was written, in seconds since 1970.
        awaited: the events that it waited for.
        wake_at: when it wanted to be woken, in seconds since 1970, if it did.
        error: the text of the error that it had ended with, if it had.
    """

    number: int
    status: Status
    time: float
    awaited: tuple[str, ...]
    wake_at: float | None
    error: str | None
    _checkpoint: Checkpoint

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Moment:
        """The moment that a store has kept."""
        record = checkpoint.record
        return cls(
            record.sequence,
            record.status,
            record.updated_at,
            record.awaited,
            record.wakes_at,
            record.error,
            checkpoint,
        )

    @property
    def call_stack(self) -> CallStack:
        """Its calls, outermost first; none once it had ended."""
        return stack_of(self._checkpoint.record)

    @property
    def locals(self) -> dict[str, Any]:
        """The live variables of its own function: those that a later line read."""
        stack = self.call_stack.stack
        return stack[0].visible_locals() if stack else {}


async def moments(store: InstanceStore, instance_id: str) -> list[Moment]:
    """The moments of an instance that are kept, oldest first; none if there is no such instance."""
    return [Moment.of(each) for each in await store.history(instance_id)]


async def kept_behind(store: InstanceStore, before: Record, after: Record) -> Parts:
    """What keeps the last checkpoint of an instance that is ended from outside, if its history is kept.

    Args:
        store: where it is.
        before: the instance as it stood.
        after: as it ended.
    """
    parts = await store.parts(before.instance_id)
    if not any(name.startswith(PREFIX) for name in parts):
        return NO_PARTS
    return History(None, before, parts).parts(after, NO_PARTS)
