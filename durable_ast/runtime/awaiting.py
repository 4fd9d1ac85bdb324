"""What is awaited: a frame, a step or a pause?

`decide` is the intrinsic `.await`: compiled code passes everything it awaits through it.  What to do
with a coroutine depends on its code object alone, so the answer is remembered by that.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from types import CodeType, CoroutineType, FunctionType
from typing import Any, TypeAlias

from ..compiler.lowered import PointKind
from ..errors import DurableError
from . import events
from .branch import Branch, current
from .call_stack import Waiting
from .frames import arguments, arguments_of
from .functions import Function, function_of, function_of_frame

log = logging.getLogger("durable_ast")

Coroutine: TypeAlias = "CoroutineType[Any, Any, Any]"
Plan: TypeAlias = Callable[[Branch, Any], Any]

_OPERATIONS: dict[int, Plan] = {
    id(asyncio.sleep.__code__): events.begin_sleep,
    id(events.wait_for_event.__code__): events.begin_wait,
}
"""Coroutine functions with a durable form of their own."""


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


class Plans(dict[int, Plan]):
    """The decisions for one idea of which code is the user's own.

    Args:
        packages: the top-level packages whose functions become frames.
    """

    def __init__(self, packages: frozenset[str]) -> None:
        super().__init__(_OPERATIONS)
        self.packages = packages
        self._codes: list[CodeType] = []

    def remember(self, code: CodeType, plan: Plan) -> None:
        self._codes.append(code)  # an id is only good for as long as its object lives
        self[id(code)] = plan


def _plan(branch: Branch, coroutine: Coroutine) -> Plan:
    if coroutine.cr_suspended or coroutine.cr_frame is None:
        return _step  # started by hand: what is left of it is one step
    code = coroutine.cr_code
    plan = _frame_plan(branch, coroutine)
    plans: Plans = branch.plans  # type: ignore[assignment]
    plans.remember(code, plan)
    return plan


def _frame_plan(branch: Branch, coroutine: Coroutine) -> Plan:
    code = coroutine.cr_code
    known = function_of_frame(code)
    if known is not None:
        return _as_it_is
    assert coroutine.cr_frame is not None
    namespace = coroutine.cr_frame.f_globals
    plans: Plans = branch.plans  # type: ignore[assignment]
    package = str(namespace.get("__name__", "")).partition(".")[0]
    if package not in plans.packages:
        return _step
    try:
        function = function_of(code, namespace)
    except DurableError as error:
        log.warning("%s runs as one step: %s", code.co_qualname, error)
        return _step
    points = function.compiled.lowered.points
    if not points:
        return _step
    return _Adopt(function, is_step=all(point.kind is PointKind.PAUSE for point in points))


def _as_it_is(branch: Branch, coroutine: Coroutine) -> Coroutine:
    return coroutine


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


def closure_of(coroutine: Coroutine) -> FunctionType:
    """The function whose call made a coroutine; its frame holds on to it."""
    code = coroutine.cr_code
    for held in gc.get_referents(coroutine):
        if type(held) is FunctionType and held.__code__ is code:
            return held
    raise DurableError(f"the function of {coroutine!r} cannot be found")


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
