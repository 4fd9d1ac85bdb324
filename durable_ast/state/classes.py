"""Classes that are defined inside functions, in a snapshot.

A class is found by its name; one that cannot be is saved by value and made again.  Making it runs
none of the user's code, as its definition has run already: no ``__new__`` of a metaclass, no
``__init_subclass__`` of a base, no ``__set_name__`` of an attribute.  Its attributes follow after it,
because they may refer to it.
"""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]
import abc
import collections.abc
import enum
import io
import numbers
import operator
import types
import weakref
from types import GetSetDescriptorType, MemberDescriptorType, MethodDescriptorType, WrapperDescriptorType
from typing import Any

from .annotations import settle_annotations
from .enums import reduce_enum
from .known_classes import reduce_known
from .shadows import reduce_to_place
from .snapshot import IS_ON_THE_HEAP, PROTOCOL, Reduced, importable, register
from .written_classes import is_named_tuple, reduce_named_tuple, take_written, write_again

_AT_CREATION = ("__module__", "__class__")
"""Attributes that mean something else, or cannot be set, on a class that exists."""


def reduce_class(cls: type) -> Reduced:
    """What the pickler saves for a class."""
    if importable(cls):
        return NotImplemented
    if _is_of_c(cls):
        return _reduce_builtin(cls)
    placed = reduce_to_place(cls)
    if placed is not NotImplemented:
        return placed
    reduced = _by_value(cls)
    return reduce_known(cls, reduced) if isinstance(reduced, tuple) and len(reduced) == _FILLED else reduced


_FILLED = 6
"""How many parts those reductions have that fill a class after they have made it."""


def _by_value(cls: type) -> Reduced:
    if is_named_tuple(cls):
        return reduce_named_tuple(cls)
    if "__attrs_attrs__" in vars(cls):
        raise TypeError(f"cannot save the class {cls.__qualname__!r}: attrs wrote its methods; define it in a module")
    generic = vars(cls).get("__pydantic_generic_metadata__")
    if generic is not None and generic["origin"] is not None:  # pydantic makes each parametrization once
        return operator.getitem, (generic["origin"], generic["args"])
    meta = type(cls)
    if issubclass(meta, enum.EnumMeta):
        reduced = reduce_enum(cls)
        return _reduced_by_cloudpickle(cls) if reduced is NotImplemented else reduced
    if not _is_made_by_type(meta):
        return _reduced_by_cloudpickle(cls)
    attributes = dict(vars(cls))
    settle_annotations(cls, attributes)
    if "__pydantic_parent_namespace__" in attributes:  # all variables around the class statement, for annotations
        attributes["__pydantic_parent_namespace__"] = None
    own = {name for name, value in attributes.items() if _is_layout(value, cls)}
    first = {name: attributes.pop(name) for name in _AT_CREATION if name in attributes}
    first["__qualname__"] = cls.__qualname__  # is not among the attributes
    if "__slots__" in attributes:
        first["__slots__"] = tuple(sorted(own))
    for name in own:
        del attributes[name]
    registered: list[type] = []
    if attributes.pop("_abc_impl", None) is not None:
        registered = [found for link in _abc._get_dump(cls)[0] if (found := link()) is not None]
    written = take_written(cls, attributes)
    state = attributes, registered, written, _joined(cls)
    order = cls.__mro__[1:] if meta.mro is not type.mro else None
    return _make, (meta, cls.__name__, cls.__bases__, first, order), state, None, None, _fill


_FAMOUS = [vars(module)[name] for module in (collections.abc, numbers) for name in module.__all__]
"""The abstract classes of the standard library that others are registered with."""


def _joined(cls: type) -> list[Any]:
    """The famous abstract classes that a class was registered with: they do not know it elsewhere."""
    if all(link.__callback__ is None for link in weakref.getweakrefs(cls)):
        return []  # a registry would be told of its end
    return [abstract for abstract in _FAMOUS if any(link() is cls for link in _abc._get_dump(abstract)[0])]


def _is_of_c(cls: type) -> bool:
    """Whether a class was not made by Python code: such a one has methods of C in its own place."""
    if not cls.__flags__ & IS_ON_THE_HEAP:
        return True
    kinds = (MethodDescriptorType, WrapperDescriptorType)
    return any(isinstance(value, kinds) and value.__objclass__ is cls for value in vars(cls).values())


def _reduce_builtin(cls: type) -> Reduced:
    """Classes of CPython's own that only `types` has a name for."""
    for name, value in vars(types).items():
        if value is cls:
            return getattr, (types, name)
    raise TypeError(f"cannot save the class {cls!r}: it cannot be found by a name")


def _is_made_by_type(meta: type) -> bool:
    """Whether `type.__new__` may make classes of this metaclass."""
    made = [vars(kind)["__new__"] for kind in meta.__mro__[: meta.__mro__.index(type)] if "__new__" in vars(kind)]
    return all(isinstance(new, staticmethod) for new in made)


def _is_layout(value: object, cls: type) -> bool:
    """Whether an attribute of a class is part of how its instances lie in memory."""
    return isinstance(value, (MemberDescriptorType, GetSetDescriptorType)) and value.__objclass__ is cls


def _ordering(meta: type, order: tuple[type, ...]) -> type:
    """A metaclass in place of one that orders the bases itself: the order is known already."""

    def mro(cls: type) -> tuple[type, ...]:
        return cls, *order

    return type.__new__(type, meta.__name__, (meta,), {"mro": mro})


class _Quiet:
    """A first base that keeps ``__init_subclass__`` of the others from being called."""

    def __init_subclass__(cls) -> None: ...


class _QuietWithoutDict:
    """The same, for bases whose instances have no ``__dict__``."""

    __slots__ = ()

    def __init_subclass__(cls) -> None: ...


def _make(
    meta: type, name: str, bases: tuple[type, ...], first: dict[str, Any], order: tuple[type, ...] | None
) -> type:
    quiet = _quiet(bases)
    maker = meta if order is None else _ordering(meta, order)
    made: type = type.__new__(maker, name, bases if quiet is None else (quiet, *bases), first)
    if quiet is not None:
        try:
            made.__bases__ = bases
        except TypeError:  # its instances would lie differently in memory
            made = _make_unheard(maker, name, bases, first)
    if maker is not meta:
        made.__class__ = meta
    if issubclass(meta, abc.ABCMeta):
        _abc._abc_init(made)
    return made


def _make_unheard(maker: type, name: str, bases: tuple[type, ...], first: dict[str, Any]) -> type:
    """The same, where no other base can be first: the one that is, is deaf for this moment."""
    deaf = bases[0]
    before = vars(deaf).get("__init_subclass__")
    type.__setattr__(deaf, "__init_subclass__", classmethod(lambda cls: None))
    try:
        made: type = type.__new__(maker, name, bases, first)
    finally:
        if before is None:
            type.__delattr__(deaf, "__init_subclass__")
        else:
            type.__setattr__(deaf, "__init_subclass__", before)
    return made


def _quiet(bases: tuple[type, ...]) -> type | None:
    hooked = (kind for base in bases for kind in base.__mro__ if "__init_subclass__" in vars(kind))
    if all(kind is object for kind in hooked):
        return None
    return _Quiet if any(base.__dictoffset__ for base in bases) else _QuietWithoutDict


def _fill(cls: type, state: tuple[dict[str, Any], list[type], dict[str, Any] | None, list[Any]]) -> None:
    attributes, registered, written, joined = state
    for name, value in attributes.items():
        type.__setattr__(cls, name, value)
    for other in registered:
        abc.ABCMeta.register(cls, other)  # type: ignore[arg-type]
    for abstract in joined:
        abstract.register(cls)
    if written is not None:
        write_again(cls, written)


def _reduced_by_cloudpickle(cls: type) -> Reduced:
    import cloudpickle  # only wanted for the classes of other metaclasses

    reduced: Reduced = cloudpickle.Pickler(io.BytesIO(), PROTOCOL).reducer_override(cls)
    return reduced


def register_all() -> None:
    """Let snapshots save classes in this way."""
    register(type, reduce_class, subclasses=True)
