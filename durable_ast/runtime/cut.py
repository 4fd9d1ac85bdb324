"""A branch as it is saved: what is captured of it, and the record that is written.

Every branch has a record of its own; that of the root is part of the instance's.  What several
branches refer to is in one more record (see `parts`), and named by a number in theirs.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import json
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import CellType, FrameType
from typing import Any, TypeAlias

from ..state import snapshot
from ..state.schema import BRANCHES
from .asyncio_state import GatheringFuture
from .branch import WRAPPERS, Branch
from .branch_task import BranchTask
from .call_stack import CallStack, FunctionCall, Waiting
from .callbacks import Callback
from .frames import capture as capture_running
from .frames import capture_suspended
from .generators import flying
from .lost import Lost, Needs, Outside
from .staged import dumps
from .unstaged import MISSING, look
from .variables import Variables

MARK = b"\x02"
"""What the record of a branch begins with."""

ROOT = 0
"""The number of the branch that the program's own function runs in."""

SHARED = f"{BRANCHES}s"
"""The name of the record of what several branches refer to."""

Unpickler: TypeAlias = "Callable[..., pickle.Unpickler]"
"""Makes what reads a record, like `snapshot.unpickler`."""

Objects: TypeAlias = "Callable[[Any], Any]"
"""Gives the object that has a name."""


@dataclass(frozen=True, slots=True)
class Header:
    """What can be told of a saved branch before its graph is read.

    Attributes:
        number: which branch it is.
        order: its place in the queue.
        ended: whether it has ended.
        opens, needs, shared, spare: see `Graph`.
    """

    number: int
    order: int
    ended: bool
    opens: tuple[int, ...]
    needs: tuple[Needs, ...]
    shared: frozenset[int]
    spare: frozenset[int]


@dataclass(frozen=True, slots=True)
class Errors:
    """The exceptions in the record of a branch.

    Attributes:
        inside: all of them, by id.
        newest: the ids of those that have come last.
        before: the record before these, to go back to if they end the instance.
        held: the shared objects that it refers to, by number.
        since, until: the first and the last writing of records whose shared objects go with it.
    """

    inside: Mapping[int, BaseException]
    newest: frozenset[int] = frozenset()
    before: bytes | None = None
    held: frozenset[int] = frozenset()
    since: int = 0
    until: int = 0


NO_ERRORS = Errors({})


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
        cancelled: the arguments of a `CancelledError` that is on its way to the user's code.
        requests: how many requests to stop its task had when it began to wait.
        callbacks: what user code wants to be called when its task is done.
        first: the branch as it was before it began to run, or to go on here.
        begun: the step that has ended with an error, as it is begun anew.
        last: its last record.
        errors: the exceptions in that.
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
    cancelled: tuple[Any, ...] | None = None
    requests: int = 0
    callbacks: tuple[Callback, ...] = ()
    first: State | None = None
    begun: Waiting | None = None
    last: bytes | None = None
    errors: Errors = field(default_factory=lambda: NO_ERRORS)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a saved branch knows beside its call stack."""

    name: str
    steps: int
    cancelling: int
    cancelled: tuple[Any, ...] | None
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
    callbacks: tuple[Callback, ...] = ()
    before: bytes | None = None


def capture(branch: Branch, frame: FrameType | None = None) -> State:
    """A branch as it stands.

    Args:
        branch: the branch.
        frame: its innermost frame, if it is the one that runs.

    Raises:
        DrivenByHandError: it runs, and there are frames between its own that are none of ours.
    """
    line = branch.line
    assert line is not None and branch.task is not None
    cancelled = line.cancelled if line.cancelled is not None else on_its_way(branch)
    if _is_passed_on(line.waiting):
        cancelled = None
    facts = Facts(branch.task.get_name(), branch.steps_before, branch.task.cancelling(), cancelled, branch.variables)
    state = State(line.number, line.order, line.ended, facts, line.waiting, callbacks=line.callbacks)
    if not line.ended:
        assert branch.frame is not None
        state.flights = branch.flights
        if frame is not None:
            state.calls = capture_running(frame, WRAPPERS)
        elif line.first is not None and not branch.frame.cr_suspended:
            state.calls, state.waiting = line.first.calls, line.first.waiting  # it has not begun
        else:
            state.calls = capture_suspended(branch.frame, WRAPPERS)
    line.state, line.is_saved = state, True
    return state


def on_its_way(branch: Branch) -> tuple[Any, ...] | None:
    """The arguments of a `CancelledError` that the root will get; what was asked for from outside is asked
    again."""
    line, task = branch.line, branch.task
    assert line is not None and task is not None
    if line.number != ROOT or task.cancelling() <= line.requests or branch.instance.is_to_be_cancelled:
        return None
    return request_of(task)


def request_of(task: Any) -> tuple[Any, ...]:
    """The arguments of the `CancelledError` that a task gets that was asked to stop."""
    return () if task._cancel_message is None else (task._cancel_message,)  # a task in C has this too


def capture_start(branch: Branch, ref: str, recipe: Waiting | None) -> State:
    """A branch that has not begun.

    Args:
        branch: the branch.
        ref: the function that awaits a step.
        recipe: how that step is begun, if the branch is but one.
    """
    assert branch.line is not None and branch.frame is not None
    facts = Facts("", 0, 0, None, branch.variables)
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


@dataclass(frozen=True, slots=True)
class Graph:
    """A branch as bytes.

    Attributes:
        data: its pickles.
        objects: the objects in it that can change, by id.
        cells: variables that nobody in the branch may read, by id.
        opens: the lost managers that the branch has entered, by number.
        needs: what has to be there before it is read: at first, and after each of these managers.
        shared: the objects that several branches refer to that it names, by number.
        spare: those of them that nobody in this branch may read.
    """

    data: bytes
    objects: dict[int, Any]
    cells: dict[int, CellType]
    opens: tuple[int, ...]
    needs: tuple[Needs, ...]
    shared: frozenset[int]
    spare: frozenset[int]


def dump(state: State, outside: Outside, lost: Sequence[Lost] = ()) -> Graph:
    """The graph of a branch.

    Args:
        state: the branch.
        outside: names what is no part of it.
        lost: the managers that it has entered and that cannot be saved.
    """
    if lost:
        staged = dumps(state.calls, lost, state.facts.as_tuple(), _tail_of(state), outside)
        opens = tuple(item.number for item in lost)
        needs = tuple(needs.without(opens) for needs in staged.needs)
        data = snapshot.sealed(staged.data)
        objects = _sharable(staged.objects)
        cells = _unnamed((cell for call in state.calls for cell in call.spare_cells.values()), objects, outside)
        return Graph(data, objects, cells, opens, needs, *_numbers(outside))
    calls = [call.to_state() for call in state.calls]
    spare: dict[Any, CellType] = {}
    airborne: dict[int, tuple[Any, ...]] = {}
    for index, (call, saved) in enumerate(zip(state.calls, calls, strict=True)):
        if call.generator is not None:
            airborne[id(call.generator)] = (*saved[:4], saved[6])
        spare.update(((index, name), cell) for name, cell in call.spare_cells.items())
    graph = state.facts.as_tuple(), calls, *_tail_of(state)
    outside.used.clear()

    def is_shared(cell: CellType) -> bool:
        number = outside.number(cell)
        if number is not None and number not in outside.numbers:
            outside.spare.add(number)
        return number is not None

    with flying(airborne):
        data, noted = snapshot.dumps_and_note(graph, spare, None if outside.is_empty else outside, is_shared)
    objects = _sharable(noted)
    cells = _unnamed(spare.values(), objects, outside)
    return Graph(data, objects, cells, (), (Needs.of(outside.used),), *_numbers(outside))


def _tail_of(state: State) -> tuple[Any, ...]:
    """What is wanted back after the calls."""
    return state.waiting, state.flights, state.callbacks


def _unnamed(spare: Iterable[CellType], objects: Mapping[int, Any], outside: Outside) -> dict[int, CellType]:
    """The spare cells that are not saved here; it may be another branch that reads them."""
    return {id(cell): cell for cell in spare if id(cell) not in objects and outside.number(cell) is None}


def _numbers(outside: Outside) -> tuple[frozenset[int], frozenset[int]]:
    spare = frozenset(outside.spare)
    return frozenset(outside.numbers) - spare, spare


def _sharable(objects: dict[int, Any]) -> dict[int, Any]:
    """What must be one object again where two branches have it: a task is found by its number, and the
    token of a context variable is good in one branch only."""
    return {key: obj for key, obj in objects.items() if not isinstance(obj, (asyncio.Task, contextvars.Token))}


def record_of(state: State, graph: Graph, before: bytes | None = None) -> bytes:
    """The record of a branch.

    Args:
        state: the branch.
        graph: what `dump` gave for it.
        before: its record before the errors in it.
    """
    needs = [needs.as_lists() for needs in graph.needs]
    facts = [
        state.number,
        state.order,
        state.ended,
        len(before or b""),
        graph.opens,
        needs,
        sorted(graph.shared),
        sorted(graph.spare),
    ]
    header = json.dumps(facts).encode()
    return MARK + snapshot.sealed(len(header).to_bytes(4, "little"), header, before or b"", graph.data)


def header_of(data: bytes) -> Header:
    """What a record says of its branch."""
    return _opened(data)[0]


def before_of(data: bytes) -> bytes | None:
    """The record to go back to that is in a record."""
    return _opened(data)[1]


def state_of(data: bytes, objects: Objects, unpickler: Unpickler = snapshot.unpickler) -> State:
    """The branch in a record that names no managers but foreign ones.

    Args:
        data: the record.
        objects: gives the objects that are named in it.
        unpickler: makes what reads it.
    """
    header, before, graph = _opened(data)
    reader = functools.partial(unpickler, persistent_load=objects)
    (facts, saved, waiting, flights, callbacks), spare = snapshot.loads_with_cells(graph, reader)
    calls = [FunctionCall.from_state(state) for state in saved]
    for (index, name), cell in spare.items():
        calls[index].cells[name] = cell
    return State(header.number, header.order, header.ended, Facts(*facts), waiting, calls, flights, callbacks, before)


def stages_of(data: bytes) -> memoryview:
    """What `dumps` gave for a branch that has entered lost managers."""
    return snapshot.opened(_opened(data)[2])


def seen_in(data: bytes, shared: Objects, unpickler: Unpickler = snapshot.unpickler) -> State:
    """The branch in a record, to look at."""
    header, before, graph = _opened(data)
    if header.opens:
        calls, facts, tail = look(snapshot.opened(graph), shared, unpickler)
        waiting, flights, callbacks = tail
        return State(
            header.number, header.order, header.ended, Facts(*facts), waiting, calls, flights, callbacks, before
        )
    return state_of(data, lambda name: shared(name) if isinstance(name, int) else MISSING, unpickler)


def is_of_branch(name: str) -> bool:
    """Whether this is the name of the record of a branch."""
    return name.startswith(BRANCHES) and name != SHARED


def stack_in(data: bytes) -> CallStack:
    """The call stack in the record of a branch, to look at."""
    state = seen_in(data, Elsewhere)
    return CallStack(state.calls, state.waiting, state.flights, state.facts.steps)


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
    number, order, ended, length, opens, needs, shared, spare = json.loads(bytes(body[4:end]))
    before = bytes(body[end : end + length]) or None
    wanted = tuple(Needs.from_lists(*each) for each in needs)
    header = Header(number, order, ended, tuple(opens), wanted, frozenset(shared), frozenset(spare))
    return header, before, bytes(body[end + length :])
