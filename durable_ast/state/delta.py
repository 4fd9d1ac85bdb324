"""Large states, of which only what has changed is written.

A state is kept as a base and the patches since: those of the last few checkpoints beside the record
itself, where a checkpoint writes one page, and older ones in parts of their own, each as many as fill a
page, which are never written again.  When the patches get large beside the base, or a patch is hardly
smaller than the state, a new base is written; so what is kept, and what a resume reads, stays within a
small multiple of the state.

A patch is found by comparing bytes, so it does not matter what the objects in a state are, or how they
are shared; where a state comes in pieces, it is known which of them to compare.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from ..errors import CorruptStateError

if TYPE_CHECKING:
    from .pieces import Pieces

LARGE = 16_384
"""From how many bytes on a state is kept so."""

BASE = ".base"
PATCHES = ".patches"
"""The names of the parts that belong to a state kept so; those of patches have a number behind it.  To
delete the part `PATCHES` is to delete all of them."""

_MARK = b"\xffD"
_GENERATION = 8
_HEAD = len(_MARK) + _GENERATION
_ROW = 2_800
"""How many bytes of patches are kept beside the record: with it they fill a database page."""
_SHARE = 4
"""Patches may have this fraction of the base."""
_WORTH = 16
"""A patch may have this fraction of the state."""
_ANCHORS = (1024, 256, 24)
"""How many bytes that are found again tell that two places are the same, best first."""
_STEP = 65_536
"""How many bytes are compared at a time, at first."""
_SMALL = 64
"""What is not worth to be compared any further."""

Hunk: TypeAlias = tuple[int, int, bytes]
"""Where in the old bytes, how many of them are replaced, and by what."""


class Shadow:
    """What a store has of the state of one instance.

    >>> shadow = Shadow()
    >>> state = bytes(100_000)
    >>> record, parts = shadow.next(state)
    >>> base = parts[BASE]
    >>> len(record), len(base)
    (10, 100008)
    >>> record, parts = shadow.next(state[:500] + b"changed" + state[500:])
    >>> len(record) < 50, parts
    (True, {})
    >>> whole(record, base, []) == state[:500] + b"changed" + state[500:]
    True
    """

    def __init__(self) -> None:
        self._last: bytes | Pieces | None = None
        self._record = b""
        self._patches = 0
        self._patched = 0

    def next(self, state: bytes | Pieces | None) -> tuple[bytes | None, dict[str, bytes | None]]:
        """What to write for the next state: in place of it, and as parts."""
        if state is None or len(state) < LARGE:
            had_base, self._last = self._last is not None, None
            return None if state is None else bytes(state), {BASE: None, PATCHES: None} if had_base else {}
        last, self._last = self._last, state
        if last is None:
            return self._anew(bytes(state))
        patch = _packed(_since(last, state))
        self._patched += len(patch)
        if len(patch) > len(state) // _WORTH or self._patched > len(state) // _SHARE:
            return self._anew(bytes(state))
        if len(self._record) + len(patch) <= _HEAD + _ROW:
            self._record += patch
            return self._record, {}
        name, self._patches = f"{PATCHES}/{self._patches:08}", self._patches + 1
        full, self._record = self._record + patch, self._record[:_HEAD]
        return self._record, {name: full[len(_MARK) :]}

    def _anew(self, state: bytes) -> tuple[bytes, dict[str, bytes | None]]:
        generation = os.urandom(_GENERATION)
        self._record, self._patches, self._patched = _MARK + generation, 0, 0
        return self._record, {BASE: generation + state, PATCHES: None}


def _since(last: bytes | Pieces, state: bytes | Pieces) -> list[Hunk]:
    """What makes a state of the one before."""
    if not isinstance(last, bytes) and not isinstance(state, bytes):
        hunks = state.since(last)
        if hunks is not None:
            return hunks
    return diff(bytes(last), bytes(state))


def is_delta(record: bytes | None) -> bool:
    """Whether this stands for a state that `whole` gives."""
    return record is not None and record.startswith(_MARK)


def whole(record: bytes, base: bytes | None, patches: Iterable[bytes]) -> bytes:
    """The state, from what is stored of it: the record, the base, and the other patches in order.

    Raises:
        CorruptStateError: these do not belong together.
    """
    generation = record[len(_MARK) : _HEAD]
    later = list(patches)
    if base is None or any(part[:_GENERATION] != generation for part in (base, *later)):
        raise CorruptStateError("a state and its changes do not belong together")
    state = bytearray(memoryview(base)[_GENERATION:])
    for stored in (*(part[_GENERATION:] for part in later), record[_HEAD:]):
        for hunks in _unpacked(stored):
            _patch(state, hunks)
    return bytes(state)


def diff(old: bytes, new: bytes) -> list[Hunk]:
    """What makes the new bytes of the old ones, in order.

    >>> old = bytes(range(256)) * 4
    >>> diff(old, old[:100] + b"!" + old[100:900] + old[905:])
    [(100, 0, b'!'), (900, 5, b'')]
    """
    hunks: list[Hunk] = []
    _compare(old, 0, len(old), new, 0, len(new), hunks)
    return hunks


def patched(old: bytes, hunks: list[Hunk]) -> bytes:
    """What `diff` was given as the new bytes.

    >>> patched(b"one two", diff(b"one two", b"one and two"))
    b'one and two'
    """
    state = bytearray(old)
    _patch(state, hunks)
    return bytes(state)


def _patch(state: bytearray, hunks: list[Hunk]) -> None:
    for start, length, new in reversed(hunks):
        state[start : start + length] = new


def _compare(old: bytes, old_start: int, old_end: int, new: bytes, start: int, end: int, hunks: list[Hunk]) -> None:
    same = _common(old, old_start, new, start, min(old_end - old_start, end - start))
    old_start, start = old_start + same, start + same
    same = _common_end(old, old_end, new, end, min(old_end - old_start, end - start))
    old_end, end = old_end - same, end - same
    if old_start == old_end and start == end:
        return
    most = min(old_end - old_start, end - start)
    if most > _SMALL:
        for size in (size for size in _ANCHORS if 2 * size < most):  # what is long is hardly anywhere else by chance
            for eighth in (4, 2, 6, 1, 7):
                middle = old_start + (old_end - old_start) * eighth // 8
                anchor = old[middle : middle + size]
                found = _again(anchor, new, start, end, middle - old_start + start, middle - old_end + end)
                if found >= 0:
                    _compare(old, old_start, middle, new, start, found, hunks)
                    _compare(old, middle, old_end, new, found, end, hunks)
                    return
    hunks.append((old_start, old_end - old_start, new[start:end]))


def _again(anchor: bytes, new: bytes, start: int, end: int, *expected: int) -> int:
    """Where some bytes are again: best where nothing was moved, or as much as all together."""
    for place in expected:
        if start <= place <= end - len(anchor) and new.startswith(anchor, place):
            return place
    low, high = min(expected) - _SMALL, max(expected) + _SMALL + len(anchor)
    return new.find(anchor, max(low, start), min(high, end))


def _common(old: bytes, old_start: int, new: bytes, start: int, most: int) -> int:
    """How many bytes are the same from two places on, of so many at most."""
    low, step = 0, _STEP
    while low < most:
        step = min(step, most - low)
        if new.startswith(old[old_start + low : old_start + low + step], start + low):
            low += step
        elif step == 1:
            break
        else:
            step //= 2
            most = min(most, low + 2 * step + 1)
    return low


def _common_end(old: bytes, old_end: int, new: bytes, end: int, most: int) -> int:
    """How many bytes are the same before two places, of so many at most."""
    low, step = 0, _STEP
    while low < most:
        step = min(step, most - low)
        if new.startswith(old[old_end - low - step : old_end - low], end - low - step):
            low += step
        elif step == 1:
            break
        else:
            step //= 2
            most = min(most, low + 2 * step + 1)
    return low


def _packed(hunks: list[Hunk]) -> bytes:
    """A patch: how many hunks it has, and each with its lengths before it."""
    parts = [len(hunks).to_bytes(4, "big")]
    for start, length, new in hunks:
        parts += [start.to_bytes(6, "big"), length.to_bytes(6, "big"), len(new).to_bytes(6, "big"), new]
    return b"".join(parts)


def _unpacked(stored: bytes) -> Iterator[list[Hunk]]:
    """The patches that are stored one after the other."""
    place = 0

    def number(size: int) -> int:
        nonlocal place
        place += size
        return int.from_bytes(stored[place - size : place], "big")

    while place < len(stored):
        hunks = []
        for _ in range(number(4)):
            start, length, size = number(6), number(6), number(6)
            hunks.append((start, length, stored[place : place + size]))
            place += size
        yield hunks
