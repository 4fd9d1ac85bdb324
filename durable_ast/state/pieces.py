"""Large flat lists in a state: only what has changed in them is pickled again.

A list of thousands of strings or numbers that goes through a loop is the same list at each checkpoint,
but for an element or two.  Its elements cannot change, so those that are the same objects as last time
need not be looked at any further.  Such a list is pickled in chunks, each by itself; the rest of the
state refers to the list as pickle refers to what it has seen before, so it stays one object however
many refer to it.

This is no store of differences: it gives the whole state, with word of what has changed in it for a
store that can make use of that (see `delta`).
"""

from __future__ import annotations

import io
import itertools
import operator
import pickle
import struct
import sys
import weakref
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import CorruptStateError
from .diff import Hunk, diff
from .unframed import unframed

MARK = b"\x04"
"""What a state in pieces begins with."""

MANY = 1_024
"""From how many elements on a list is pickled so."""

_CHUNK = 32
_ATOMS = {str, bytes, int, float, bool, complex, type(None)}
_HEAD = struct.Struct("<cII")
"""The mark, the checksum, and how long the table of chunks is."""
_MOST = 8
"""If more than one chunk of so many has changed at once, this is not how the list is used."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Pieces:
    """A state in pieces, the whole of which is ``bytes(pieces)``.

    Attributes:
        table: how many chunks each list has, and how long each of these is.
        lists: the chunks of each list.
        lengths: how long these are.
        rest: the pickle that refers to the lists.
        checksum: of all of it.
        size: how long all of it is, in bytes.
        last: the state before, if these lists were in it.
        changed: for each list, the chunks that are others than they were, by number.
    """

    table: bytes
    lists: tuple[tuple[bytes, ...], ...]
    lengths: tuple[array[int], ...]
    rest: bytes
    checksum: int
    size: int
    last: weakref.ref[Pieces] | None
    changed: tuple[list[int], ...]

    def __len__(self) -> int:
        return self.size

    def __bytes__(self) -> bytes:
        return b"".join((self._head(), *itertools.chain.from_iterable(self.lists), self.rest))

    def _head(self) -> bytes:
        return _HEAD.pack(MARK, self.checksum, len(self.table)) + self.table

    def since(self, before: Pieces) -> list[Hunk] | None:
        """What makes this state of the one before; None if that was another one."""
        if self.last is None or self.last() is not before:
            return None
        old_head = before._head()
        hunks = diff(old_head, self._head())
        place = len(old_head)
        for old, lengths, new, changed in zip(before.lists, before.lengths, self.lists, self.changed, strict=True):
            for index in changed:
                if index < len(old):
                    hunks += _moved(diff(old[index], new[index]), place + sum(lengths[:index]))
            end = place + sum(lengths)
            if len(new) < len(old):
                start = place + sum(lengths[: len(new)])
                hunks.append((start, end - start, b""))
            elif len(new) > len(old):
                hunks.append((end, 0, b"".join(new[len(old) :])))
            place = end
        return hunks + _moved(diff(before.rest, self.rest), place)


def _moved(hunks: list[Hunk], place: int) -> list[Hunk]:
    return [(place + start, length, new) for start, length, new in hunks]


@dataclass(slots=True, eq=False)
class _Held:
    """A list as it was at the last checkpoint."""

    obj: list[Any]
    elements: list[Any]
    chunks: list[bytes]
    lengths: array[int]
    checksums: array[int]


class Lists:
    """The large flat lists that one branch carries along."""

    def __init__(self) -> None:
        self._held: list[_Held] = []
        self._changed: tuple[list[int], ...] = ()
        self._last: Pieces | None = None
        self._unsuited: list[list[Any]] = []
        """Those that change too much, or hold what can change."""

    def noted(self, candidates: Iterable[Any]) -> list[list[Any]]:
        """Those of some objects that are pickled in chunks; what was noted before is forgotten."""
        found = {id(obj): obj for obj in candidates if type(obj) is list and len(obj) >= MANY}
        if not found:
            self._held, self._unsuited, self._last = [], [], None
            return []
        self._unsuited = [obj for obj in self._unsuited if id(obj) in found]
        for obj in self._unsuited:
            del found[id(obj)]
        held = {id(each.obj): each for each in self._held}
        before, self._held = self._held, []
        changed: list[list[int]] = []
        for key, obj in found.items():
            each = held.get(key)
            numbers: list[int] | None = []
            if each is None:
                each = _first(obj)
            else:
                numbers = _update(each)
            if each is None or numbers is None:
                self._unsuited.append(obj)
            else:
                self._held.append(each)
                changed.append(numbers)
        if len(before) != len(self._held) or any(map(operator.is_not, before, self._held)):
            self._last = None
        self._changed = tuple(changed)
        return [each.obj for each in self._held]

    def state(self, rest: bytes) -> Pieces:
        """The state with the lists that were noted, as it is now.

        Args:
            rest: the pickle of everything else.
        """
        lengths = tuple(each.lengths[:] for each in self._held)
        table = b"".join(len(each).to_bytes(4, "little") + _little(each).tobytes() for each in lengths)
        self._last = pieces = Pieces(
            table,
            tuple(tuple(each.chunks) for each in self._held),
            lengths,
            rest,
            _checksum(table, (each.checksums for each in self._held), rest),
            _HEAD.size + len(table) + sum(map(sum, lengths)) + len(rest),
            None if self._last is None else weakref.ref(self._last),
            self._changed,
        )
        return pieces


def _first(obj: list[Any]) -> _Held | None:
    """A list that was not seen before, if it is flat."""
    if not set(map(type, obj)) <= _ATOMS:
        return None
    elements = obj.copy()
    chunks = [_dumped(elements[start : start + _CHUNK]) for start in range(0, len(elements), _CHUNK)]
    return _Held(obj, elements, chunks, array("I", map(len, chunks)), array("I", map(zlib.crc32, chunks)))


def _update(held: _Held) -> list[int] | None:
    """Take over what has changed in a list: the chunks, by number; None if it is flat no more, or has
    changed too much."""
    obj, elements, chunks, lengths, checksums = held.obj, held.elements, held.chunks, held.lengths, held.checksums
    shorter, longer = sorted((len(obj), len(elements)))
    length, count = len(obj), -(-len(obj) // _CHUNK)
    numbers = {place // _CHUNK for place in _places_of(1, bytes(map(operator.is_not, obj, elements)))}
    if shorter != longer:
        numbers.update(range(shorter // _CHUNK, count))
    if len(numbers) > max(count // _MOST, 1):
        return None
    del elements[length:], chunks[count:], lengths[count:], checksums[count:]
    for number in sorted(numbers):
        place = slice(number * _CHUNK, (number + 1) * _CHUNK)
        elements[place] = part = obj[place]
        if not _ATOMS.issuperset(map(type, part)):
            return None
        chunk = _dumped(part)
        here = slice(number, number + 1)
        chunks[here], lengths[here], checksums[here] = [chunk], _number(len(chunk)), _number(zlib.crc32(chunk))
    return sorted(numbers) if len(elements) == length else None  # a thread may have changed it meanwhile


def _number(value: int) -> array[int]:
    return array("I", [value])


def _places_of(value: int, data: bytes) -> list[int]:
    """Where a byte is; for one that is hardly anywhere."""
    places = []
    place = data.find(value)
    while place >= 0:
        places.append(place)
        place = data.find(value, place + 1)
    return places


def _dumped(elements: list[Any]) -> bytes:
    """The opcodes that append some atoms to a list."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5)
    pickler.fast = True  # each chunk must mean the same wherever it stands, so nothing is remembered
    pickler.dump(elements)
    return b"".join(unframed(file.getbuffer()[2:]))[1:-1]  # neither the version, nor the list itself, nor the end


def _checksum(table: bytes, checksums: Iterable[array[int]], rest: bytes) -> int:
    start = zlib.crc32(table)
    for each in checksums:
        start = zlib.crc32(_little(each).tobytes(), start)
    return zlib.crc32(rest, start)


def _little(numbers: array[int]) -> array[int]:
    """Numbers that are stored with their smallest byte first, whichever machine this is."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers


def pickle_of(data: bytes) -> bytes:
    """The opcodes of a state in pieces: they make the lists, remember each, and then the rest.

    Raises:
        CorruptStateError: it is damaged.
    """
    try:
        return _pickle_of(memoryview(data))
    except (struct.error, ValueError) as error:
        raise CorruptStateError(f"a snapshot is damaged: {error}") from error


def _pickle_of(view: memoryview) -> bytes:
    _, checksum, size = _HEAD.unpack_from(view)
    table = view[_HEAD.size : _HEAD.size + size]
    place = _HEAD.size + size
    opcodes: list[bytes | memoryview] = []
    checksums: list[array[int]] = []
    start = 0
    while start < len(table):
        count = int.from_bytes(table[start : start + 4], "little")
        lengths = _little(array("I", bytes(table[start + 4 : start + 4 * (count + 1)])))
        start += 4 * (count + 1)
        ends = [*itertools.accumulate(lengths, initial=place)]
        chunks = [view[begin:end] for begin, end in itertools.pairwise(ends)]
        checksums.append(array("I", map(zlib.crc32, chunks)))
        opcodes += (b"]\x94", view[place : ends[-1]], b"0")  # a list, remembered, filled, and put aside
        place = ends[-1]
    rest = view[place:]
    if _checksum(bytes(table), checksums, bytes(rest)) != checksum:
        raise ValueError(f"its {len(view)} bytes do not match their checksum")
    return b"".join((*opcodes, rest))
