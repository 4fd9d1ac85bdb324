"""Attributes that are put off until a context manager is entered again.

An object may hold the client that is entered around it, and be needed to make that client:
``async with Client(self.url) as self.client``; or a function further out may hold the object.  So the
attributes of objects that are managers, or what these gave, are no part of the objects as they are
saved; they are set once the manager is there.
"""

from __future__ import annotations

import contextlib
import copyreg
from collections.abc import Container
from types import FunctionType, ModuleType
from typing import Any, TypeAlias

from ..state import snapshot
from .lost import Outside

Attributes: TypeAlias = "list[tuple[Any, dict[str, Any]]]"
"""Objects with those of their attributes that have been put off."""


class PutOff:
    """Takes the attributes out of the objects of a graph.

    Args:
        outside: names the managers.

    Attributes:
        entered: the highest number of a manager that is there where the graph is read.
    """

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self.entered = 0
        self._found: dict[int, Attributes] = {}

    def __call__(self, obj: Any) -> snapshot.Reduced:
        """How an object is saved without them; NotImplemented if it has none."""
        attributes = {**_attributes(obj), **_in_slots(obj)}
        waiting = {name: self._outside.manager(value) for name, value in attributes.items()}
        late = {name: number for name, number in waiting.items() if number > self.entered}
        if not late:
            return NotImplemented
        reduced = snapshot.reduce(obj)
        if not _is_divisible(obj, reduced):
            return NotImplemented
        for number in set(late.values()):
            mine = {name: attributes[name] for name, other in late.items() if other == number}
            self._found.setdefault(number, []).append((obj, mine))
        make, args, state, *rest = reduced
        return make, args, _without(late, state), *rest

    def managers(self) -> set[int]:
        """The managers that some are waiting for."""
        return set(self._found)

    def take(self, number: int) -> Attributes:
        """Those that have waited for a manager."""
        return self._found.pop(number, [])


def put_on(attributes: Attributes) -> None:
    """Set what was put off."""
    for obj, values in attributes:
        slots = _slots(obj)
        _attributes(obj).update({name: value for name, value in values.items() if name not in slots})
        for name in slots & values.keys():
            object.__setattr__(obj, name, values[name])


def _attributes(obj: Any) -> dict[str, Any]:
    if isinstance(obj, (type, FunctionType, ModuleType)):
        return {}
    try:
        found = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def _slots(obj: Any) -> set[str]:
    """The names of the attributes that are not in the dictionary of an object."""
    return set(copyreg._slotnames(type(obj)))  # type: ignore[attr-defined]  # which is what pickle asks


def _in_slots(obj: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in () if isinstance(obj, type) else _slots(obj):
        with contextlib.suppress(AttributeError):  # it is empty
            found[name] = object.__getattribute__(obj, name)
    return found


def _is_divisible(obj: Any, reduced: snapshot.Reduced) -> bool:
    """Whether an object is saved as something that its attributes are then put into."""
    if not isinstance(reduced, tuple) or len(reduced) < 3 or hasattr(obj, "__setstate__") or any(reduced[5:]):
        return False
    state = reduced[2]
    own, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    return _same(own, _attributes(obj)) and _same(slots, _in_slots(obj))


def _same(saved: Any, attributes: dict[str, Any]) -> bool:
    """Whether the attributes are saved as they are."""
    if saved is None:
        return not attributes
    if type(saved) is not dict:
        return False
    return {name: id(value) for name, value in saved.items()} == {name: id(value) for name, value in attributes.items()}


def _without(names: Container[str], state: Any) -> Any:
    if isinstance(state, tuple):
        return tuple(_without(names, part) for part in state)
    return None if state is None else {name: value for name, value in state.items() if name not in names}
