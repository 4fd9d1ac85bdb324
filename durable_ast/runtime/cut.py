"""A branch as it is saved: what is captured of it, and the record that is written.

Every branch has a record of its own; that of the root is part of the instance's.  What several
branches refer to is in one more record (see `parts`), and named by a number in theirs.
"""

from __future__ import annotations

import asyncio
import functools
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CellType
from typing import Any, TypeAlias

from ..state import snapshot
from ..state.schema import BRANCHES
from .asyncio_state import GatheringFuture
from .branch import WRAPPERS, Branch
from .branch_task import BranchTask
from .call_stack import CallStack, FunctionCall, Waiting
from .frames import capture_suspended
from .generators import flying
from .variables import Variables

MARK = b"\x02"
"""What the record of a branch begins with."""

ROOT = 0
"""The number of the branch that the program's own function runs in."""

SHARED = f"{BRANCHES}s"
"""The name of the record of what several branches refer to."""

Header: TypeAlias = "tuple[int, int, bool]"
"""Of a branch: its number, its place in the queue, whether it has ended."""

Names: TypeAlias = "Callable[[Any], int | None]"
"""Gives the number of an object that several branches refer to."""

Unpickler: TypeAlias = "Callable[..., pickle.Unpickler]"
"""Makes what reads a record, like `snapshot.unpickler`."""

Objects: TypeAlias = "Callable[[int], Any]"
"""Gives the object of such a number."""


@dataclass(slots=True, eq=False)
class Line:
    """What there is to know of a branch beside its frames.

    Attributes:
        number: which branch of the instance it is.
        parent: the branch that made it.
        waiting: what its innermost call waits for; its outcome once it has ended.
        order: when it began to wait, among all branches.
        state: the branch as it was captured; None if it has moved since.
        is_saved: whether it has ever been captured.
        ended: whether it has ended.
        wake_at: when it wants to be woken, in seconds since 1970.
        is_inward: whether it waits for other branches only, not for the world.
        cancelled: whether a cancellation is on its way to the user's code.
        first: the branch as it was before it began to run.
        begun: the step that has ended with an error, as it is begun anew.
        last: its last record.
        errors: the exceptions in that, by id.
        before: the record before the newest of those, to go back to if they end the instance.
        newest: the ids of these.
        held: the shared objects that the record to go back to refers to, by number.
    """

    number: int
    parent: Branch | None
    waiting: Waiting = ("start",)
    order: int = 0
    state: State | None = None
    is_saved: bool = False
    ended: bool = False
    wake_at: float | None = None
    is_inward: bool = False
    cancelled: bool = False
    first: State | None = None
    begun: Waiting | None = None
    last: bytes | None = None
    errors: dict[int, BaseException] = field(default_factory=dict)
    before: bytes | None = None
    newest: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a saved branch knows beside its call stack."""

    name: str
    steps: int
    cancelling: int
    cancelled: bool
    variables: Variables

    def as_tuple(self) -> tuple[Any, ...]:
        """The facts as a tuple of plain values."""
        return self.name, self.steps, self.cancelling, self.cancelled, self.variables


@dataclass(slots=True)
class State:
    """A captured branch."""

    number: int
    order: int
    ended: bool
    facts: Facts
    waiting: Waiting
    calls: list[FunctionCall] = field(default_factory=list)
    flights: list[BaseException] = field(default_factory=list)
    before: bytes | None = None


def capture(branch: Branch) -> State:
    """A branch that waits, or has ended, as it stands."""
    line = branch.line
    assert line is not None and branch.task is not None
    is_cancelled = line.cancelled and not _is_passed_on(line.waiting)
    facts = Facts(branch.task.get_name(), branch.steps_before, branch.task.cancelling(), is_cancelled, branch.variables)
    state = State(line.number, line.order, line.ended, facts, line.waiting)
    if not line.ended:
        assert branch.frame is not None
        state.calls, state.flights = capture_suspended(branch.frame, WRAPPERS), branch.flights
    line.state, line.is_saved = state, True
    return state


def capture_start(branch: Branch, ref: str, recipe: Waiting | None) -> State:
    """A branch that has not begun.

    Args:
        branch: the branch.
        ref: the function that awaits a step.
        recipe: how that step is begun, if the branch is but one.
    """
    assert branch.line is not None and branch.frame is not None
    facts = Facts("", 0, 0, False, branch.variables)
    if recipe is not None:
        calls = [FunctionCall.captured(ref, 1, {}, {}, False)]
    else:
        calls, recipe = capture_suspended(branch.frame, WRAPPERS), ("start",)
    return State(branch.line.number, branch.line.order, False, facts, recipe, calls)


def _is_passed_on(waiting: Waiting) -> bool:
    """Whether a task that is cancelled while it waits for this cancels that instead."""
    return waiting[0] == "await" and isinstance(waiting[1], (BranchTask, GatheringFuture))


def key_of(number: int) -> str:
    """The name of the record of a branch."""
    return f"{BRANCHES}{number}"


def dump(state: State, names: Names | None) -> tuple[bytes, dict[int, Any]]:
    """The graph of a branch, and the objects in it that can change, by id.

    Args:
        state: the branch.
        names: names objects that are no part of the record; None if there are none.
    """
    calls = [call.to_state() for call in state.calls]
    spare: dict[Any, CellType] = {}
    airborne: dict[int, tuple[Any, ...]] = {}
    for index, (call, saved) in enumerate(zip(state.calls, calls, strict=True)):
        if call.generator is not None:
            airborne[id(call.generator)] = (*saved[:4], saved[6])
        spare.update(((index, name), cell) for name, cell in call.spare_cells.items())
    graph = state.facts.as_tuple(), state.waiting, calls, state.flights
    with flying(airborne):
        data, noted = snapshot.dumps_and_note(graph, spare, names)
    objects = {key: obj for key, obj in noted.items() if not isinstance(obj, asyncio.Task)}
    objects.update((id(cell), cell) for cell in spare.values())  # it may be another branch that reads it
    return data, objects


def record_of(state: State, graph: bytes, before: bytes | None = None) -> bytes:
    """The record of a branch.

    Args:
        state: the branch.
        graph: what `dump` gave for it.
        before: its record before the errors in it.
    """
    header = json.dumps([state.number, state.order, state.ended, len(before or b"")]).encode()
    return MARK + snapshot.sealed(len(header).to_bytes(4, "little") + header + (before or b"") + graph)


def header_of(data: bytes) -> Header:
    """Which branch a record is of."""
    return _opened(data)[0]


def state_of(data: bytes, objects: Objects, unpickler: Unpickler = snapshot.unpickler) -> State:
    """The branch in a record.

    Args:
        data: the record.
        objects: gives the objects that are named in it.
        unpickler: makes what reads it.
    """
    reader = functools.partial(unpickler, persistent_load=objects)
    header, before, graph = _opened(data)
    (facts, waiting, saved, flights), spare = snapshot.loads_with_cells(graph, reader)
    calls = [FunctionCall.from_state(state) for state in saved]
    for (index, name), cell in spare.items():
        calls[index].cells[name] = cell
    return State(*header, Facts(*facts), waiting, calls, flights, before)


def is_of_branch(name: str) -> bool:
    """Whether this is the name of the record of a branch."""
    return name.startswith(BRANCHES) and name != SHARED


def stack_in(data: bytes) -> CallStack:
    """The call stack in the record of a branch, to look at."""
    state = state_of(data, Elsewhere)
    return CallStack(state.calls, state.waiting, state.flights, state.facts.steps)


def objects_in(data: bytes, unpickler: Unpickler = snapshot.unpickler) -> dict[int, Any]:
    """What several branches refer to, by number."""
    objects, _ = snapshot.loads_with_cells(data, functools.partial(unpickler, persistent_load=Elsewhere))
    found: dict[int, Any] = objects
    return found


class Elsewhere:
    """Shown in place of an object that several branches refer to, where it is not at hand."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"<shared object {self.number}>"


def _opened(data: bytes) -> tuple[Header, bytes | None, bytes]:
    """The header of a record, the record before its error, and its graph."""
    body = snapshot.opened(data.removeprefix(MARK))
    end = 4 + int.from_bytes(body[:4], "little")
    number, order, ended, length = json.loads(bytes(body[4:end]))
    before = bytes(body[end : end + length]) or None
    return (number, order, ended), before, bytes(body[end + length :])
