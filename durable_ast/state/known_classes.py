"""Which class that is defined inside a function is meant, where a snapshot may mean one that is there already.

Such a class is saved by value and made again.  But a program's surroundings belong to the process: a class
in a variable around it is the one of whoever goes on.  And who is given a value, as an argument, as a
result or with a message, has the class itself where that is still alive in his process.  What belongs to
an instance is made again whenever the instance is restored: its attributes stand as they stood at the
checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeAlias

from . import snapshot
from .snapshot import Reduced

Path: TypeAlias = "tuple[str, ...]"

_links: dict[str, weakref.ref[type]] = {}
"""The classes that were saved or given by value, by their marks."""
_marks: dict[int, str] = {}
"""Their marks, by the ids of the classes."""
_foreign: set[str] = set()
"""The marks of those that were given to an instance, and are no part of one."""
_gives: ContextVar[bool] = ContextVar("durable_ast.gives_classes", default=False)
_tidy_at = 1000
_finds: ContextVar[bool] = ContextVar("durable_ast.finds_classes", default=False)
_new: dict[int, weakref.ref[type]] = {}
"""Classes that were made and not yet filled, by id."""


def _nowhere(wanted: Any) -> Any:
    return None


_path_of: Callable[[type], Path | None] = _nowhere
_found_at: Callable[[Path], Any] = _nowhere


def look_around(path_of: Callable[[type], Path | None], found_at: Callable[[Path], Any]) -> None:
    """Say how a class in a variable around a program is found.

    Args:
        path_of: where a class is, if it is in one.
        found_at: what is there, if anything is.
    """
    global _path_of, _found_at
    _path_of, _found_at = path_of, found_at


def given(data: bytes) -> Any:
    """What `snapshot.dumps` has saved, for somebody who may have its classes."""
    with as_they_are():
        return snapshot.loads(data)


def as_they_are() -> contextlib.AbstractContextManager[None]:
    """Inside, classes that are alive are not made again."""
    return _set(_finds)


def giving() -> contextlib.AbstractContextManager[None]:
    """Inside, what is saved comes from outside of all instances, and is given to one."""
    return _set(_gives)


@contextlib.contextmanager
def _set(variable: ContextVar[bool]) -> Iterator[None]:
    before = variable.set(True)
    try:
        yield
    finally:
        variable.reset(before)


def reduce_known(cls: type, by_value: tuple[Any, ...]) -> Reduced:
    """What the pickler saves for a class.

    Args:
        cls: the class.
        by_value: what makes it again.
    """
    make, args, state, items, pairs, fill = by_value
    mark = _mark(cls)
    if _gives.get():
        _foreign.add(mark)
    return _known_or_made, (mark, _path_of(cls), cls.__qualname__, make, args), (fill, state), items, pairs, _fill


def _known_or_made(
    mark: str, path: Path | None, qualname: str, make: Callable[..., type], args: tuple[Any, ...]
) -> type:
    around = None if path is None else _found_at(path)
    if isinstance(around, type) and around.__qualname__ == qualname:
        return around
    alive = _alive(mark) if _finds.get() or mark in _foreign else None
    if alive is not None:
        return alive
    cls = make(*args)
    _new[id(cls)] = weakref.ref(cls)
    if _finds.get():
        _note(cls, mark)
    return cls


def _fill(cls: type, state: tuple[Callable[[type, Any], None], Any]) -> None:
    link = _new.pop(id(cls), None)
    if link is not None and link() is cls:
        fill, facts = state
        fill(cls, facts)


def _mark(cls: type) -> str:
    """What tells a class from all others, in all processes."""
    mark = _marks.get(id(cls))
    if mark is None or _alive(mark) is not cls:
        mark = os.urandom(12).hex()
        _note(cls, mark)
    return mark


def _alive(mark: str) -> type | None:
    link = _links.get(mark)
    return None if link is None else link()


def _note(cls: type, mark: str) -> None:
    global _tidy_at
    if len(_links) >= _tidy_at:  # a link that called back would be taken for one of the class's own observers
        for gone in [gone for gone, link in _links.items() if link() is None]:
            del _links[gone]
            _foreign.discard(gone)
        for key in [key for key, known in _marks.items() if known not in _links]:
            del _marks[key]
        _tidy_at = max(1000, 2 * len(_links))
    _links[mark], _marks[id(cls)] = weakref.ref(cls), mark
