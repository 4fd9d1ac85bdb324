"""Payloads as what their receivers want them to be."""

from __future__ import annotations

import importlib.util
from typing import Any, get_origin


def as_type(payload: Any, kind: Any, name: str) -> Any:
    """A payload as a value of a type.

    Args:
        payload: what was sent.
        kind: the type, or any annotation that pydantic knows; None for any.
        name: what it was sent as.

    Raises:
        TypeError: it is of another type, and pydantic is not there to make it one.
        ValueError: pydantic cannot make it one.

    >>> as_type({"a": 1}, dict, "answer")
    {'a': 1}
    """
    if kind is None or (isinstance(kind, type) and get_origin(kind) is None and isinstance(payload, kind)):
        return payload
    if importlib.util.find_spec("pydantic") is None:
        wanted = getattr(kind, "__qualname__", kind)
        raise TypeError(f"{name!r} brought a {type(payload).__qualname__}, and a {wanted} is wanted")
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python(payload)
