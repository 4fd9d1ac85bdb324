"""Payloads as what their receivers want them to be."""

from __future__ import annotations

import importlib.util
from contextlib import nullcontext
from typing import Any, get_origin

from ..errors import NotPersistableError
from ..state import snapshot
from ..state.known_classes import giving
from .running_branch import current


def payload_bytes(payload: Any, what: str) -> bytes:
    """A payload as it is stored.

    Args:
        payload: what is sent.
        what: what it is the payload of, for the error.

    Raises:
        NotPersistableError: it cannot be saved.
    """
    try:
        with giving() if current.get() is None else nullcontext():
            return snapshot.dumps(payload)
    except Exception as error:
        raise NotPersistableError(
            f"the payload of {what} ({type(payload).__qualname__}) cannot be saved ({type(error).__name__}: {error}); "
            "send plain data, such as an id or a dictionary"
        ) from error


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
