"""What an application defines on its `Workflow`: workflow functions, tasks, schedules and queues."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from ..backoff import Backoff
from ..runtime.instance import Durability, Keep
from ..runtime.program import make_durable
from ..runtime.retries import Policy
from ..runtime.steps import Step, StepDecorator, made
from .crew import Crew
from .functions import WorkflowFunction
from .queues import Queue
from .schedules import CatchUp, Overlap, Schedule

if TYPE_CHECKING:
    from .workflow import Workflow

P = ParamSpec("P")
R = TypeVar("R")


class Definitions:
    """The decorators of a `Workflow`, and what was defined with them.

    Args:
        name, default_retries, default_backoff, durability, history: see `Workflow`.
    """

    def __init__(
        self, name: str, default_retries: int, default_backoff: Backoff, durability: Durability, history: Keep
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(f"a workflow needs a name, not {name!r}")
        Policy(default_retries, default_backoff)  # refuses nonsense
        self.name = name
        self.default_retries = default_retries
        self.default_backoff = default_backoff
        self.crew: Crew
        self.functions: dict[str, WorkflowFunction[..., Any]] = {}
        """The workflow functions, by what the records of their runs call them."""
        self.schedules: list[Schedule] = []
        self.queues: list[Queue] = []
        self._durability, self._history = durability, history

    @overload
    def workflow(self, fn: Callable[P, Coroutine[Any, Any, R]], *, id: str | None = None) -> WorkflowFunction[P, R]: ...
    @overload
    def workflow(
        self, fn: None = None, *, id: str | None = None
    ) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], WorkflowFunction[P, R]]: ...

    def workflow(self, fn: Any = None, *, id: str | None = None) -> Any:
        """Make an async function a workflow; a decorator, with or without arguments.

        Args:
            fn: the function.
            id: the id of a run, with arguments in braces, such as ``"order-{order_id}"`` or
                ``"mail-{user.id}"``; workflow, function and all arguments if it is left out.

        Raises:
            TypeError: `fn` is not an async function.
            ValueError: the id names what is no parameter.
            NoSourceCodeException, UnsupportedSyntaxError: it cannot be made durable.
        """

        def decorate(fn: Callable[P, Coroutine[Any, Any, R]]) -> WorkflowFunction[P, R]:
            program = make_durable(fn, durability=self._durability, history=self._history)
            function = WorkflowFunction(cast("Workflow", self), program, id)
            self.functions[program.label] = function
            self.crew.add(function)
            return function

        return decorate if fn is None else decorate(fn)

    @overload
    def task(
        self,
        fn: Callable[P, Coroutine[Any, Any, R]],
        *,
        name: str | None = None,
        retries: int | None = None,
        backoff: Backoff | None = None,
        timeout: float | None = None,
        total_timeout: float | None = None,
        retry_if: Callable[[Exception], bool] | None = None,
        no_retry: tuple[type[BaseException], ...] = (),
    ) -> Step[P, R]: ...
    @overload
    def task(
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        retries: int | None = None,
        backoff: Backoff | None = None,
        timeout: float | None = None,
        total_timeout: float | None = None,
        retry_if: Callable[[Exception], bool] | None = None,
        no_retry: tuple[type[BaseException], ...] = (),
    ) -> Step[P, R]: ...
    @overload
    def task(
        self,
        fn: None = None,
        *,
        name: str | None = None,
        retries: int | None = None,
        backoff: Backoff | None = None,
        timeout: float | None = None,
        total_timeout: float | None = None,
        retry_if: Callable[[Exception], bool] | None = None,
        no_retry: tuple[type[BaseException], ...] = (),
    ) -> StepDecorator: ...

    def task(
        self,
        fn: Any = None,
        *,
        name: str | None = None,
        retries: int | None = None,
        backoff: Backoff | None = None,
        **options: Any,
    ) -> Any:
        """Make a function a task; a decorator, with or without arguments.

        It is a `durable_ast.step`, with the retries of this workflow unless it says so itself.  Outside
        of a workflow it is called as it is, once.

        Args:
            fn: an async function, or a sync one, which runs in a thread; a method, too.
            name: what to call it; its qualified name if it is left out.
            retries: how often it is tried again after it failed.
            backoff: how long to wait before that.
            options: see `durable_ast.step`.

        Raises:
            TypeError, ValueError: nonsense was given.
        """
        policy = Policy(
            retries=self.default_retries if retries is None else retries,
            backoff=self.default_backoff if backoff is None else backoff,
            everywhere=False,
            **options,
        )
        return made(fn, name, policy)

    def schedule(
        self, cron: str, *, tz: str = "UTC", overlap: Overlap = "skip", catch_up: CatchUp = "latest"
    ) -> Callable[[WorkflowFunction[P, R] | Callable[P, Coroutine[Any, Any, R]]], WorkflowFunction[P, R]]:
        """Start a workflow by the clock; a decorator of a workflow, or of an async function, which
        becomes one.

        The workflow takes no argument, or one: the time it is started for.  A time is the id of its
        run, which is started once, however many processes have the schedule.  The clock is watched
        from `recover`, `lifespan` or ``async with wf`` on.

        Args:
            cron: the times, as a cron expression of five fields.
            tz: the time zone that they are meant in.
            overlap: at a time when the run before has not ended, ``"skip"`` starts none, ``"allow"``
                starts another, ``"cancel"`` cancels that one first.
            catch_up: of the times that were missed while no process ran, ``"latest"`` makes up for the
                last one, ``"all"`` for each, ``"none"`` for none.

        Raises:
            ValueError: one of them is nonsense.
            ImportError: the extra ``schedule`` is not installed.
        """

        def decorate(fn: Any) -> WorkflowFunction[P, R]:
            function: WorkflowFunction[P, R] = fn if isinstance(fn, WorkflowFunction) else self.workflow(fn)
            self.schedules.append(Schedule(function, cron, tz, overlap, catch_up))
            return function

        return decorate

    def queue(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        per_key: int | None = None,
        rate: tuple[int, float] | None = None,
        priority: int = 0,
    ) -> Queue:
        """A queue, which lets runs go when it is their turn: ``await queue.start(order, 7)``.

        Its limits hold for all processes together.  They work on it from `recover`, `lifespan` or
        ``async with wf`` on, or once they have queued something.

        Args:
            name: its name; queues of one name are one queue.
            concurrency: how many runs go at a time.
            per_key: how many of them may be of one key.
            rate: how many are let go in how many seconds, as in ``rate=(10, 60)``.
            priority: the priority of runs that are given none; the higher, the earlier.

        Raises:
            ValueError: a limit is not positive.
        """
        queue = Queue(
            cast("Workflow", self), name, concurrency=concurrency, per_key=per_key, rate=rate, priority=priority
        )
        self.queues.append(queue)
        return queue
