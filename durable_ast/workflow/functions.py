"""What `@wf.workflow` returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Mapping
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from ..runtime.imitation import imitate
from ..runtime.program import DurableProgram
from ..state.snapshot import importable
from ..stores.names import check_instance_id
from .ids import IdTemplate, bound_arguments, default_id

if TYPE_CHECKING:
    from .workflow import Workflow

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
Owner = TypeVar("Owner")


class WorkflowFunction(Generic[P, R]):
    """A workflow: calling it starts the run that its arguments name, waits, and gives the result.

    A run that is finished gives its stored result; one that failed goes on from where it failed; one
    that another call or process is at work on is waited for.

    Attributes:
        program: the durable program behind it.
        workflow: the `Workflow` it belongs to.
    """

    __name__: str
    __qualname__: str

    def __init__(self, workflow: Workflow, program: DurableProgram[P, R], template: str | None) -> None:
        self.workflow = workflow
        self.program = program
        self.fn = program.fn
        imitate(self, program.function)
        self._signature = inspect.signature(program.function)
        self._id = template
        self._template = None if template is None else IdTemplate(template, self._signature)
        self._owner: tuple[Any, ...] = ()
        if "<locals>" in program.key.qualname:  # each call of the function around it makes another one
            program.label = f"{workflow.name}/{program.key}"

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return self._named(self._called(None, args, kwargs))

    @property
    def run(self) -> Callable[Concatenate[str, P], Coroutine[Any, Any, R]]:
        """Call it with a run id of your own: ``await ship.run("order-7", order)``."""
        return cast("Callable[Concatenate[str, P], Coroutine[Any, Any, R]]", self._run)

    async def _run(self, /, *args: Any, **kwargs: Any) -> R:
        if not args and "run_id" not in kwargs:
            raise TypeError(f"{self.__qualname__}.run() needs a run id as its first argument")
        run_id, rest = (args[0], args[1:]) if args else (kwargs.pop("run_id"), ())
        return await self._called(check_instance_id(run_id), rest, kwargs)

    async def _called(self, run_id: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        return await self.workflow.call(self, run_id, args, kwargs)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return tuple(self._signature.parameters)

    def accepts(self, args: tuple[Any, ...]) -> bool:
        """Whether it can be called with these arguments."""
        try:
            self._signature.bind(*self._owner, *args)
        except TypeError:
            return False
        return True

    def id_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The id of the run that a call with these arguments means.

        Raises:
            TypeError: the arguments do not fit.
            ValueError: no id can be made from them.
        """
        arguments: Mapping[str, Any] = bound_arguments(self._signature, (*self._owner, *args), kwargs)
        if self._template is not None:
            return self._template.id_of(arguments)
        return default_id(self.workflow.name, self.__name__, arguments)

    def _named(self, coroutine: Coroutine[Any, Any, R]) -> Coroutine[Any, Any, R]:
        """Let tasks show the function, not the library."""
        assert isinstance(coroutine, CoroutineType)
        coroutine.__name__, coroutine.__qualname__ = self.__name__, self.__qualname__
        return coroutine

    # a workflow is a function

    @overload
    def __get__(self, owner: None, cls: type) -> WorkflowFunction[P, R]: ...
    @overload
    def __get__(
        self: WorkflowFunction[Concatenate[Owner, Q], R], owner: Owner, cls: type[Owner] | None = None
    ) -> WorkflowFunction[Q, R]: ...

    def __get__(self, owner: Any, cls: type | None = None) -> Any:
        if owner is None:
            return self
        bound: WorkflowFunction[..., Any] = object.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound.program = self.program.__get__(owner, cls)
        bound.fn = bound.program.fn
        bound._owner = (owner,)
        return bound

    def __reduce__(self) -> Any:
        if self._owner:
            return getattr, (self._owner[0], self.__name__)
        if importable(self):
            return self.__qualname__
        return WorkflowFunction, (self.workflow, self.program, self._id)

    def __repr__(self) -> str:
        return f"<workflow {self.__module__}.{self.__qualname__}>"


def checked(fn: Any) -> WorkflowFunction[..., Any]:
    """The workflow that was given.

    Raises:
        TypeError: it is none.
    """
    if isinstance(fn, WorkflowFunction):
        return fn
    raise TypeError(f"{getattr(fn, '__qualname__', fn)!r} is no workflow; decorate the function with @wf.workflow")
