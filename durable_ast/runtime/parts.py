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
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .branch import Branch
from .call_stack import CallStack
from .cut import SHARED, Errors, Graph, Line, State, before_of, capture, dump, header_of, key_of, record_of
from .entered_managers import EnteredManagers
from .holdings import Holdings, Part
from .lost import Entered, Lost, Outside
from .shared import dumps as dumps_shared
from .versions import UNKNOWN, Versions

_AT_ONCE = 8
"""How many objects of one branch are given numbers one by one.  What an object holds is no longer
seen once it has a number, so the next one may be none any more; but each takes another try."""


class Unsaved(Exception):
    """A branch cannot be saved; `origin` is the one because of which, if it is not for itself."""

    def __init__(self, branch: Branch, state: State, error: Exception, names: Outside) -> None:
        super().__init__(branch, state, error)
        self.branch, self.error, self.names = branch, error, names
        self.origin: Unsaved = self
        self.stack = CallStack(state.calls, state.waiting, state.flights)


@dataclass(frozen=True, slots=True)
class _Before:
    """What is stored of a branch that is being written."""

    part: Part
    last: bytes | None
    errors: Errors


@dataclass(frozen=True, slots=True)
class Written:
    """What `Parts.write` gives.

    Attributes:
        records: what has to be stored, by name; None for what is to be deleted.
        failures: what kept branches from being saved.
        dropped: all branches that are not saved, those included.
    """

    records: dict[str, bytes | None]
    failures: list[Unsaved]
    dropped: set[Branch]


class Parts:
    """The records of an instance's branches.

    Attributes:
        moved: the branches that have gone on since they were captured.
    """

    def __init__(self) -> None:
        self.moved: set[Branch] = set()
        self._holdings = Holdings()
        self._versions = Versions()
        self._written_at: dict[Branch, int] = {}
        self._stages: dict[int, int] = {}
        """The highest lost manager that a shared object needs, by number."""
        self._managers = EnteredManagers()
        self._before_write: dict[Branch, _Before] = {}
        """What is stored of the branches that are being written."""

    def write(self, branches: Iterable[Branch], finished: Collection[Branch]) -> Written:
        """The records that have to be written so that these branches are saved as they stand.

        Args:
            branches: the branches.
            finished: those that have finished something, which must not be done again.
        """
        records: dict[Branch, bytes] = {}
        failures: list[Unsaved] = []
        queue = dict.fromkeys(branches)
        tries: Counter[Branch] = Counter()
        shared: bytes | None = None
        self._before_write.clear()
        self._versions.begin()
        noted: set[Branch] = set()
        from_the_start: set[Branch] = set()
        for branch in list(queue):
            queue.update(dict.fromkeys(self._note_managers(branch, noted)))
        while queue:
            branch, _ = queue.popitem()
            queue.update(dict.fromkeys(self._note_managers(branch, noted)))
            try:
                data, again = self._write(branch, tries)
            except Unsaved as failure:
                records.pop(branch, None)
                entered = self._entered_meanwhile(noted)
                if entered:
                    queue.update(dict.fromkeys([branch, *entered]))
                    continue
                failures = [*(other for other in failures if other.branch is not branch), failure]
                begun = self._from_the_start(branch, tries)
                if begun is not None:
                    from_the_start.add(branch)
                    records[branch], again = begun
                    queue.update(dict.fromkeys(again))
            else:
                records[branch] = data
                queue.update(dict.fromkeys(again))
            if not queue and self._holdings.shared:
                drawn_in = self.moved & self._sharing() - from_the_start - {failure.branch for failure in failures}
                queue.update(dict.fromkeys(drawn_in))
            if not queue:
                try:
                    shared, again = self._write_shared()
                except Exception as error:
                    names = Outside(self._managers.names)
                    for branch in [branch for branch in records if self._holdings.of(branch).numbers]:
                        del records[branch]
                        failures.append(Unsaved(branch, _state(branch), error, names))
                    break
                failed = {failure.branch for failure in failures} - records.keys()
                queue.update(dict.fromkeys(branch for branch in again if branch not in failed))  # it fails again
        failed = {failure.branch for failure in failures} - records.keys()
        dropped = self._dropped(failed, records, shared) if failed else set()
        written: dict[str, bytes | None] = {
            key_of(_line(branch).number): data for branch, data in records.items() if branch not in dropped
        }
        if shared != self._versions.shared and not any(self._numbers_of(branch) for branch in dropped):
            written[SHARED] = self._versions.shared = shared
        self._take_back(dropped)
        self._written_at.update(dict.fromkeys(self._before_write, self._versions.number))
        sharing = {branch: kept.last for branch, kept in self._before_write.items() if self._numbers_of(branch)}
        self._versions.note(() if self._versions.shared is None else self._holdings.shared, sharing, finished)
        return Written(written, failures, dropped)

    def _dropped(self, failed: set[Branch], records: dict[Branch, bytes], shared: bytes | None) -> set[Branch]:
        """The branches that must not be written as they stand, because one that cannot be saved is
        stored as it stood before: what they share would not be of one moment, or a manager would be
        missing that a record names."""
        dropped = set(failed)
        while True:
            is_torn = shared != self._versions.shared and any(self._numbers_of(branch) for branch in dropped)
            before = [self._stored(branch) for branch in dropped]
            named = {number for part in before for number in part.uses}
            stored = {number for part in before for number in part.opens}
            entered = {number for branch in dropped for number in self._managers.entered(branch)} - stored
            more = {
                branch
                for branch in records.keys() - dropped
                if (is_torn and self._numbers_of(branch))
                or self._stored(branch).opens - self._holdings.of(branch).opens & named
                or self._holdings.of(branch).uses & entered
            }
            if not more:
                return dropped
            dropped |= more

    def _numbers_of(self, branch: Branch) -> frozenset[int]:
        """The shared objects that a branch refers to, or has referred to as it is stored."""
        return self._stored(branch).numbers | self._holdings.of(branch).numbers

    def _stored(self, branch: Branch) -> Part:
        """What is in the stored record of a branch."""
        before = self._before_write.get(branch)
        return self._holdings.of(branch) if before is None else before.part

    def _take_back(self, branches: Iterable[Branch]) -> None:
        """What was to be written for these branches is not stored."""
        for branch in branches:
            before = self._before_write.pop(branch, None)
            line = _line(branch)
            if before is not None:
                self._holdings.put(branch, before.part)
                self._holdings.use_no_more(line.errors.held)
                self._holdings.use(before.errors.held)
                line.last, line.errors = before.last, before.errors
            self.moved.add(branch)
            if not line.ended:
                line.state = None

    def give_up(self) -> None:
        """Nothing of what `write` has given is stored."""
        self._versions.give_up()
        self._take_back(list(self._before_write))

    def without(self, error: BaseException) -> dict[str, bytes | None]:
        """The records of the branches that an error has gone through, as they were before; so are
        those of the branches that were cancelled because of it, and what they share, if nobody else
        has finished anything with that since."""
        causes = {id(each): each for each in _all_in(error)}
        back: dict[Branch, bytes] = {}
        for branch in self._holdings.parts:
            line = _line(branch)
            is_cancelled = line.ended and isinstance(line.waiting[1], asyncio.CancelledError)
            if line.errors.before is not None and (line.errors.newest & causes.keys() or is_cancelled):
                back[branch] = line.errors.before
        together = self._versions.as_of_before(back)
        if together is not None:
            return together
        there = self._holdings.shared.keys()
        return {key_of(_line(branch).number): data for branch, data in back.items() if header_of(data).shared <= there}

    @property
    def has_errors(self) -> bool:
        """Whether there are records to go back to."""
        return any(_line(branch).errors.before is not None for branch in self._holdings.parts)

    def forget(self, branch: Branch) -> str | None:
        """A branch that nobody refers to any more; gives the name of its record, if it has one."""
        if branch not in self._holdings.parts:
            return None
        self._holdings.remove(branch)
        self._written_at.pop(branch, None)
        self._managers.forget(branch)
        self.moved.discard(branch)
        return key_of(_line(branch).number)

    def adopt(self, data: bytes, numbers: frozenset[int]) -> None:
        """What is shared is restored from this record, which holds objects of these numbers."""
        self._holdings.adopt_numbers(numbers)
        self._versions.adopt(data, numbers)

    def adopt_objects(self, shared: Mapping[int, Any]) -> None:
        """These were read from it so far, by number."""
        self._holdings.adopt(shared)

    def adopt_branch(self, branch: Branch, data: bytes) -> None:
        """A branch will be restored from this record."""
        header, before = header_of(data), before_of(data)
        uses = frozenset(number for needs in header.needs for number in needs.managers)
        self._holdings.put(
            branch, Part(numbers=header.shared, spare=header.spare, opens=frozenset(header.opens), uses=uses)
        )
        held = frozenset[int]() if before is None else header_of(before).shared
        self._holdings.use(held)
        line = _line(branch)
        line.last, line.errors = data, Errors({}, before=before, held=held, since=UNKNOWN, until=UNKNOWN)

    def found(self, number: int) -> Any:
        """The shared object of a number."""
        return self._holdings.shared[number]

    def enters(self, branch: Branch, number: int, manager: Any, given: Any) -> None:
        """A restored branch has entered a lost manager again."""
        self._managers.add(branch, Entered(number, manager, given))

    # managers

    def _note_managers(self, branch: Branch, noted: set[Branch]) -> list[Branch]:
        """Note the lost managers that a branch has entered; gives the branches that refer to one that
        it has left."""
        if branch in noted:
            return []
        noted.add(branch)
        left = self._managers.note(branch, _captured(branch).calls)
        return [other for other, part in self._holdings.parts.items() if part.uses & left]

    def _entered_meanwhile(self, noted: set[Branch]) -> list[Branch]:
        """The branches that have entered lost managers since they were saved, and are not noted."""
        known = self._managers.known()
        moved = [branch for branch in self.moved - noted if not _line(branch).ended]
        for branch in moved:
            self._note_managers(branch, noted)
        return [branch for branch in moved if not self._managers.entered(branch) <= known]

    def _outside(self) -> Outside:
        return Outside(self._managers.names, self._holdings.numbers, lambda number: self._stages.get(number, 0))

    # one record

    def _write(self, branch: Branch, tries: Counter[Branch]) -> tuple[bytes, list[Branch]]:
        """The record of a branch, and the branches that have to be written once more, because of
        objects that are now known to be shared."""
        state = _captured(branch)
        self.moved.discard(branch)
        outside = self._outside()
        try:
            graph = dump(state, outside, self._managers.lost(branch))
        except Exception as error:
            raise Unsaved(branch, state, error, outside) from error
        return self._keep(branch, state, graph, tries)

    def _keep(self, branch: Branch, state: State, graph: Graph, tries: Counter[Branch]) -> tuple[bytes, list[Branch]]:
        """The record with a graph; see `_write`."""
        line = _line(branch)
        objects = graph.objects
        shared = self._holdings.shared
        inside = (*objects.values(), *(shared[number] for number in graph.shared))
        errors = {id(obj): obj for obj in inside if isinstance(obj, BaseException)}
        if branch not in self._before_write:
            self._before_write[branch] = _Before(self._holdings.of(branch), line.last, line.errors)
        self._note_errors(branch, errors)
        line.last = data = record_of(state, graph, line.errors.before)
        for key in objects.keys() & self._holdings.numbers.keys():
            del objects[key]
        tries[branch] += 1
        at_once = 1 if tries[branch] < _AT_ONCE else len(objects) + len(graph.cells)
        again = self._holdings.share_of(branch, objects, graph.cells, at_once)
        uses = frozenset(number for needs in graph.needs for number in needs.managers)
        held = ({}, {}) if again else (objects, graph.cells)
        self._holdings.put(branch, Part(*held, graph.shared, graph.spare, frozenset(graph.opens), uses))
        return data, again

    def _from_the_start(self, branch: Branch, tries: Counter[Branch]) -> tuple[bytes, list[Branch]] | None:
        """The record of a branch that was never saved, and cannot be as it stands, as it was before it
        began; None if it has finished something, or its arguments cannot be saved either."""
        line, state = _line(branch), _captured(branch)
        if line.last is not None or line.first is None or state.facts.steps or line.ended:
            return None
        try:
            graph = dump(line.first, self._outside())
        except Exception:
            return None
        self.moved.add(branch)
        return self._keep(branch, line.first, graph, tries)

    def _note_errors(self, branch: Branch, errors: dict[int, BaseException]) -> None:
        """These exceptions are in the next record of a branch: if there are new ones, the last record
        is what to go back to; if none of the newest are left, nothing is."""
        line, stored = _line(branch), self._before_write[branch].errors
        new = errors.keys() - stored.inside.keys()
        self._holdings.use_no_more(line.errors.held)
        if not new and stored.newest & errors.keys():
            line.errors = replace(stored, inside=errors)
        else:
            found = self._before(branch) if new else Errors({})
            line.errors = replace(found, inside=errors, newest=frozenset(new))
        self._holdings.use(line.errors.held)

    def _before(self, branch: Branch) -> Errors:
        """What to go back to from an error that has just come."""
        line, state, now = _line(branch), _state(branch), self._versions.number
        if state.waiting[0] == "error" and line.begun is not None and not line.ended:
            flights = [flight for flight in state.flights if flight is not state.waiting[1]]
            begun = self._record(replace(state, waiting=line.begun, flights=flights), self._managers.lost(branch))
            if begun is not None:
                return Errors({}, before=begun[0], held=begun[1], since=now, until=now)
        stored = self._before_write[branch]
        if stored.last is not None:
            held, since = stored.part.numbers, self._written_at.get(branch, 0)
            return Errors({}, before=stored.last, held=held, since=since, until=now - 1)
        first = None if line.first is None else self._record(line.first)
        return Errors({}) if first is None else Errors({}, before=first[0], held=first[1], until=now - 1)

    def _record(self, state: State, lost: Sequence[Lost] = ()) -> tuple[bytes, frozenset[int]] | None:
        try:
            graph = dump(state, self._outside(), lost)
            return record_of(state, graph), graph.shared
        except Exception:
            return None  # then another branch has to begin it again

    def _sharing(self) -> set[Branch]:
        return {branch for branch in self.moved if self._holdings.of(branch).numbers}

    # what is shared

    def _write_shared(self, forgotten: frozenset[int] = frozenset()) -> tuple[bytes | None, list[Branch]]:
        """The record of what is shared, and the branches that hold something of it as their own, or
        name what is forgotten."""
        holdings = self._holdings
        unused = forgotten | self._forget_unused()
        holdings.put_shared({})
        named = holdings.naming(unused)
        if named or not holdings.shared:
            return None, named
        try:
            data, objects, stages = self._dump_shared(holdings.shared)
        except Exception:
            unused = self._forget_held()
            if not unused:
                raise
            return self._write_shared(unused)
        changed = {number for number in holdings.shared if stages.get(number, 0) != self._stages.get(number, 0)}
        self._stages = stages
        # who enters managers has what has changed in another stage now
        entering = [branch for branch, part in holdings.parts.items() if part.opens and part.numbers & changed]
        again = [*dict.fromkeys([*entering, *holdings.share_in_shared(objects)])]
        if not again:
            holdings.put_shared(objects)
        return data, again

    def _forget_held(self) -> frozenset[int]:
        """Forget what only records to go back to refer to; gives what that was."""
        for branch in self._holdings.parts:
            line = _line(branch)
            self._holdings.use_no_more(line.errors.held)
            line.errors = replace(line.errors, held=frozenset())
        return self._forget_unused()

    def _dump_shared(self, shared: Mapping[int, Any]) -> tuple[bytes, dict[int, Any], dict[int, int]]:
        return dumps_shared(shared, Outside(self._managers.names))

    def _forget_unused(self) -> frozenset[int]:
        """Forget what no branch refers to, nor anything that is shared and not forgotten."""
        shared, unused = self._holdings.shared, self._holdings.unused()
        if unused and len(unused) < len(shared):
            unused -= self._reached(shared.keys() - unused)
        self._holdings.forget(unused)
        return unused

    def _reached(self, numbers: Collection[int]) -> frozenset[int]:
        """The shared objects that these refer to."""
        shared, numbered = self._holdings.shared, self._holdings.numbers
        try:
            _, objects, _ = self._dump_shared({number: shared[number] for number in numbers})
        except Exception:
            return frozenset()  # it will be found out what of them cannot be saved
        return frozenset(number for key, number in numbered.items() if key in objects)


def _all_in(error: BaseException | None) -> list[BaseException]:
    """An error with its cause, and what is in a group."""
    if error is None:
        return []
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [error, *(found for each in inner for found in _all_in(each)), *_all_in(error.__cause__)]


def _captured(branch: Branch) -> State:
    return _line(branch).state or capture(branch)


def _state(branch: Branch) -> State:
    state = _line(branch).state
    assert state is not None
    return state


def _line(branch: Branch) -> Line:
    assert branch.line is not None
    return branch.line
