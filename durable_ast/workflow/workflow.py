"""`Workflow`: an application's tasks and workflow functions, and the store of their runs."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import datetime
import os
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from typing import Any, Literal, ParamSpec, TypeVar, get_args, overload

from ..backends.durable import DurableBackend
from ..backoff import Backoff, exponential
from ..errors import DurableError, InstanceConflictError
from ..runtime.children import OnCancel, note_child
from ..runtime.instance import Durability, Keep
from ..runtime.runtime import DurableRuntime
from ..runtime.tracebacks import without_library_frames
from ..state.schema import Record, Status
from ..stores.base import StateStore
from ..stores.steps import Store
from ..stores.urls import open_store
from ..worker.at_work import is_left_to_workers
from .crew import Crew
from .definitions import Definitions
from .functions import WorkflowFunction, checked
from .handles import Handle
from .mapping import map_items
from .messages import Messages
from .run import Run
from .runs import Runs
from .schedules import Schedule, Scheduler
from .starting import Start

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

DEFAULT_BACKOFF = exponential()

_AT_ONCE = 200

OnConflict = Literal["attach", "reject", "restart"]
"""What `Workflow.start` does with an id that is in use."""


class Workflow(Definitions, Messages):
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
        Definitions.__init__(self, name, default_retries, default_backoff, durability, history)
        self.store: StateStore | Store = db if isinstance(db, (StateStore, Store)) else open_store(db)
        Messages.__init__(self, DurableBackend(self.store))
        self.runs = Runs(self.instances)
        self._lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]
        self._lines = weakref.WeakKeyDictionary()
        self.crew = Crew(self.instances, self.functions)
        self.scheduler = Scheduler(self, self._start_scheduled)
        _workflows[name] = self

    # running

    async def call(
        self, function: WorkflowFunction[..., R], run_id: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> R:
        """Start a run or go on with it, wait until it ends, and give its result."""
        try:
            result: R = await Start(self.backend, function, run_id, args, kwargs).call()
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
        on_cancel: OnCancel = "leave",
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    async def start(
        self,
        fn: WorkflowFunction[..., R],
        /,
        *args: Any,
        on_conflict: OnConflict,
        on_cancel: OnCancel = "leave",
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    async def start(
        self, fn: WorkflowFunction[..., R], /, *args: Any, on_cancel: OnCancel, **kwargs: Any
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
            on_cancel: in a run: what becomes of the new run when this one is cancelled or terminated,
                ``"leave"``, ``"cancel"`` or ``"terminate"``.

        Raises:
            InstanceConflictError: the run of this id was started with other arguments; or there is
                one, and that is to be rejected.
            NotPersistableError: the arguments cannot be saved.
        """
        run_id: str | None = kwargs.pop("id", None)
        on_conflict: OnConflict = kwargs.pop("on_conflict", "attach")
        if on_conflict not in get_args(OnConflict):
            raise ValueError(f"on_conflict must be one of {get_args(OnConflict)}, not {on_conflict!r}")
        on_cancel: OnCancel = kwargs.pop("on_cancel", "leave")
        if on_cancel not in get_args(OnCancel):
            raise ValueError(f"on_cancel must be one of {get_args(OnCancel)}, not {on_cancel!r}")
        start = Start(self.backend, checked(fn), run_id, args, kwargs)
        if on_conflict == "restart":
            existing = await start.existing()
            if existing is not None:
                await self.handle(existing).remove()
        async with self._in_line():
            runtime, is_new = await start.enqueue()
        if is_new or on_conflict == "attach":
            await note_child(runtime.instance_id, on_cancel)
        if not is_new and on_conflict == "reject":
            raise InstanceConflictError(f"there is a run {runtime.instance_id!r} already")
        handle = Handle[Any](self, runtime.instance_id)
        if not is_new and await handle.status() is Status.ERROR:
            await handle.resume()
        else:
            self.begin(runtime)
        return handle

    def _in_line(self) -> asyncio.Semaphore:
        """Lets so many starts through at a time: whoever waits here takes less memory than at the store."""
        loop = asyncio.get_running_loop()
        if loop not in self._lines:
            self._lines[loop] = asyncio.Semaphore(_AT_ONCE)
        return self._lines[loop]

    def begin(self, runtime: DurableRuntime) -> None:
        """Go on with a run in the background: here, or in a worker of this process that does that."""
        if not is_left_to_workers((self.store, self.instances), runtime.program.label):
            self.runs.begin(runtime)

    async def recover(self) -> builtins.list[Handle[Any]]:
        """Work, from now on, on all runs that can go on: to be called when a process starts.

        These are the runs that were left by processes which have died, or will be, and those that any
        process starts; the processes that have called this share them.  A run that waits for a signal,
        or sleeps for long, is in no memory meanwhile.

        Returns:
            The runs that are not at their end.
        """
        self.crew.begin()
        self.oversee()
        unfinished = (Status.ENQUEUED, Status.RUNNING, Status.SLEEPING, Status.WAITING)
        found = await self.instances.records(status=unfinished)
        return [Handle(self, record.instance_id) for record in found if record.program in self.functions]

    def oversee(self) -> None:
        """Start what is scheduled, and let go what is queued, as long as this process runs."""
        self.scheduler.begin()
        for queue in self.queues:
            queue.begin()

    async def stop_overseeing(self) -> None:
        """Leave that to other processes."""
        await self.scheduler.stop()
        for queue in self.queues:
            await queue.stop()

    def go_on(self, record: Record) -> bool:
        """Go on with a run in the background, if it is one of these workflows; gives whether it is."""
        function = self.functions.get(record.program)
        if function is not None:
            self.begin(DurableRuntime(function.program, self.backend, record.instance_id))
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

    async def _start_scheduled(self, schedule: Schedule, time: datetime.datetime) -> None:
        start = Start(self.backend, schedule.function, schedule.run_id(time), schedule.arguments(time), {})
        runtime, is_new = await start.enqueue()
        if is_new:
            self.begin(runtime)

    # looking

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

        Raises:
            ValueError: there is no such status, or a number is negative.
            TypeError: one of them is of another type.
        """
        for name, number in (("limit", limit), ("offset", offset), ("since", since)):
            if number is not None and not isinstance(number, (int, float)):
                raise TypeError(f"{name} must be a number, not {number!r}")
            if number is not None and number < 0:
                raise ValueError(f"{name} must not be negative: {number}")
        if workflow is not None and not isinstance(workflow, (WorkflowFunction, str)):
            raise TypeError(f"workflow must be a workflow function or its name, not {workflow!r}")
        statuses = None if status is None else [status] if isinstance(status, str) else builtins.list(status)
        records = await self.instances.records(
            status=None if statuses is None else [Status(item) for item in statuses],
            program=workflow.program.label if isinstance(workflow, WorkflowFunction) else workflow,
            prefix=prefix,
            since=since,
            limit=limit,
            offset=offset,
        )
        return [Run.of(record) for record in records]

    # lifetime

    async def close(self, *, grace: float = 0.0) -> None:
        """Leave all runs for others to go on with, and let go of the store.

        Args:
            grace: how long a step may take to end, in seconds; a run is left with its next checkpoint,
                and a step that takes longer is run again.
        """
        await self.stop_overseeing()
        await self.crew.stop(grace)
        await self.runs.stop(grace)
        await self.instances.close()

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None, *, grace: float = 30.0) -> AsyncIterator[None]:
        """The lifespan of a web application: ``Starlette(lifespan=wf.lifespan)``.

        When it starts, the process begins to work on all runs, as with `recover`; when it stops, each
        run is left with its next checkpoint.

        Args:
            app: the application.
            grace: how long a step may take to end then, in seconds.
        """
        await self.recover()
        try:
            yield
        finally:
            await self.close(grace=grace)

    async def __aenter__(self) -> Workflow:
        await self.recover()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def __reduce__(self) -> Any:
        return _workflow, (self.name,)

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r}>"


_workflows: weakref.WeakValueDictionary[str, Workflow] = weakref.WeakValueDictionary()


def _workflow(name: str) -> Workflow:
    try:
        return _workflows[name]
    except KeyError:
        raise DurableError(
            f"a run refers to the workflow {name!r}, and this process has made none of that name"
        ) from None
