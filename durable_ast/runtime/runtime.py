"""`DurableRuntime` runs one instance of a program: from the start, or on from where it stands."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from ..backends.base import OrchestrationBackend
from ..backends.durable import DurableBackend
from ..errors import CheckpointException, InstanceConflictError
from ..state.digest import digest
from ..state.schema import Record, Status
from ..stores.base import InstanceBusy, InstanceStore, check_instance_id
from ..stores.two_methods import TwoMethodStore
from .appended import blocks_function, run_blocks, start_blocks
from .async_generators import advance
from .awaiting import leaf_of
from .branch import Branch
from .call_stack import CallStack, Waiting
from .frames import captured_start, restore
from .functions import Frame
from .instance import Instance, outcome_of, stack_of
from .staged import MARK, Loader

if TYPE_CHECKING:
    from .program import DurableProgram

_ENDS_OF_PROCESS = (KeyboardInterrupt, SystemExit, GeneratorExit)


class DurableRuntime:
    """Runs an instance.

    Args:
        program: what to run.
        backend: where the instance is kept.
        instance_id: which instance; a new one if it is None.

    Push a call of your own onto `call_stack` before the first `run` to start with that one.
    """

    def __init__(
        self, program: DurableProgram[..., Any], backend: OrchestrationBackend, instance_id: str | None = None
    ) -> None:
        self.program = program
        self.backend = backend
        self.instance_id = str(uuid.uuid4()) if instance_id is None else check_instance_id(instance_id)
        self._call_stack: CallStack | None = CallStack()
        self._record: Record | None = None
        self._store = _store_of(backend)

    @property
    def call_stack(self) -> CallStack:
        """The calls of the instance as of its last checkpoint."""
        if self._call_stack is None:
            self._call_stack = CallStack() if self._record is None else stack_of(self._record)
        return self._call_stack

    async def run(self, *args: Any, wait: bool = False, **kwargs: Any) -> Any:
        """Start the instance, or go on with it, until it ends or pauses.

        Args:
            args, kwargs: the arguments of the program; none are needed to go on.
            wait: whether to stay at a pause until its event is there.

        Raises:
            PauseForEventException: it waits for an event, and its state is saved.
            InstanceConflictError: the id belongs to another program, or to other arguments.
        """
        start = await self._start(args, kwargs)
        try:
            initial = self._initial(start)
            record, created, waited = await self._acquire(initial)
            if record.status.is_final or (waited and record.status is Status.ERROR):
                self._check(record, initial)
                self._release(record)
                return outcome_of(record)
            self._record, self._call_stack = record, None
            try:
                self._check(record, initial)
                anew = created or record.call_stack is None
                if anew and start is None:
                    raise CheckpointException(
                        f"instance {record.instance_id!r} has no checkpoint, because its arguments cannot be saved; "
                        "call it with its arguments to start it again"
                    )
                return await self._go_on(record, start if anew else None, wait)
            finally:
                self._release(record)
        finally:
            if start is not None and not start.cr_suspended:
                start.close()  # it was not needed

    def publish_event(self, event_name: str, payload: Any = None) -> None:
        """Publish an event to this instance."""
        publish = getattr(self.backend, "publish_event", None)
        if publish is None:
            raise TypeError(f"{type(self.backend).__name__} has no publish_event()")
        publish(self.instance_id, event_name, payload)

    async def wait_for_event(self, event_name: str) -> Any:
        """Wait until an event is there, then go on."""
        await self.backend.wait_for_event(self.instance_id, event_name)
        return await self.run()

    # starting

    async def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Frame | None:
        """The outermost frame, not started; None to go on without looking at arguments."""
        pushed = self.call_stack.peek()
        if pushed is not None and pushed.blocks:
            return start_blocks(pushed)
        try:
            return self.program.start(*args, **kwargs)
        except TypeError:
            if args or kwargs or await self._store.read(self.instance_id) is None:
                raise
            return None

    def _initial(self, start: Frame | None) -> Record:
        """The record of an instance that has not started."""
        if start is None:
            return Record(self.instance_id, str(self.program.key))
        record = Record(self.instance_id, str(self.program.key))
        function = blocks_function()
        if start.cr_code is function.compiled.code:
            call = captured_start(function, start, run_blocks)
        else:
            call = self.program.captured(start)
            record.arguments = digest(self.program.own_arguments(call))
        try:
            record.call_stack = CallStack([call]).to_bytes()
        except Exception:
            record.call_stack = None  # nobody else can start it, but it runs
        return record

    async def _acquire(self, initial: Record) -> tuple[Record, bool, bool]:
        """Own the instance once nobody else does: the record, whether it is new, whether we waited."""
        seen: Any = None
        waited = False
        while True:
            try:
                return *await self._store.acquire(initial), waited
            except InstanceBusy:
                waited = True
                seen = await self._store.changed(self.instance_id, seen, 0.5)

    def _release(self, record: Record) -> None:
        self._store.release(record.instance_id, record.epoch)

    def _check(self, record: Record, initial: Record) -> None:
        """Is this the instance that the caller means?"""
        if record.program != initial.program:
            raise InstanceConflictError(
                f"instance {record.instance_id!r} runs {record.program}, not {initial.program}; use another id"
            )
        if record.arguments and initial.arguments and record.arguments != initial.arguments:
            raise InstanceConflictError(
                f"instance {record.instance_id!r} of {record.program} was started with other arguments; use another "
                "id for another run, or the same arguments to go on with this one"
            )

    # running

    async def _go_on(self, record: Record, start: Frame | None, wait: bool) -> Any:
        instance = Instance(self._store, record, self.program.settings)
        branch = Branch(instance, self.program.plans)
        frame = start
        if frame is None:
            assert record.call_stack is not None
            frame = _restored(branch, record.call_stack)
        try:
            result = await instance.run(branch, frame, wait)
        except _ENDS_OF_PROCESS:
            raise
        except BaseException as error:
            if error is not instance.failure:
                await instance.fail(error, branch.flights)
            raise
        await instance.succeed(result)
        self._call_stack = CallStack()
        self._call_stack.last_result = result
        return result


def _restored(branch: Branch, data: bytes) -> Frame:
    """The frames of a saved call stack."""

    def leaf(waiting: Waiting) -> Any:
        return leaf_of(branch, waiting)

    if data.startswith(MARK):
        loader = Loader(data, leaf, branch.leaf)
        branch.flights = loader.flights
        return loader.frame()
    stack = CallStack.from_bytes(data)
    branch.flights = stack.flights
    return restore(stack.stack, leaf(stack.waiting), branch.leaf, advance)


def _store_of(backend: OrchestrationBackend) -> InstanceStore:
    if isinstance(backend, DurableBackend):
        return backend.store
    if not isinstance(backend, OrchestrationBackend):
        raise TypeError(
            f"orchestration_backend must be an OrchestrationBackend, such as DurableBackend(store), not "
            f"{type(backend).__name__}"
        )
    return TwoMethodStore(backend.load_state, backend.save_state)
