"""Records that cannot be read: what is said of one, and what a list shows in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import CorruptStateError, NewerFormatError
from ..state.schema import Record, Status

T = TypeVar("T")
R = TypeVar("R")


def damaged(instance_id: str, problem: Exception) -> CorruptStateError:
    """What is said of a record that made this problem."""
    return CorruptStateError(
        f"the record of instance {instance_id!r} is damaged ({type(problem).__name__}: {problem}); it is left as it is"
    )


def listed(read: Callable[[T], R], stored: T, instance_id: str, program: str = "") -> R | Record:
    """A record as a list shows it: one that is damaged hides no other, and is shown as put aside.

    Args:
        read: reads it.
        stored: what it reads.
        instance_id, program: what is known of it anyway.
    """
    try:
        return read(stored)
    except (CorruptStateError, NewerFormatError) as error:
        return Record(instance_id, program, Status.PARKED, error=str(error))
