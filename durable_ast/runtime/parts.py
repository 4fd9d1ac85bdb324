"""The records of the branches of an instance: who is written when, and what they share.

Branches that share nothing that can change are saved apart, each when it asks for it.  An object
that several branches refer to must be one object again, and must be saved as of one moment with all
that refer to it.  Nobody says beforehand what is shared; it is seen in the graphs as they are
pickled: an object that turns up in a second one gets a number, and moves to a record of its own kind,
where all that are shared make up one graph.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import CellType
from typing import Any

from ..state import snapshot
from .branch import Branch
from .call_stack import CallStack
from .cut import SHARED, Line, State, capture, dump, key_of, record_of

_AT_ONCE = 8
"""How many objects of one branch are given numbers one by one.  What an object holds is no longer
seen once it has a number, so the next one may be none any more; but each takes another try."""


class Unsaved(Exception):
    """A branch cannot be saved."""

    def __init__(self, branch: Branch, state: State, error: Exception) -> None:
        super().__init__(branch, state, error)
        self.branch, self.error = branch, error
        self.stack = CallStack(state.calls, state.waiting, state.flights)


@dataclass(slots=True, eq=False)
class _Part:
    """What is in the record of a branch.

    Attributes:
        objects: the objects that can change, by id; they are kept alive, so the ids stay theirs.
        numbers: the shared objects that it refers to.
    """

    objects: dict[int, Any] = field(default_factory=dict)
    numbers: frozenset[int] = frozenset()


class Parts:
    """The records of an instance's branches.

    Attributes:
        moved: the branches that have gone on since they were captured.
    """

    def __init__(self) -> None:
        self.moved: set[Branch] = set()
        self._parts: dict[Branch, _Part] = {}
        self._owner: dict[int, Branch | None] = {}
        """Whose record an object is in, by its id; None for the record of what is shared."""
        self._shared: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._uses: Counter[int] = Counter()
        self._next = 1
        self._in_shared: dict[int, Any] = {}
        self._written: bytes | None = None

    def write(self, branches: Iterable[Branch]) -> tuple[dict[str, bytes | None], list[Unsaved]]:
        """The records that have to be written so that these branches are saved as they stand; None
        for one to be deleted.  With what kept a branch from being saved."""
        records: dict[Branch, bytes] = {}
        failures: list[Unsaved] = []
        queue = dict.fromkeys(branches)
        tries: Counter[Branch] = Counter()
        shared: bytes | None = None
        while queue:
            branch, _ = queue.popitem()
            try:
                data, again = self._write(branch, tries)
            except Unsaved as failure:
                failures.append(failure)
                records.pop(branch, None)
                continue
            records[branch] = data
            queue.update(dict.fromkeys(again))
            if not queue and self._shared:
                queue.update(dict.fromkeys(self.moved & self._sharing()))
            if not queue:
                try:
                    shared, again = self._write_shared()
                except Exception as error:
                    failures.extend(Unsaved(branch, _state(branch), error) for branch in records)
                    records.clear()
                    break
                queue.update(dict.fromkeys(again))
        written: dict[str, bytes | None] = {key_of(_line(branch).number): data for branch, data in records.items()}
        if shared != self._written:
            written[SHARED] = self._written = shared
        return written, failures

    def lost(self, branches: Iterable[Branch]) -> None:
        """What `write` has given for these branches was not stored."""
        self._written = None
        for branch in branches:
            _line(branch).state = None
            self.moved.add(branch)

    def without(self, error: BaseException) -> dict[str, bytes | None]:
        """The records of the branches that an error has gone through, as they were before; so are
        those of the branches that were cancelled because of it."""
        causes = {id(each): each for each in _all_in(error)}
        records: dict[str, bytes | None] = {}
        for branch in self._parts:
            line = _line(branch)
            is_cancelled = line.ended and isinstance(line.waiting[1], asyncio.CancelledError)
            if line.newest & causes.keys() or is_cancelled:
                records[key_of(line.number)] = line.before
        return {key: data for key, data in records.items() if data is not None}

    @property
    def has_errors(self) -> bool:
        """Whether there are records to go back to."""
        return any(_line(branch).before is not None for branch in self._parts)

    def forget(self, branch: Branch) -> str | None:
        """A branch that nobody refers to any more; gives the name of its record, if it has one."""
        part = self._parts.get(branch)
        if part is None:
            return None
        self._replace(branch, _Part())
        del self._parts[branch]
        self.moved.discard(branch)
        return key_of(_line(branch).number)

    def adopt(self, shared: dict[int, Any]) -> None:
        """These objects were restored from the record of what is shared."""
        for number, obj in shared.items():
            self._shared[number], self._numbers[id(obj)] = obj, number
            self._next = max(self._next, number + 1)
            self._uses[number] += 1  # a record to go back to may refer to it

    def refers(self, branch: Branch, number: int) -> Any:
        """The shared object of a number, to a branch that was restored and refers to it."""
        part = self._parts.setdefault(branch, _Part())
        if number not in part.numbers:
            part.numbers |= {number}
            self._uses[number] += 1
        return self._shared[number]

    # one record

    def _write(self, branch: Branch, tries: Counter[Branch]) -> tuple[bytes, list[Branch]]:
        """The record of a branch, and the branches that have to be written once more, because of
        objects that are now known to be shared."""
        line = _line(branch)
        state = line.state or capture(branch)
        self.moved.discard(branch)
        used: set[int] = set()
        try:
            graph, objects = dump(state, self._names(used))
        except Exception as error:
            raise Unsaved(branch, state, error) from error
        inside = (*objects.values(), *(self._shared[number] for number in used))
        errors = {id(obj): obj for obj in inside if isinstance(obj, BaseException)}
        self._note_errors(branch, errors)
        line.last = data = record_of(state, graph, line.before)
        for key in objects.keys() & self._numbers.keys():
            del objects[key]
        again: dict[Branch, None] = {}
        tries[branch] += 1
        for key, obj in objects.items():
            if key not in self._owner or self._owner[key] is branch or snapshot.is_global(obj):
                continue
            other = self._owner[key]
            self._share(obj)
            again[branch] = None
            if other is not None:
                again[other] = None
            if tries[branch] < _AT_ONCE:
                break
        self._replace(branch, _Part({} if again else objects, frozenset(used)))
        return data, list(again)

    def _note_errors(self, branch: Branch, errors: dict[int, BaseException]) -> None:
        """These exceptions are in the next record of a branch: if there are new ones, the last record
        is what to go back to; if none of the newest are left, nothing is."""
        line = _line(branch)
        new = errors.keys() - line.errors.keys()
        line.errors = errors
        if not new and line.newest & errors.keys():
            return
        self._uses.subtract(line.held)
        line.before, line.newest, line.held = None, frozenset(new), frozenset()
        if new:
            line.before, used = self._before(branch)
            line.held = frozenset(used)
            self._uses.update(line.held)

    def _before(self, branch: Branch) -> tuple[bytes | None, set[int]]:
        """What to go back to from an error that has just come, and the shared objects in it."""
        line, state = _line(branch), _state(branch)
        used: set[int] = set()
        if state.waiting[0] == "error" and line.begun is not None and not line.ended:
            flights = [flight for flight in state.flights if flight is not state.waiting[1]]
            data = self._record(replace(state, waiting=line.begun, flights=flights), used)
            if data is not None:
                return data, used
        if line.last is not None:
            return line.last, set(self._parts[branch].numbers) if branch in self._parts else used
        return None if line.first is None else self._record(line.first, used), used

    def _record(self, state: State, used: set[int]) -> bytes | None:
        try:
            return record_of(state, dump(state, self._names(used))[0])
        except Exception:
            return None  # then another branch has to begin it again

    def _names(self, used: set[int]) -> Any:
        if not self._numbers:
            return None
        numbers = self._numbers

        def name(obj: Any) -> int | None:
            number = numbers.get(id(obj))
            if number is not None:
                used.add(number)
            return number

        return name

    def _share(self, obj: Any) -> None:
        if id(obj) in self._numbers:
            return
        number, self._next = self._next, self._next + 1
        self._shared[number], self._numbers[id(obj)] = obj, number

    def _replace(self, branch: Branch, part: _Part) -> None:
        """What is in the record of a branch from now on."""
        before = self._parts.get(branch)
        if before is not None:
            for key in before.objects:
                if self._owner.get(key) is branch:
                    del self._owner[key]
            self._uses.subtract(before.numbers)
        self._parts[branch] = part
        self._owner.update(dict.fromkeys(part.objects, branch))
        self._uses.update(part.numbers)

    def _sharing(self) -> set[Branch]:
        return {branch for branch in self.moved if branch in self._parts and self._parts[branch].numbers}

    # what is shared

    def _write_shared(self) -> tuple[bytes | None, list[Branch]]:
        """The record of what is shared, and the branches that hold something of it as their own."""
        for number in [number for number in self._shared if self._uses[number] <= 0]:
            del self._numbers[id(self._shared.pop(number))]
            del self._uses[number]
        for key in self._in_shared:
            if self._owner.get(key, ...) is None:
                del self._owner[key]
        self._in_shared = {}
        if not self._shared:
            return None, []
        spare: dict[Any, CellType] = {}
        data, objects = snapshot.dumps_and_note(self._shared, spare, None)
        again: dict[Branch, None] = {}
        for key, obj in objects.items():
            other = self._owner.get(key)
            if other is not None and not snapshot.is_global(obj):
                self._share(obj)
                again[other] = None
        if not again:
            self._in_shared = objects
            self._owner.update(dict.fromkeys(objects))
        return data, list(again)


def _all_in(error: BaseException | None) -> list[BaseException]:
    """An error with its cause, and what is in a group."""
    if error is None:
        return []
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [error, *(found for each in inner for found in _all_in(each)), *_all_in(error.__cause__)]


def _state(branch: Branch) -> State:
    state = _line(branch).state
    assert state is not None
    return state


def _line(branch: Branch) -> Line:
    assert branch.line is not None
    return branch.line
