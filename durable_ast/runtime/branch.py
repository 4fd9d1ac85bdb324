"""One line of execution of an instance, and how it is driven.

A branch is a chain of real coroutines, each awaiting the next; asyncio's futures pass through it
untouched.  What the runtime itself has to say (stop here, the store has failed; wait for an event)
comes up the same way, as a `Signal`, and ends the drive without unwinding anything: user code never
sees it, so it cannot catch it.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from types import CoroutineType, FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import DurableError, NotPersistableError
from . import frames, generators, staged
from .async_generators import advance
from .call_stack import CallStack, Waiting
from .discard import discard
from .functions import Frame, resolve
from .unsaved import explain_unsaved

if TYPE_CHECKING:
    from .instance import Instance
    from .plans import Plans


class Signal:
    """Something for whoever drives the branch."""


@dataclass(frozen=True, slots=True)
class Stop(Signal):
    """The branch cannot go on here; the error is for the caller of the program."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Park(Signal):
    """The branch waits for an event, and may leave memory."""

    event: str
    deadline: float | None


@types.coroutine
def signal(message: Signal) -> Generator[Signal, Any, Any]:
    """Send a signal to the driver; gives its answer."""
    return (yield message)


@types.coroutine
def drive(frame: Frame, answer: Any) -> Generator[Any, Any, Any]:
    """Run the frames until they end, fail, or send a signal, which is then the result."""
    error: BaseException | None = None
    while True:
        try:
            yielded = frame.send(answer) if error is None else frame.throw(error)
        except StopIteration as stop:
            return stop.value
        if isinstance(yielded, Signal):
            return yielded
        error = None
        try:
            answer = yield yielded
        except GeneratorExit:  # the event loop is gone: this is no way out of the user's blocks
            abandon(frame)
            raise
        except BaseException as raised:
            error = raised


def abandon(frame: Frame) -> None:
    """Let go of suspended frames, and of the generators that were saved with them, without running
    what is left of them."""
    for generator in generators.saved:
        discard(generator)
    generators.saved.clear()
    awaited: Any = frame
    while isinstance(awaited, CoroutineType):
        inner = awaited.cr_await
        discard(awaited)
        awaited = inner


class Branch:
    """One call stack at work.

    Attributes:
        instance: what it belongs to.
        in_step: whether a step is running: what is awaited inside of it is none of ours.
        saves_steps: whether the end of a step is a checkpoint.
        plans: what to do with a coroutine, by the id of its code object (see `awaiting`).
        flights: the exceptions that user code was handling at the last checkpoint.
    """

    __slots__ = ("_outer_error", "_savable", "flights", "in_step", "instance", "plans", "saves_steps")

    def __init__(self, instance: Instance, plans: Plans) -> None:
        self.instance = instance
        self.in_step = False
        self.saves_steps = instance.saves_steps
        self.plans = plans
        self.flights: list[BaseException] = []
        self._outer_error = sys.exception()
        self._savable = staged.Savable()

    async def step(self, awaitable: Awaitable[Any]) -> Any:
        """Await a step; its end is a checkpoint, whether it gives a value or an error."""
        self.in_step = True
        try:
            value = await awaitable
        except BaseException as error:
            self.in_step = False
            await self.failed(error, sys._getframe(1))
            raise
        self.in_step = False
        await self.checkpoint(("value", value), sys._getframe(1))
        return value

    async def leaf(self, frame: Awaitable[Any]) -> Any:
        """Await a frame that has no steps, only pauses: its end is a checkpoint too."""
        try:
            value = await frame
        except BaseException as error:
            await self.failed(error, sys._getframe(1))
            raise
        await self.checkpoint(("value", value), sys._getframe(1))
        return value

    async def failed(self, error: BaseException, frame: FrameType) -> None:
        """A step has raised `error`; called in its handler, in a coroutine awaited by `frame`."""
        if isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit)):
            return  # the process is ending, the instance is not
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # not our frame
        if self.saves_steps:
            await self.checkpoint(("error", error), frame, raised=error)

    async def checkpoint(
        self,
        waiting: Waiting,
        frame: FrameType,
        *,
        raised: BaseException | None = None,
        consumed: tuple[int, ...] = (),
        pause: Park | None = None,
        wake_at: float | None = None,
    ) -> None:
        """Save the branch as it stands.

        Args:
            waiting: what the innermost call gets when it goes on from here.
            frame: the innermost frame.
            raised: the exception that the innermost call is about to see.
            consumed: messages that this checkpoint takes.
            pause: the event that it waits for.
            wake_at: when it wants to be woken, in seconds since 1970.
        """
        flights = self._in_flight(raised)
        stack = CallStack(frames.capture(frame, _DRIVER, _LEAF, advance.__code__), waiting, flights)
        generators.saved.clear()
        try:
            lost = self._savable.lost(stack)
            data = staged.dumps(stack, lost) if lost else stack.to_bytes()
        except Exception as error:
            await self._not_saved(stack, error, pause is not None)
            return
        instance = self.instance
        instance.note_flights(self.flights, flights, data)
        self.flights = flights
        try:
            await instance.save(data, consumed, pause, wake_at)
        except DurableError as error:
            await self.stop(error)

    async def stop(self, error: BaseException) -> NoReturn:
        """Give up here, with an error for the caller; no user code runs any more."""
        await signal(Stop(error))
        raise AssertionError("a stopped branch was driven on")

    async def _not_saved(self, stack: CallStack, error: Exception, pausing: bool) -> None:
        innermost = stack.stack[-1]
        entering = resolve(innermost.key, innermost.version).compiled.managers.entering
        if not pausing and innermost.block in entering:
            return  # a manager that has just been entered will be entered again
        problem = explain_unsaved(stack, error)
        if self.instance.must_save(pausing):
            await self.stop(NotPersistableError(problem.text))
        else:
            problem.warn()

    def _in_flight(self, raised: BaseException | None) -> list[BaseException]:
        """The exceptions being handled by user code, outermost first."""
        error = raised if raised is not None else sys.exception()
        chain: list[BaseException] = []
        while error is not None and error is not self._outer_error and error not in chain:
            chain.append(error)
            error = error.__context__
        chain.reverse()
        return chain


_DRIVER = drive.__code__
_LEAF = Branch.leaf.__code__

Step = Callable[[Awaitable[Any]], Any]
