"""What an instance has that is kept as a base and patches: its state, and those of its branches.

The state is in its record, together with those before the exceptions in flight; those of its branches
are parts.  What is kept beside them are parts too, so a store that writes a transition whole writes them
whole, and they go with the branches when the instance ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .delta import LARGE, SIGN, Shadow, is_delta
from .schema import BRANCHES, Record

if TYPE_CHECKING:
    from .pieces import Pieces

OF_RECORD = f"{BRANCHES}{SIGN}"
"""What the names of those parts begin with that belong to what is in the record."""


class Deltas:
    """What is stored of the states of one instance, for whoever is at work on it."""

    def __init__(self) -> None:
        self._shadows: dict[str, Shadow] = {}

    def concern(self, record: Record, parts: Mapping[str, bytes | None]) -> bool:
        """Whether a transition writes anything that is not kept whole."""
        if self._shadows or _is_large(record.call_stack) or any(map(_is_large, record.retry)):
            return True
        return bool(parts) and any(_is_large(value) and name.startswith(BRANCHES) for name, value in parts.items())

    def next(self, record: Record, parts: Mapping[str, bytes | None]) -> tuple[Record, dict[str, bytes | None]]:
        """What to write in place of a record and parts."""
        changed = record.copy()
        written: dict[str, bytes | None] = {}
        changed.call_stack = self._next(BRANCHES, record.call_stack, written)
        names = [_name_of_retry(number) for number in range(len(record.retry))]
        retry = [self._next(name, state, written) for name, state in zip(names, record.retry, strict=True)]
        changed.retry = tuple(bytes(state) for state in retry if state is not None)
        for name in [name for name in self._shadows if name.startswith(OF_RECORD) and name not in names]:
            self._next(name, None, written)
        for name, value in parts.items():
            stored = self._next(name, value, written) if name.startswith(BRANCHES) else value
            written[name] = None if stored is None else bytes(stored)
        return changed, written

    def _next(self, name: str, state: bytes | Pieces | None, written: dict[str, bytes | None]) -> bytes | Pieces | None:
        shadow = self._shadows.get(name)
        if shadow is None:
            if not _is_large(state):
                return state
            shadow = self._shadows[name] = Shadow(name)
        stored, beside = shadow.next(state)
        written.update(beside)
        if not shadow.is_in_use:
            del self._shadows[name]
        return stored

    def lose(self) -> None:
        """What was written last may be stored or not."""
        for shadow in self._shadows.values():
            shadow.lose()

    def read(self, name: str, stored: bytes, beside: Mapping[str, bytes]) -> bytes:
        """A state that is stored; what is written next goes on from there.

        Raises:
            CorruptStateError: what is stored does not belong together, or is not of one moment.
        """
        if not is_delta(stored):
            return stored
        state, shadow = Shadow.of(name, stored, beside)
        self._shadows.setdefault(name, shadow)
        return state


def _is_large(state: bytes | Pieces | None) -> bool:
    return state is not None and len(state) >= LARGE


def is_whole(record: Record) -> bool:
    """Whether nothing that is in the record is kept beside it."""
    return not is_delta(record.call_stack) and not any(map(is_delta, record.retry))


def whole(record: Record, parts: Mapping[str, bytes], deltas: Deltas) -> Record:
    """The record with all that is in it.

    Args:
        record: as it is stored.
        parts: its parts; those of its branches suffice.
        deltas: go on from what is read.

    Raises:
        CorruptStateError: what is stored does not belong together, or is not of one moment.
    """
    if is_whole(record):
        return record
    beside = _beside(parts)
    changed = record.copy()
    if isinstance(record.call_stack, bytes):
        changed.call_stack = deltas.read(BRANCHES, record.call_stack, beside.get(BRANCHES, {}))
    changed.retry = tuple(
        deltas.read(name := _name_of_retry(number), stored, beside.get(name, {}))
        for number, stored in enumerate(record.retry)
    )
    return changed


def whole_parts(parts: Mapping[str, bytes], deltas: Deltas) -> dict[str, bytes]:
    """The parts, without what is kept beside states.

    Args:
        parts: as they are stored; what is kept beside one is there if it is.
        deltas: go on from what is read.

    Raises:
        CorruptStateError: what is stored does not belong together.
    """
    beside = _beside(parts)
    return {
        name: deltas.read(name, stored, beside.get(name, {})) if name.startswith(BRANCHES) else stored
        for name, stored in parts.items()
        if not _is_beside(name)
    }


def _name_of_retry(number: int) -> str:
    return f"{OF_RECORD}{number}"


def _is_beside(name: str) -> bool:
    return name.startswith(BRANCHES) and SIGN in name


def _beside(parts: Mapping[str, bytes]) -> dict[str, dict[str, bytes]]:
    """What is kept beside states, by the names of these."""
    found: dict[str, dict[str, bytes]] = {}
    for name, value in parts.items():
        if _is_beside(name):
            found.setdefault(name.rpartition(SIGN)[0], {})[name] = value
    return found
