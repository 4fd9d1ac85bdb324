"""What an instance tells the world while it is at work: a log that others follow from any process.

Entries are numbered from 1.  They are parts of the instance, in chunks, so that a reader who has seen
some reads what comes after them and no more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from ..errors import CorruptStateError
from ..state import snapshot
from ..state.known_classes import given
from ..state.schema import Status
from ..stores.base import InstanceStore
from ..stores.parts import Parts

_CHUNK = 256
"""How many entries a reader fetches at a time."""
_LOOK_AGAIN = 60.0
"""Seconds after which an instance is looked at again, though nothing was heard of it."""
_OVER = (Status.SUCCESS, Status.ERROR, Status.CANCELLED, Status.PARKED)


class EventLog:
    """The log of an instance, as its owner writes it.

    Args:
        parts: reads the parts of the instance whose names begin so.
    """

    def __init__(self, parts: Callable[[str], Awaitable[dict[str, bytes]]]) -> None:
        self._parts = parts
        self._last: int | None = None

    async def append(self, entries: Sequence[Any]) -> Parts:
        """The parts that add entries to the log; to be written before those of the next call."""
        if self._last is None:
            self._last = await _last_of(self._parts)
        written: dict[str, bytes | None] = {}
        rest = list(entries)
        while rest:
            chunk, taken = divmod(self._last, _CHUNK)
            batch, rest = rest[: _CHUNK - taken], rest[_CHUNK - taken :]
            written[f"{_prefix(chunk)}{taken:04x}"] = snapshot.dumps(batch)
            self._last += len(batch)
        return written


async def follow(store: InstanceStore, instance_id: str, after: int = 0) -> AsyncIterator[tuple[int, Any]]:
    """The entries of an instance with their numbers, as they come, until the instance has ended.

    Args:
        store: where it is kept.
        instance_id: the instance, which need not exist yet.
        after: the number of the last entry that is not wanted any more.
    """
    seen: Any = None
    last = after
    while True:
        seen = await store.changed(instance_id, seen, _LOOK_AGAIN)
        record = await store.read(instance_id)
        while True:  # all that is there by now
            chunk = last // _CHUNK
            found = _entries(chunk, await store.parts(instance_id, _prefix(chunk)))
            for number, entry in found:
                if number > last:
                    last = number
                    yield number, entry
            if last // _CHUNK == chunk:
                break
        if record is not None and record.status in _OVER:
            return


async def _last_of(parts: Callable[[str], Awaitable[dict[str, bytes]]]) -> int:
    """The number of the last entry, found in few reads however long the log is."""

    async def count(chunk: int) -> int:
        return len(_entries(chunk, await parts(_prefix(chunk))))

    low, high = 0, 1
    while await count(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if await count(middle) else (low, middle)
    return low * _CHUNK + await count(low)


def _entries(chunk: int, parts: dict[str, bytes]) -> list[tuple[int, Any]]:
    found: list[tuple[int, Any]] = []
    for name in sorted(parts):
        try:
            batch = given(parts[name])
        except CorruptStateError as error:
            raise CorruptStateError(f"part {name!r} of the event log: {error}") from error
        first = chunk * _CHUNK + int(name.rpartition("/")[2], 16) + 1
        found.extend(enumerate(batch, first))
    return found


def _prefix(chunk: int) -> str:
    return f"e/{chunk:08x}/"
