"""The record of one instance: what a store keeps.

`Record` is the current form.  `to_state` and `from_state` turn it into a plain dictionary and back,
with the format version in it, so that any store that can keep a dictionary can keep an instance.
"""

from __future__ import annotations

import enum
import math
import operator
import time
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from ..errors import CorruptStateError, NewerFormatError
from .pieces import Pieces

FORMAT = 1
"""The version of the record; a higher one was written by a later version of the library."""

State: TypeAlias = dict[str, Any]

BRANCHES = "b/"
"""What the names of those parts begin with that hold the branches of an instance."""


INTERNAL = "("
"""What the programs of records begin with that are no instances, but the library's own, such as queues;
they are not listed."""

AT_ONCE, HELD = 0.0, math.inf
"""When an instance that has not begun may begin: as soon as anybody runs it, or once its queue lets it go."""


class Status(enum.StrEnum):
    """Where an instance stands."""

    ENQUEUED = "ENQUEUED"
    RUNNING = "RUNNING"
    SLEEPING = "SLEEPING"
    WAITING = "WAITING"
    PAUSED = "PAUSED"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"
    PARKED = "PARKED"

    @property
    def is_final(self) -> bool:
        """Whether calling the instance again runs nothing."""
        return self in _FINAL


_FINAL = (Status.SUCCESS, Status.CANCELLED)  # an attribute of an Enum class takes longer than a comparison


@dataclass(frozen=True, slots=True)
class Message:
    """An event in the mailbox of an instance.

    `number` orders the mailbox; `payload` is a snapshot.
    """

    number: int
    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message from one instance to the mailbox of another, which need not exist yet."""

    instance_id: str
    name: str
    payload: bytes


@dataclass(slots=True)
class Record:
    """One instance.

    Attributes:
        instance_id: its id.
        program: the key of its root function.
        status: where it stands.
        epoch: how often it has changed hands; a write with an older one is refused.
        sequence: how many checkpoints it has written.
        arguments: a digest of the arguments it was started with, if they have one.
        call_stack: the last checkpoint; `state` is the same as bytes.
        retry: for each exception in flight, the checkpoint before it was raised; empty if there was none.
        awaited: the names of the events it waits for.
        wake_at: when it wants to be woken, in seconds since 1970, if it does; of one that has not begun,
            `HELD` if a queue holds it, `AT_ONCE` if it is paused and none does.
        outcome: its result or error, once it has one.
        error: the text of the error, for people.
        sources: the text of the code it runs, by version.
        created_at: when it was created, in seconds since 1970.
        updated_at: when its last checkpoint was written.
        recoveries: how often it was taken over from a dead owner since its last checkpoint.
    """

    instance_id: str
    program: str
    status: Status = Status.RUNNING
    epoch: int = 0
    sequence: int = 0
    arguments: str | None = None
    call_stack: bytes | Pieces | None = None
    retry: tuple[bytes, ...] = ()
    awaited: tuple[str, ...] = ()
    wake_at: float | None = None
    outcome: bytes | None = None
    error: str | None = None
    sources: dict[str, str] = field(default_factory=dict)
    created_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    recoveries: int = 0

    @property
    def state(self) -> bytes | None:
        """The last checkpoint as bytes."""
        if isinstance(self.call_stack, Pieces):
            return bytes(self.call_stack)
        return self.call_stack

    @property
    def has_not_begun(self) -> bool:
        """Whether nothing of it has ever run."""
        return self.status is Status.ENQUEUED or (self.status is Status.PAUSED and self.wake_at in (AT_ONCE, HELD))

    @property
    def is_held(self) -> bool:
        """Whether it must not begin before its queue lets it go."""
        return self.wake_at == HELD and self.has_not_begun

    @property
    def stands_still(self) -> bool:
        """Whether nobody may go on with it until it is told to."""
        return self.status is Status.PAUSED or self.is_held

    @property
    def wakes_at(self) -> float | None:
        """When it will go on by itself, in seconds since 1970, if it will."""
        return None if self.status in (Status.ENQUEUED, Status.PAUSED) else self.wake_at

    def copy(self) -> Record:
        """The same facts in another record."""
        return Record(*_values(self))

    def advance(self, later: Record) -> None:
        """Take over what a transition changes from a later record of the same instance."""
        self.status, self.sequence = later.status, later.sequence
        self.call_stack, self.retry = later.call_stack, later.retry
        self.awaited, self.wake_at = later.awaited, later.wake_at
        self.outcome, self.error = later.outcome, later.error
        self.updated_at, self.recoveries = time.time(), 0

    def to_state(self) -> State:
        """The record as a dictionary of plain values."""
        state: State = {"format": FORMAT}
        for item in fields(self):
            value = self.state if item.name == "call_stack" else getattr(self, item.name)
            state[item.name] = value.value if isinstance(value, Status) else value
        return state

    @classmethod
    def from_state(cls, state: Any) -> Record:
        """The record in a dictionary that `to_state` made.

        Raises:
            CorruptStateError: it is something else.
            NewerFormatError: a later version of the library made it.
        """
        if not isinstance(state, dict) or not isinstance(state.get("format"), int):
            raise CorruptStateError(f"this is no record of an instance: {_excerpt(state)}")
        if state["format"] > FORMAT:
            raise NewerFormatError(
                f"instance {state.get('instance_id')!r} was written in format {state['format']}, and this version of "
                f"durable-ast reads up to format {FORMAT}; upgrade durable-ast"
            )
        known = {item.name for item in fields(cls)}
        try:
            values = {name: value for name, value in state.items() if name in known}
            values["status"] = Status(values["status"])
            return cls(**values)
        except (TypeError, KeyError, ValueError) as error:
            raise CorruptStateError(f"a damaged record of an instance: {error}; {_excerpt(state)}") from error


_values = operator.attrgetter(*(item.name for item in fields(Record)))


def _excerpt(state: Any) -> str:
    text = repr(state)
    return text if len(text) <= 200 else text[:200] + "..."
