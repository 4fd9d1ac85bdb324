"""Pickles of plain data: text, numbers, bytes and what holds them.

They are read without importing or calling anything, whoever wrote them.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from ..errors import TamperedStateError


def loads(data: bytes) -> Any:
    """The plain data in a pickle.

    Raises:
        TamperedStateError: there is more in it than data.

    >>> loads(pickle.dumps({"a": (1, b"2")}))
    {'a': (1, b'2')}
    >>> loads(pickle.dumps(print))
    Traceback (most recent call last):
        ...
    durable_ast.errors.TamperedStateError: what should be plain data names builtins.print
    """
    return _PlainUnpickler(io.BytesIO(data)).load()


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise TamperedStateError(f"what should be plain data names {module}.{name}")
