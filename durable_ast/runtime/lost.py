"""Context managers that cannot be saved, and how graphs name them.

Such a manager is entered again when the instance goes on (see `staged`).  Until it is left it has a
number, and a graph names it, and what it gave, by that; objects that several branches refer to are
named too, by numbers of their own (see `parts`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, TypeAlias

from ..compiler.compiled import Manager
from ..state.snapshot import failure, is_global
from .call_stack import FunctionCall
from .generators import flying
from .reentry import NotEnteredAgain, Persisted

PLAIN = (type(None), bool, int, float, complex, type, type(...))
"""Types whose objects are never told apart by identity."""

Name: TypeAlias = "int | tuple[str, int] | tuple[str, int, tuple[int, ...]]"
"""What stands for an object that is no part of a graph: the number of an object that several branches
refer to, or which manager it is, or was given by and where in that."""

Way: TypeAlias = "tuple[int, ...]"
"""The places, from the outside in, at which something is in tuples that are in tuples."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A manager that cannot be saved.

    Attributes:
        number: its number.
        manager: the manager.
        given: what it gave on entering.
    """

    number: int
    manager: Any
    given: Any

    def objects(self) -> dict[Name, Any]:
        """The manager and what it gave, by name."""
        given: dict[Name, Any] = {("entered", self.number, way): obj for way, obj in _parts(self.given)}
        return {("manager", self.number): self.manager, **given}

    def names(self) -> dict[int, Name]:
        """The names of these objects by id, as far as an object is one by its identity."""
        names: dict[int, Name] = {id(self.manager): ("manager", self.number)}
        for way, obj in _parts(self.given):
            if not isinstance(obj, PLAIN) and not (way and _is_elsewhere(obj)):
                names.setdefault(id(obj), ("entered", self.number, way))
        return names


def _is_elsewhere(obj: Any) -> bool:
    """Whether others have an object too who know nothing of the manager: a word, a function."""
    return isinstance(obj, (str, bytes)) or (type(obj) is tuple and not obj) or is_global(obj)


def _parts(given: Any, way: Way = ()) -> Iterator[tuple[Way, Any]]:
    """What a manager gave, and what is in that if it is a tuple, which may be unpacked."""
    yield way, given
    if isinstance(given, tuple):
        for index, part in enumerate(given):
            yield from _parts(part, (*way, index))


@dataclass(frozen=True, slots=True)
class Lost(Entered):
    """One that a call of a captured stack has entered.

    Attributes:
        call: the index of the call.
        facts: where.
    """

    call: int
    facts: Manager

    def given_to(self, values: Mapping[str, Any]) -> dict[str, Given]:
        """The variables that hold what the manager gave them, though that is not told apart by what it
        is: a number, say."""
        parts = dict(_parts(self.given))
        return {
            name: Given(("entered", self.number, way))
            for name, way in self.facts.targets
            if way in parts and name in values and values[name] is parts[way]
        }


@dataclass(frozen=True, slots=True)
class Given:
    """Stands in a graph for what a manager gives on entering."""

    name: Name


def names_of(managers: Iterable[Entered]) -> dict[int, Name]:
    """The names of managers and of what they gave, by id; an object is named by the first."""
    names: dict[int, Name] = {}
    for item in sorted(managers, key=lambda item: item.number):
        for key, name in item.names().items():
            names.setdefault(key, name)
    return names


class Savable:
    """Which of the managers that a branch has entered can be saved; each is tried once.

    Args:
        numbers: gives those that cannot be their numbers.
    """

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._known: dict[int, tuple[Any, int | None]] = {}

    def lost(self, calls: Sequence[FunctionCall]) -> list[Lost]:
        """The managers of a stack that cannot be saved, outermost first."""
        found: list[Lost] = []
        known: dict[int, tuple[Any, int | None]] = {}
        with flying({id(call.generator): () for call in calls if call.generator is not None}):
            for index, call in enumerate(calls):
                for facts in call.managers:
                    manager = call.locals.get(facts.name)
                    _, number = known[id(manager)] = self._known.get(id(manager)) or self._tried(manager)
                    if number is not None:
                        found.append(Lost(number, manager, call.entered.get(facts.name), index, facts))
        self._known = known
        return found

    def note(self, manager: Any, number: int) -> None:
        """A manager was entered again; it is known by its number."""
        self._known[id(manager)] = manager, number

    def _tried(self, manager: Any) -> tuple[Any, int | None]:
        # one that the user wants restored keeps the rest from being saved if it cannot be
        is_part = isinstance(manager, Persisted) or isinstance(failure(manager), (NotEnteredAgain, NoneType))
        return manager, None if is_part or _is_filled(manager) else next(self._numbers)


def _is_filled(manager: Any) -> bool:
    """Whether a manager holds what was entered or registered since it was entered: entered again, it
    would be empty."""
    return isinstance(manager, (contextlib.ExitStack, contextlib.AsyncExitStack)) and bool(
        manager._exit_callbacks  # type: ignore[union-attr]
    )


class Outside:
    """Names for what is no part of a graph.

    Args:
        managers: the names of lost managers and of what they gave, by id.
        shared: the numbers of the objects that several branches refer to, by id.
        stage_of: tells the highest manager that such an object needs.

    Attributes:
        used: what was named since this was last emptied.
        numbers: the objects that several branches refer to that were ever named.
        spare: those that were named though nobody here may read them.
    """

    def __init__(
        self,
        managers: Mapping[int, Name],
        shared: Mapping[int, int] | None = None,
        stage_of: Callable[[int], int] = lambda number: 0,
    ) -> None:
        self._managers = managers
        self._shared = shared or {}
        self._stage_of = stage_of
        self.used: set[Name] = set()
        self.numbers: set[int] = set()
        self.spare: set[int] = set()

    def manager(self, obj: Any) -> int:
        """The number of the manager that an object is, or was given by; 0 if it is neither."""
        name = self._managers.get(id(obj))
        return 0 if name is None or isinstance(name, int) else name[1]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that has a name."""
        return not self._shared and not self._managers

    def __call__(self, obj: Any) -> Name | None:
        if type(obj) is Given:
            self.used.add(obj.name)
            return obj.name
        key = id(obj)  # asked for every object that is saved, mostly for nothing
        number = self._shared.get(key)
        if number is not None:
            self.numbers.add(number)
            self.used.add(number)
            return number
        name = self._managers.get(key) if self._managers else None
        if name is not None:
            self.used.add(name)
        return name

    def number(self, obj: Any) -> int | None:
        """The number of an object that several branches refer to."""
        return self._shared.get(id(obj))

    def stage(self, name: Name) -> int:
        """The highest manager that something with this name needs."""
        return self._stage_of(name) if isinstance(name, int) else name[1]


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be there before a part of a graph is read.

    Attributes:
        managers: lost managers, by number.
        shared: objects that several branches refer to, by number.
    """

    managers: frozenset[int] = frozenset()
    shared: frozenset[int] = frozenset()

    @classmethod
    def of(cls, used: set[Name]) -> Needs:
        """The needs of something in which this was named."""
        return cls(
            frozenset(name[1] for name in used if not isinstance(name, int)),
            frozenset(name for name in used if isinstance(name, int)),
        )

    @classmethod
    def from_lists(cls, managers: Iterable[int], shared: Iterable[int]) -> Needs:
        """The needs that `as_lists` gave."""
        return cls(frozenset(managers), frozenset(shared))

    def without(self, managers: Iterable[int]) -> Needs:
        """The same but for some managers."""
        return Needs(self.managers.difference(managers), self.shared)

    def as_lists(self) -> tuple[list[int], list[int]]:
        """The needs as plain values."""
        return sorted(self.managers), sorted(self.shared)
