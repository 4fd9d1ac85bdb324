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
    """An ``async with``: its body or its end."""


Construct: TypeAlias = InLoop | InManager | InHandler | InFinal | InAsyncWith
Around: TypeAlias = tuple[Construct, ...]
