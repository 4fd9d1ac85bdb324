"""What a store is.

`StateStore` is the least: two methods, and a user can bring their own.  `InstanceStore` is what the
stores of this library are: every transition of an instance is one atomic write, guarded by the
epoch of its owner, and events are a mailbox beside it.  `backends.durable.instance_store` lets the runtime
use either.
"""

from __future__ import annotations

import asyncio
import pickle
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from ..errors import StaleOwnerError, StoreError, TransactionError
from ..state import snapshot
from ..state.deltas import Deltas, whole, whole_parts
from ..state.history import Checkpoint, history_in
from ..state.known_classes import given
from ..state.schema import Message, Outgoing, Record, State, Status
from .claiming import Claimed, claim_by_listing
from .completing import complete_by_asking
from .parts import NO_PARTS, Parts
from .retention import sizes_by_reading, vacuum
from .selection import Selection
from .sizes import Sizes
from .steps import Store
from .transactions import OpenTransaction

_LOOKS = 20
"""How often a record and its parts are read until both are of one moment."""


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


class InstanceStore(StateStore, Store):
    """Keeps instances with all that belongs to them, each change atomic.

    Attributes:
        is_shared: whether other machines may write to it.
        is_guarded: whether what others have written is recognised before it is read.
        writes_whole: whether each transition writes all that there is of an instance, so that nothing is
            gained where it is given only what has changed.
        is_at_once: whether `commit` can be done without suspending.  Then a branch of an instance is saved
            where it stands, and no other runs meanwhile; where a commit takes time, one is written
            for all branches that are ready.
        unpickle: how the plain states are read that `save` was given.
    """

    is_shared = False
    is_guarded = False
    writes_whole = False
    is_at_once = False
    unpickle: Callable[[bytes], Any] = staticmethod(pickle.loads)

    @property
    def instances(self) -> InstanceStore:
        """What the runtime uses: this store, unless it cannot keep instances itself."""
        return self

    def is_same(self, other: object) -> bool:
        """Whether another store keeps the same instances, as far as can be told without asking it."""
        return self is other

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
    async def enqueue(self, record: Record) -> bool:
        """Create an instance that nobody owns, for whoever acquires it first.

        Returns:
            Whether it was created; if there is one of that id, nothing happens to it.
        """

    async def claim(self, programs: Collection[str], limit: int, but: Collection[str] = ()) -> Claimed:
        """Become the owner of instances that can go on now, oldest wish first.

        These are the ones that nobody owns, or whose owner has died, and that are new, in the middle
        of something, past the time they sleep until, or have a message that they wait for or that
        begins with a dot.

        Args:
            programs: only those of these programs, by their keys.
            limit: how many at most.
            but: the ids of those that are left to others.
        """
        return await claim_by_listing(self, programs, limit, but)

    @abstractmethod
    def commit(
        self,
        record: Record,
        consumed: Sequence[int],
        flush: bool,
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None] | None:
        """Write a transition of an instance, whole or not at all; None if it is done already.

        Args:
            record: the instance as it is from now on; its epoch must be the current one.  It is the
                runtime's own and changes after this returns: take what is needed of it.
            consumed: the numbers of the messages that this transition takes from the mailbox.
            flush: whether it must have reached the disk, not only the operating system, to count.
            parts: records beside the instance's own, by name; None deletes one.  A final transition
                deletes all those that are `TRANSIENT`.
            outbox: messages that this transition puts into other mailboxes, in this order.

        Raises:
            StaleOwnerError: (here or when awaited) the epoch is not the current one any more.
            StoreError: it could not be written.
        """

    async def begin(self, record: Record) -> OpenTransaction:
        """Begin a transaction that the next transition of an instance will end; see `commit_within`.
        Whatever was written of the instance before is there.

        Raises:
            TransactionError: this store has none.
            StaleOwnerError: somebody else owns the instance by now.
            StoreError: it could not be begun.
        """
        raise TransactionError(
            f"transaction() needs a store that keeps instances in a SQL database, SQLite or PostgreSQL; a "
            f"{type(self).__name__} is none. Make the work a step, and give what it calls the key of step_key()"
        )

    def commit_within(
        self,
        transaction: OpenTransaction,
        record: Record,
        consumed: Sequence[int],
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None]:
        """Write a transition and end a transaction with it: both have happened, or neither.

        Args:
            transaction: what `begin` gave; it has ended, however this ends.
            record, consumed, parts, outbox: as for `commit`.

        Raises:
            TransactionError, StaleOwnerError, StoreError: when awaited; the transaction is rolled back.
                After a StoreError it may have happened, where the connection broke: reading the
                instance tells.
        """
        raise NotImplementedError

    def refusal(self, record: Record) -> StaleOwnerError | None:
        """Why nothing will be written any more of an instance that is at work here; None as far as that
        is not known without asking.  Whoever `watch`es it is called when this changes."""
        return None

    @abstractmethod
    def release(self, instance_id: str, epoch: int) -> None:
        """Stop being the owner; does not wait, and comes before any later call."""

    @abstractmethod
    async def read(self, instance_id: str) -> Record | None:
        """The instance as it stands, or None."""

    @abstractmethod
    async def parts(self, instance_id: str, prefix: str = "") -> dict[str, bytes]:
        """The parts of an instance whose names begin with `prefix`."""

    async def whole(self, instance_id: str) -> tuple[Record, dict[str, bytes]] | None:
        """The instance with its parts, all of one moment; None if there is none.

        Raises:
            TimeoutError: it moves faster than it can be read.
        """
        record = await self.read(instance_id)
        for _ in range(_LOOKS):
            if record is None:
                return None
            parts = await self.parts(instance_id)
            before, record = record, await self.read(instance_id)
            if record is not None and record.sequence == before.sequence:
                deltas = Deltas()
                return whole(record, parts, deltas), whole_parts(parts, deltas)
        raise TimeoutError(f"{instance_id} is running, and moves faster than it can be read")

    async def history(self, instance_id: str) -> list[Checkpoint]:
        """The checkpoints of an instance that were kept, oldest first; the last is the instance as it
        stands, and none if there is no such instance.

        How many are kept its program says; see `make_durable`.

        Raises:
            TimeoutError: it moves faster than it can be read.
        """
        whole = await self.whole(instance_id)
        return [] if whole is None else history_in(*whole)

    @abstractmethod
    async def messages(self, instance_id: str) -> list[Message]:
        """The mailbox, oldest first."""

    async def mailboxes(self, instance_ids: Sequence[str]) -> dict[str, list[Message]]:
        """The mailboxes of several instances; one that is empty may be left out."""
        found = await asyncio.gather(*map(self.messages, instance_ids))
        return dict(zip(instance_ids, found, strict=True))

    async def message(self, instance_id: str, name: str) -> Message | None:
        """The oldest message of that name."""
        return next((message for message in await self.messages(instance_id) if message.name == name), None)

    @abstractmethod
    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        """Put a message into the mailbox of an instance, which need not exist yet.

        May be called from any thread.  The future gives the message's number once it is stored.
        """

    @abstractmethod
    async def offer(self, instance_id: str, name: str, payload: bytes) -> bool:
        """Put a message into the mailbox of an instance, unless one of that name is there already.

        Returns:
            Whether it was put there.
        """

    async def complete(
        self, instance_id: str, name: str, payload: bytes, delivered: str, rivals: str | None = None
    ) -> bool | None:
        """Offer a message to an instance, unless that has ended, or has had one and waits for no other.

        Args:
            instance_id, name, payload: as for `offer`.
            delivered: the part that an instance has once such a message was delivered to it.
            rivals: a mailbox that is empty if no other instance may be meant.

        Returns:
            Whether it was put there; None if nothing was done because that mailbox is not empty.
        """
        return await complete_by_asking(self, instance_id, name, payload, delivered, rivals)

    @abstractmethod
    async def changed(self, instance_id: str | None, seen: Any, timeout: float) -> Any:
        """Wait until something about an instance may have changed.

        Args:
            instance_id: the instance; None for any instance that can go on now.
            seen: what the last call returned; None the first time, which returns at once.
            timeout: the longest wait, in seconds.
        """

    def watch(self, instance_id: str, callback: Callable[[], None]) -> Callable[[], object]:
        """Have a function called in this event loop, soon and whenever something about an instance may
        have changed, until what this returns is called."""
        return asyncio.get_running_loop().create_task(self._watch_by_waiting(instance_id, callback)).cancel

    async def _watch_by_waiting(self, instance_id: str, callback: Callable[[], None]) -> None:
        seen: Any = None
        while True:
            try:
                seen = await self.changed(instance_id, seen, 60.0)
            except StoreError:
                await asyncio.sleep(1.0)
            callback()

    async def records(
        self,
        *,
        status: Collection[Status] | Collection[str] | None = None,
        program: str | None = None,
        prefix: str | None = None,
        since: float | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Record]:
        """Instances, newest first.

        Args:
            status: only those that stand at one of these, or at this one; the names will do.
            program: only those of this program, by its key.
            prefix: only those whose ids begin so.
            since: only those created at this time or later, in seconds since 1970.
            limit: how many at most.
            offset: how many of the newest to leave out.
        """
        names = (status,) if isinstance(status, str) else status
        chosen = None if names is None else frozenset(map(Status, names))
        return await self.select(Selection(chosen, program, prefix, since, limit, offset))

    @abstractmethod
    async def select(self, selection: Selection) -> list[Record]:
        """What `records` gives, for the filters that it was given."""

    @abstractmethod
    async def delete(self, instance_id: str) -> bool:
        """Forget an instance with its parts and its mailbox; gives whether there was one.

        Raises:
            InstanceBusy: it has an owner that is alive.
        """

    async def keep_sources(self, texts: Mapping[str, str]) -> None:
        """Keep the texts of functions, by version, for as long as there are instances; most stores hold
        each once."""
        for version, text in texts.items():
            await self.save(f"source {version}", {"text": text})

    async def source(self, version: str) -> str | None:
        """The text of this version of a function, if it was kept."""
        state = await self.load(f"source {version}")
        return None if state is None else state.get("text")  # there is none to one who lacks the key

    # retention

    async def vacuum(
        self,
        *,
        older_than: float,
        status: Collection[Status] = (Status.SUCCESS, Status.CANCELLED),
        program: str | None = None,
        prefix: str | None = None,
        history_only: bool = False,
    ) -> int:
        """Delete instances that have ended, with all that belongs to them; gives how many.

        Args:
            older_than: only those whose last checkpoint is so many seconds old.
            status: where they stand.  Those that can go on are never deleted.
            program, prefix: only those of this program, and whose ids begin so.
            history_only: whether they stay, with their outcomes, and only their earlier checkpoints are
                deleted.

        Raises:
            ValueError: instances of such a status may go on by themselves.
        """
        return await vacuum(self, older_than, status, program, prefix, history_only)

    @abstractmethod
    async def drop_parts(self, instance_id: str, prefix: str) -> int:
        """Forget the parts of an instance whose names begin so, and that nobody needs who is at work
        on it; gives how many there were.

        Raises:
            InstanceBusy: it has an owner who would write them again.
        """

    async def sizes(self, *, largest: int = 10) -> Sizes:
        """How much is kept.

        Args:
            largest: how many of the largest instances are named.
        """
        return await sizes_by_reading(self, largest)

    async def shrink(self) -> None:
        """Give back to the system what is not used any more, where the store does not do that itself."""

    async def close(self) -> None:
        """Let go of files and connections."""

    # as a `Store`

    async def setup(self) -> None:
        """Nothing: the first use does what is needed."""

    async def get_step(self, run_id: str, step_id: str) -> tuple[bool, Any]:
        state = await self.load(_step_key(run_id, step_id))
        return (False, None) if state is None else (True, state["result"])

    async def set_step(self, run_id: str, step_id: str, result: Any, attempt: int = 1) -> None:
        await self.save(_step_key(run_id, step_id), {"result": result, "attempt": attempt})

    async def mark_run_done(self, run_id: str) -> None:
        await self.save(_run_key(run_id), {"status": "done", "error": None})

    async def mark_run_failed(self, run_id: str, error: str) -> None:
        await self.save(_run_key(run_id), {"status": "failed", "error": error})

    async def get_signal(self, run_id: str, name: str) -> tuple[bool, Any]:
        message = await self.message(run_id, name)
        return (False, None) if message is None else (True, given(message.payload))

    async def set_signal(self, run_id: str, name: str, payload: Any) -> bool:
        return await self.offer(run_id, name, snapshot.dumps(payload))


def _run_key(run_id: str) -> str:
    return f"run {run_id}"


def _step_key(run_id: str, step_id: str) -> str:
    """One for each pair, wherever their texts meet."""
    return f"step {len(run_id)} {run_id} {step_id}"
