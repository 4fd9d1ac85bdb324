"""Columns of many rows as arrays, in PostgreSQL's binary form.

psycopg would write each value as quoted text, bytes as hexadecimal digits, and the server would read it
back; that took both of them longer than all else that a checkpoint is.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types.string import StrBinaryDumper

_OIDS = {"bytea": 17, "bigint": 20, "integer": 23, "text": 25, "float8": 701}
"""The numbers that PostgreSQL has for types."""
_NUMBERS = {"bigint": "q", "integer": "i", "float8": "d"}
_HEAD = struct.Struct("!iiIii")
"""How many dimensions, whether there are nulls, the type, how many values, the index of the first."""
_EMPTY = struct.Struct("!iiI")
_LENGTH = struct.Struct("!i").pack
_NULL = _LENGTH(-1)


@dataclass(frozen=True, slots=True)
class Array:
    """A parameter ``%s::kind[]`` of a statement.

    Attributes:
        kind: the type of the values.
        values: numbers, texts or bytes; None is null.
    """

    kind: str
    values: Sequence[Any]


def arrays(rows: Sequence[Sequence[Any]], *kinds: str) -> list[Array]:
    """The columns of rows, which are of these types.

    >>> arrays([(1, "a"), (2, "b")], "bigint", "text")
    [Array(kind='bigint', values=(1, 2)), Array(kind='text', values=('a', 'b'))]
    """
    columns = zip(*rows, strict=True) if rows else ((),) * len(kinds)
    return [Array(kind, values) for kind, values in zip(kinds, columns, strict=True)]


class ArrayDumper(Dumper):
    """Packs an `Array`; its statement says of which type it is."""

    format = Format.BINARY

    def __init__(self, kind: type, context: AdaptContext | None = None) -> None:
        super().__init__(kind, context)
        self._encoded = StrBinaryDumper(str, context).dump
        """Texts are in the encoding of the connection."""

    def dump(self, obj: Array) -> bytes:
        try:
            return self._packed(obj.kind, obj.values)
        except (TypeError, AttributeError, struct.error) as error:
            raise psycopg.DataError(f"a value is no {obj.kind}: {error}") from error

    def _packed(self, kind: str, values: Sequence[Any]) -> bytes:
        if not values:
            return _EMPTY.pack(0, 0, _OIDS[kind])
        has_nulls = None in values
        head = _HEAD.pack(1, has_nulls, _OIDS[kind], len(values), 1)
        if kind in _NUMBERS:
            return head + (_sparse_numbers if has_nulls else _numbers)(_NUMBERS[kind], values)
        if kind == "text":
            values = [value if value is None else self._encoded(value) for value in values]
        pieces = [head]
        for value in values:
            pieces += (_NULL,) if value is None else (_LENGTH(len(value)), value)
        return b"".join(pieces)


def _numbers(code: str, values: Sequence[Any]) -> bytes:
    fields = [struct.calcsize(f"!{code}")] * (2 * len(values))
    fields[1::2] = values
    return struct.pack(f"!{f'i{code}' * len(values)}", *fields)


def _sparse_numbers(code: str, values: Sequence[Any]) -> bytes:
    return b"".join(_NULL if value is None else _numbers(code, [value]) for value in values)


psycopg.adapters.register_dumper(Array, ArrayDumper)
