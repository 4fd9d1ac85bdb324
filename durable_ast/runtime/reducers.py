"""How a snapshot saves what only the runtime understands."""

from __future__ import annotations

import functools
from types import CellType, FunctionType
from typing import Any

from ..compiler.source import FunctionKey, find_source
from ..errors import NoSourceCodeException
from ..state.snapshot import Reduced, importable, register
from .functions import find_function_code

_keys: dict[int, tuple[FunctionKey, Any]] = {}


def _reduce_function(function: FunctionType) -> Reduced:
    """A function is found by its name.  One that cannot be (it was defined inside another, or is
    hidden by a decorator) is found by its place in the source, and gets its closure and defaults
    back; no bytecode is saved."""
    if importable(function):
        return NotImplemented
    key = _key(function)
    state = (
        function.__defaults__,
        function.__kwdefaults__,
        function.__dict__,
        function.__name__,
        function.__qualname__,
    )
    names = function.__code__.co_freevars
    return (
        _make_function,
        (key.module, key.qualname, key.ordinal, names, function.__closure__),
        state,
        None,
        None,
        _fill,
    )


def _key(function: FunctionType) -> FunctionKey:
    code = function.__code__
    known = _keys.get(id(code))
    if known is None:
        try:
            key = find_source(code, function.__globals__).key
        except NoSourceCodeException as error:
            raise TypeError(f"cannot save function {function.__qualname__!r}: {error}") from error
        known = _keys[id(code)] = key, code
    return known[0]


def _make_function(
    module: str, qualname: str, ordinal: int, names: tuple[str, ...], closure: tuple[CellType, ...] | None
) -> FunctionType:
    code, namespace = find_function_code(FunctionKey(module, qualname, ordinal))
    cells = dict(zip(names, closure or (), strict=True))
    bound = tuple(cells[name] for name in code.co_freevars)
    return FunctionType(code, namespace, code.co_name, None, bound)


def _fill(function: FunctionType, state: tuple[Any, ...]) -> None:
    defaults, keyword_defaults, attributes, name, qualname = state
    function.__defaults__, function.__kwdefaults__ = defaults, keyword_defaults
    function.__name__, function.__qualname__ = name, qualname
    function.__dict__.update(attributes)


_Cached = type(functools.lru_cache(lambda: None))


def _reduce_cached(function: Any) -> Reduced:
    """A function with a cache; what it has cached is not saved."""
    if importable(function):
        return NotImplemented
    return _make_cached, (function.__wrapped__, function.cache_parameters()), function.__dict__


def _make_cached(function: Any, parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def register_all() -> None:
    """Let snapshots save functions in this way."""
    register(FunctionType, _reduce_function)
    register(_Cached, _reduce_cached)
