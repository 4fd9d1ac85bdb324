"""How a snapshot saves what only the runtime understands."""

from __future__ import annotations

import functools
from types import CellType, FunctionType
from typing import Any

from ..compiler.compile import find_source
from ..errors import NoSourceCodeException
from ..state.annotations import annotations_of
from ..state.shadows import reduce_to_place
from ..state.snapshot import Reduced, importable, reduce_cell, register
from . import sources
from .environment import reduce_to_path
from .functions import resolve_code

_refs: dict[int, tuple[str, Any]] = {}


def _reduce_function(function: FunctionType) -> Reduced:
    """A function is found by its name.  One that cannot be (it was defined inside another, or is
    hidden by a decorator) is found by its place in the source, and gets its closure and defaults
    back; no bytecode is saved."""
    if importable(function):
        return NotImplemented
    for named in (reduce_to_path(function), reduce_to_place(function)):
        if named is not NotImplemented:
            return named
    ref = _ref(function)
    state = (
        function.__defaults__,
        function.__kwdefaults__,
        function.__dict__,
        function.__name__,
        function.__qualname__,
        annotations_of(function),
        getattr(function, "__type_params__", ()),
    )
    names = function.__code__.co_freevars
    return (
        _make_function,
        (ref, names, function.__closure__),
        state,
        None,
        None,
        _fill,
    )


def _ref(function: FunctionType) -> str:
    code = function.__code__
    known = _refs.get(id(code))
    if known is None:
        try:
            source = find_source(code, function.__globals__)
        except NoSourceCodeException as error:
            raise TypeError(f"cannot save function {function.__qualname__!r}: {error}") from error
        sources.note(source)
        known = _refs[id(code)] = f"{source.key}@{source.version}", code
    return known[0]


def _make_function(ref: str, names: tuple[str, ...], closure: tuple[CellType, ...] | None) -> FunctionType:
    code, namespace = resolve_code(ref, names)
    cells = dict(zip(names, closure or (), strict=True))
    bound = tuple(cells[name] for name in code.co_freevars)
    return FunctionType(code, namespace, code.co_name, None, bound)


def _fill(function: FunctionType, state: tuple[Any, ...]) -> None:
    defaults, keyword_defaults, attributes, name, qualname, annotations, parameters = state
    function.__defaults__, function.__kwdefaults__ = defaults, keyword_defaults
    function.__name__, function.__qualname__ = name, qualname
    function.__dict__.update(attributes)
    if annotations:
        function.__annotations__ = annotations
    if parameters:
        function.__type_params__ = parameters  # type: ignore[attr-defined]


_Cached = type(functools.lru_cache(lambda: None))


def _reduce_cached(function: Any) -> Reduced:
    """A function with a cache; what it has cached is not saved."""
    if importable(function):
        return NotImplemented
    return _make_cached, (function.__wrapped__, function.cache_parameters()), function.__dict__


def _make_cached(function: Any, parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _reduce_cell(cell: CellType) -> Reduced:
    """A variable of the program's surroundings is named; any other is saved with what is in it."""
    named = reduce_to_path(cell)
    return reduce_cell(cell) if named is NotImplemented else named


def register_all() -> None:
    """Let snapshots save functions in this way."""
    register(CellType, _reduce_cell)
    register(FunctionType, _reduce_function)
    register(_Cached, _reduce_cached)
