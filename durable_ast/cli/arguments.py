"""The arguments of a program as words of a command line."""

from __future__ import annotations

import datetime
import decimal
import enum
import inspect
import json
import pathlib
import types
import typing
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Literal, Union

from .failures import ExitCode, Failure

_MADE_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    pathlib.Path: pathlib.Path,
    decimal.Decimal: decimal.Decimal,
    uuid.UUID: uuid.UUID,
    datetime.date: datetime.date.fromisoformat,
    datetime.datetime: datetime.datetime.fromisoformat,
    datetime.time: datetime.time.fromisoformat,
}


class _Mismatch(Exception):
    """A word is no value of a type."""


def bound(function: Callable[..., Any], words: Sequence[str]) -> inspect.BoundArguments:
    """The arguments that words give to a function.

    A word ``name=value`` whose name is a parameter is that parameter; the others are positional.
    Each is read by the annotation of its parameter where that is simple, else as JSON, else as text.

    Args:
        function: whose parameters.
        words: as the user typed them.

    Raises:
        Failure: they do not fit.

    >>> async def order(number: int, note: str = "", *items): ...
    >>> bound(order, ["7", "8", '{"a": 1}', "plain"]).args
    (7, '8', {'a': 1}, 'plain')
    """
    signature = inspect.signature(function)
    hints = _hints(function)
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    places = [parameter for parameter in signature.parameters.values() if parameter.kind < parameter.KEYWORD_ONLY]
    for word in words:
        name, equals, value = word.partition("=")
        known = signature.parameters.get(name)
        if equals and known is not None and known.kind not in (known.POSITIONAL_ONLY, known.VAR_POSITIONAL):
            keywords[name] = _read(value, hints.get(name, Any), name)
            continue
        place = places[min(len(positional), len(places) - 1)] if places else None
        hint = Any if place is None else hints.get(place.name, Any)
        positional.append(_read(word, hint, "" if place is None else place.name))
    try:
        return signature.bind(*positional, **keywords)
    except TypeError as error:
        name = getattr(function, "__name__", "the function")
        raise Failure(f"{name}{signature}: {error}", "give its arguments after it", ExitCode.USAGE) from None


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # an annotation may name what is only there for type checkers
        return {}


def _read(word: str, hint: Any, name: str) -> Any:
    try:
        return value_of(word, hint)
    except _Mismatch as error:
        raise Failure(f"argument {name!r}: {error}", code=ExitCode.USAGE) from None


def value_of(word: str, hint: Any = Any) -> Any:
    """A word as a value of a type, if the type is simple; else what it is as JSON, or as it stands.

    >>> value_of("7", int), value_of("7", str), value_of("7"), value_of("seven")
    (7, '7', 7, 'seven')
    """
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return value_of(word, typing.get_args(hint)[0])
    if origin in (Union, types.UnionType):
        return _first_of(word, typing.get_args(hint))
    if origin is Literal:
        return _choice(word, {str(choice): choice for choice in typing.get_args(hint)})
    if hint is str:
        return word
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _choice(word, {str(key): item for item in hint for key in (item.value, item.name)})
    if hint in _MADE_FROM_TEXT:
        try:
            return _MADE_FROM_TEXT[hint](word)
        except (ValueError, ArithmeticError):
            raise _Mismatch(f"{word!r} is no {hint.__name__}") from None
    value = _json_or_text(word)
    kind = origin or hint
    if kind is float and type(value) is int:
        return float(value)
    if kind in (int, float, bool, list, dict, type(None)) and type(value) is not kind:
        raise _Mismatch(f"{word!r} is no {kind.__name__}")
    if kind in (tuple, set, frozenset) and type(value) is list:
        return kind(value)
    return value


def _first_of(word: str, hints: Sequence[Any]) -> Any:
    """Text is what anything can be read as, so it comes last."""
    for hint in sorted(hints, key=lambda hint: hint is str):
        try:
            return value_of(word, hint)
        except _Mismatch:
            continue
    names = ["null" if hint is type(None) else getattr(hint, "__name__", str(hint)) for hint in hints]
    raise _Mismatch(f"{word!r} is no {' or '.join(names)}")


def _choice(word: str, choices: dict[str, Any]) -> Any:
    if word not in choices:
        raise _Mismatch(f"{word!r} is none of {', '.join(choices)}")
    return choices[word]


def _json_or_text(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word
