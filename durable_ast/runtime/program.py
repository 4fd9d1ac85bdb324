"""`make_durable` and what it returns."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable
from types import CoroutineType, FunctionType, MethodType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from ..backends.base import OrchestrationBackend
from ..backends.durable import DurableBackend
from ..compiler.code_block import CodeBlock
from ..compiler.compiled import Compiled
from ..compiler.source import FunctionKey
from ..errors import AlreadyDurableException, NoSourceCodeException
from ..state.snapshot import importable
from .awaiting import plans_for
from .call_stack import FunctionCall
from .debugging import step_over_library, unwatched
from .defaults import default_backend
from .frames import captured_start
from .functions import Frame, function_of
from .handle import InstanceHandle
from .imitation import Signature, imitate
from .instance import Durability, Keep, OnChange, Settings
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
        function: the same, without the object that it is bound to.
        key: the name of its instances' code: module and qualified name.
        label: what its instances say that they run; the key, unless more is needed to tell programs
            apart.
    """

    fn: Callable[P, Coroutine[Any, Any, R]]
    __name__: str
    __qualname__: str
    __signature__ = Signature()

    def __init__(
        self,
        fn: Callable[P, Coroutine[Any, Any, R]],
        *,
        durability: Durability = Durability.STRICT,
        strict: bool = False,
        deep: bool | Iterable[str] = True,
        on_change: OnChange = "finish",
        history: Keep = 1,
    ) -> None:
        if not isinstance(durability, Durability):
            raise TypeError(f"durability must be a Durability, such as Durability.STRICT, not {durability!r}")
        self.fn = fn
        if on_change not in ("finish", "refuse"):
            raise ValueError(f"on_change must be 'finish' or 'refuse', not {on_change!r}")
        if history != "all" and (type(history) is not int or history < 1):
            raise ValueError(f"history must be 'all', or how many checkpoints to keep, from 1 on, not {history!r}")
        self.settings = Settings(durability, strict, on_change, history)
        self._deep = deep if isinstance(deep, bool) else frozenset(deep)
        self._method_of: Any = None
        self._keywords: dict[str, Any] = {}
        self._given: tuple[Any, ...] = ()
        if isinstance(fn, functools.partial):
            self._given, self._keywords = fn.args, fn.keywords
        self._owner, function = _unbound(fn)
        imitate(self, function)
        compiled = function_of(function.__code__, function.__globals__)
        self.key: FunctionKey = compiled.key
        self.label = str(compiled.key)
        self.plans = plans_for(_packages(function, self._deep))
        self.function = function
        self._running = _with_defaults(compiled.running(function), function)
        names = (*function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount],)
        self._options = tuple(name for name in _OPTIONS if name not in names)

    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(
        self,
        /,
        *args: Any,
        instance_id: str | None,
        orchestration_backend: OrchestrationBackend | None = None,
        wait: bool = False,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(
        self,
        /,
        *args: Any,
        orchestration_backend: OrchestrationBackend,
        wait: bool = False,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, R]: ...

    def __call__(self, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        options = {name: kwargs.pop(name) for name in self._options if name in kwargs}
        if not options:
            branch = current.get()
            if branch is not None:
                return self.fn(*args, **kwargs) if branch.in_step else self.frame(*args, **kwargs)
        self._check(args, kwargs)
        return self._named(self._run(args, kwargs, **options))

    def run(self, instance_id: str, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Call the instance of this id on the default backend; arguments are checked as usual."""
        self._check(args, kwargs)
        return self._named(self._run(args, kwargs, instance_id=instance_id))

    async def start(
        self,
        *args: Any,
        instance_id: str | None = None,
        orchestration_backend: OrchestrationBackend | None = None,
        **kwargs: Any,
    ) -> InstanceHandle[R]:
        """Create an instance, or find it, and leave it to workers to run.

        Args:
            args, kwargs: the arguments of the function.
            instance_id, orchestration_backend: as for a call.

        Raises:
            TypeError: these are no arguments of the function, or the backend is not one of this
                library.
            NotPersistableError: they cannot be saved.
            InstanceConflictError: the id belongs to another program, or to other arguments.

        >>> import asyncio
        >>> from durable_ast import DurableBackend, Worker
        >>> @make_durable
        ... async def double(number: int) -> int:
        ...     return 2 * number
        >>> async def main():
        ...     backend = DurableBackend()
        ...     handle = await double.start(4, instance_id="four", orchestration_backend=backend)
        ...     await Worker(backend.store, [double]).run_until_idle()
        ...     return await handle.result(timeout=10)
        >>> asyncio.run(main())
        8
        """
        backend = default_backend() if orchestration_backend is None else orchestration_backend
        if not isinstance(backend, DurableBackend):
            raise TypeError(f"others can run instances of a DurableBackend only, not of a {type(backend).__name__}")
        runtime = DurableRuntime(self, backend, instance_id)
        await runtime.enqueue(args, kwargs)
        return InstanceHandle(backend, runtime.instance_id)

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse wrong arguments where the call stands, as Python does."""
        if args or kwargs:  # without any, an instance that exists goes on
            unwatched(self.frame(*args, **kwargs).close)

    async def _run(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        instance_id: str | None = None,
        orchestration_backend: OrchestrationBackend | None = None,
        wait: bool = False,
    ) -> Any:
        step_over_library()
        try:
            backend = default_backend() if orchestration_backend is None else orchestration_backend
            runtime = DurableRuntime(self, backend, instance_id)
            return await runtime.call(args, kwargs, wait=wait)
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
        from ..compiler.table import code_blocks

        return code_blocks(self.compiled)

    @property
    def compiled(self) -> Compiled:
        """What the compiler made of the function."""
        return function_of(self.function.__code__, self.function.__globals__).compiled

    # for the runtime

    def frame(self, /, *args: Any, **kwargs: Any) -> Frame:
        """A frame of the function with these arguments, not started."""
        if self._keywords:
            kwargs = {**self._keywords, **kwargs}
        frame: Frame = self._running(*self._owner, *self._given, *args, **kwargs)
        return frame

    def captured(self, start: Frame) -> FunctionCall:
        """The record of a call that `frame` made."""
        compiled = function_of(self.function.__code__, self.function.__globals__)
        return captured_start(compiled, start, self.function)

    def own_arguments(self, call: FunctionCall) -> dict[str, Any]:
        """The arguments of a call without the object that a method is bound to."""
        bound = self.function.__code__.co_varnames[: len(self._owner)]
        return {name: value for name, value in call.locals.items() if name not in bound}

    # a program is a function

    def __get__(self, owner: Any, cls: type | None = None) -> Any:
        if owner is None or isinstance(self.fn, functools.partial) or not hasattr(self.fn, "__get__"):
            return self  # a partial function, or an object that can be called, is no method
        bound: DurableProgram[..., Any] = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound.fn = MethodType(self.fn, owner)
        bound._owner = (owner, *self._owner)
        bound._method_of = owner
        return bound

    def __reduce__(self) -> Any:
        if self._method_of is not None:
            return getattr, (self._method_of, self.__name__)
        if not self._owner and importable(self):
            return self.__qualname__
        return _made_again, (self.fn, self.settings, self._deep)

    def __repr__(self) -> str:
        return f"<durable {self.__module__}.{self.__qualname__}>"


@overload
def make_durable(
    fn: Callable[P, Coroutine[Any, Any, R]],
    *,
    durability: Durability = Durability.STRICT,
    strict: bool = False,
    deep: bool | Iterable[str] = True,
    on_change: OnChange = "finish",
    history: Keep = 1,
) -> DurableProgram[P, R]: ...
@overload
def make_durable(
    *,
    durability: Durability = Durability.STRICT,
    strict: bool = False,
    deep: bool | Iterable[str] = True,
    on_change: OnChange = "finish",
    history: Keep = 1,
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], DurableProgram[P, R]]: ...


def make_durable(fn: Any = None, **options: Any) -> Any:
    """Make an async function durable; also a decorator, with or without arguments.

    Args:
        fn: the function.
        durability: how far a checkpoint may be behind; see `Durability`.
        strict: raise `NotPersistableError` where a value cannot be saved, instead of warning.
        deep: whether async functions of the same top-level package that it awaits are durable too;
            or the names of the packages whose functions are.
        on_change: what becomes of an instance that stands in the middle of code that was edited
            there: it finishes in the code it was started with, or calling it raises
            `CodeChangedError`.  An edit after the place where it stands is taken up in any case.
        history: how many checkpoints of an instance are kept, with the last one, or ``"all"``; see
            `InstanceHandle.history`.  Of earlier ones only what is different is stored.

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
    from ..compiler.explain import explanation

    _, function = _unbound(getattr(fn, "fn", fn))
    print(explanation(function_of(function.__code__, function.__globals__).compiled, code=code), end="")


def _made_again(
    fn: Callable[P, Coroutine[Any, Any, R]], settings: Settings, deep: bool | frozenset[str]
) -> DurableProgram[P, R]:
    """A program that was saved, because no name leads to it."""
    return DurableProgram(
        fn,
        durability=settings.durability,
        strict=settings.strict,
        deep=deep,
        on_change=settings.on_change,
        history=settings.history,
    )


def _unbound(fn: Any) -> tuple[tuple[Any, ...], FunctionType]:
    """A function and the object it is bound to, if it is."""
    owner: tuple[Any, ...] = ()
    function: Any = fn.func if isinstance(fn, functools.partial) else fn
    if callable(function) and not isinstance(function, (FunctionType, MethodType, type)):
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
