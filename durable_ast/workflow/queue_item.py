"""The place of a run in a queue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """A run in a queue.

    Attributes:
        run_id: the run.
        key: whom it counts for, where a limit holds for each.
        priority: the higher, the earlier.
        due: when it may go at the earliest, in seconds since 1970.
        place: its place among those of one priority.
        is_free: whether it was let go.
        only: which run of its unique key it is, if it has one, and that key.
    """

    run_id: str
    key: str | None
    priority: int
    due: float
    place: int = 0
    is_free: bool = False
    only: tuple[str, int] | None = None
