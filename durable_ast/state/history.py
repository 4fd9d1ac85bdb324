"""The checkpoints of an instance before its last one.

Each is kept as what turns the one after it back into it, so it costs what has changed between the
two, and the oldest can be forgotten at any time.  They are parts of the instance, written in the
transition that replaces them; whatever a store does with parts, it does with its history.
"""

from __future__ import annotations

import pickle
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ..errors import CorruptStateError
from . import diff, plain
from .schema import BRANCHES, Record, Status

PREFIX = "h/"
"""What the names of those parts begin with that hold earlier checkpoints."""

_STATE = ""
"""Stands among the names of branches for the state of the instance itself."""

Held: TypeAlias = "dict[str, bytes]"
"""The state of an instance and the records of its branches, by name."""
Way: TypeAlias = "dict[str, tuple[int, list[diff.Hunk]] | None]"
"""What turns something held into what was held before: for each name that changes the checksum of
what comes out and the changes, or None if there was no such name."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An instance as one of its checkpoints had it.

    Attributes:
        record: the instance; its `updated_at` is when the checkpoint was written.
        parts: the records of its branches, by name.
    """

    record: Record
    parts: Mapping[str, bytes]


class History:
    """Writes the history of an instance that is at work.

    Args:
        keep: how many checkpoints are kept, with the last one; all of them if it is None.
        record: the instance as it stands.
        parts: its parts.
    """

    def __init__(self, keep: int | None, record: Record, parts: Mapping[str, bytes]) -> None:
        self._keep = keep
        self._kept = [sequence_of(name) for name in parts if name.startswith(PREFIX)] if keep is not None else []
        self._note(record, record.updated_at, _held(record, parts))

    def _note(self, record: Record, at: float, held: Held) -> None:
        self._sequence, self._facts, self._held = record.sequence, _facts(record, at), held

    def parts(self, record: Record, parts: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        """What a transition writes to keep the checkpoint that it replaces; None for what it forgets.

        Args:
            record: the instance from now on.
            parts: what else is written.
        """
        held = _held(record, {**self._held, **parts})
        written: dict[str, bytes | None] = {
            _name_of(self._sequence): pickle.dumps((self._facts, _way_back(held, self._held)))
        }
        if self._keep is not None:
            self._kept.append(self._sequence)
            oldest = record.sequence - self._keep
            written.update((_name_of(each), None) for each in self._kept if each <= oldest)
            self._kept = [each for each in self._kept if each > oldest]
        self._note(record, time.time(), held)
        return written


def history_in(record: Record, parts: Mapping[str, bytes]) -> list[Checkpoint]:
    """The checkpoints of an instance that are kept, oldest first; the last is the instance as it stands.

    Args:
        record: the instance.
        parts: all its parts.

    Raises:
        CorruptStateError: an earlier checkpoint does not belong to those after it.
    """
    held = _held(record, parts)
    found = [_checkpoint(record, held)]
    for sequence in sorted((sequence_of(name) for name in parts if name.startswith(PREFIX)), reverse=True):
        facts, way = plain.loads(parts[_name_of(sequence)])
        held = _gone_back(held, way, f"checkpoint {sequence} of instance {record.instance_id!r}")
        found.append(_checkpoint(_with_facts(record, sequence, facts), held))
    found.reverse()
    return found


def sequence_of(name: str) -> int:
    """The number of the checkpoint in a part of this name."""
    return int(name.removeprefix(PREFIX))


def _name_of(sequence: int) -> str:
    return f"{PREFIX}{sequence}"


def _held(record: Record, parts: Mapping[str, bytes | None]) -> Held:
    state = record.state
    held = {} if state is None else {_STATE: state}
    if not record.status.is_final:
        held.update((name, data) for name, data in parts.items() if name.startswith(BRANCHES) and data is not None)
    return held


def _checkpoint(record: Record, held: Held) -> Checkpoint:
    return Checkpoint(
        replace(record, call_stack=held.get(_STATE)), {name: data for name, data in held.items() if name != _STATE}
    )


def _facts(record: Record, at: float) -> tuple[Any, ...]:
    return record.status.value, record.epoch, at, record.awaited, record.wake_at, record.outcome, record.error


def _with_facts(record: Record, sequence: int, facts: tuple[Any, ...]) -> Record:
    status, epoch, at, awaited, wake_at, outcome, error = facts
    return replace(
        record,
        sequence=sequence,
        status=Status(status),
        epoch=epoch,
        updated_at=at,
        awaited=awaited,
        wake_at=wake_at,
        outcome=outcome,
        error=error,
        retry=(),
    )


def _way_back(after: Held, before: Held) -> Way:
    way: Way = {name: None for name in after if name not in before}
    for name, data in before.items():
        if after.get(name) != data:
            way[name] = zlib.crc32(data), diff.diff(after.get(name, b""), data)
    return way


def _gone_back(held: Held, way: Way, what: str) -> Held:
    before = dict(held)
    for name, change in way.items():
        if change is None:
            before.pop(name, None)
            continue
        checksum, hunks = change
        data = diff.patched(held.get(name, b""), hunks)
        if zlib.crc32(data) != checksum:
            raise CorruptStateError(f"{what} cannot be rebuilt from the checkpoint after it, which is another one")
        before[name] = data
    return before
