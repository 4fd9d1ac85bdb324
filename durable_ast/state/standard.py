"""Objects of the standard library in a snapshot, which pickle alone cannot save."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import re
import struct
import weakref
from typing import Any

from .decimals import is_decimals, variable_of_decimal
from .snapshot import Reduced, failure, global_object, place_of, register, register_by_name


def register_all() -> None:
    """Let snapshots save these."""
    register(re.Pattern, _reduce_pattern)
    register(re.Match, _reduce_match)
    register(struct.Struct, _reduce_struct)
    register(memoryview, _reduce_memoryview)
    register(weakref.ref, _reduce_ref)
    register(weakref.WeakMethod, _reduce_weak_method)
    register(weakref.WeakKeyDictionary, _reduce_weak_dictionary)
    register(weakref.WeakValueDictionary, _reduce_weak_dictionary)
    register(weakref.finalize, _reduce_finalizer)
    register(contextvars.ContextVar, _reduce_variable)
    register(contextvars.Context, _reduce_context)
    register(asyncio.AbstractEventLoop, _reduce_loop, subclasses=True)
    for name in ("NonCallableMock", "_Call"):
        register_by_name("unittest.mock", name, _reduce_mock)


# matches, structs, views


def _reduce_pattern(pattern: re.Pattern[Any]) -> Reduced:
    if pattern.pattern is None:  # that of an `re.Scanner`
        raise TypeError("cannot save a pattern that was not compiled from a text")
    return NotImplemented


def _reduce_match(match: re.Match[Any]) -> Reduced:
    facts = match.re, match.string, match.pos, match.endpos
    for method in ("search", "match", "fullmatch"):
        found = _match(method, *facts)
        if found is not None and found.regs == match.regs:
            return _match, (method, *facts)
    raise TypeError(f"cannot save {match!r}: searching again does not find it")


def _match(method: str, pattern: re.Pattern[Any], text: Any, start: int, end: int) -> Any:
    return getattr(pattern, method)(text, start, end)


def _reduce_struct(packer: struct.Struct) -> Reduced:
    return struct.Struct, (packer.format,)


def _reduce_memoryview(view: memoryview) -> Reduced:
    whole = memoryview(view.obj)
    if (view.nbytes, view.format, view.shape, view.strides) != (whole.nbytes, whole.format, whole.shape, whole.strides):
        raise TypeError("cannot save a memoryview of a part of an object")
    return (memoryview, (view.obj,)) if not view.readonly or whole.readonly else (_readonly, (view.obj,))


def _readonly(obj: Any) -> memoryview:
    return memoryview(obj).toreadonly()


# weak references


def _reduce_ref(reference: weakref.ref[Any]) -> Reduced:
    """What it refers to is saved too; if nothing else holds it after a resume, it is gone then."""
    obj = reference()
    return (_dead_ref, ()) if obj is None else (weakref.ref, (obj, reference.__callback__))


def _dead_ref() -> weakref.ref[Any]:
    return weakref.ref(set())


def _reduce_weak_method(reference: weakref.WeakMethod[Any]) -> Reduced:
    method = reference()
    return (_dead_ref, ()) if method is None else (weakref.WeakMethod, (method,))


def _reduce_weak_dictionary(dictionary: Any) -> Reduced:
    return type(dictionary), (dict(dictionary),)


def _reduce_finalizer(finalizer: weakref.finalize[Any, Any]) -> Reduced:
    """What it would call has not been called: a process that dies does not come to that."""
    held = finalizer.peek()
    return NotImplemented if held is None else (_finalizer, (*held, finalizer.atexit))


def _finalizer(obj: Any, function: Any, args: Any, kwargs: Any, atexit: bool) -> weakref.finalize[Any, Any]:
    made = weakref.finalize(obj, function, *args, **(kwargs or {}))
    made.atexit = atexit
    return made


# context


@functools.lru_cache(maxsize=1024)
def _place_of_variable(variable: contextvars.ContextVar[Any]) -> tuple[str, str] | None:
    """Where another process finds it; the search goes through all modules, and is made once."""
    return place_of(variable)


def _reduce_variable(variable: contextvars.ContextVar[Any]) -> Reduced:
    if is_decimals(variable):
        return variable_of_decimal, ()
    place = _place_of_variable(variable)
    if place is None:
        raise TypeError(f"cannot save the context variable {variable.name!r}: it is no global of a module")
    return global_object, place


def _reduce_context(context: contextvars.Context) -> Reduced:
    """What a context says about other libraries' business is left to the process that goes on."""
    return _make_context, (
        {variable: value for variable, value in context.items() if failure((variable, value)) is None},
    )


def _make_context(values: dict[contextvars.ContextVar[Any], Any]) -> contextvars.Context:
    context = contextvars.Context()
    for variable, value in values.items():
        context.run(variable.set, value)
    return context


def _reduce_loop(loop: asyncio.AbstractEventLoop) -> Reduced:
    if asyncio.get_running_loop() is not loop:
        raise TypeError("cannot save an event loop that is not the running one")
    return asyncio.get_running_loop, ()


def _reduce_mock(mock: Any) -> Reduced:
    raise TypeError("cannot save a mock: it makes up whatever it is asked for")
