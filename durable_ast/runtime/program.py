"""`make_durable` and what it returns."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable
from types import CoroutineType, FunctionType, MethodType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from ..backends.base import OrchestrationBackend
from ..compiler.explain import explanation
from ..compiler.source import FunctionKey
from ..compiler.table import CodeBlock, code_blocks
from ..errors import AlreadyDurableException, NoSourceCodeException
from .awaiting import plans_for
from .call_stack import FunctionCall
from .defaults import default_backend
from .frames import captured_start
from .functions import Frame, function_of
from .instance import Durability, Settings
from .running_branch import current
from .runtime import DurableRuntime
from .tracebacks import without_library_frames

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS = ("instance_id", "orchestration_backend", "wait")


class DurableProgram(Generic[P, R]):
    """A durable function: called like the function it was made from, and typed like it.

    A call takes three arguments of its own beside those of the function:

    * ``instance_id``: which instance; a new one if it is left out.  Calling an instance again goes
      on where it stands; a finished one returns its result.
    * ``orchestration_backend``: where it is kept; the SQLite file ``durable.db`` in the current
      directory if it is left out.
    * ``wait``: whether to stay at a pause until its event is there, instead of raising
      `PauseForEventException`.

    A parameter of the function that has one of these names hides it; `run` takes the instance id by
    position, and checks the other arguments like the function itself.

    Attributes:
        fn: the function it was made from.
        key: the name of its instances' code: module and qualified name.
    """

    fn: Callable[P, Coroutine[Any, Any, R]]
    __name__: str
    __qualname__: str

    def __init__(
        self,
        fn: Callable[P, Coroutine[Any, Any, R]],
        *,
        durability: Durability = Durability.STRICT,
        strict: bool = False,
        deep: bool | Iterable[str] = True,
    ) -> None:
        self.fn = fn
        self.settings = Settings(durability, strict)
        self._owner, function = _unbound(fn)
        functools.update_wrapper(self, function)
        # what inspect.iscoroutinefunction looks at before Python 3.12, and since
        self.__code__, self.__globals__ = function.__code__, function.__globals__
        self.__defaults__, self.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(self)
        compiled = function_of(function.__code__, function.__globals__)
        self.key: FunctionKey = compiled.key
        self.plans = plans_for(_packages(function, deep))
        self._function = function
        self._running = _with_defaults(compiled.running(function), function)
        names = (*function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount],)
        self._options = tuple(name for name in _OPTIONS if name not in names)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(
        self,
        *args: Any,
        instance_id: str | None,
        orchestration_backend: OrchestrationBackend | None = None,
        wait: bool = False,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(
        self,
        *args: Any,
        orchestration_backend: OrchestrationBackend,
        wait: bool = False,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        options = {name: kwargs.pop(name) for name in self._options if name in kwargs}
        if not options:
            branch = current.get()
            if branch is not None:
                return self.fn(*args, **kwargs) if branch.in_step else self.start(*args, **kwargs)
        return self._named(self._run(args, kwargs, **options))

    def run(self, instance_id: str, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Call the instance of this id on the default backend; arguments are checked as usual."""
        return self._named(self._run(args, kwargs, instance_id=instance_id))

    async def _run(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        instance_id: str | None = None,
        orchestration_backend: OrchestrationBackend | None = None,
        wait: bool = False,
    ) -> Any:
        try:
            backend = default_backend() if orchestration_backend is None else orchestration_backend
            runtime = DurableRuntime(self, backend, instance_id)
            return await runtime.run(*args, wait=wait, **kwargs)
        except BaseException as error:
            error.__traceback__ = without_library_frames(error.__traceback__)
            raise

    def _named(self, coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        """Let tasks show the function, not the library."""
        assert isinstance(coroutine, CoroutineType)
        coroutine.__name__, coroutine.__qualname__ = self.__name__, self.__qualname__
        return coroutine

    @property
    def blocks(self) -> list[CodeBlock]:
        """The code blocks of the function, in order."""
        return code_blocks(function_of(self._function.__code__, self._function.__globals__).compiled)

    # for the runtime

    def start(self, *args: Any, **kwargs: Any) -> Frame:
        """A frame of the function with these arguments, not started."""
        frame: Frame = self._running(*self._owner, *args, **kwargs)
        return frame

    def captured(self, start: Frame) -> FunctionCall:
        """The record of a call that `start` made."""
        compiled = function_of(self._function.__code__, self._function.__globals__)
        return captured_start(compiled, start, self._function)

    def own_arguments(self, call: FunctionCall) -> dict[str, Any]:
        """The arguments of a call without the object that a method is bound to."""
        bound = self._function.__code__.co_varnames[: len(self._owner)]
        return {name: value for name, value in call.locals.items() if name not in bound}

    # a program is a function

    def __get__(self, owner: Any, cls: type | None = None) -> Any:
        if owner is None:
            return self
        bound = copy.copy(self)
        bound.fn = MethodType(self.fn, owner)
        bound._owner = (owner, *self._owner)
        return bound

    def __reduce__(self) -> Any:
        return self.__qualname__ if not self._owner else (DurableProgram, (self.fn,))

    def __repr__(self) -> str:
        return f"<durable {self.__module__}.{self.__qualname__}>"


@overload
def make_durable(
    fn: Callable[P, Coroutine[Any, Any, R]],
    *,
    durability: Durability = Durability.STRICT,
    strict: bool = False,
    deep: bool | Iterable[str] = True,
) -> DurableProgram[P, R]: ...
@overload
def make_durable(
    *,
    durability: Durability = Durability.STRICT,
    strict: bool = False,
    deep: bool | Iterable[str] = True,
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], DurableProgram[P, R]]: ...


def make_durable(fn: Any = None, **options: Any) -> Any:
    """Make an async function durable; also a decorator, with or without arguments.

    Args:
        fn: the function.
        durability: how far a checkpoint may be behind; see `Durability`.
        strict: raise `NotPersistableError` where a value cannot be saved, instead of warning.
        deep: whether async functions of the same top-level package that it awaits are durable too;
            or the names of the packages whose functions are.

    Raises:
        TypeError: `fn` is not an async function.
        AlreadyDurableException: it is durable already.
        NoSourceCodeException: its text cannot be found.
        UnsupportedSyntaxError: it holds a construct that cannot be made durable.

    >>> import asyncio
    >>> @make_durable
    ... async def double(number: int) -> int:
    ...     await asyncio.sleep(0)
    ...     return 2 * number
    >>> from durable_ast import DurableBackend
    >>> asyncio.run(double(4, orchestration_backend=DurableBackend(), instance_id="four"))
    8
    """
    if fn is None:
        return functools.partial(make_durable, **options)
    if isinstance(fn, DurableProgram):
        raise AlreadyDurableException(f"{fn!r} is durable already; use it as it is")
    return DurableProgram(fn, **options)


def explain(fn: Callable[..., Any], *, code: bool = False) -> None:
    """Print the numbered blocks of a function beside its source.

    For each block: its lines, what it goes on after, what is saved there, and where it can end.

    Args:
        fn: an async function, durable or not.
        code: show what it is compiled to as well.

    Raises:
        TypeError: `fn` is not an async function.
        NoSourceCodeException: its text cannot be found.
    """
    _, function = _unbound(getattr(fn, "fn", fn))
    print(explanation(function_of(function.__code__, function.__globals__).compiled, code=code), end="")


def _unbound(fn: Any) -> tuple[tuple[Any, ...], FunctionType]:
    """A function and the object it is bound to, if it is."""
    owner: tuple[Any, ...] = ()
    function = fn
    if not isinstance(function, (FunctionType, MethodType)) and hasattr(type(function), "__call__"):  # noqa: B004
        function = function.__call__  # an object that can be called
    if isinstance(function, MethodType):
        owner, function = (function.__self__,), function.__func__
    if isinstance(function, FunctionType) and inspect.iscoroutinefunction(function):
        return owner, function
    what = getattr(fn, "__qualname__", None) or repr(fn)
    if inspect.isasyncgenfunction(function):
        raise TypeError(f"{what} is an async generator function; make the async function that iterates over it durable")
    if not callable(fn):
        raise TypeError(f"make_durable() needs an async function, not {type(fn).__name__}")
    code = getattr(function, "__code__", None)
    if code is None and inspect.iscoroutinefunction(fn):
        raise NoSourceCodeException(f"{what} has no Python code, so it cannot be made durable")
    where = "" if code is None else f"{code.co_filename}:{code.co_firstlineno}: "
    raise TypeError(f"{where}{what} is not an async function (a coroutine function); write `async def`")


def _with_defaults(running: FunctionType, function: FunctionType) -> FunctionType:
    """The running version, called like the function itself."""
    copied = FunctionType(running.__code__, running.__globals__, function.__name__, None, running.__closure__)
    copied.__defaults__, copied.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    copied.__qualname__ = function.__qualname__
    return copied


def _packages(function: FunctionType, deep: bool | Iterable[str]) -> frozenset[str]:
    if deep is False:
        return frozenset()
    own = {str(function.__globals__.get("__name__", "")).partition(".")[0], "__main__"}
    return frozenset(own) if deep is True else frozenset({*own, *deep})
