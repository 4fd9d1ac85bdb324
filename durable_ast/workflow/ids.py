"""Run ids: which run a call means, from its arguments alone.

Two calls of one workflow function get the same id only if every argument that the id names has the
same text.  So what separates two arguments in the id is escaped within the first of them: with the
template ``"{shop}-{order}"``, ``("a-b", "c")`` gives ``a%2Db-c`` and ``("a", "b-c")`` gives ``a-b-c``.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import inspect
import pathlib
import re
import string
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..state.digest import digest

_SCALARS = (
    str,
    bytes,
    bool,
    int,
    float,
    type(None),
    decimal.Decimal,
    uuid.UUID,
    datetime.date,
    datetime.time,
    enum.Enum,
    pathlib.PurePath,
)
"""Types whose text is short and the same everywhere."""

_SEPARATOR = "-"
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DIGEST = 16
"""How much of a digest goes into an id, in characters."""
_LONGEST_TEXT = 120
"""The longest text of an argument, in characters, that is put into an id as it is."""


@dataclass(frozen=True, slots=True)
class _Field:
    """One ``{...}`` of a template, and the text that follows it."""

    name: str
    conversion: str | None
    format: str
    following: str

    @property
    def root(self) -> str:
        """The argument that it starts from: ``order`` in ``{order.customer.id}``."""
        return _root(self.name)

    @property
    def roots(self) -> tuple[str, ...]:
        """The same, and those that its format names: ``width`` in ``{order:{width}}``."""
        inner = [name for _, name, *_ in _FORMATTER.parse(self.format) if name is not None]
        return self.root, *map(_root, inner)

    def text(self, arguments: Mapping[str, Any]) -> str:
        """Its text for these arguments.

        Raises:
            ValueError: they have none, or none that is the same in every process.
        """
        try:
            value, _ = _FORMATTER.get_field(self.name, (), arguments)
            if isinstance(value, (set, frozenset)):
                return (digest(value) or "")[:_DIGEST]  # their order is another in each process
            form = _FORMATTER.vformat(self.format, (), arguments)
            text: str = _FORMATTER.format_field(_FORMATTER.convert_field(value, self.conversion), form)
        except Exception as error:
            raise ValueError(
                f"the run id names {{{self.name}{self.format and ':'}{self.format}}}, which the arguments of this call "
                f"do not have: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(value, str) and _ADDRESS.search(text):
            raise ValueError(
                f"the run id names {{{self.name}}}, and the text of that {type(value).__qualname__} is not the same in "
                f"another process: {text}; name an attribute of it, as in {{{self.name}.id}}"
            )
        return text


_FORMATTER = string.Formatter()
_CONVERSIONS = (None, "s", "r", "a")


def _root(name: str) -> str:
    return name.partition(".")[0].partition("[")[0]


class IdTemplate:
    """An id with arguments in it, such as ``"order-{order_id}"`` or ``"mail-{user.id}"``.

    Args:
        template: the text; names in braces are parameters, with attributes, items and formats as
            `str.format` has them.
        signature: of the function whose calls get the ids.

    Raises:
        ValueError: the template is malformed, or names what is no parameter.

    >>> def ship(shop, order): ...
    >>> template = IdTemplate("{shop}-{order}", inspect.signature(ship))
    >>> template.id_of({"shop": "eu", "order": "7"}), template.id_of({"shop": "a-b", "order": "c-d"})
    ('eu-7', 'a%2Db-c-d')
    """

    def __init__(self, template: str, signature: inspect.Signature) -> None:
        self.template = template
        try:
            parsed = list(_FORMATTER.parse(template))
        except ValueError as error:
            raise ValueError(f"the run id {template!r} is malformed: {error}") from None
        self._start = ""
        self._fields: list[_Field] = []
        literal_after = [literal for literal, *_ in parsed[1:]] + [""]
        for (literal, name, form, conversion), following in zip(parsed, literal_after, strict=True):
            if not self._fields:
                self._start += literal
            if conversion not in _CONVERSIONS:
                raise ValueError(f"the run id {template!r} is malformed: there is no conversion {conversion!r}")
            if name is not None:
                self._fields.append(_Field(name, conversion, form or "", following))
        self._extra = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)
        for root in (root for field in self._fields for root in field.roots):
            if self._extra is None and root not in signature.parameters:
                known = ", ".join(signature.parameters) or "none"
                raise ValueError(
                    f"the run id {template!r} names {root!r}, which is no parameter of the workflow; its "
                    f"parameters are: {known}"
                )

    def id_of(self, arguments: Mapping[str, Any]) -> str:
        """The id of a call with these bound arguments.

        Raises:
            ValueError: an argument has no text that is the same in every process.
        """
        named = {**arguments.get(self._extra, {}), **arguments} if self._extra else arguments
        parts = [self._start]
        for field in self._fields:
            text = field.text(named)
            if field is self._fields[-1]:
                parts += text, field.following
            else:
                following = field.following or _SEPARATOR
                parts += _escaped(text, following[0]), following
        return "".join(parts)


def default_id(workflow: str, function: str, arguments: Mapping[str, Any]) -> str:
    """The id of a call of a function that names none: workflow, function and arguments.

    >>> default_id("shop", "ship", {"order": 7, "express": True})
    'shop-ship-7-True'
    """
    texts = [_text_of(name, value) for name, value in arguments.items()]
    inner = [_escaped(text, _SEPARATOR) for text in texts[:-1]]
    return _SEPARATOR.join([workflow, function, *inner, *texts[-1:]])


def bound_arguments(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
    """The arguments of a call by name, with defaults.

    Raises:
        TypeError: they do not fit.
    """
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def _text_of(name: str, value: Any) -> str:
    if isinstance(value, _SCALARS):
        text = str(value)
        if len(text) <= _LONGEST_TEXT:
            return text
    hashed = digest(value)
    if hashed is None:
        raise ValueError(
            f"the argument {name!r} is a {type(value).__qualname__}, from which no run id can be made; give the "
            'workflow an id, as in @wf.workflow(id="order-{order.id}"), or call .run(run_id, ...)'
        )
    return hashed[:_DIGEST]


def _escaped(text: str, separator: str) -> str:
    """The text without the character that starts what comes after it.

    >>> _escaped("50%-off", "-")
    '50%25%2Doff'
    """
    for character in ("%", separator):
        text = text.replace(character, "".join(f"%{byte:02X}" for byte in character.encode()))
    return text
