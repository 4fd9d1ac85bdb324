"""Enumerations that are defined inside functions, in a snapshot.

Only `enum` can make such a class, and how it keeps the members differs from one Python to the next.
So it makes the class again from the names and values of the members, aliases included; but none of the
user's code runs for it: the members are made by CPython's own class underneath, and what they and the
class have beside their values follows after it.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Sequence
from types import BuiltinFunctionType
from typing import Any, TypeAlias

from .annotations import settle_annotations
from .snapshot import Reduced

Member: TypeAlias = tuple[str, Any, tuple[Any, ...]]
"""Name, value, and the arguments for CPython's class underneath."""

_SETTLED = frozenset({"_generate_next_value_", "_new_member_", "_use_args_"})
"""What a class may have in a way of its own, of all that `enum` gives to each."""
_OF_MEMBERS = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})


def reduce_enum(cls: Any) -> Reduced:
    """What the pickler saves for the class of an enumeration; NotImplemented if it cannot be made again
    in this way."""
    base = next(kind for kind in cls.__mro__ if isinstance(vars(kind).get("__new__"), BuiltinFunctionType))
    arguments = _arguments_for(base)
    if type(cls) is not enum.EnumMeta or arguments is None:
        return NotImplemented
    members = [(name, member._value_, arguments(member)) for name, member in cls._member_map_.items()]
    attributes = {name: value for name, value in vars(cls).items() if name not in cls._member_map_}
    settle_annotations(cls, attributes)
    for name in _given().intersection(attributes):
        del attributes[name]
    beside = {name: _beside(member) for name, member in cls._member_map_.items() if member._name_ == name}
    boundary = vars(cls)["_boundary_"].name if issubclass(cls, enum.Flag) else None
    place = cls.__module__, cls.__qualname__
    state = attributes, {name: own for name, own in beside.items() if own}
    return _make, (cls.__name__, cls.__bases__, place, base, members, boundary), state, None, None, _fill


@functools.cache
def _given() -> set[str]:
    """The attributes of a class that `enum` gives to it when it is made."""
    every = {*vars(enum.Enum("Nothing", [])), *vars(enum.Flag("Nothing", []))}
    own = {name for name in every - _SETTLED if name.startswith("_") and not name.startswith("__")}
    return own | {"__module__", "__qualname__", "__new__", "__dict__", "__weakref__"}


def _arguments_for(base: Any) -> Callable[[Any], tuple[Any, ...]] | None:
    """How to find the arguments of ``base.__new__`` that give the same value; None if nobody knows."""
    if base is object:
        return lambda member: ()
    if hasattr(base, "__getnewargs__"):
        found: Callable[[Any], tuple[Any, ...]] = base.__getnewargs__
        return found
    if base.__reduce__ is object.__reduce__:
        return None
    return lambda member: base.__reduce__(member)[1]


def _beside(member: Any) -> dict[str, Any]:
    """What a member has beside its name and its value."""
    own = getattr(member, "__dict__", {})
    return {name: value for name, value in own.items() if name not in _OF_MEMBERS}


def _make(
    name: str,
    bases: tuple[type, ...],
    place: tuple[str, str],
    base: Any,
    members: Sequence[Member],
    boundary: str | None,
) -> Any:
    left = iter(members)

    def make(cls: Any, *_: Any) -> Any:
        value, arguments = next(left)[1:]
        made = base.__new__(cls, *arguments)
        made._value_ = value
        return made

    namespace = enum.EnumMeta.__prepare__(name, bases)
    namespace["__module__"], namespace["__qualname__"] = place
    namespace["__new__"] = make
    namespace["__init__"] = lambda *_: None
    for member, value, _ in members:
        namespace[member] = enum.member(value)
    given: dict[str, Any] = {} if boundary is None else {"boundary": enum.FlagBoundary[boundary]}
    made: Any = enum.EnumMeta.__new__(enum.EnumMeta, name, bases, namespace, **given)
    for own in ("__init__", "__new_member__"):
        if own in vars(made):
            type.__delattr__(made, own)
    return made


def _fill(cls: Any, state: tuple[dict[str, Any], dict[str, dict[str, Any]]]) -> None:
    attributes, beside = state
    for name, value in attributes.items():
        type.__setattr__(cls, name, value)
    for name, own in beside.items():
        vars(cls._member_map_[name]).update(own)
