"""Reads a snapshot without importing or calling anything that it names.

What is plain data comes back as it is.  An object of a class comes back as a `Shape`: the name of
its class, what it was made with, and its state.  So a snapshot can be looked at where the program
is not installed, and by someone who does not trust it.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import io
import ipaddress
import pathlib
import pickle
import uuid
from collections.abc import Callable
from typing import Any, NoReturn

from .phrases import PHRASES
from .shapes import Shape, shape_class

_REAL: dict[tuple[str, str], Any] = {
    (kind.__module__, kind.__qualname__): kind
    for kind in (
        bytearray, complex, dict, frozenset, list, range, set, slice, tuple,
        collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque,
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone,
        decimal.Decimal, fractions.Fraction, uuid.UUID,
        ipaddress.IPv4Address, ipaddress.IPv6Address,
        pathlib.PurePosixPath, pathlib.PureWindowsPath,
    )
}  # fmt: skip
"""The types whose objects are rebuilt as they are: making one runs no code of others."""


class InertUnpickler(pickle.Unpickler):
    """Unpickles plain data, and shapes in the place of everything else.

    Args:
        file: the pickle.
        persistent_load: gives the objects that are named and not part of it.
    """

    def __init__(self, file: io.BytesIO, persistent_load: Callable[[Any], Any]) -> None:
        super().__init__(file)
        self._load = persistent_load
        self._kinds: dict[tuple[str, str], type[Shape]] = {}

    def persistent_load(self, pid: Any) -> Any:
        return self._load(pid)

    def find_class(self, module: str, name: str) -> Any:
        key = module, name
        if key in PHRASES:
            return PHRASES[key]
        if key in _REAL:
            return _REAL[key]
        if key not in self._kinds:
            self._kinds[key] = shape_class(module, name)
        return self._kinds[key]


def unpickler(file: io.BytesIO, persistent_load: Callable[[Any], Any] | None = None) -> pickle.Unpickler:
    """The counterpart of `snapshot.unpickler` that runs nothing."""
    return InertUnpickler(file, persistent_load or _unknown)


def _unknown(pid: Any) -> NoReturn:
    raise pickle.UnpicklingError(f"an object is named {pid!r} and not part of the snapshot")
