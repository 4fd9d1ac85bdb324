"""What turns some bytes into others, and its stored form.

Places that are the same are found by comparing, not by knowing what the bytes mean.  Nothing here says
what is compared with what, or where the outcome is kept; see `delta` and `history`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

from ..errors import CorruptStateError

_ANCHORS = (1024, 256, 24)
"""How many bytes that are found again tell that two places are the same, best first."""
_PLACES = (8, 4, 12, 2, 14, 6, 10, 1, 15, 3, 13, 5, 11)
"""Where such bytes are taken from, in sixteenths."""
_NEAR = 4_096
"""How many bytes what is found again may have been moved by, beyond what the lengths say: where something
before it has gone and something behind it has come, the lengths know of the difference only."""
_STEP = 65_536
"""How many bytes are compared at a time, at first."""
_NARROW = 1_024
"""How many bytes are compared as one number."""
_RARE = 16
"""At most one byte of so many differs where nothing was moved."""
_DIFFERENT = re.compile(rb"[^\0]+(?:\0{1,3}[^\0]+)*")
"""Bytes that differ; what is the same between two of them costs less than beginning again."""
_SMALL = 64
"""What is not worth to be compared any further."""

Hunk: TypeAlias = tuple[int, int, bytes]
"""Where in the old bytes, how many of them are replaced, and by what."""


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
    apply(state, hunks)
    return bytes(state)


def apply(state: bytearray, hunks: list[Hunk]) -> None:
    """The same, in place."""
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
        if old_end - old_start == end - start:
            in_place = _in_place(old[old_start:old_end], new[start:end])
            if in_place is not None:
                hunks += [(old_start + place, length, changed) for place, length, changed in in_place]
                return
        for size in (size for size in _ANCHORS if 2 * size < most):  # what is long is hardly anywhere else by chance
            for place in _PLACES:
                middle = old_start + (old_end - old_start) * place // 16
                anchor = old[middle : middle + size]
                found = _again(anchor, new, start, end, middle - old_start + start, middle - old_end + end)
                if found >= 0:
                    _compare(old, old_start, middle, new, start, found, hunks)
                    _compare(old, middle, old_end, new, found, end, hunks)
                    return
    hunks.append((old_start, old_end - old_start, new[start:end]))


def _in_place(old: bytes, new: bytes) -> list[Hunk] | None:
    """What makes new bytes of as many old ones if nothing was moved; None if too much differs for that.

    Pickle numbers what it has seen: where the first of many equal texts has gone, each that refers to it
    changes by a byte, and between these no two places are the same for long.
    """
    differences = (int.from_bytes(old, "little") ^ int.from_bytes(new, "little")).to_bytes(len(old), "little")
    if len(old) - differences.count(0) > len(old) // _RARE:
        return None
    places = (match.span() for match in _DIFFERENT.finditer(differences))
    return [(start, end - start, new[start:end]) for start, end in places]


def _again(anchor: bytes, new: bytes, start: int, end: int, *expected: int) -> int:
    """Where some bytes are again: best where nothing was moved, or as much as all together."""
    for place in expected:
        if start <= place <= end - len(anchor) and new.startswith(anchor, place):
            return place
    for near in (_SMALL, _NEAR):  # what repeats itself is found in the nearest place
        low, high = min(expected) - near, max(expected) + near + len(anchor)
        found = new.find(anchor, max(low, start), min(high, end))
        if found >= 0:
            return found
    return -1


def _common(old: bytes, old_start: int, new: bytes, start: int, most: int) -> int:
    """How many bytes are the same from two places on, of so many at most."""
    low, step = 0, _STEP
    while low < most:
        step = min(step, most - low)
        first, second = old[old_start + low : old_start + low + step], new[start + low : start + low + step]
        if first == second:
            low += step
        elif step <= _NARROW:
            others = _difference(first, second)
            return low + ((others & -others).bit_length() - 1) // 8
        else:
            step //= 2
            most = min(most, low + 2 * step + 1)
    return low


def _common_end(old: bytes, old_end: int, new: bytes, end: int, most: int) -> int:
    """How many bytes are the same before two places, of so many at most."""
    low, step = 0, _STEP
    while low < most:
        step = min(step, most - low)
        first, second = old[old_end - low - step : old_end - low], new[end - low - step : end - low]
        if first == second:
            low += step
        elif step <= _NARROW:
            return low + step - (_difference(first, second).bit_length() + 7) // 8
        else:
            step //= 2
            most = min(most, low + 2 * step + 1)
    return low


def _difference(first: bytes, second: bytes) -> int:
    """A number whose bytes, lowest first, are zero where these are the same."""
    return int.from_bytes(first, "little") ^ int.from_bytes(second, "little")


def packed(hunks: list[Hunk]) -> bytes:
    """The hunks as bytes; several of these may stand one after the other.

    >>> list(unpacked(packed([(5, 1, b"one"), (700, 0, b"two")]) + packed([])))
    [[(5, 1, b'one'), (700, 0, b'two')], []]
    """
    data = bytearray()
    _put(data, len(hunks))
    end = 0
    for start, length, new in hunks:
        _put(data, start - end)
        _put(data, length)
        _put(data, len(new))
        data += new
        end = start + length
    return bytes(data)


def unpacked(data: bytes) -> Iterator[list[Hunk]]:
    """What `packed` was given, once for each of what stands in the bytes.

    Raises:
        CorruptStateError: the bytes end in the middle of it.
    """
    place = 0
    try:
        while place < len(data):
            count, place = _number(data, place)
            hunks, end = [], 0
            for _ in range(count):
                gap, place = _number(data, place)
                length, place = _number(data, place)
                size, place = _number(data, place)
                hunks.append((end + gap, length, data[place : place + size]))
                place += size
                end += gap + length
            yield hunks
    except IndexError:
        place = len(data) + 1
    if place > len(data):
        raise CorruptStateError("a change of a state is cut off")


def _put(data: bytearray, number: int) -> None:
    """A number that is not negative, seven bits to a byte, the lowest first."""
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    data.append(number)


def _number(data: bytes, place: int) -> tuple[int, int]:
    """What `_put` has put, and where it ends."""
    number = shift = 0
    while data[place] > 127:
        number |= (data[place] & 127) << shift
        shift += 7
        place += 1
    return number | data[place] << shift, place + 1
