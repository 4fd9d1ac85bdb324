"""The async managers of `contextlib`: entering and leaving them are frames.

So what the generator of an `asynccontextmanager` awaits before and after its ``yield`` has checkpoints, and
the tasks that it starts are branches; over a generator that is not the user's own each of the two is one
step.  An `AsyncExitStack` takes each manager from its list before it leaves it, so leaving it cannot be a
step: what is left to do would be lost with the process.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any

from .async_generators import adopted, advance, is_adopted, throw
from .asyncio_map import Instead
from .frames import arguments_of
from .plans import Plan

if TYPE_CHECKING:
    from .branch import Branch

_Manager: Any = contextlib._AsyncGeneratorContextManager


async def enter(self: Any) -> Any:
    """`__aenter__`: go on to the ``yield``."""
    del self.args, self.kwds, self.func
    try:
        return await advance(self.gen)
    except StopAsyncIteration:
        raise RuntimeError("generator didn't yield") from None


async def leave(
    self: Any, typ: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
) -> bool:
    """`__aexit__`: go on to the end, with what was raised inside."""
    if typ is None:
        try:
            await advance(self.gen)
        except StopAsyncIteration:
            return False
        try:
            raise RuntimeError("generator didn't stop")
        finally:
            await self.gen.aclose()
    if value is None:
        value = typ()
    try:
        await throw(self.gen, value)
    except StopAsyncIteration as error:
        return error is not value  # else it was raised inside, and is not for the generator to swallow
    except RuntimeError as error:
        if error is value:
            error.__traceback__ = traceback
            return False
        if isinstance(value, (StopIteration, StopAsyncIteration)) and error.__cause__ is value:
            value.__traceback__ = traceback
            return False
        raise
    except BaseException as error:
        if error is not value:
            raise
        error.__traceback__ = traceback
        return False
    try:
        raise RuntimeError("generator didn't stop after athrow()")
    finally:
        await self.gen.aclose()


async def enter_in_stack(self: Any, cm: Any) -> Any:
    """`AsyncExitStack.enter_async_context`."""
    cls = type(cm)
    if not hasattr(cls, "__aenter__") or not hasattr(cls, "__aexit__"):
        name = f"{cls.__module__}.{cls.__qualname__}"
        raise TypeError(f"'{name}' object does not support the asynchronous context manager protocol")
    result = await cls.__aenter__(cm)
    self._push_async_cm_exit(cm, type(cm).__aexit__)
    return result


async def close_stack(self: Any) -> None:
    """`AsyncExitStack.aclose`."""
    await self.__aexit__(None, None, None)


async def leave_stack(self: Any, error: BaseException | None) -> bool:
    """`AsyncExitStack.__aexit__`: leave all managers, each with what those before it have raised."""
    handled = sys.exception()
    was_raised = error is not None
    is_suppressed = is_raised = False
    while self._exit_callbacks:
        is_sync, leaves = self._exit_callbacks.pop()
        try:
            given = leaves(type(error), error, error.__traceback__) if error is not None else leaves(None, None, None)
            if not is_sync:
                given = await given
            if given:
                is_suppressed, is_raised, error = True, False, None
        except BaseException as raised:
            _link(raised, error, handled)
            is_raised, error = True, raised
    if is_raised and error is not None:
        context = error.__context__
        try:
            raise error
        except BaseException:
            error.__context__ = context
            raise
    return was_raised and is_suppressed


def _link(raised: BaseException, before: BaseException | None, handled: BaseException | None) -> None:
    """Let an error know the one before it, in place of what was being handled around the stack."""
    while raised.__context__ is not None and raised.__context__ is not before:
        if raised.__context__ is handled:
            raised.__context__ = before
            return
        raised = raised.__context__


_leaving = Instead(leave_stack)


def _leave_stack(branch: Branch, coroutine: CoroutineType[Any, Any, Any]) -> Any:
    values = arguments_of(coroutine)
    stack, (_, error, *_) = values["self"], values["exc_details"]
    coroutine.close()
    return _leaving.frame(stack, error)


class _Over:
    """Do one thing over generators of the user's own, and another over those of others."""

    def __init__(self, is_own: Callable[[Branch, Any], bool], own: Plan, other: Plan) -> None:
        self._is_own, self._own, self._other = is_own, own, other

    def __call__(self, branch: Branch, coroutine: CoroutineType[Any, Any, Any]) -> Any:
        frame = None if coroutine.cr_suspended else coroutine.cr_frame
        manager = None if frame is None else frame.f_locals.get("self")
        is_own = manager is not None and self._is_own(branch, manager)
        return (self._own if is_own else self._other)(branch, coroutine)


def _is_to_be_entered(branch: Branch, manager: Any) -> bool:
    """Whether its generator was made for the manager alone, and can be compiled."""
    if type(manager.gen) is not AsyncGeneratorType:
        return False
    generator = adopted(branch, manager.gen)
    if generator is None:
        return False
    manager.gen = generator
    return True


def _is_to_be_left(branch: Branch, manager: Any) -> bool:
    return is_adopted(manager.gen)


def operations(other: Plan) -> dict[int, Plan]:
    """What to do with the coroutines of such managers, by the id of their code.

    Args:
        other: what to do with those over generators that are not the user's own.
    """
    stack = contextlib.AsyncExitStack
    return {
        id(_Manager.__aenter__.__code__): _Over(_is_to_be_entered, Instead(enter), other),
        id(_Manager.__aexit__.__code__): _Over(_is_to_be_left, Instead(leave), other),
        id(stack.enter_async_context.__code__): Instead(enter_in_stack),
        id(stack.__aexit__.__code__): _leave_stack,
        id(stack.aclose.__code__): Instead(close_stack),
    }
