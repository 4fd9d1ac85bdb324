"""How much a store holds."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ..state.schema import Status


class Size(NamedTuple):
    """How many bytes are kept of an instance.

    Attributes:
        instance_id: the instance.
        status: where it stands.
        state: its last checkpoint and its outcome.
        parts: what is kept beside: branches, published values, journals, messages that it has not taken.
        history: its earlier checkpoints.
    """

    instance_id: str
    status: Status
    state: int
    parts: int
    history: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.state + self.parts + self.history


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many bytes a store holds, without what the database needs for itself.

    Attributes:
        instances: how many instances there are, by status.
        bytes: how many bytes are kept of them, by status.
        history: how many of all these bytes are earlier checkpoints.
        largest: the largest instances, largest first.
        file: how large the file of the store is, if it is one.
        unused: how many bytes of it hold nothing, which `InstanceStore.shrink` gives back.
    """

    instances: dict[Status, int]
    bytes: dict[Status, int]
    history: int
    largest: list[Size]
    file: int | None = None
    unused: int | None = None


def summed(sizes: Iterable[Size], largest: int, file: int | None = None, unused: int | None = None) -> Sizes:
    """What all instances of a store hold together.

    >>> one, two = Size("one", Status.SUCCESS, 10, 0, 90), Size("two", Status.WAITING, 20, 5, 0)
    >>> found = summed([one, two], largest=1)
    >>> found.bytes[Status.SUCCESS], found.history, [size.instance_id for size in found.largest]
    (100, 90, ['one'])
    """
    instances: dict[Status, int] = {}
    held: dict[Status, int] = {}
    history = 0
    top: list[tuple[int, str, Size]] = []
    for size in sizes:
        instances[size.status] = instances.get(size.status, 0) + 1
        held[size.status] = held.get(size.status, 0) + size.total
        history += size.history
        heapq.heappush(top, (size.total, size.instance_id, size))
        if len(top) > largest:
            heapq.heappop(top)
    return Sizes(instances, held, history, [size for _, _, size in sorted(top, reverse=True)], file, unused)
