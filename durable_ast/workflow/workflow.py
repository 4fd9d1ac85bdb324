"""`Workflow`: an application's tasks and workflow functions, and the store of their runs."""

from __future__ import annotations

import builtins
import contextlib
import datetime
import os
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable
from typing import Any, Literal, ParamSpec, TypeVar, get_args, overload

from ..backends.durable import DurableBackend
from ..backoff import Backoff, exponential
from ..errors import DurableError, InstanceConflictError
from ..runtime.event_log import follow
from ..runtime.instance import SIGNALS, Durability, Keep
from ..runtime.program import make_durable
from ..runtime.questions import pending
from ..runtime.retries import Policy
from ..runtime.running_branch import current
from ..runtime.runtime import DurableRuntime
from ..runtime.signals import send, set_value, wait_for_signal
from ..runtime.steps import Step, StepDecorator, step
from ..runtime.tracebacks import without_library_frames
from ..state import snapshot
from ..state.schema import Record, Status
from ..stores.base import StateStore, check_instance_id
from ..stores.steps import Store
from ..stores.urls import open_store
from .functions import WorkflowFunction
from .handles import Handle, Run
from .mapping import map_items
from .queues import Queue
from .runs import Runs
from .schedules import CatchUp, Overlap, Schedule, Scheduler

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

DEFAULT_BACKOFF = exponential()

OnConflict = Literal["attach", "reject", "restart"]
"""What `Workflow.start` does with an id that is in use."""


class Workflow:
    """The tasks and workflow functions of an application, and where their runs are kept.

    Args:
        name: what it is called; part of the ids of runs that are given none.
        db: the store: a URL (``sqlite:///orders.db``, ``postgresql://...``, ``redis://...``), the path
            of a SQLite file, ``:memory:``, or a store.
        default_retries: how often a task is tried again after it failed, unless it says so itself.
        default_backoff: how long to wait before that; see `durable_ast.backoff`.
        durability: how far a checkpoint may be behind; see `Durability`.
        history: how many checkpoints of a run are kept, with the last one, or ``"all"``.

    Raises:
        ValueError: there is no store for this URL, or `default_retries` is negative.

    >>> import asyncio
    >>> wf = Workflow("shop", db=":memory:")
    >>> @wf.workflow(id="order-{order_id}")
    ... async def order(order_id: int) -> str:
    ...     await asyncio.sleep(0)
    ...     return f"order {order_id} is done"
    >>> asyncio.run(order(7))
    'order 7 is done'
    """

    def __init__(
        self,
        name: str,
        db: str | os.PathLike[str] | StateStore | Store = "durable.db",
        default_retries: int = 3,
        default_backoff: Backoff = DEFAULT_BACKOFF,
        *,
        durability: Durability = Durability.STRICT,
        history: Keep = 1,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(f"a workflow needs a name, not {name!r}")
        Policy(default_retries, default_backoff)  # refuses nonsense
        self.name = name
        self.default_retries = default_retries
        self.default_backoff = default_backoff
        self.store: StateStore | Store = db if isinstance(db, (StateStore, Store)) else open_store(db)
        self.backend = DurableBackend(self.store)
        self.instances = self.backend.store
        self.runs = Runs()
        self._durability = durability
        self._history: Keep = history
        self.scheduler = Scheduler(self, self._start_scheduled)
        self._queues: builtins.list[Queue] = []
        self._functions: dict[str, WorkflowFunction[..., Any]] = {}
        _workflows[name] = self

    # defining

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
            function = WorkflowFunction(self, program, id)
            self._functions[str(program.key)] = function
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
        self, fn: Any = None, *, retries: int | None = None, backoff: Backoff | None = None, **options: Any
    ) -> Any:
        """Make a function a task; a decorator, with or without arguments.

        It is a `durable_ast.step`, with the retries of this workflow unless it says so itself.  Outside
        of a workflow it is called as it is.

        Args:
            fn: an async function, or a sync one, which runs in a thread; a method, too.
            retries: how often it is tried again after it failed.
            backoff: how long to wait before that.
            options: see `durable_ast.step`.

        Raises:
            TypeError, ValueError: nonsense was given.
        """
        return step(
            fn,
            retries=self.default_retries if retries is None else retries,
            backoff=self.default_backoff if backoff is None else backoff,
            **options,
        )

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
            self.scheduler.schedules.append(Schedule(function, cron, tz, overlap, catch_up))
            return function

        return decorate

    async def _start_scheduled(self, schedule: Schedule, time: datetime.datetime) -> None:
        arguments = (time,) if schedule.function.parameters else ()
        runtime = self.runtime(schedule.function, schedule.run_id(time))
        if await runtime.enqueue(arguments, {}):
            self.runs.begin(runtime)

    def queue(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        per_key: int | None = None,
        rate: tuple[int, float] | None = None,
    ) -> Queue:
        """A queue, which lets runs go when it is their turn: ``await queue.start(order, 7)``.

        Its limits hold for all processes together.  They work on it from `recover`, `lifespan` or
        ``async with wf`` on, or once they have queued something.

        Args:
            name: its name; queues of one name are one queue.
            concurrency: how many runs go at a time.
            per_key: how many of them may be of one key.
            rate: how many are let go in how many seconds, as in ``rate=(10, 60)``.

        Raises:
            ValueError: a limit is not positive.
        """
        queue = Queue(self, name, concurrency=concurrency, per_key=per_key, rate=rate)
        self._queues.append(queue)
        return queue

    # running

    async def call(
        self, function: WorkflowFunction[..., R], run_id: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> R:
        """Start a run or go on with it, wait until it ends, and give its result."""
        try:
            runtime = self.runtime(function, run_id, args, kwargs)
            result: R = await runtime.call(args, kwargs, wait=True)
            return result
        except BaseException as error:
            error.__traceback__ = without_library_frames(error.__traceback__)
            raise

    @overload
    async def start(
        self,
        fn: WorkflowFunction[..., R],
        /,
        *args: Any,
        id: str | None,
        on_conflict: OnConflict = "attach",
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    async def start(
        self, fn: WorkflowFunction[..., R], /, *args: Any, on_conflict: OnConflict, **kwargs: Any
    ) -> Handle[R]: ...
    @overload
    async def start(self, fn: WorkflowFunction[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]: ...

    async def start(self, fn: Any, /, *args: Any, **kwargs: Any) -> Handle[Any]:
        """Start a run in the background; it is stored when this returns.

        Args:
            fn: the workflow.
            args, kwargs: its arguments.
            id: the id of the run; the one that a call with these arguments has if it is left out.
            on_conflict: what to do if there is a run of that id: ``"attach"`` gives its handle (one
                that failed goes on), ``"reject"`` raises, ``"restart"`` ends it and starts anew.

        Raises:
            InstanceConflictError: the id belongs to another workflow or to other arguments; or it is
                in use, and that is to be rejected.
            NotPersistableError: the arguments cannot be saved.
        """
        run_id: str | None = kwargs.pop("id", None)
        on_conflict: OnConflict = kwargs.pop("on_conflict", "attach")
        if on_conflict not in get_args(OnConflict):
            raise ValueError(f"on_conflict must be one of {get_args(OnConflict)}, not {on_conflict!r}")
        runtime = self.runtime(_checked(fn), run_id, args, kwargs)
        handle: Handle[Any] = Handle(self, runtime.instance_id)
        if on_conflict == "restart":
            await handle.remove()
        if not await runtime.enqueue(args, kwargs) and on_conflict == "reject":
            raise InstanceConflictError(f"there is a run {handle.id!r} already")
        self.runs.begin(runtime)
        return handle

    def runtime(
        self,
        function: WorkflowFunction[..., Any],
        run_id: str | None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> DurableRuntime:
        """What runs the run of this id, or the one that a call with these arguments means."""
        name = function.id_of(args, kwargs or {}) if run_id is None else run_id
        return DurableRuntime(function.program, self.backend, name)

    async def recover(self) -> builtins.list[Handle[Any]]:
        """Go on, in the background, with every run that was left: to be called when a process starts.

        A run that another process is at work on is left to it.

        Returns:
            The runs that were not at their end.
        """
        self.scheduler.begin()
        for queue in self._queues:
            queue.begin()
        unfinished = (Status.ENQUEUED, Status.RUNNING, Status.SLEEPING, Status.WAITING)
        handles: builtins.list[Handle[Any]] = []
        for record in await self.instances.records(status=unfinished):
            if self.go_on(record):
                handles.append(Handle(self, record.instance_id))
        return handles

    def go_on(self, record: Record) -> bool:
        """Go on with a run in the background, if it is one of these workflows; gives whether it is."""
        function = self._functions.get(record.program)
        if function is not None:
            self.runs.begin(DurableRuntime(function.program, self.backend, record.instance_id))
        return function is not None

    @overload
    async def map(
        self, fn: Callable[[T], Awaitable[R]], items: Iterable[T], *, max_concurrency: int | None = None
    ) -> builtins.list[R]: ...
    @overload
    async def map(
        self,
        fn: Callable[[T], Awaitable[R]],
        items: Iterable[T],
        *,
        max_concurrency: int | None = None,
        tolerate: int | float,
    ) -> builtins.list[R | Exception]: ...

    async def map(
        self,
        fn: Callable[[T], Awaitable[R]],
        items: Iterable[T],
        *,
        max_concurrency: int | None = None,
        tolerate: int | float = 0,
    ) -> builtins.list[Any]:
        """Call a function with each item, many at a time; gives the results in the order of the items.

        In a workflow, an item that has finished does not run again after a crash.

        Args:
            fn: a task, a workflow, or any async function, which is run whole.
            items: what to call it with.
            max_concurrency: how many at a time; all at once if it is None.
            tolerate: how many items may fail, or which share of them (a float); the results of those
                are their errors.

        Raises:
            Exception: the error of the first item that is one too many; the others are cancelled.
        """
        return await map_items(fn, items, max_concurrency, tolerate)

    # signals

    @overload
    def signal(
        self, name: str, *, timeout: float | None = None, type: type[T], poll: float | None = None
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def signal(
        self, name: str, *, timeout: float | None = None, type: None = None, poll: float | None = None
    ) -> Coroutine[Any, Any, Any]: ...

    def signal(
        self, name: str, *, timeout: float | None = None, type: Any = None, poll: float | None = None
    ) -> Coroutine[Any, Any, Any]:
        """Wait, in a workflow, for a signal; gives its payload.

        The run may leave memory meanwhile, or die.  A signal ends every wait for its name that there is
        when it comes; a later wait needs another one.

        Args:
            name: the name of the signal.
            timeout: how long to wait, in seconds; the time goes on while no process runs.
            type: what the payload has to be; one of another type is made one by pydantic, if that is
                installed.
            poll: how often to look, in seconds, in a store that cannot tell of itself.

        Raises:
            RuntimeError: this is no workflow.
            TimeoutError: the time was up first.
            TypeError, ValueError: the payload is of another type.
        """
        if current.get() is None:
            raise RuntimeError(f"signal({name!r}) waits for a signal to a run, and this is no workflow")
        return wait_for_signal(name, timeout, type, poll)

    async def complete(self, run_id: str, name: str, payload: Any = None) -> bool:
        """Give a run the signal that it waits for, or will wait for; may be called in any process.

        Args:
            run_id: the run, which need not exist yet.
            name: the name of the signal.
            payload: what it gets; ``{}`` if it is None.

        Returns:
            Whether it was taken.  False if the run has ended or has the signal already: one that was
            delivered is taken again only once the run waits for it again.
        """
        check_instance_id(run_id)
        record = await self.instances.read(run_id)
        if record is not None:
            has_it = SIGNALS + name in await self.instances.parts(run_id, SIGNALS + name)
            if record.status.is_final or (has_it and name not in record.awaited):
                return False
        return await self.instances.offer(run_id, name, snapshot.dumps({} if payload is None else payload))

    def send(self, run_id: str, name: str, payload: Any = None) -> Coroutine[Any, Any, None]:
        """Put a signal into the mailbox of a run, behind those that are there; each is delivered once.

        From inside of a run it is sent exactly once, wherever the process dies.

        Args:
            run_id: the run that gets it, which need not exist yet.
            name: the name of the signal.
            payload: what it gets, as it is.
        """
        return self.handle(run_id).signal(name, payload) if current.get() is None else send(run_id, name, payload)

    def set_event(self, key: str, value: Any) -> Coroutine[Any, Any, None]:
        """Publish, from inside of a run, a value that anybody can read with `get_event`.

        Args:
            key: its name; a value of that name that was published before is replaced.
            value: the value.

        Raises:
            RuntimeError: this is no workflow.
        """
        if current.get() is None:
            raise RuntimeError(f"set_event({key!r}) publishes a value of a run, and this is no workflow")
        return set_value(key, value)

    async def get_event(self, run_id: str, key: str, *, timeout: float | None = None) -> Any:
        """A value that a run has published; waits for it.

        Args:
            run_id: the run, which need not exist yet.
            key: the name of the value.
            timeout: how long to wait, in seconds; forever if it is None.

        Raises:
            TimeoutError: the time was up first.
        """
        return await self.handle(run_id).event(key, timeout=timeout)

    async def pending(self, run_id: str) -> dict[str, Any]:
        """What a run asks and nobody has answered yet, by the names of the signals that answer.

        These are decisions that an agent waits for: see `durable_ast.pydantic_ai`.
        """
        return await pending(self.instances, check_instance_id(run_id))

    def events(self, run_id: str, *, after: int = 0) -> AsyncIterator[tuple[int, Any]]:
        """What a run tells while it is at work, with numbers, until it has ended; in any process.

        These are the events of agents: see `durable_ast.pydantic_ai`.

        Args:
            run_id: the run, which need not exist yet.
            after: the number of the last event that was seen, such as the ``Last-Event-ID`` of
                server-sent events.
        """
        return follow(self.instances, check_instance_id(run_id), after)

    # looking

    def handle(self, run_id: str) -> Handle[Any]:
        """The handle of a run, whether it exists yet or not.

        Raises:
            InvalidInstanceIdError: this can be no id.
        """
        return Handle(self, check_instance_id(run_id))

    async def list(
        self,
        *,
        status: Status | str | Collection[Status | str] | None = None,
        workflow: WorkflowFunction[..., Any] | str | None = None,
        prefix: str | None = None,
        since: float | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> builtins.list[Run]:
        """The runs in the store, newest first.

        Args:
            status: only those that stand there.
            workflow: only those of this workflow function, or of this ``module:name``.
            prefix: only those whose id begins so.
            since: only those started at this time or later, in seconds since 1970.
            limit: how many at most.
            offset: how many of the newest to leave out.
        """
        statuses = None if status is None else [status] if isinstance(status, str) else builtins.list(status)
        records = await self.instances.records(
            status=None if statuses is None else [Status(item) for item in statuses],
            program=str(workflow.program.key) if isinstance(workflow, WorkflowFunction) else workflow,
            prefix=prefix,
            since=since,
            limit=limit,
            offset=offset,
        )
        return [Run.of(record) for record in records if record.program != record.instance_id]  # that is a queue

    # lifetime

    async def close(self) -> None:
        """Leave all runs where they stand, and let go of the store."""
        await self.scheduler.stop()
        for queue in self._queues:
            await queue.stop()
        await self.runs.stop()
        await self.instances.close()

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """The lifespan of a web application: ``Starlette(lifespan=wf.lifespan)``.

        When it starts, runs that were left go on; when it stops, they are left where they stand.
        """
        async with self:
            yield

    async def __aenter__(self) -> Workflow:
        await self.recover()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def __reduce__(self) -> Any:
        return _workflow, (self.name,)

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r}>"


def _checked(fn: Any) -> WorkflowFunction[..., Any]:
    if isinstance(fn, WorkflowFunction):
        return fn
    raise TypeError(f"{getattr(fn, '__qualname__', fn)!r} is no workflow; decorate the function with @wf.workflow")


_workflows: weakref.WeakValueDictionary[str, Workflow] = weakref.WeakValueDictionary()


def _workflow(name: str) -> Workflow:
    try:
        return _workflows[name]
    except KeyError:
        raise DurableError(
            f"a run refers to the workflow {name!r}, and this process has made none of that name"
        ) from None
