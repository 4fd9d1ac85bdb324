"""From a call of a workflow function to its run: which instance that is, and its creation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..backends.durable import DurableBackend
from ..errors import OtherProgramError
from ..runtime.runtime import DurableRuntime
from .functions import WorkflowFunction
from .namesakes import id_of_run, make_distinct

R = TypeVar("R")


class Start:
    """One call of a workflow function.

    Args:
        backend: where its run is kept.
        function: the workflow.
        run_id: the id of the run; the one that these arguments mean if it is None.
        args, kwargs: the arguments.

    Raises:
        TypeError: the arguments do not fit.
        ValueError: no id can be made from them.
    """

    def __init__(
        self,
        backend: DurableBackend,
        function: WorkflowFunction[..., Any],
        run_id: str | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._backend = backend
        self._program = function.program
        self._asked = function.id_of(args, kwargs) if run_id is None else run_id
        self._args, self._kwargs = args, kwargs

    async def call(self) -> Any:
        """Create the run or go on with it, and wait until it ends; gives its result."""
        return await self._as_itself(lambda runtime: runtime.call(self._args, self._kwargs, wait=True))

    async def enqueue(self, *, held: bool = False, replaceable: bool = False) -> tuple[DurableRuntime, bool]:
        """Create the run, for whoever runs it, if there is none; gives what runs it, and whether it is new.

        Args:
            held: whether nobody may run it before its queue lets it go.
            replaceable: whether it may get other arguments before it begins.

        Raises:
            InstanceConflictError: it was started with other arguments.
            NotPersistableError: the arguments cannot be saved.
        """

        async def enqueued(runtime: DurableRuntime) -> tuple[DurableRuntime, bool]:
            is_new = await runtime.enqueue(self._args, self._kwargs, held=held, replaceable=replaceable)
            return runtime, is_new

        return await self._as_itself(enqueued)

    async def existing(self) -> str | None:
        """The id of the run, if there is one."""
        store = self._backend.store
        run_id = await id_of_run(store, self._asked, self._program.label)
        record = await store.read(run_id)
        return None if record is None or record.program != self._program.label else run_id

    async def _as_itself(self, begin: Callable[[DurableRuntime], Awaitable[R]]) -> R:
        """Begin with the id that was asked for, or with one beside the run of another workflow."""
        store, label = self._backend.store, self._program.label
        run_id = await id_of_run(store, self._asked, label)
        try:
            return await begin(DurableRuntime(self._program, self._backend, run_id))
        except OtherProgramError as conflict:
            if conflict.instance_id != run_id or run_id != self._asked:
                raise  # it is about another instance that the run itself has to do with
        run_id = await make_distinct(store, self._asked, label)
        return await begin(DurableRuntime(self._program, self._backend, run_id))
