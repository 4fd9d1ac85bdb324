"""What runs and the world tell each other: signals, messages, published values."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from ..backends.durable import DurableBackend
from ..runtime.event_log import follow
from ..runtime.mailbox import SIGNALS
from ..runtime.payloads import payload_bytes
from ..runtime.questions import pending
from ..runtime.running_branch import current
from ..runtime.signals import send, set_value, wait_for_signal
from ..stores.base import InstanceStore
from ..stores.names import check_event_name, check_instance_id
from .handles import Handle
from .namesakes import addressee, others

if TYPE_CHECKING:
    from .workflow import Workflow

T = TypeVar("T")


class Messages:
    """The part of a `Workflow` that brings messages to runs, and from them.

    Args:
        backend: where the runs are kept.
    """

    def __init__(self, backend: DurableBackend) -> None:
        self.backend = backend
        self.instances: InstanceStore = backend.store

    def handle(self, run_id: str) -> Handle[Any]:
        """The handle of a run, whether it exists yet or not.

        Raises:
            InvalidInstanceIdError: this can be no id.
        """
        return Handle(cast("Workflow", self), check_instance_id(run_id))

    @overload
    def signal(
        self, name: str, *, timeout: float | None = None, type: type[T], poll: float | None = None
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def signal(
        self, name: str, *, timeout: float | None = None, type: object = None, poll: float | None = None
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
            type: what the payload has to be, a type or another annotation, such as ``int | None``; one
                of another type is made one by pydantic, if that is installed.
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

        Raises:
            InstanceConflictError: several workflows have a run of this id that waits for the signal.
        """
        name, run_id = check_event_name(name), check_instance_id(run_id)
        data, delivered = (
            payload_bytes({} if payload is None else payload, f"signal {name!r} for run {run_id!r}"),
            SIGNALS + name,
        )
        taken = await self.instances.complete(run_id, name, data, delivered, others(run_id))
        if taken is None:
            meant = await addressee(self.instances, run_id, name)
            taken = await self.instances.complete(meant, name, data, delivered)
        return bool(taken)

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
