"""The content of a file: a value, and a checksum that tells whether it is all there.

The checksum comes after the pickle, where `pickle.load` does not look.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import CorruptStateError
from ..state import plain

_SIZE = 4


def pack(value: Any) -> bytes:
    """The content for a value."""
    data = pickle.dumps(value)
    return data + zlib.crc32(data).to_bytes(_SIZE, "big")


def unpack(content: bytes, file: Path, unpickle: Callable[[bytes], Any] = plain.loads) -> Any:
    """The value in a content; plain data, unless `unpickle` reads more.

    Raises:
        CorruptStateError: it is damaged, or was written by something else.
    """
    data, checksum = content[:-_SIZE], content[-_SIZE:]
    if not data or zlib.crc32(data).to_bytes(_SIZE, "big") != checksum:
        raise CorruptStateError(
            f"{file} is damaged or was written by something else (its {len(content)} bytes do not match their "
            "checksum); it is left as it is. Restore it from a copy, or delete it to start anew"
        )
    return unpickle(data)
