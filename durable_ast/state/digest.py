"""A digest of a value that is the same in every process.

Pickles of equal values differ: sets have no order, and what is shared depends on how a value was
built.  This walks through the value instead, taking objects apart as pickle would.
"""

from __future__ import annotations

import copyreg
import hashlib
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from .snapshot import reduce

_Add = Callable[[bytes], None]
_ATOMS = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))


def digest(value: Any) -> str | None:
    """A hash of `value`, in hexadecimal, or None if something in it cannot be taken apart.

    An object stands for what its method ``__digested__`` gives, if its class has one.

    >>> digest({"a": {1, 2}, "b": 0}) == digest({"b": 0, "a": {2, 1}})
    True
    >>> digest([1]) == digest([True]), digest(lambda: 0)
    (False, None)
    """
    try:
        return _digest(value, {}).hex()
    except Exception:
        return None


def _digest(value: Any, seen: dict[int, Any]) -> bytes:
    parts = hashlib.sha256()
    _walk(value, parts.update, seen)
    return parts.digest()


def _walk(value: Any, add: _Add, seen: dict[int, Any]) -> None:
    kind = type(value)
    if kind in _ATOMS:
        add(f"{kind.__name__}:{value!r};".encode(errors="surrogatepass"))
        return
    if id(value) in seen:  # a cycle: how far up it leads
        add(f"up:{len(seen) - list(seen).index(id(value))};".encode())
        return
    seen[id(value)] = value
    if kind in (list, tuple):
        _ordered(kind.__name__, value, add, seen)
    elif kind in (set, frozenset):
        _unordered(kind.__name__, value, add, seen)
    elif kind is dict:
        _unordered("dict", value.items(), add, seen)
    elif isinstance(value, (type, FunctionType)):
        _named(value, add)
    else:
        _object(value, add, seen)
    del seen[id(value)]


def _ordered(name: str, items: Iterable[Any], add: _Add, seen: dict[int, Any]) -> None:
    add(f"{name}(".encode())
    for item in items:
        _walk(item, add, seen)
    add(b")")


def _unordered(name: str, items: Iterable[Any], add: _Add, seen: dict[int, Any]) -> None:
    add(f"{name}(".encode())
    for part in sorted(_digest(item, seen) for item in items):
        add(part)
    add(b")")


def _named(value: type | FunctionType, add: _Add) -> None:
    if "<locals>" in value.__qualname__ or value.__name__ == "<lambda>":
        raise TypeError("it has no name that means the same elsewhere")
    add(f"name:{value.__module__}:{value.__qualname__};".encode())


def _object(value: Any, add: _Add, seen: dict[int, Any]) -> None:
    told = getattr(type(value), "__digested__", None)
    if told is not None:
        _walk(told(value), add, seen)
        return
    reduced = reduce(value)
    if isinstance(reduced, str):
        add(f"global:{type(value).__module__}:{reduced};".encode())
        return
    function, arguments, *rest = reduced
    add(b"object(")
    if function is not copyreg.__newobj__:  # type: ignore[attr-defined]
        _walk(function, add, seen)
    for part in (arguments, *rest):
        if hasattr(part, "__next__"):  # the items of a list or dictionary
            part = list(part)
        if part is not None and not callable(part):
            _walk(part, add, seen)
    add(b")")
