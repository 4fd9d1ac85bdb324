"""What a store is.

`StateStore` is the least: two methods, and a user can bring their own.  `InstanceStore` is what the
stores of this library are: every transition of an instance is one atomic write, guarded by the
epoch of its owner, and events are a mailbox beside it.  `adapt` lets the runtime use either.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInstanceIdError
from ..state.schema import Message, Record, State

MAX_ID_LENGTH = 512
"""The longest instance id, in characters."""


class StateStore(ABC):
    """Keeps one state for each instance id.

    Subclass it to keep instances wherever you like; `load` and `save` suffice.  What `save` is given
    is a dictionary that `pickle` can save, and `load` must give back an equal one.  Such a store
    serves one process at a time.

    >>> class Shelf(StateStore):
    ...     def __init__(self):
    ...         self.states = {}
    ...     async def load(self, instance_id):
    ...         return self.states.get(instance_id)
    ...     async def save(self, instance_id, state):
    ...         self.states[instance_id] = state
    """

    @abstractmethod
    async def load(self, instance_id: str) -> State | None:
        """The state that was saved last, or None."""

    @abstractmethod
    async def save(self, instance_id: str, state: State) -> None:
        """Replace the state; either all of it or nothing."""


@dataclass(frozen=True, slots=True)
class Write:
    """One transition of an instance, written whole or not at all.

    Attributes:
        record: the instance as it is from now on; its epoch must be the current one.
        consumed: the numbers of the messages that this transition takes from the mailbox.
        flush: whether it must have reached the disk, not only the operating system, to count.
    """

    record: Record
    consumed: tuple[int, ...] = ()
    flush: bool = True


class InstanceBusy(Exception):
    """Another owner is at work on the instance; for the runtime only."""


class InstanceStore(StateStore):
    """Keeps instances with all that belongs to them, each change atomic."""

    @abstractmethod
    async def acquire(self, initial: Record) -> tuple[Record, bool]:
        """Become the owner of an instance, which is created if there is none.

        Args:
            initial: what to create; only its id counts if the instance exists.

        Returns:
            The record, with the epoch that now is this owner's, and whether it was created.  An
            instance that has ended for good is given as it is, and has no owner.

        Raises:
            InstanceBusy: it has an owner that is alive.
        """

    @abstractmethod
    def commit(self, write: Write) -> Awaitable[None] | None:
        """Write a transition; None if it is done already.

        The record is the runtime's own, and changes after this returns: take what is needed of it.

        Raises:
            StaleOwnerError: (here or when awaited) the epoch is not the current one any more.
            StoreError: it could not be written.
        """

    @abstractmethod
    def release(self, instance_id: str, epoch: int) -> None:
        """Stop being the owner; does not wait, and comes before any later call."""

    @abstractmethod
    async def read(self, instance_id: str) -> Record | None:
        """The instance as it stands, or None."""

    @abstractmethod
    async def messages(self, instance_id: str) -> list[Message]:
        """The mailbox, oldest first."""

    @abstractmethod
    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        """Put a message into the mailbox of an instance, which need not exist yet.

        May be called from any thread.  The future gives the message's number once it is stored.
        """

    @abstractmethod
    async def changed(self, instance_id: str, seen: Any, timeout: float) -> Any:
        """Wait until something about an instance may have changed.

        Args:
            instance_id: the instance.
            seen: what the last call returned; None the first time, which returns at once.
            timeout: the longest wait, in seconds.
        """

    @abstractmethod
    async def records(self) -> list[Record]:
        """All instances, newest first."""

    async def close(self) -> None:
        """Let go of files and connections."""


def check_instance_id(instance_id: Any) -> str:
    """The id, if a store can take it.

    Raises:
        InvalidInstanceIdError: it is no text, empty, too long, or holds what cannot be stored.

    >>> check_instance_id("orders/../7")
    'orders/../7'
    """
    if not isinstance(instance_id, str):
        raise InvalidInstanceIdError(f"an instance id must be a str, not {type(instance_id).__name__}")
    if not instance_id:
        raise InvalidInstanceIdError("an instance id must not be empty")
    if len(instance_id) > MAX_ID_LENGTH:
        raise InvalidInstanceIdError(
            f"an instance id may have {MAX_ID_LENGTH} characters, this one has {len(instance_id)}: "
            f"{instance_id[:40]!r}..."
        )
    if "\0" in instance_id:
        raise InvalidInstanceIdError(f"an instance id must not hold a NUL character: {instance_id!r}")
    try:
        instance_id.encode()
    except UnicodeEncodeError as error:
        raise InvalidInstanceIdError(f"an instance id must be valid Unicode text: {instance_id!r}") from error
    return instance_id
