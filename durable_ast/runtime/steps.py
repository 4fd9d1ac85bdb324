"""Steps: functions that are run whole, tried again when they fail, and never compiled.

`perform` is what a call of a step awaits.  It finds out where it runs: awaited by a durable function
it is a step of the instance, and its attempts are part of the state; inside of another step it is a
unit of that step's journal; anywhere else it is a plain call, with the same policy if that holds
everywhere.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from types import CodeType, CoroutineType, MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from ..errors import AlreadyDurableException
from ..state.snapshot import importable
from .branch import Branch, drive
from .call_stack import Waiting
from .functions import frames
from .imitation import wrap
from .journal import Scope, enclosing
from .retries import Policy
from .running_branch import current
from .spans import around_step
from .timers import until
from .tracebacks import without_library_frames

if TYPE_CHECKING:
    from ..backoff import Backoff

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
Owner = TypeVar("Owner")


class Step(Generic[P, R]):
    """A function whose calls are steps; made by `step`.

    Called and typed like the function; a sync function becomes one to await.  A call takes one
    argument of its own: ``step_id``, a name for this call among those of its enclosing step, for
    calls whose order or arguments are not the same each time.  A parameter of the function with this
    name hides it.

    Attributes:
        fn: the function.
        name: what it is called in messages, and in the keys of its calls inside of other steps.
        policy: when it is tried again.
    """

    __name__: str
    __qualname__: str

    def __init__(self, fn: Callable[..., Any], name: str | None, policy: Policy) -> None:
        _check_callable(fn)
        self.fn = fn
        self.policy = policy
        wrap(self, fn)
        if not hasattr(self, "__name__"):  # an object that can be called
            self.__name__ = self.__qualname__ = type(fn).__qualname__
        self.name = name or f"{self.__module__}.{self.__qualname__}"
        self._in_thread = not _is_async(fn)
        self._takes_id = "step_id" not in _parameters(fn)
        # what inspect.iscoroutinefunction looks at before Python 3.12, and since
        self.__code__: CodeType = perform.__code__
        self.__defaults__ = self.__kwdefaults__ = None
        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(self)

    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, /, *args: Any, step_id: str, **kwargs: Any) -> Coroutine[Any, Any, R]: ...

    def __call__(self, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R]:
        key = kwargs.pop("step_id", None) if self._takes_id else None
        if key is not None and not isinstance(key, str):
            raise TypeError(f"step_id must be a str, not {type(key).__name__}")
        coroutine = perform(Call(self, args, kwargs, key))
        assert isinstance(coroutine, CoroutineType)
        coroutine.__name__, coroutine.__qualname__ = self.__name__, self.__qualname__
        return coroutine

    @overload
    def __get__(self, owner: None, cls: type) -> Step[P, R]: ...
    @overload
    def __get__(
        self: Step[Concatenate[Owner, Q], R], owner: Owner, cls: type[Owner] | None = None
    ) -> Callable[Q, Coroutine[Any, Any, R]]: ...

    def __get__(self, owner: Any, cls: type | None = None) -> Any:
        return self if owner is None else MethodType(self, owner)

    def __reduce__(self) -> Any:
        return self.__qualname__ if importable(self) else (Step, (self.fn, self.name, self.policy))

    def __repr__(self) -> str:
        return f"<step {self.name}>"


class StepDecorator(Protocol):
    """Makes a function a `Step`."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(
    fn: Callable[P, Coroutine[Any, Any, R]],
    *,
    name: str | None = None,
    retries: int = 0,
    backoff: Backoff | None = None,
    timeout: float | None = None,
    total_timeout: float | None = None,
    retry_if: Callable[[Exception], bool] | None = None,
    no_retry: tuple[type[BaseException], ...] = (),
) -> Step[P, R]: ...
@overload
def step(
    fn: Callable[P, R],
    *,
    name: str | None = None,
    retries: int = 0,
    backoff: Backoff | None = None,
    timeout: float | None = None,
    total_timeout: float | None = None,
    retry_if: Callable[[Exception], bool] | None = None,
    no_retry: tuple[type[BaseException], ...] = (),
) -> Step[P, R]: ...
@overload
def step(
    fn: None = None,
    *,
    name: str | None = None,
    retries: int = 0,
    backoff: Backoff | None = None,
    timeout: float | None = None,
    total_timeout: float | None = None,
    retry_if: Callable[[Exception], bool] | None = None,
    no_retry: tuple[type[BaseException], ...] = (),
) -> StepDecorator: ...


def step(fn: Any = None, *, name: str | None = None, **policy: Any) -> Any:
    """Make a function a step; a decorator, with or without arguments, or around a function.

    In a durable function its call is run whole: after a crash it runs again, or not at all if it had
    ended.  Inside of another step, it does not run again with that step once it has ended.  Anywhere
    else it is a plain call.  The attempts, and when the next one is due, survive a crash.

    Args:
        fn: an async function, or a sync one, which runs in a thread.
        name: what to call it; its qualified name if it is left out.
        retries: how often it is tried again after it failed.
        backoff: gives the seconds to wait before a retry, from its number, which starts at 0; see
            `durable_ast.backoff`.
            It is tried again at once if this is left out.
        timeout: seconds that one attempt may take, then it fails with TimeoutError.  (A sync function
            is not awaited any longer; its thread cannot be stopped.)
        total_timeout: seconds that all attempts may take together, also while no process runs.
        retry_if: whether it is tried again after this error.
        no_retry: types of errors after which it is not.

    Raises:
        TypeError, ValueError: nonsense was given.

    >>> import asyncio
    >>> from durable_ast import DurableBackend, make_durable, step
    >>> from durable_ast.backoff import exponential
    >>> @step(retries=3, backoff=exponential(max=30), no_retry=(KeyError,))
    ... async def charge(amount: int) -> str:
    ...     return f"charged {amount}"
    >>> @make_durable
    ... async def order() -> str:
    ...     return await charge(7)
    >>> asyncio.run(order(orchestration_backend=DurableBackend(), instance_id="order-7"))
    'charged 7'
    """
    return made(fn, name, Policy(**policy))


def made(fn: Any, name: str | None, policy: Policy) -> Any:
    """The step of a function; a decorator if that is None."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"the name of a step must be a str, not {type(name).__name__}")
    return Step(fn, name, policy) if fn is not None else lambda fn: Step(fn, name, policy)


_PLAIN = Policy()


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a step, before one of its attempts.

    Attributes:
        step, args, kwargs: what is called.
        key: the caller's name for it.
        attempt: the number of the attempt, from 1.
        due: when it is due, in seconds since 1970; at once if it is None.
        deadline: when it is given up, in seconds since 1970.
        is_plain: whether it is made as if its function were no step.
    """

    step: Step[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    key: str | None = None
    attempt: int = 1
    due: float | None = None
    deadline: float | None = None
    is_plain: bool = False

    @property
    def policy(self) -> Policy:
        """When it is tried again."""
        return _PLAIN if self.is_plain else self.step.policy

    def outside(self) -> Call:
        """The same outside of any instance."""
        return self if self.step.policy.everywhere else replace(self, is_plain=True)

    def waiting(self) -> Waiting:
        """As what a checkpoint says that a frame waits for."""
        return ("step", self.step, self.args, self.kwargs, self.key, self.attempt, self.due, self.deadline)

    def started(self) -> Call:
        """The same with its deadline, which counts from the first attempt on."""
        total = self.policy.total_timeout
        return self if total is None or self.deadline is not None else replace(self, deadline=time.time() + total)

    def after(self, error: BaseException) -> Call | None:
        """The next attempt, if there is one after this error."""
        delay = self.policy.delay(error, self.attempt)
        if delay is None:
            return None
        due = time.time() + delay
        if self.deadline is not None and due >= self.deadline:
            return None
        return replace(self, attempt=self.attempt + 1, due=due)

    def run(self) -> Awaitable[Any]:
        """Make the attempt: what is given is to be awaited."""
        if self.deadline is None and self.policy.timeout is None:
            return self._call()
        return self._within_its_time()

    async def _within_its_time(self) -> Any:
        limit, what = self.policy.timeout, f"timeout of {self.policy.timeout} seconds"
        if self.deadline is not None:
            left, total = self.deadline - time.time(), f"total_timeout of {self.policy.total_timeout} seconds"
            if left <= 0:  # what does not wait would run to its end in a scope that is over
                raise TimeoutError(f"step {self.step.name}: the {total} ended before attempt {self.attempt}")
            if limit is None or left < limit:
                limit, what = left, total
        scope = asyncio.timeout(limit)
        try:
            async with scope:
                return await self._call()
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise TimeoutError(f"step {self.step.name}: the {what} ended in attempt {self.attempt}") from error

    def _call(self) -> Awaitable[Any]:
        called: Awaitable[Any] = (self._in_thread if self.step._in_thread else self.step.fn)(*self.args, **self.kwargs)
        return called

    async def _in_thread(self, *args: Any, **kwargs: Any) -> Any:
        result = await asyncio.to_thread(self.step.fn, *args, **kwargs)
        return await result if inspect.isawaitable(result) else result


async def perform(call: Call) -> Any:
    """Run a call of a step, wherever this is awaited."""
    branch = current.get()
    if branch is None or branch.in_step or not _is_frame(sys._getframe(1).f_code):
        return await _inside(call)
    call = call.started()
    while True:
        if call.due is not None:
            try:
                await until(call.due)
            except BaseException as error:
                await branch.failed(error, sys._getframe(1))
                raise
        if branch.siblings is not None:
            branch.siblings.begins(branch, call.waiting())
        scope = branch.begin_step(sys._getframe(1), call.step.name, call.attempt)
        try:
            with scope, around_step(branch.instance.spans, call.step.name, call.attempt):
                value = await call.run()
        except BaseException as error:
            branch.end_step()
            error.__traceback__ = without_library_frames(error.__traceback__)
            again = None if branch.fault is not None else call.after(error)
            if again is None:
                await branch.failed(error, sys._getframe(1))
                raise
            call = again
        else:
            branch.end_step()
            if branch.saves_steps:
                saving = branch.checkpoint(("value", value), sys._getframe(1), step=call.step.name)
                if saving is not None:
                    await branch.saved(saving)
            return value
        if branch.saves_steps:
            saving = branch.checkpoint(call.waiting(), sys._getframe(1), wake_at=call.due)
            if saving is not None:
                await branch.saved(saving)


async def _inside(call: Call) -> Any:
    """A call inside of another step, or outside of any instance."""
    outer = enclosing()
    if outer is None:
        import uuid

        return await _attempts(call.outside(), None, str(uuid.uuid4()))
    arguments = call.args, call.kwargs
    path = outer.path_of(outer.key_given(call.key, arguments) if call.key else outer.key_of(call.step.name, arguments))
    branch = outer.branch
    if branch is None:
        return await _attempts(call.outside(), None, path)
    known = await branch.journal.lookup(path)
    if known is not None:
        return known.value
    await branch.journal.settled()
    value = await _attempts(call, branch, path)
    await branch.journal.record(path, value)
    return value


async def unit(step: Step[..., Any], key: str, *args: Any) -> Any:
    """Call a step as a unit of the running step, for a library that has no effects between its units.

    It differs from a call in one thing: its result is stored while the library goes on, and only the
    next unit waits for that; at the end, `Run.settled` must be awaited.

    Args:
        step: what is called.
        key: its name among the units of the running step.
        args: what it is called with.

    Raises:
        CancelledError: the instance has stopped, and this is a task of the library that it has left behind.
    """
    outer = enclosing()
    assert outer is not None and outer.branch is not None
    journal, path = outer.branch.journal, outer.path_of(key)
    known = await journal.lookup(path)
    if known is not None:
        return known.value
    await journal.settled()
    if outer.branch.halted is not None:
        raise asyncio.CancelledError("the instance has stopped")
    value = await _attempts(Call(step, args, {}, key), outer.branch, path)
    await journal.record_behind(path, value)
    return value


async def _attempts(call: Call, branch: Branch | None, path: str) -> Any:
    """Make attempts until one succeeds or there are none left; those of a unit are in the journal."""
    call = call.started()
    count = f"{path} attempts"
    known = None if branch is None else await branch.journal.lookup(count)
    if known is not None:
        attempt, due, deadline = known.value
        call = replace(call, attempt=attempt, due=due, deadline=deadline).started()
    while True:
        if call.due is not None:
            await until(call.due)
        try:
            with Scope(branch, path, call.step.name, call.attempt):
                return await call.run()
        except Exception as error:
            if branch is not None and branch.journal.fault is not None:
                raise
            again = call.after(error)
            if branch is not None and (again is not None or call.attempt > 1):
                # after the last one the unit has failed: it begins anew if the step around it is tried again
                begun = again or replace(call, attempt=1, due=None, deadline=None)
                await branch.journal.record(count, (begun.attempt, begun.due, begun.deadline))
            if again is None:
                raise
            call = again


def _check_callable(fn: Any) -> None:
    if isinstance(fn, Step):
        raise AlreadyDurableException(f"{fn!r} is a step already; use it as it is, or give step() its function (.fn)")
    if isinstance(fn, (staticmethod, classmethod)):
        raise TypeError(f"put @{type(fn).__name__} above @step, not below")
    if not callable(fn):
        raise TypeError(f"step() needs a function, not {type(fn).__name__}")
    if inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn):
        raise TypeError(f"{fn.__qualname__}() is a generator function; a step must return its result")


def _is_async(fn: Any) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)


def _parameters(fn: Any) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(fn).parameters)
    except (TypeError, ValueError):  # written in C
        return frozenset()


def _is_frame(code: CodeType) -> bool:
    """Whether code that awaits a call is a frame of an instance, not a library."""
    return id(code) in frames or code is drive.__code__
