"""What is awaited: a frame, a step or a pause?

`decide` is the intrinsic `.await`: compiled code passes everything it awaits through it.  What to do
with a coroutine depends on its code object alone, so the answer is remembered by that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import CoroutineType
from typing import Any, TypeAlias

from ..compiler.kinds import PointKind
from . import async_managers, asyncio_map, events, signals, steps, transactions
from .async_generators import advance, as_it_is, throw
from .branch import Branch
from .call_stack import Waiting
from .debugging import step_over_library, unwatched
from .frames import arguments_of
from .functions import Function, arguments, function_of_frame
from .generators import closure_of
from .mailbox import Delivered
from .plans import Plan, Plans
from .recipes import begun
from .running_branch import current

Coroutine: TypeAlias = "CoroutineType[Any, Any, Any]"


def plans_for(packages: frozenset[str]) -> Plans:
    """The plans of a program whose functions are in these packages."""
    return Plans(packages, _OPERATIONS)


def decide(awaitable: Any) -> Any:
    """What to await instead of `awaitable`."""
    try:
        plan = _current().plans[id(awaitable.cr_code)]  # type: ignore[union-attr]
    except (KeyError, AttributeError):
        return _decide_first(awaitable)
    return awaitable if plan is as_it_is else plan(_current(), awaitable)


_current = current.get


def _decide_first(awaitable: Any) -> Any:
    branch = current.get()
    if branch is None or branch.in_step:
        return awaitable
    step_over_library()  # a breakpoint may have started a debugger meanwhile
    return _plan(branch, awaitable)(branch, awaitable)


def _step(branch: Branch, awaitable: Any) -> Any:
    """Await a step, with a checkpoint after it if the program wants one there."""
    if branch.siblings is not None:
        is_inward = asyncio_map.is_inward(awaitable)
        branch.siblings.awaiting(branch, awaitable, is_inward=is_inward)
        if is_inward:
            return awaitable
    return branch.step(awaitable)


_OPERATIONS: dict[int, Plan] = {
    **asyncio_map.operations(),
    id(asyncio.sleep.__code__): events.begin_sleep,
    id(events.sleep_until.__code__): events.begin_sleep_until,
    id(events.wait_for_event.__code__): events.begin_wait,
    id(signals.wait_for_signal.__code__): signals.begin_signal,
    id(signals.send.__code__): signals.begin_send,
    id(signals.set_value.__code__): signals.begin_set_value,
    **async_managers.operations(_step),
    id(advance.__code__): as_it_is,
    id(throw.__code__): as_it_is,
    id(steps.perform.__code__): as_it_is,
    id(transactions.begin.__code__): transactions.begin_block,
    id(transactions.end.__code__): as_it_is,
}
"""Coroutine functions with a durable form of their own."""


def _plan(branch: Branch, coroutine: Any) -> Plan:
    if type(coroutine) is not CoroutineType or coroutine.cr_suspended or coroutine.cr_frame is None:
        return _step  # of another kind, or started by hand: what is left of it is one step
    plan = _frame_plan(branch, coroutine)
    branch.program_plans.remember(coroutine.cr_code, plan)
    return plan


def _frame_plan(branch: Branch, coroutine: Coroutine) -> Plan:
    code = coroutine.cr_code
    if function_of_frame(code) is not None:
        return as_it_is
    assert coroutine.cr_frame is not None
    function = branch.program_plans.function(code, coroutine.cr_frame.f_globals)
    kinds = () if function is None else function.compiled.kinds
    if function is None or not kinds:
        is_seen = branch.siblings is not None or (branch.saves_steps and not asyncio_map.is_of_asyncio(code))
        return _step if is_seen else as_it_is
    return _Adopt(function, is_step=all(kind is PointKind.PAUSE for kind in kinds))


class _Adopt:
    """Start the compiled form of a function in place of a coroutine that has not started."""

    def __init__(self, function: Function, is_step: bool) -> None:
        self.function = function
        self._is_step = is_step

    def __call__(self, branch: Branch, coroutine: Coroutine) -> Any:
        if coroutine.cr_suspended or coroutine.cr_frame is None:
            return _step(branch, coroutine)
        frame = adopt(self.function, coroutine)
        return branch.leaf(frame) if self._is_step and branch.saves_steps else frame


def adopted(branch: Branch, coroutine: Coroutine) -> Coroutine | None:
    """The compiled form of a coroutine of the user's own that has not started; None for any other."""
    plan = branch.program_plans.get(id(coroutine.cr_code)) or _plan(branch, coroutine)
    return adopt(plan.function, coroutine) if isinstance(plan, _Adopt) else None


def adopt(function: Function, coroutine: Coroutine) -> Coroutine:
    """The compiled form of a coroutine, with its arguments; the coroutine itself is closed."""
    values = arguments_of(coroutine)
    frame: Coroutine
    if function.plain_call is not None:
        call, names = function.plain_call
        frame = call(*map(values.__getitem__, names))
    else:
        closure = closure_of(coroutine) if coroutine.cr_code.co_freevars else None
        running = function.running(closure)
        positional, keywords = arguments(running.__code__, values)
        frame = running(*positional, **keywords)
    frame.__name__, frame.__qualname__ = coroutine.__name__, coroutine.__qualname__
    unwatched(coroutine.close)
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
        case ("signal", name, deadline, after, kind, poll):
            return signals.hear(branch, name, deadline, Delivered(after), kind, poll)
        case ("sleep", due, result):
            return events.sleep_to(branch, due, result, saved=True)
        case ("step", *call):
            return steps.perform(steps.Call(*call))
        case ("again" | "await", *_):
            again: Awaitable[Any] = decided(branch, begun(waiting))
            return again
    return None


def decided(branch: Branch, awaitable: Any) -> Any:
    """What a branch awaits instead of `awaitable`."""
    plan = branch.program_plans.get(id(getattr(awaitable, "cr_code", None))) or _plan(branch, awaitable)
    return plan(branch, awaitable)


async def _delivered(value: Any) -> Any:
    return value


async def _raised_again(error: BaseException) -> None:
    traceback = error.__traceback__
    try:
        raise error
    except BaseException:
        error.__traceback__ = traceback  # as it was when the step raised it
        raise
