"""Type variables and type aliases in a snapshot.

One that is a global of a module is found by its name.  One that a function has made, or that stands in
the brackets of a generic function or class, is made again.
"""

from __future__ import annotations

import gc
import sys
import typing
from types import FunctionType
from typing import Any

from .snapshot import Reduced, register

_ALIAS: Any = getattr(typing, "TypeAliasType", None)  # since Python 3.12
_OPTIONS = ("covariant", "contravariant", "infer_variance")


def register_all() -> None:
    """Let snapshots save these."""
    for kind in (typing.TypeVar, typing.ParamSpec, typing.TypeVarTuple):
        register(kind, _reduce)
    if _ALIAS is not None:
        register(_ALIAS, _reduce_alias)


def _is_found(obj: Any) -> bool:
    return getattr(sys.modules.get(obj.__module__), obj.__name__, None) is obj


def _reduce(variable: Any) -> Reduced:
    if _is_found(variable):
        return NotImplemented
    options = {name: getattr(variable, f"__{name}__", None) for name in _OPTIONS}
    given: dict[str, Any] = {name: value for name, value in options.items() if value}
    lazy = _lazy(variable)
    if hasattr(variable, "has_default") and variable.has_default():
        given["default"] = lazy.pop() if lazy else variable.__default__
    if lazy:
        bound, constraints = (None, lazy[0]) if isinstance(lazy[0], tuple) else (lazy[0], ())
    else:
        bound, constraints = getattr(variable, "__bound__", None), getattr(variable, "__constraints__", ())
    if bound is not None:
        given["bound"] = bound
    facts = type(variable), variable.__module__, (variable.__name__, *constraints), given
    _made(*facts)  # what `typing` does not take back fails now, not when it is loaded
    return _made, facts


def _lazy(obj: Any) -> list[Any]:
    """What the brackets of a definition say of a type variable, or what an alias stands for: CPython
    evaluates that when it is asked for, once; so it is not asked, and this is what it would give now."""
    values = []
    for function in gc.get_referents(obj):
        if type(function) is FunctionType:
            try:
                values.append(function(*[1] * function.__code__.co_argcount))
            except Exception as error:
                raise TypeError(f"cannot save the type variable or alias {obj.__name__!r}: {error}") from error
    return values


def _made(kind: Any, module: str, facts: tuple[Any, ...], options: dict[str, Any]) -> Any:
    variable = kind(*facts, **options)
    variable.__module__ = module
    return variable


def _reduce_alias(alias: Any) -> Reduced:
    if _is_found(alias):
        return NotImplemented
    value = [*_lazy(alias), alias][0]
    return _made_alias, (alias.__name__, alias.__value__ if value is alias else value, alias.__type_params__)


def _made_alias(name: str, value: Any, parameters: tuple[Any, ...]) -> Any:
    return _ALIAS(name, value, type_params=parameters)
