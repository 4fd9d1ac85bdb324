"""Pickles without frames.

pickle divides what it writes into frames of 64 KB, each with its length in front.  To read from memory
they are of no use; and if something gets longer, all frames after it begin elsewhere, so a small change
of a state would be many changes of its bytes.
"""

from __future__ import annotations

_FRAME = 0x95
_PROTO = 0x80
_HEAD = 9
_SIZED = {ord("B"): 4, ord("X"): 4, 0x8D: 8, 0x8E: 8, 0x96: 8}
"""The opcodes of what is too large for a frame, with the lengths of their lengths."""


def unframed(pickles: bytes | memoryview) -> list[memoryview]:
    """The same pickles without frames, in parts, so that large ones are not copied for it.

    >>> import pickle
    >>> value = [str(number) for number in range(50_000)]
    >>> data = pickle.dumps(value, 5)
    >>> small = b"".join(unframed(data))
    >>> len(small) < len(data), pickle.loads(small) == value
    (True, True)
    """
    view = memoryview(pickles)
    kept: list[memoryview] = []
    place = 0
    while place < len(view):
        opcode = view[place]
        if opcode == _FRAME:
            end = place + _HEAD + int.from_bytes(view[place + 1 : place + _HEAD], "little")
            kept.append(view[place + _HEAD : end])
        elif opcode == _PROTO:
            end = place + 2
            kept.append(view[place:end])
        elif opcode in _SIZED:
            size = _SIZED[opcode]
            end = place + 1 + size + int.from_bytes(view[place + 1 : place + 1 + size], "little")
            kept.append(view[place:end])
        else:  # too short for a frame
            end = len(view)
            kept.append(view[place:])
        place = end
    return kept
