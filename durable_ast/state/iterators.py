"""Iterators of `itertools` that pickle does not know, in a snapshot.

What they hold the garbage collector visits; how long the batches are is behind that in memory.
"""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Iterator
from typing import Any

from .snapshot import Reduced, register

_KEEPS_ITS_RESULT = sys.version_info >= (3, 13)


def register_all() -> None:
    """Let snapshots save these."""
    register(itertools.pairwise, _reduce_pairwise)
    if sys.version_info >= (3, 12):
        register(itertools.batched, _reduce_batched)


def _held(iterator: Any) -> list[Any]:
    """The iterator that it takes from, and what else it holds; nothing once it has ended."""
    held = [obj for obj in gc.get_referents(iterator) if obj is not type(iterator)]
    return held if held and hasattr(type(held[0]), "__next__") else []


def _reduce_pairwise(pairs: Any) -> Reduced:
    held = _held(pairs)
    if not held:
        return itertools.pairwise, ((),)
    inner, *before = held[: len(held) - _KEEPS_ITS_RESULT]
    return itertools.pairwise, (_Then(before[0], inner) if before else inner,)


class _Then:
    """An item, and what comes after it."""

    def __init__(self, first: Any, inner: Iterator[Any]) -> None:
        self._first, self._inner = [first], inner

    def __iter__(self) -> _Then:
        return self

    def __next__(self) -> Any:
        return self._first.pop() if self._first else next(self._inner)


def _reduce_batched(batches: Any) -> Reduced:
    held = _held(batches)
    if not held:
        return _batches, ((), 1, False)
    import ctypes  # takes milliseconds

    size, word = object.__basicsize__, ctypes.sizeof(ctypes.c_void_p)
    place = id(batches) + size
    if ctypes.c_void_p.from_address(place).value != id(held[0]):
        raise TypeError("cannot save itertools.batched(): this Python keeps it in another way")
    length = ctypes.c_ssize_t.from_address(place + word).value
    is_strict = sys.version_info >= (3, 13) and ctypes.c_bool.from_address(place + 2 * word).value
    return _batches, (held[0], length, is_strict)


def _batches(inner: Any, length: int, is_strict: bool) -> Any:
    if sys.version_info >= (3, 13) or (sys.version_info >= (3, 12) and not is_strict):
        options = {"strict": True} if is_strict else {}
        return itertools.batched(inner, length, **options)
    return _Batches(inner, length, is_strict)


class _Batches:
    """`itertools.batched` for a Python that does not have it."""

    def __init__(self, inner: Any, length: int, is_strict: bool) -> None:
        self._inner, self._length, self._is_strict = iter(inner), length, is_strict

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> tuple[Any, ...]:
        batch = tuple(itertools.islice(self._inner, self._length))
        if not batch:
            raise StopIteration
        if self._is_strict and len(batch) < self._length:
            raise ValueError("batched(): incomplete batch")
        return batch
