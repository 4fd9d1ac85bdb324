"""The constructs around a suspension point that keep something alive.

`enclosing.py` finds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from .lowered import Completion


@dataclass(frozen=True, slots=True)
class InLoop:
    """The body of a ``for``."""

    iterator: str


@dataclass(frozen=True, slots=True)
class InTurn:
    """The body of an ``async for``, or of a ``while`` whose test suspends.

    Attributes:
        going: the local that says whether there is another turn.
        iterator: the local that holds the iterator of an ``async for``.
    """

    going: str
    iterator: str | None


@dataclass(frozen=True, slots=True)
class InManager:
    """The body of a ``with``."""

    manager: str


@dataclass(frozen=True, slots=True)
class InHandler:
    """The body of an ``except``."""

    error: str


@dataclass(frozen=True, slots=True)
class InFinal:
    """The body of a ``finally`` that suspends."""

    completion: Completion


@dataclass(frozen=True, slots=True)
class InAsyncWith:
    """An ``async with``: its body or its end.

    Attributes:
        manager: the local that holds the manager.
        unfailed: the local that says whether no exception has left the body.
    """

    manager: str
    unfailed: str


Construct: TypeAlias = InLoop | InTurn | InManager | InHandler | InFinal | InAsyncWith
Around: TypeAlias = tuple[Construct, ...]
