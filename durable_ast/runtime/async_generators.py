"""The user's own async generators: their bodies are frames like any other, for whoever goes through
them.

A generator that is made for the loop alone is adopted: its compiled form is started in its place.
One that others hold is iterated as it is; each of its items is then one step.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any, TypeGuard

from . import intrinsics
from .debugging import unwatched
from .functions import Function, arguments, function_of_frame
from .generators import closure_of, frame_of, is_started
from .running_branch import current

if TYPE_CHECKING:
    from .branch import Branch


def _references(obj: Any) -> int:
    return sys.getrefcount(obj)


_ONLY_HERE = _references(object())
"""What `sys.getrefcount` says in a function about an argument that nobody else holds."""


def aiter(iterable: Any) -> Any:
    """``GET_AITER``; the intrinsic `.aiter`."""
    if type(iterable) is AsyncGeneratorType and sys.getrefcount(iterable) <= _ONLY_HERE:
        branch = current.get()
        if branch is not None and not branch.in_step:
            return adopted(branch, iterable) or intrinsics.aiter(iterable)
    return intrinsics.aiter(iterable)


def adopted(branch: Branch, generator: AsyncGeneratorType[Any, Any]) -> AsyncGeneratorType[Any, Any] | None:
    """The compiled form of a generator of the user's own that has not started; None for any other."""
    frame = generator.ag_frame
    if frame is None or is_started(generator):
        return None
    function = branch.program_plans.function(generator.ag_code, frame.f_globals)
    return None if function is None else _adopted(function, generator)


def is_adopted(generator: Any) -> TypeGuard[AsyncGeneratorType[Any, Any]]:
    """Whether the frame of an async generator is one of ours."""
    return type(generator) is AsyncGeneratorType and function_of_frame(generator.ag_code) is not None


def _adopted(function: Function, generator: AsyncGeneratorType[Any, Any]) -> AsyncGeneratorType[Any, Any]:
    closure = closure_of(generator) if generator.ag_code.co_freevars else None
    running = function.running(closure)
    frame = frame_of(generator)
    positional, keywords = arguments(running.__code__, frame.f_locals)
    adopted: AsyncGeneratorType[Any, Any] = running(*positional, **keywords)
    adopted.__name__, adopted.__qualname__ = generator.__name__, generator.__qualname__
    unwatched(frame.clear)
    return adopted


def anext(iterator: AsyncIterator[Any]) -> Awaitable[Any]:
    """``GET_ANEXT``; the intrinsic `.anext`."""
    if is_adopted(iterator):
        return advance(iterator)
    return intrinsics.anext(iterator)


async def advance(generator: AsyncGeneratorType[Any, Any]) -> Any:
    """One item of a compiled async generator.

    The capture of frames finds the generator by this function.
    """
    try:
        return await generator.__anext__()
    except BaseException as error:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # not our frame
        raise


async def throw(generator: AsyncGeneratorType[Any, Any], error: BaseException) -> Any:
    """Raise an error in a compiled async generator, which may go on to its next item.

    The capture of frames finds the generator by this function.
    """
    try:
        return await generator.athrow(error)
    except BaseException as raised:
        raised.__traceback__ = raised.__traceback__ and raised.__traceback__.tb_next  # not our frame
        raise


def as_it_is(branch: Branch, awaitable: Any) -> Any:
    """What is decided about `advance` and `throw`: they are no steps, the generator's frame is one of ours."""
    return awaitable
