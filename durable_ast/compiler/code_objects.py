"""Code objects: what they are called, what they hold, and which of them were made here."""

from __future__ import annotations
import __future__

import functools
import operator
import re
import weakref
from collections.abc import Iterator
from types import CodeType

FUTURE_FLAGS: int = functools.reduce(
    operator.or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)
"""The bits of ``co_flags`` that stand for ``from __future__`` imports."""

_COMPREHENSION = re.compile(r"<(?:(?:list|set|dict)comp|genexpr)>\.(?:<locals>\.)?")

_made: dict[int, weakref.ref[CodeType]] = {}


def plain_qualname(code: CodeType) -> str:
    """The qualified name without comprehensions on the way: whether those are functions depends on
    the version of Python."""
    return _COMPREHENSION.sub("", code.co_qualname)


def nested_codes(code: CodeType) -> Iterator[CodeType]:
    """All code objects inside a code object."""
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield const
            yield from nested_codes(const)


def is_same(first: CodeType, second: CodeType) -> bool:
    """Whether two code objects are equal; not a number, which no number equals, is the same constant."""
    return first == second or (
        first.replace(co_consts=()) == second.replace(co_consts=()) and _are_same(first.co_consts, second.co_consts)
    )


def _are_same(first: object, second: object) -> bool:
    if type(first) is not type(second):
        return False
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(map(_are_same, first, second))
    if isinstance(first, CodeType) and isinstance(second, CodeType):
        return is_same(first, second)
    if isinstance(first, (float, complex)):
        return repr(first) == repr(second)
    return first == second


def note_made(code: CodeType) -> None:
    """Remember a code object that the compiler has made."""
    for nested in nested_codes(code):
        _made[id(nested)] = weakref.ref(nested)


def is_made(code: CodeType) -> bool:
    """Whether `code` is nested in code that the compiler has made: its source needs no proof."""
    found = _made.get(id(code))
    return found is not None and found() is code
