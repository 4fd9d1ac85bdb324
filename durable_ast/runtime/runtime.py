"""`DurableRuntime` runs one instance of a program: from the start, or on from where it stands."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ..backends.adapted import BackendStore, store_of
from ..backends.base import OrchestrationBackend
from ..backends.durable import DurableBackend
from ..errors import (
    CheckpointException,
    DurableError,
    InstanceConflictError,
    NotPersistableError,
    OtherProgramError,
    PauseForEventException,
    UnknownRunError,
)
from ..state.digest import comparison
from ..state.known_classes import giving
from ..state.schema import HELD, Message, Record, Status
from ..stores.base import InstanceStore
from ..stores.claiming import InstanceBusy
from ..stores.names import check_instance_id
from . import environment, sources
from .appended import blocks_function, is_of_blocks, run_blocks, start_blocks
from .branch import Branch
from .call_stack import CallStack
from .control import CANCEL, Listener, Paused, Terminated, is_interrupted
from .frames import captured_start
from .functions import Frame, finish_old
from .instance import Instance, Stays, outcome_of, stack_of
from .parked import until_it_can_go_on
from .restoring import restored
from .running_branch import current
from .setting import setting
from .stray_pauses import explained
from .variables import Seen

if TYPE_CHECKING:
    from .program import DurableProgram

_ENDS_OF_PROCESS = (KeyboardInterrupt, SystemExit, GeneratorExit)
_PAUSE = 1.0
"""Seconds for which an instance is left alone that was woken and did not get any further."""


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
        self.instance_id = _new_id() if instance_id is None else check_instance_id(instance_id)
        self._call_stack: CallStack | None = None
        self._record: Record | None = None
        self._has_left = False
        """Whether it is in no memory until it can go on."""
        self._store = _store_of(backend)

    @property
    def call_stack(self) -> CallStack:
        """The calls of the instance as of its last checkpoint."""
        if self._call_stack is None:
            self._call_stack = CallStack() if self._record is None else stack_of(self._record)
        return self._call_stack

    @property
    def waits(self) -> bool:
        """Whether it does nothing but wait, and loses nothing when it is left there."""
        record = self._record
        return self._has_left if record is None else record.status in (Status.WAITING, Status.SLEEPING)

    async def run(self, *args: Any, wait: bool = False, **kwargs: Any) -> Any:
        """Start the instance, or go on with it, until it ends or pauses.

        Args:
            args, kwargs: the arguments of the program; none are needed to go on.
            wait: whether to stay at a pause until its event is there.

        Raises:
            PauseForEventException: it waits for an event, and its state is saved.
            InstanceConflictError: the id belongs to another program, or to other arguments.
        """
        return await self.call(args, kwargs, wait=wait)

    async def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, wait: bool = False) -> Any:
        """The same as `run`, for arguments of any name.

        Args:
            args, kwargs: the arguments of the program.
            wait: whether to stay at a pause until its event is there.
        """
        await sources.keep(self._store)
        with environment.entered(self.program.function):
            stays = Stays.ALWAYS if wait else Stays.NEVER
            return await self._call(await self._start(args, kwargs), stays, attach=True)

    async def drive(self) -> Any:
        """Go on with an instance that somebody has created, with its own arguments, until it ends.

        While it waits for an event it leaves memory, if it goes on as it was.

        Raises:
            InstanceBusy: another owner is at work on it.
            Paused: it stands still.
            UnknownRunError: it is not there any more.
        """
        await sources.keep(self._store)
        if await self._store.read(self.instance_id) is None:
            raise UnknownRunError(f"there is no instance {self.instance_id!r}")
        stood = -1
        while True:
            try:
                with environment.entered(self.program.function):
                    return await self._call(None, Stays.UNLESS_PLAIN, attach=False)
            except PauseForEventException:
                assert self._record is not None
                if self._record.sequence == stood:
                    await asyncio.sleep(_PAUSE)
                stood, self._record, self._has_left = self._record.sequence, None, True
            await until_it_can_go_on(self._store, self.instance_id)
            self._has_left = False

    async def _call(self, start: Frame | None, stays: Stays, attach: bool) -> Any:
        try:
            initial = self._initial(start)
            record, created, waited = await self._acquired_unpaused(initial, attach)
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
                return await self._go_on(record, start if anew else None, stays)
            finally:
                self._release(record)
        finally:
            if start is not None and not start.cr_suspended:
                start.close()  # it was not needed

    async def go_on(
        self,
        record: Record,
        messages: Sequence[Message] | None = None,
        *,
        longest_nap: float = math.inf,
        stays: Stays = Stays.NEVER,
    ) -> Any:
        """Go on with an instance that the caller owns, and will release, until it ends or pauses.

        Args:
            record: the instance; it is kept up to date.
            messages: its mailbox, if the caller has read it since it owns the instance.
            longest_nap: how long it may sleep in memory, in seconds.
            stays: when it stays in memory although it waits for an event.

        Raises:
            PauseForEventException: it waits for an event, and its state is saved.
            Asleep: it sleeps for longer than that, and its state is saved.
        """
        if record.call_stack is None:
            raise CheckpointException(
                f"instance {record.instance_id!r} has no checkpoint, because its arguments cannot be saved; only a call "
                "with its arguments can start it again"
            )
        self._record, self._call_stack = record, None
        with environment.entered(self.program.function):
            return await self._go_on(record, None, stays, longest_nap, messages)

    def publish_event(self, event_name: str, payload: Any = None) -> None:
        """Publish an event to this instance."""
        publish = getattr(self.backend, "publish_event", None)
        if publish is None:
            raise TypeError(f"{type(self.backend).__name__} has no publish_event()")
        publish(self.instance_id, event_name, payload)

    async def wait_for_event(self, event_name: str) -> Any:
        """Wait until an event is there, then go on."""
        payload = await self.backend.wait_for_event(self.instance_id, event_name)
        if isinstance(self._store, BackendStore):
            self._store.deliver(self.instance_id, event_name, payload)
        return await self.run()

    # starting

    async def enqueue(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        held: bool = False,
        replaceable: bool = False,
    ) -> bool:
        """Create the instance, for whoever runs it; gives whether there was none of that id.

        Args:
            args, kwargs: the arguments of the program.
            held: whether nobody may run it before its queue lets it go.
            replaceable: whether `replace` may give it other arguments; it is the same instance then,
                whatever it is called with.

        Raises:
            TypeError: these are no arguments of the program.
            NotPersistableError: they cannot be saved.
            InstanceConflictError: the id belongs to another program, or to other arguments.
        """
        await sources.keep(self._store)
        initial = self._for_others(args, kwargs)
        initial.status, initial.wake_at = Status.ENQUEUED, HELD if held else None
        if replaceable:
            initial.arguments = None
        if await self._store.enqueue(initial):
            return True
        existing = await self._store.read(self.instance_id)
        if existing is not None:
            self._check(existing, initial)
        return False

    async def replace(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Give the instance other arguments, if its queue has not let it go.

        Returns:
            Whether it has them.

        Raises:
            TypeError: these are no arguments of the program.
            NotPersistableError: they cannot be saved.
        """
        await sources.keep(self._store)
        initial = self._for_others(args, kwargs)
        existing = await self._store.read(self.instance_id)
        if existing is None or not existing.is_held:
            return False
        try:
            record, _ = await self._store.acquire(existing)
        except InstanceBusy:
            return False  # it is being let go
        try:
            if not record.is_held:
                return False
            record.call_stack = initial.call_stack
            writing = self._store.commit(record, (), True)
            if writing is not None:
                await writing
        finally:
            self._release(record)
        return True

    def _for_others(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Record:
        """The record of an instance that others will start."""
        with environment.entered(self.program.function):
            start = self.program.frame(*args, **kwargs)
            initial = self._initial(start)
            start.close()
        if initial.call_stack is None:
            raise NotPersistableError(
                f"the arguments of {initial.program} cannot be saved, so instance {self.instance_id!r} cannot be started "
                "for others to run; call the program itself, or pass something that can be pickled"
            )
        return initial

    async def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Frame | None:
        """The outermost frame, not started; None to go on without looking at arguments."""
        pushed = self.call_stack.peek()
        if pushed is not None and pushed.blocks:
            return start_blocks(pushed)
        try:
            return self.program.frame(*args, **kwargs)
        except TypeError:
            if args or kwargs or await self._store.read(self.instance_id) is None:
                raise
            return None

    def _initial(self, start: Frame | None) -> Record:
        """The record of an instance that has not started."""
        if start is None:
            return Record(self.instance_id, self.program.label)
        record = Record(self.instance_id, self.program.label)
        if is_of_blocks(start):
            call = captured_start(blocks_function(), start, run_blocks)
        else:
            call = self.program.captured(start)
            record.arguments = comparison(self.program.own_arguments(call))
        try:
            with giving() if current.get() is None else nullcontext():
                record.call_stack = CallStack([call], variables=Seen().variables()).to_bytes()
        except Exception:
            record.call_stack = None  # nobody else can start it, but it runs
        return record

    async def _acquire(self, initial: Record, attach: bool) -> tuple[Record, bool, bool]:
        """Own the instance once nobody else does: the record, whether it is new, and whether it was being
        run meanwhile.

        One that has failed is not run any more, though whoever ran it may have still to let go of it.
        """
        seen: Any = None
        waited = False
        while True:
            try:
                return *await self._store.acquire(initial), waited
            except InstanceBusy:
                if not attach:
                    raise
                self._refuse_itself()
                existing = None if waited else await self._store.read(self.instance_id)
                waited = existing is None or existing.status is not Status.ERROR
                seen = await self._store.changed(self.instance_id, seen, 0.5)

    def _refuse_itself(self) -> None:
        """An instance that waits for its own end would wait for ever."""
        caller = current.get()
        if caller is None or caller.instance.root_task is None:
            return
        if caller.instance.record.instance_id == self.instance_id and caller.instance.store.is_same(self._store):
            raise InstanceConflictError(
                f"instance {self.instance_id!r} of {self.program.label} calls itself, and would wait for its own end; "
                "give the inner call another id"
            )

    async def _acquired_unpaused(self, initial: Record, attach: bool) -> tuple[Record, bool, bool]:
        """The same, once it does not stand still any more."""
        while True:
            record, created, waited = await self._acquire(initial, attach)
            if not record.stands_still:
                return record, created, waited
            self._release(record)
            if not attach:
                raise Paused(f"instance {self.instance_id!r} {'is in a queue' if record.is_held else 'is paused'}")
            seen: Any = None
            current: Record | None = record
            while current is not None and current.stands_still:
                seen = await self._store.changed(self.instance_id, seen, 60.0)
                current = await self._store.read(self.instance_id)

    def _release(self, record: Record) -> None:
        self._store.release(record.instance_id, record.epoch)

    def _check(self, record: Record, initial: Record) -> None:
        """Is this the instance that the caller means?"""
        if record.program != initial.program:
            raise OtherProgramError(
                f"instance {record.instance_id!r} runs {record.program}, not {initial.program}; use another id",
                record.instance_id,
            )
        if record.arguments and initial.arguments and record.arguments != initial.arguments:
            raise InstanceConflictError(
                f"instance {record.instance_id!r} of {record.program} was started with other arguments; use another "
                "id for another run, or the same arguments to go on with this one"
            )

    # running

    async def _go_on(
        self,
        record: Record,
        start: Frame | None,
        stays: Stays,
        longest_nap: float = math.inf,
        messages: Sequence[Message] | None = None,
    ) -> Any:
        instance = Instance(self._store, record, self.program.settings, stays, longest_nap)
        branch = Branch(instance, self.program.plans)
        branch.task = instance.root_task = asyncio.current_task()
        with setting(current, branch):
            try:
                frame = start
                asked: Sequence[Message] = ()
                if frame is not None:
                    await instance.remember(anew=True)
                else:
                    asked = await self._left(instance, messages)
                    state = record.state
                    assert state is not None
                    frame = await self._restored(branch, state)
                self._refuse_cancelled(instance, frame, asked)
                await self._begun(instance, frame)
                result = await self._controlled(instance, branch, frame, asked)
            except _ENDS_OF_PROCESS:
                raise
            except Terminated as ended:
                await instance.fail(asyncio.CancelledError(str(ended)), branch)
                raise asyncio.CancelledError(str(ended)) from None
            except Paused:
                await instance.stand_still()
                raise
            except asyncio.CancelledError as cancelled:
                if not is_interrupted():
                    await instance.fail(cancelled, branch)
                raise
            except BaseException as raised:
                error = explained(raised)
                try:
                    if error is not instance.failure:
                        await instance.fail(error, branch)
                    if error is raised:
                        raise
                    raise error from raised
                finally:
                    del error
            finally:
                instance.is_left(branch)
        await instance.succeed(result)
        self._call_stack = CallStack()
        self._call_stack.last_result = result
        return result

    async def _left(self, instance: Instance, messages: Sequence[Message] | None) -> Sequence[Message]:
        """What has come while nobody was there; it is read before there are frames that could be lost."""
        try:
            await instance.remember(anew=False)
            if messages is None:
                messages = await self._store.messages(instance.record.instance_id)
        except DurableError as error:
            instance.failure = error  # nothing has run, so the record stays as it is
            raise
        instance.mailbox.note(messages)
        return messages

    async def _controlled(self, instance: Instance, branch: Branch, frame: Frame, asked: Sequence[Message]) -> Any:
        """Run it, and do what others ask of it meanwhile."""
        listener = Listener(instance, branch)
        try:
            listener.obey(asked)
            return await instance.run(branch, frame)
        except asyncio.CancelledError:
            if not any(instance.obeyed.values()) or is_interrupted():
                raise
            assert branch.task is not None
            branch.task.uncancel()  # it was the instance that was cancelled, not who called it
            raise
        finally:
            listener.end()

    def _refuse_cancelled(self, instance: Instance, frame: Frame, asked: Sequence[Message]) -> None:
        """What was cancelled before it began never begins."""
        cancels = [message.number for message in asked if message.name == CANCEL]
        if cancels and instance.record.status is Status.ENQUEUED:
            instance.obeyed.update(dict.fromkeys(cancels, True))
            frame.close()
            raise asyncio.CancelledError

    async def _begun(self, instance: Instance, frame: Frame) -> None:
        """Note that it runs."""
        try:
            await instance.begin()
        except BaseException as error:
            frame.close()  # nothing of it has run
            instance.failure = error  # so the record stays as it is
            raise

    async def _restored(self, branch: Branch, data: bytes) -> Frame:
        try:
            with setting(finish_old, self.program.settings.on_change == "finish"):
                return await restored(branch, data)
        except Exception as problem:
            error = _not_loaded(branch.instance.record, problem)
            branch.instance.failure = error  # nothing has run, so the record stays as it is
            raise error from problem.__cause__ if error is problem else problem


def _not_loaded(record: Record, problem: Exception) -> DurableError:
    """Why an instance cannot go on here."""
    if isinstance(problem, DurableError):
        return problem
    return CheckpointException(
        f"instance {record.instance_id!r} of {record.program} cannot be loaded: {type(problem).__name__}: {problem}. "
        "Its state is kept; if a class or function that it holds was renamed or moved, give it its old name as well, "
        "and call the instance again"
    )


def _store_of(backend: OrchestrationBackend) -> InstanceStore:
    if isinstance(backend, DurableBackend):
        return backend.store
    if not isinstance(backend, OrchestrationBackend):
        raise TypeError(
            f"orchestration_backend must be an OrchestrationBackend, such as DurableBackend(store), not "
            f"{type(backend).__name__}"
        )
    return store_of(backend)


def _new_id() -> str:
    import uuid  # it looks the platform up, which most programs do not need

    return str(uuid.uuid4())
