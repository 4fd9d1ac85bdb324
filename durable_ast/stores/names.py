"""Which texts can name an instance or an event, and what is done to others."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidEventNameError, InvalidInstanceIdError

MAX_ID_LENGTH = 512
"""The longest instance id, in characters."""

CONTROL = "."
"""What the names of messages begin with that are for the runtime: they reach an instance whatever
it waits for."""


def check_event_name(name: Any) -> str:
    """The name of an event, if it can be one.

    Raises:
        InvalidEventNameError: it is no text, cannot be stored, or is reserved.

    >>> check_event_name("paid")
    'paid'
    """
    if not isinstance(name, str):
        raise InvalidEventNameError(f"the name of an event must be a str, not {type(name).__name__}")
    if name.startswith(CONTROL):
        raise InvalidEventNameError(f"the name of an event must not begin with a dot: {name!r}; these are reserved")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidEventNameError(f"the name of an event must be valid Unicode text: {name!r}") from error
    return name


def check_instance_id(instance_id: Any) -> str:
    """The id, if a store can take it.

    Raises:
        InvalidInstanceIdError: it is no text, empty, too long, or holds what cannot be stored.

    >>> check_instance_id("orders/../7")
    'orders/../7'
    """
    if not isinstance(instance_id, str):
        raise InvalidInstanceIdError(f"an instance id must be a str, not {type(instance_id).__name__}")
    if not instance_id:
        raise InvalidInstanceIdError("an instance id must not be empty")
    if len(instance_id) > MAX_ID_LENGTH:
        raise InvalidInstanceIdError(
            f"an instance id may have {MAX_ID_LENGTH} characters, this one has {len(instance_id)}: "
            f"{instance_id[:40]!r}..."
        )
    if "\0" in instance_id:
        raise InvalidInstanceIdError(f"an instance id must not hold a NUL character: {instance_id!r}")
    try:
        instance_id.encode()
    except UnicodeEncodeError as error:
        raise InvalidInstanceIdError(f"an instance id must be valid Unicode text: {instance_id!r}") from error
    return instance_id


def storable_text(text: str) -> str:
    """The text, with escapes for what no database takes.

    >>> storable_text("ünï \\ud800 \\0")
    'ünï \\\\ud800 \\\\x00'
    """
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
