"""Data classes and named tuples that are defined inside functions, in a snapshot.

Some of their methods have no source that could be found again: `dataclasses` and `collections` have
written them.  They write them once more when the class is made again.
"""

from __future__ import annotations

import collections
import dataclasses
import inspect
from types import FunctionType, MemberDescriptorType
from typing import Any

from .annotations import settle_annotations
from .snapshot import Reduced

_FIELD_OPTIONS = ("default", "default_factory", "init", "repr", "hash", "compare", "metadata", "kw_only")
_CLASS_OPTIONS = ("init", "repr", "eq", "order", "unsafe_hash", "frozen", "match_args", "kw_only")
_OF_SLOTS = ("_dataclass_getstate", "_dataclass_setstate")
"""What `dataclasses` gives to frozen classes with slots: these are made again as classes that have slots
already, so it would not give it to them."""
_OF_NAMED_TUPLES = frozenset(vars(collections.namedtuple("_OF_NAMED_TUPLES", ())))


def is_named_tuple(cls: type) -> bool:
    """Whether `collections.namedtuple`, or a class statement that calls it, has made the class."""
    return cls.__bases__ == (tuple,) and _is_written(vars(cls).get("__new__"))


def reduce_named_tuple(cls: Any) -> Reduced:
    """What the pickler saves for the class of a named tuple."""
    own = {name: value for name, value in vars(cls).items() if name not in {*_OF_NAMED_TUPLES, *cls._fields}}
    settle_annotations(cls, own)
    own["__qualname__"], own["__doc__"] = cls.__qualname__, cls.__doc__
    facts = cls.__name__, cls._fields, cls.__module__
    return _named_tuple, facts, (own, cls._field_defaults), None, None, _fill_named_tuple


def _named_tuple(name: str, fields: tuple[str, ...], module: str) -> type:
    return collections.namedtuple(name, fields, module=module)


def _fill_named_tuple(cls: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    own, cls._field_defaults = state
    cls.__new__.__defaults__ = tuple(cls._field_defaults.values())
    for name, value in own.items():
        setattr(cls, name, value)


def take_written(cls: type, attributes: dict[str, Any]) -> dict[str, Any] | None:
    """Take what `dataclasses` has written out of the attributes of a class; gives what it takes to
    write it again, or None if there is no need to."""
    parameters = attributes.pop("__dataclass_params__", None)
    if parameters is None:
        return None
    for name in [name for name, value in attributes.items() if _is_written(value)]:
        del attributes[name]
    inherited = {id(field) for base in cls.__mro__[1:] for field in getattr(base, "__dataclass_fields__", {}).values()}
    fields = {}
    for name, field in attributes.pop("__dataclass_fields__").items():
        if id(field) not in inherited and field._field_type.name != "_FIELD_CLASSVAR":
            fields[name] = _given(field, _FIELD_OPTIONS)
            attributes.pop(name, None)
    return {"options": _given(parameters, _CLASS_OPTIONS), "fields": fields}


def write_again(cls: type, written: dict[str, Any]) -> None:
    """Let `dataclasses` do to a class what it did to the saved one."""
    slots = {name: value for name, value in vars(cls).items() if isinstance(value, MemberDescriptorType)}
    for name, options in written["fields"].items():
        setattr(cls, name, dataclasses.field(**options))
    dataclasses.dataclass(**written["options"])(cls)
    for name, slot in slots.items():
        setattr(cls, name, slot)


def _given(facts: object, options: tuple[str, ...]) -> dict[str, Any]:
    found = {name: getattr(facts, name) for name in options if hasattr(facts, name)}
    return {name: value for name, value in found.items() if value is not dataclasses.MISSING}


def _is_written(value: object) -> bool:
    """Whether a method was compiled from a text that nobody has kept, or is a part of `dataclasses`."""
    function = inspect.unwrap(value) if isinstance(value, FunctionType) else value
    if isinstance(function, staticmethod):
        function = function.__func__
    if not isinstance(function, FunctionType) or function.__name__ in _OF_SLOTS:
        return False
    return function.__code__.co_filename == "<string>" or function.__globals__ is vars(dataclasses)
