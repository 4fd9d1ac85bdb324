"""The annotations of functions and classes, in a snapshot.

Since Python 3.14 they are evaluated when they are asked for (PEP 649), by a function that has no text of
its own to be found by.  So what is saved is what they are by then; a name that is not known yet, or is
known to type checkers only, stays the text that it is.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from .snapshot import failure

_LAZY = ("__annotate_func__", "__annotate__", "__annotations_cache__", "__classdictcell__")
"""How a class keeps its annotations, and what they may name, since Python 3.14."""


def annotations_of(annotated: Any) -> dict[str, Any]:
    """The annotations of a function or class, as they can be saved.

    >>> def add(one: int, other: "float") -> int: ...
    >>> [*annotations_of(add)]
    ['one', 'other', 'return']
    """
    texts = functools.cache(lambda: _texts(annotated))
    try:
        found = annotated.__annotations__
    except Exception:  # whatever evaluating them raises
        found = texts()
    return {name: _savable(value, name, texts) for name, value in found.items()}


def settle_annotations(cls: type, attributes: dict[str, Any]) -> None:
    """Let the attributes of a class hold its annotations as they did before Python 3.14."""
    if sys.version_info >= (3, 14):
        lazy = [name for name in _LAZY if attributes.pop(name, None) is not None]
        if lazy:
            attributes["__annotations__"] = annotations_of(cls)


def _savable(value: Any, name: str, texts: Callable[[], dict[str, Any]]) -> Any:
    if isinstance(value, str | type) or failure(value) is None:
        return value
    return texts().get(name, repr(value))


def _texts(annotated: Any) -> dict[str, Any]:
    """The annotations as text, but for those that are known."""
    if sys.version_info >= (3, 14):
        import annotationlib

        known = annotationlib.get_annotations(annotated, format=annotationlib.Format.FORWARDREF)
        texts = annotationlib.get_annotations(annotated, format=annotationlib.Format.STRING)
        return {name: value if isinstance(value := known[name], type) else text for name, text in texts.items()}
    return {}
