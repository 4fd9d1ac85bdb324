"""The words that make up a C object, for what it tells nobody otherwise."""

from __future__ import annotations

import functools
from typing import Any


class Words:
    """What follows the head of an object in memory, word by word.

    Attributes:
        owner: where the object is.
    """

    def __init__(self, obj: Any, owner: int, start: int) -> None:
        self._held = obj  # as long as its words are read
        self.owner = owner
        self._start = start

    def word(self, index: int) -> int:
        """A word as it stands: an address, 0 for none."""
        found: int | None = _ctypes().c_void_p.from_address(self._place(index)).value
        return found or 0

    def object(self, index: int) -> Any:
        """The object that a word refers to."""
        return _ctypes().py_object.from_address(self._place(index)).value

    def optional(self, index: int, default: Any = None) -> Any:
        """The object that a word refers to, if there is one."""
        return self.object(index) if self.word(index) else default

    def number(self, index: int) -> int:
        """A word as a number with a sign."""
        found: int = _ctypes().c_ssize_t.from_address(self._place(index)).value
        return found

    def integer(self, index: int) -> int:
        """The first part of a word, a C ``int``."""
        found: int = _ctypes().c_int.from_address(self._place(index)).value
        return found

    def flag(self, index: int) -> bool:
        """A C ``int`` that is true or false."""
        return bool(self.integer(index))

    def numbers(self, index: int, count: int) -> list[int]:
        """The numbers of the array that a word refers to."""
        ctypes = _ctypes()
        return list((ctypes.c_ssize_t * count).from_address(self.word(index))) if count else []

    def _place(self, index: int) -> int:
        ctypes = _ctypes()
        place: int = self._start + index * ctypes.sizeof(ctypes.c_void_p)
        return place


def words_of(obj: Any) -> Words:
    """The words of an object after its head; those of a tuple are its items."""
    size = tuple.__basicsize__ if type(obj) is tuple else object.__basicsize__
    return Words(obj, id(obj), id(obj) + size)


@functools.cache
def _ctypes() -> Any:
    import ctypes  # takes milliseconds

    return ctypes
