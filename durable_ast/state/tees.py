"""The iterators of `itertools.tee` as they go on after a resume: what one has read the others still get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_CELLS = 57
"""How many items CPython keeps in one link, which is the index at which it goes to the next."""


class Link:
    """Some items that were read, and what comes after them."""

    def __init__(self, inner: Iterator[Any], values: list[Any], following: Link | None = None) -> None:
        self._inner, self._values, self._following = inner, values, following

    def item(self, index: int) -> Any:
        """The item in a place; it is read if nobody had it."""
        if index == len(self._values):
            self._values.append(next(self._inner))
        return self._values[index]

    def following(self) -> Link:
        """The next link."""
        if self._following is None:
            self._following = Link(self._inner, [])
        return self._following


class Tee:
    """One of several iterators over the same items."""

    def __init__(self, link: Link, index: int) -> None:
        self._link, self._index = link, index

    def __iter__(self) -> Tee:
        return self

    def __next__(self) -> Any:
        if self._index >= _CELLS:
            self._link, self._index = self._link.following(), 0
        value = self._link.item(self._index)
        self._index += 1
        return value

    def __copy__(self) -> Tee:
        return Tee(self._link, self._index)
