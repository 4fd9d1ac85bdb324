"""Objects whose class says itself how they are made or filled, in a snapshot.

pickle makes an object by calling ``__new__`` of its class, without the arguments that it was once called
with.  If these are needed that fails, and there would be a checkpoint that nobody can load; and an
object that was there all the time would be counted or registered a second time.  So ``__new__`` of
CPython's own class underneath is called.

For the same reason the items of a list or dictionary are put back by CPython's own methods: those of its
class may need attributes that the object does not have yet, and have seen the items already.

It is left to pickle where a class that any process can import has a ``__new__`` that can be called so:
it may give the one object that this process has of it.
"""

from __future__ import annotations

import copyreg
import functools
import inspect
from types import BuiltinFunctionType, FunctionType
from typing import Any

from .snapshot import PROTOCOL, Reduced, Reducer, importable, register_for


def register_all() -> None:
    """Let snapshots save such objects."""
    register_for(_reducer)


def _reducer(kind: type) -> Reducer | None:
    """How the objects of a class are taken apart, if its ``__new__`` must not be called for them."""
    makes = isinstance(kind.__new__, FunctionType)
    fills = any(isinstance(getattr(kind, name, None), FunctionType) for name in _FILLING)
    if (not makes and not (fills and issubclass(kind, (list, dict)))) or _says_how(kind):
        return None
    base = next(base for base in kind.__mro__ if isinstance(vars(base).get("__new__"), BuiltinFunctionType))
    return functools.partial(_reduce, base, importable(kind))


_FILLING = ("__setitem__", "append", "extend")
"""The methods that pickle fills a list or dictionary with."""


def _says_how(kind: Any) -> bool:
    """Whether a class, or somebody for it, says how its objects are pickled."""
    if kind in copyreg.dispatch_table or hasattr(kind, "__getnewargs_ex__"):
        return True
    if kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ is not object.__reduce__:
        return True
    return isinstance(getattr(kind, "__getnewargs__", None), FunctionType)


def _reduce(base: type, is_importable: bool, obj: Any) -> Reduced:
    reduced: Any = obj.__reduce_ex__(PROTOCOL)
    make, args, state, *items = (*reduced, None, None, None)[:5]
    if make is not copyreg.__newobj__:  # type: ignore[attr-defined]
        return reduced
    if not is_importable or not _can_be_called(type(obj), args):
        make, args = _made, (base, *args)
    if all(each is None for each in items):
        return make, args, state
    return make, args, (state, *(None if each is None else list(each) for each in items)), None, None, _fill


def _fill(obj: Any, facts: tuple[Any, list[Any] | None, list[tuple[Any, Any]] | None]) -> None:
    state, items, pairs = facts
    if items is not None:
        list.extend(obj, items)
    if pairs is not None:
        dict.update(obj, pairs)
    if state is None:
        return
    if hasattr(obj, "__setstate__"):
        obj.__setstate__(state)
        return
    own, slots = state if isinstance(state, tuple) else (state, None)
    if own:
        vars(obj).update(own)
    for name, value in (slots or {}).items():
        object.__setattr__(obj, name, value)


def _can_be_called(kind: Any, args: tuple[Any, ...]) -> bool:
    try:
        inspect.signature(kind.__new__).bind(*args)
    except (TypeError, ValueError):
        return False
    return True


def _made(base: Any, kind: type, *args: Any) -> Any:
    return base.__new__(kind, *args)
