"""Context managers that cannot be saved, and how graphs name them.

Such a manager is entered again when the instance goes on (see `staged`).  Until it is left it has a
number, and a graph names it, and what it gave, by that; objects that several branches refer to are
named too, by numbers of their own (see `parts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..compiler.compiled import Manager
from ..state.snapshot import failure
from .call_stack import FunctionCall
from .reentry import Persisted

PLAIN = (type(None), bool, int, float, complex, type, type(...))
"""Types whose objects are never told apart by identity."""

Name: TypeAlias = "int | tuple[Literal['manager', 'entered'], int]"
"""What stands for an object that is no part of a graph: the number of an object that several branches
refer to, or which manager it is, or was given by."""


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

    def names(self) -> dict[int, Name]:
        """The names of the manager and of what it gave, by id."""
        names: dict[int, Name] = {id(self.manager): ("manager", self.number)}
        if not isinstance(self.given, PLAIN):
            names.setdefault(id(self.given), ("entered", self.number))
        return names


@dataclass(frozen=True, slots=True)
class Lost(Entered):
    """One that a call of a captured stack has entered.

    Attributes:
        call: the index of the call.
        facts: where.
    """

    call: int
    facts: Manager


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
        is_saved = isinstance(manager, Persisted) or failure(manager) is None
        return manager, None if is_saved else next(self._numbers)


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

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that has a name."""
        return not self._shared and not self._managers

    def __call__(self, obj: Any) -> Name | None:
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
