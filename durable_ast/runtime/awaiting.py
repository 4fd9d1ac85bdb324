"""What is awaited: a frame, a step or a pause?

`decide` is the intrinsic `.await`: compiled code passes everything it awaits through it.  What to do
with a coroutine depends on its code object alone, so the answer is remembered by that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import CoroutineType
from typing import Any, TypeAlias

from ..compiler.lowered import PointKind
from . import events
from .async_generators import advance, as_it_is
from .branch import Branch
from .call_stack import Waiting
from .frames import arguments_of
from .functions import Function, arguments, function_of_frame
from .generators import closure_of
from .plans import Plan, Plans
from .running_branch import current

Coroutine: TypeAlias = "CoroutineType[Any, Any, Any]"

_OPERATIONS: dict[int, Plan] = {
    id(asyncio.sleep.__code__): events.begin_sleep,
    id(events.wait_for_event.__code__): events.begin_wait,
    id(advance.__code__): as_it_is,
}
"""Coroutine functions with a durable form of their own."""


def plans_for(packages: frozenset[str]) -> Plans:
    """The plans of a program whose functions are in these packages."""
    return Plans(packages, _OPERATIONS)


def decide(awaitable: Any) -> Any:
    """What to await instead of `awaitable`."""
    branch = current.get()
    if branch is None or branch.in_step:
        return awaitable
    if type(awaitable) is CoroutineType:
        plan = branch.plans.get(id(awaitable.cr_code))
        if plan is None:
            plan = _plan(branch, awaitable)
        return plan(branch, awaitable)
    return _step(branch, awaitable)


def _step(branch: Branch, awaitable: Any) -> Any:
    """Await a step, with a checkpoint after it if the program wants one there."""
    return branch.step(awaitable) if branch.saves_steps else awaitable


def _plan(branch: Branch, coroutine: Coroutine) -> Plan:
    if coroutine.cr_suspended or coroutine.cr_frame is None:
        return _step  # started by hand: what is left of it is one step
    plan = _frame_plan(branch, coroutine)
    branch.plans.remember(coroutine.cr_code, plan)
    return plan


def _frame_plan(branch: Branch, coroutine: Coroutine) -> Plan:
    code = coroutine.cr_code
    if function_of_frame(code) is not None:
        return as_it_is
    assert coroutine.cr_frame is not None
    function = branch.plans.function(code, coroutine.cr_frame.f_globals)
    points = [] if function is None else function.compiled.lowered.points
    if function is None or not points:
        return _step
    return _Adopt(function, is_step=all(point.kind is PointKind.PAUSE for point in points))


class _Adopt:
    """Start the compiled form of a function in place of a coroutine that has not started."""

    def __init__(self, function: Function, is_step: bool) -> None:
        self._function = function
        self._is_step = is_step

    def __call__(self, branch: Branch, coroutine: Coroutine) -> Any:
        if coroutine.cr_suspended or coroutine.cr_frame is None:
            return _step(branch, coroutine)
        frame = adopt(self._function, coroutine)
        return branch.leaf(frame) if self._is_step and branch.saves_steps else frame


def adopt(function: Function, coroutine: Coroutine) -> Coroutine:
    """The compiled form of a coroutine, with its arguments; the coroutine itself is closed."""
    closure = closure_of(coroutine) if coroutine.cr_code.co_freevars else None
    running = function.running(closure)
    positional, keywords = arguments(running.__code__, arguments_of(coroutine))
    frame: Coroutine = running(*positional, **keywords)
    frame.__name__, frame.__qualname__ = coroutine.__name__, coroutine.__qualname__
    coroutine.close()
    return frame


def leaf_of(branch: Branch, waiting: Waiting) -> Awaitable[Any] | None:
    """What the innermost call of a restored stack awaits."""
    match waiting:
        case ("value", value):
            return _delivered(value)
        case ("error", error):
            return _raised_again(error)
        case ("event", name, deadline):
            return events.receive(branch, name, deadline, saved=True)
        case ("sleep", due, result):
            return events.sleep_until(branch, due, result, saved=True)
    return None


async def _delivered(value: Any) -> Any:
    return value


async def _raised_again(error: BaseException) -> None:
    traceback = error.__traceback__
    try:
        raise error
    except BaseException:
        error.__traceback__ = traceback  # as it was when the step raised it
        raise
