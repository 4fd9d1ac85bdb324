"""Objects whose class says itself how they are made or filled, in a snapshot.

pickle makes an object by calling ``__new__`` of its class, without the arguments that it was once called
with.  If these are needed that fails, and there would be a checkpoint that nobody can load; and an
object that was there all the time would be counted or registered a second time.  So ``__new__`` of
CPython's own class underneath is called.

An object whose class answers for attributes that are not there is not asked for any: pickle looks for a
dozen, before there is anything in the object that such an answer could come from, and a class that
counts or passes on what it is asked would notice the checkpoint.

For the same reason the items of a list or dictionary are put back by CPython's own methods: those of its
class may need attributes that the object does not have yet, and have seen the items already.

It is left to pickle where a class that any process can import has a ``__new__`` that can be called so:
it may give the one object that this process has of it.
"""

from __future__ import annotations

import contextlib
import copyreg
import functools
import inspect
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType
from typing import Any

from .snapshot import PROTOCOL, Reduced, Reducer, importable, register_for


def register_all() -> None:
    """Let snapshots save such objects."""
    register_for(_reducer)


def _reducer(kind: type) -> Reducer | None:
    """How the objects of a class are taken apart, if their class must not notice."""
    makes = isinstance(kind.__new__, FunctionType)
    fills = _has(kind, _FILLING) and issubclass(kind, (list, dict))
    answers = _has(kind, _ANSWERING)
    if not (makes or fills or answers) or _says_how(kind):
        return None
    base = next(base for base in kind.__mro__ if isinstance(vars(base).get("__new__"), BuiltinFunctionType))
    if answers and base in _LAYOUTS and not _has(kind, ("__getstate__", "__setstate__")):
        return functools.partial(_reduce_unasked, base, importable(kind))
    return functools.partial(_reduce, base, importable(kind)) if makes or fills else None


_FILLING = ("__setitem__", "append", "extend")
"""The methods that pickle fills a list or dictionary with."""

_ANSWERING = ("__getattr__", "__getattribute__")
"""The methods that are asked for attributes."""

_LAYOUTS = frozenset({object, list, dict, int, float, complex, str, bytes, tuple})
"""The classes of CPython's whose objects hold nothing but a value, items and attributes."""


def _has(kind: type, names: Iterable[str]) -> bool:
    """Whether a method of one of these names was written in Python."""
    return any(isinstance(getattr(kind, name, None), FunctionType) for name in names)


def _says_how(kind: Any) -> bool:
    """Whether a class, or somebody for it, says how its objects are pickled."""
    if kind in copyreg.dispatch_table or hasattr(kind, "__getnewargs_ex__"):
        return True
    if kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ is not object.__reduce__:
        return True
    return _has(kind, ("__getnewargs__",))


def _reduce(base: type, is_importable: bool, obj: Any) -> Reduced:
    reduced: Any = obj.__reduce_ex__(PROTOCOL)
    make, args, state, *items = (*reduced, None, None, None)[:5]
    if make is not copyreg.__newobj__:  # type: ignore[attr-defined]
        return reduced
    make, args = _way_to_make(base, is_importable, args)
    if all(each is None for each in items):
        return make, args, state
    return make, args, (state, *(None if each is None else list(each) for each in items)), None, None, _fill


def _reduce_unasked(base: Any, is_importable: bool, obj: Any) -> Reduced:
    """What `object.__reduce_ex__` gives, read past the class."""
    kind = type(obj)
    args = base.__getnewargs__(obj) if hasattr(base, "__getnewargs__") else ()
    make, args = _way_to_make(base, is_importable, (kind, *args))
    own = object.__getattribute__(obj, "__dict__") if kind.__dictoffset__ else None
    slots = {}
    for name in copyreg._slotnames(kind):  # type: ignore[attr-defined]
        with contextlib.suppress(AttributeError):
            slots[name] = object.__getattribute__(obj, name)
    items = list(list.__iter__(obj)) if base is list else None
    pairs = list(dict.items(obj)) if base is dict else None
    return make, args, ((own, slots) if slots else own, items, pairs), None, None, _fill


def _way_to_make(base: type, is_importable: bool, args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """How to make an object, given its class and the arguments for that of CPython's underneath."""
    if is_importable and _can_be_called(args[0], len(args)):
        return copyreg.__newobj__, args  # type: ignore[attr-defined]
    return _made, (base, *args)


def _fill(obj: Any, facts: tuple[Any, list[Any] | None, list[tuple[Any, Any]] | None]) -> None:
    state, items, pairs = facts
    if items is not None:
        list.extend(obj, items)
    if pairs is not None:
        dict.update(obj, pairs)
    if state is None:
        return
    if hasattr(type(obj), "__setstate__"):
        obj.__setstate__(state)
        return
    own, slots = state if isinstance(state, tuple) else (state, None)
    if own:
        object.__getattribute__(obj, "__dict__").update(own)
    for name, value in (slots or {}).items():
        object.__setattr__(obj, name, value)


@functools.lru_cache(maxsize=512)
def _can_be_called(kind: Any, count: int) -> bool:
    """Whether pickle can make an object of a class with so many arguments, the class included."""
    try:
        inspect.signature(kind.__new__).bind(*[kind] * count)
    except (TypeError, ValueError):
        return False
    return True


def _made(base: Any, kind: type, *args: Any) -> Any:
    return base.__new__(kind, *args)
