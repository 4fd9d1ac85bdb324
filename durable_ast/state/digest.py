"""A digest of a value that is the same in every process.

Pickles of equal values differ: sets have no order, and what is shared depends on how a value was
built.  This walks through the value instead, taking objects apart as pickle would.
"""

from __future__ import annotations

import copyreg
import hashlib
from collections.abc import Callable, Iterable, Mapping
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
        return _Digest(_global_name).of(value).hex()
    except Exception:
        return None


def comparison(values: Mapping[str, Any]) -> str:
    """A hash that tells whether the arguments of two calls may be the same.

    They are not if it differs.  An argument in which something cannot be taken apart counts for nothing,
    and classes and functions that are defined inside of a function are told apart by their names.

    >>> comparison({"a": 1, "b": lambda: 0}) == comparison({"a": 1, "b": lambda: 0})
    True
    >>> comparison({"a": 1, "b": open}) == comparison({"a": 2, "b": open})
    False
    """
    parts = hashlib.sha256()
    for name, value in values.items():
        try:
            found = _Digest(_any_name).of(value)
        except Exception:
            found = b""
        parts.update(f"{name}:{found.hex()};".encode())
    return parts.hexdigest()


class _Digest:
    """Walks through one value.

    Args:
        name: what a class or function is called, if that means the same elsewhere.
    """

    def __init__(self, name: Callable[[type | FunctionType], str]) -> None:
        self._name = name
        self._seen: dict[int, Any] = {}

    def of(self, value: Any) -> bytes:
        """The digest of a value, which may be a part of another one."""
        parts = hashlib.sha256()
        self._walk(value, parts.update)
        return parts.digest()

    def _walk(self, value: Any, add: _Add) -> None:
        kind, seen = type(value), self._seen
        if kind in _ATOMS:
            add(f"{kind.__name__}:{value!r};".encode(errors="surrogatepass"))
            return
        if id(value) in seen:  # a cycle: how far up it leads
            add(f"up:{len(seen) - list(seen).index(id(value))};".encode())
            return
        seen[id(value)] = value
        if kind in (list, tuple):
            self._ordered(kind.__name__, value, add)
        elif kind in (set, frozenset):
            self._unordered(kind.__name__, value, add)
        elif kind is dict:
            self._unordered("dict", value.items(), add)
        elif isinstance(value, (type, FunctionType)):
            add(f"name:{value.__module__}:{self._name(value)};".encode())
        else:
            self._object(value, add)
        del seen[id(value)]

    def _ordered(self, name: str, items: Iterable[Any], add: _Add) -> None:
        add(f"{name}(".encode())
        for item in items:
            self._walk(item, add)
        add(b")")

    def _unordered(self, name: str, items: Iterable[Any], add: _Add) -> None:
        add(f"{name}(".encode())
        for part in sorted(self.of(item) for item in items):
            add(part)
        add(b")")

    def _object(self, value: Any, add: _Add) -> None:
        told = getattr(type(value), "__digested__", None)
        if told is not None:
            self._walk(told(value), add)
            return
        reduced = reduce(value)
        if isinstance(reduced, str):
            add(f"global:{type(value).__module__}:{reduced};".encode())
            return
        function, arguments, *rest = reduced
        add(b"object(")
        if function is not copyreg.__newobj__:  # type: ignore[attr-defined]
            self._walk(function, add)
        for part in (arguments, *rest):
            if hasattr(part, "__next__"):  # the items of a list or dictionary
                part = list(part)
            if part is not None and not callable(part):
                self._walk(part, add)
        add(b")")


def _global_name(value: type | FunctionType) -> str:
    if "<locals>" in value.__qualname__ or value.__name__ == "<lambda>":
        raise TypeError("it has no name that means the same elsewhere")
    return value.__qualname__


def _any_name(value: type | FunctionType) -> str:
    return value.__qualname__
