"""Large states, of which only what has changed is written.

A state is kept as a base and the patches since: those of the last few checkpoints in place of the state,
where a checkpoint writes one page, and older ones beside it, in runs that are never changed.  Runs that
get many are joined to a longer one, and when the patches get large beside the base, or one is hardly
smaller than the state, a new base is written.  So what is kept, and what a resume reads, stays within a
small multiple of the state, in a small number of values.

This knows bytes and names, and nothing of who keeps them; see `deltas` for what an instance has of this.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import CorruptStateError
from .diff import Hunk, apply, diff, packed, unpacked

if TYPE_CHECKING:
    from .pieces import Pieces

LARGE = 16_384
"""From how many bytes on a state is kept so."""

SIGN = "~"
"""Stands in the names of what is kept beside a state, behind the name of the state."""

_MARK = b"\xffD"
_HEAD = struct.Struct(">2s8sI")
"""In place of a state: the mark, the generation, and how many patches are in the runs."""
_GENERATION = 8
_RUN = struct.Struct(">8sII")
"""Before a run: the generation, and the patches that it has, by number from and to."""
_TAIL = 1_400
"""How many bytes of patches are kept in place of the state: with the rest of a record they stay below
what PostgreSQL moves out of a row, and far below a page of SQLite."""
_MANY = 64
"""So many runs are joined to one."""
_SHARE = 4
"""Patches may have this fraction of the base."""
_WORTH = 16
"""A patch may have this fraction of the state."""


@dataclass(frozen=True, slots=True, order=True)
class _Run:
    """Some patches in a row.

    Attributes:
        first: the number of the first.
        end: the number behind the last.
        patches: they, packed.
    """

    first: int
    end: int
    patches: bytes


class Shadow:
    """What is stored of a state, as far as whoever writes it has to know.

    Args:
        name: the name of the state.

    >>> shadow = Shadow("it")
    >>> state = bytes(100_000)
    >>> stored, beside = shadow.next(state)
    >>> len(stored), {name: len(value) for name, value in beside.items()}
    (14, {'it~': 100008})
    >>> later, more = shadow.next(state[:500] + b"changed" + state[500:])
    >>> len(later), more
    (26, {})
    >>> Shadow.of("it", later, beside)[0] == state[:500] + b"changed" + state[500:]
    True
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: bytes | Pieces | None = None
        self._generation = b""
        self._tail = b""
        self._levels: list[list[_Run]] = []
        """The runs, shortest first; those of a longer kind are older."""
        self._number = 0
        """How many patches are in the runs."""
        self._in_tail = 0
        self._patched = 0
        """How many bytes all patches have."""
        self._names: set[str] = set()
        """What may be stored beside the state."""

    @property
    def is_in_use(self) -> bool:
        """Whether anything is stored beside the state."""
        return bool(self._names)

    def next(self, state: bytes | Pieces | None) -> tuple[bytes | Pieces | None, dict[str, bytes | None]]:
        """What to write for the next state: in place of it, and beside it by name; None for what is to
        be deleted."""
        if state is None or len(state) < LARGE:
            self._last = None
            return state, self._without_all()
        last, self._last = self._last, state
        if last is None:
            return self._anew(state)
        if last is not state:
            patch = packed(_since(last, state))
            self._patched += len(patch)
            if len(patch) > len(state) // _WORTH or self._patched > len(state) // _SHARE:
                return self._anew(state)
            self._tail += patch
            self._in_tail += 1
            if len(self._tail) > _TAIL:
                return self._moved_on()
        return self._stored(), {}

    def lose(self) -> None:
        """What was written last may be stored or not: the next state is written anew."""
        self._last = None

    def _stored(self) -> bytes:
        return _HEAD.pack(_MARK, self._generation, self._number) + self._tail

    def _anew(self, state: bytes | Pieces) -> tuple[bytes, dict[str, bytes | None]]:
        beside = self._without_all()
        self._generation, self._tail, self._levels = os.urandom(_GENERATION), b"", []
        self._number = self._in_tail = self._patched = 0
        self._put(beside, SIGN, self._generation + bytes(state))
        return self._stored(), beside

    def _moved_on(self) -> tuple[bytes, dict[str, bytes | None]]:
        """The patches go from the place of the state into a run."""
        run = _Run(self._number, self._number + self._in_tail, self._tail)
        self._tail, self._number, self._in_tail = b"", run.end, 0
        beside: dict[str, bytes | None] = {}
        self._add(run, 0, beside)
        return self._stored(), beside

    def _add(self, run: _Run, level: int, beside: dict[str, bytes | None]) -> None:
        if level == len(self._levels):
            self._levels.append([])
        runs = self._levels[level]
        if len(runs) + 1 < _MANY:
            head = _RUN.pack(self._generation, run.first, run.end)
            self._put(beside, _name_of(level, len(runs)), head + run.patches)
            runs.append(run)
            return
        beside.update((self._name + _name_of(level, number), None) for number in range(len(runs)))
        self._levels[level] = []
        joined = b"".join([*(each.patches for each in runs), run.patches])
        self._add(_Run(runs[0].first, run.end, joined), level + 1, beside)

    def _put(self, beside: dict[str, bytes | None], suffix: str, value: bytes) -> None:
        beside[self._name + suffix] = value
        self._names.add(self._name + suffix)

    def _without_all(self) -> dict[str, bytes | None]:
        gone: dict[str, bytes | None] = dict.fromkeys(self._names)
        self._names.clear()
        return gone

    @classmethod
    def of(cls, name: str, stored: bytes, beside: Mapping[str, bytes]) -> tuple[bytes, Shadow]:
        """A state that is stored, and what goes on from there.

        Args:
            name: the name of the state.
            stored: what is in its place.
            beside: all that is kept beside it, by name.

        Raises:
            CorruptStateError: these do not belong together, or are not of one moment.
        """
        shadow = cls(name)
        shadow._names.update(beside)
        _, generation, count = _HEAD.unpack_from(stored)
        shadow._generation, shadow._tail = generation, stored[_HEAD.size :]
        runs: list[tuple[_Run, int]] = []
        for key, value in beside.items():
            if key != name + SIGN and value.startswith(generation):
                _, first, end = _RUN.unpack_from(value)
                runs.append((_Run(first, end, value[_RUN.size :]), _level_of(key)))
        for run, level in sorted(runs):
            if run.first == shadow._number and run.end <= count:
                shadow._number = run.end
                shadow._levels += [[] for _ in range(level + 1 - len(shadow._levels))]
                shadow._levels[level].append(run)
        base = beside.get(name + SIGN, b"")
        if not base.startswith(generation) or shadow._number != count:
            raise CorruptStateError("a state and its changes do not belong together")
        patches = b"".join([*(run.patches for level in reversed(shadow._levels) for run in level), shadow._tail])
        buffer = bytearray(memoryview(base)[_GENERATION:])
        for hunks in unpacked(patches):
            apply(buffer, hunks)
        shadow._last = state = bytes(buffer)
        shadow._patched = len(patches)
        return state, shadow


def is_delta(stored: object) -> bool:
    """Whether this stands for a state that `Shadow.of` gives.

    >>> is_delta(b"state"), is_delta(None)
    (False, False)
    """
    return isinstance(stored, bytes) and stored.startswith(_MARK)


def _name_of(level: int, number: int) -> str:
    return f"{SIGN}{level}.{number}"


def _level_of(name: str) -> int:
    return int(name.rpartition(SIGN)[2].partition(".")[0])


def _since(last: bytes | Pieces, state: bytes | Pieces) -> list[Hunk]:
    """What makes a state of the one before."""
    if not isinstance(last, bytes) and not isinstance(state, bytes):
        hunks = state.since(last)
        if hunks is not None:
            return hunks
    return diff(bytes(last), bytes(state))
