"""What is defined in a module that is not the one of its name.

A module may be there twice: imported anew, with or without a part of it, or loaded from a file by a
program.  What it defines is then not found under its own name, but in the global that holds the module.
"""

from __future__ import annotations

import importlib
import sys
import weakref
from collections.abc import Iterator
from types import ModuleType
from typing import Any, TypeAlias

from .snapshot import Reduced, register

Place: TypeAlias = "tuple[str, tuple[str, ...]]"
"""The name of a module, and the way from there, attribute by attribute."""

_places: weakref.WeakKeyDictionary[Any, Place | None] = weakref.WeakKeyDictionary()
"""Of each class and function that was looked for, where it is."""


_known: list[tuple[Place, ModuleType]] = []
"""The modules that were found when it was last looked for them."""


def register_all() -> None:
    """Let snapshots save modules."""
    register(ModuleType, _reduce_module, subclasses=True)


def reduce_to_place(obj: Any) -> Reduced:
    """How a class or function of such a module is saved; NotImplemented if it is in none."""
    if "<locals>" in obj.__qualname__:
        return NotImplemented
    if obj not in _places:
        _places[obj] = _find(obj)
    place = _places[obj]
    return NotImplemented if place is None else (_at, place)


def _reduce_module(module: ModuleType) -> Reduced:
    name = object.__getattribute__(module, "__dict__").get("__name__")  # a lazy one imports when it is asked
    if sys.modules.get(name) is module:
        return importlib.import_module, (name,)
    if type(module).__reduce__ is not object.__reduce__ or type(module).__reduce_ex__ is not object.__reduce_ex__:
        return NotImplemented
    place = next((place for place, other in _shadows() if other is module), None)
    if place is None:
        raise TypeError(f"cannot save module {name!r}: it was not imported under that name")
    return _at, place


def _find(obj: Any) -> Place | None:
    place = _search(obj)
    if place is None:
        _known[:] = _shadows()
        place = _search(obj)
    return place


def _search(obj: Any) -> Place | None:
    names = tuple(obj.__qualname__.split("."))
    for (owner, path), module in _known:
        if _follow(module, names) is obj:
            return owner, (*path, *names)
    return None


def _shadows() -> Iterator[tuple[Place, ModuleType]]:
    """The modules that globals hold and that are not to be had by their names."""
    modules = dict(sys.modules)
    seen = {id(module) for module in modules.values()}
    todo: list[tuple[Place, Any]] = [((name, ()), module) for name, module in modules.items()]
    for (owner, path), module in todo:
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if type(value) is ModuleType and id(value) not in seen:
                seen.add(id(value))
                place = owner, (*path, name)
                todo.append((place, value))
                yield place, value


def _follow(obj: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        obj = getattr(obj, name, None)
    return obj


def _at(owner: str, names: tuple[str, ...]) -> Any:
    found = _follow(importlib.import_module(owner), names)
    if found is None:
        raise AttributeError(f"there is no {'.'.join(names)} in {owner} any more")
    return found
