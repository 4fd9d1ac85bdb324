"""What stores on a server have in common: who owns what, and how it is asked.

An instance belongs to a store whose lease has not run out.  The lease is renewed from a thread; a
store that could not renew it takes no more checkpoints, by its own clock before the server lets
others go on.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import threading
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from ..errors import StaleOwnerError
from ..state.schema import Message, Outgoing, Record, State
from .answer import kept
from .base import InstanceStore
from .claiming import Claimed, InstanceBusy
from .lease import Lease, now
from .memory import lost, stale
from .names import check_instance_id
from .notices import Notices
from .parts import NO_PARTS, Parts
from .remote import ConnectionBroke, Remote, stop
from .selection import Selection

log = logging.getLogger("durable_ast")

_PAUSE = 0.1
"""Seconds before a listener that has failed begins again."""


class Transition(NamedTuple):
    """A commit on its way to the server: the record as it was, and what changes beside it."""

    record: Record
    key: Any
    consumed: tuple[int, ...]
    parts: Parts
    outbox: tuple[Outgoing, ...]

    @property
    def owned(self) -> tuple[str, int]:
        """The instance, and in which ownership of it."""
        return self.record.instance_id, self.record.epoch

    @property
    def has_more(self) -> bool:
        """Whether it changes more than the record."""
        return bool(self.consumed or self.parts or self.outbox or self.record.status.is_final)


class RemoteStore(InstanceStore):
    """Keeps instances on a server.

    Subclasses say how each kind of job is done; all of these run in the thread of `remote.py`, one
    after the other, each with what is asked of its kind at the time.

    Args:
        name: of the thread.
        lease: seconds after which others may take over from a process that is not heard of.
    """

    is_shared = True

    def __init__(self, name: str, lease: float) -> None:
        if not lease > 0:
            raise ValueError(f"a lease must last some time, not {lease!r} seconds")
        self._remote = Remote(name)
        self._lease = Lease(lease)
        self._held: dict[str, tuple[Any, int]] = {}
        """The keys and epochs of the instances that this store owns."""
        self._taking: set[str] = set()
        self._broken: set[tuple[str, int]] = set()
        """The ownerships in which a commit was lost."""
        self._listening: asyncio.Task[None] | None = None
        self._is_closed = threading.Event()
        self.notices = Notices()

    # what subclasses do

    @abstractmethod
    async def _sign_in_as(self, owner: str) -> None:
        """Begin a lease."""

    @abstractmethod
    async def _listen(self) -> None:
        """Renew the lease when it wants that, and pass on what others say, until cancelled."""

    @abstractmethod
    async def _acquire(self, initials: Sequence[Record]) -> Sequence[Any]:
        """For each: the key, the record, whether it was created; or InstanceBusy."""

    @abstractmethod
    async def _enqueue(self, records: Sequence[Record]) -> Sequence[bool]: ...

    @abstractmethod
    async def _claim_some(
        self, programs: list[str], limit: int, but: list[str]
    ) -> tuple[list[tuple[Any, Record]], float | None]:
        """The claimed instances with their keys, and when the next is due."""

    @abstractmethod
    async def _release(self, instances: Sequence[tuple[str, int]]) -> Sequence[None]: ...

    @abstractmethod
    async def _commit(self, transitions: Sequence[Transition]) -> Sequence[bool]:
        """Which of them had the current epoch."""

    @abstractmethod
    async def _read(self, ids: Sequence[str]) -> Sequence[Record | None]: ...

    @abstractmethod
    async def _parts(self, wishes: Sequence[tuple[str, str]]) -> Sequence[dict[str, bytes]]: ...

    @abstractmethod
    async def _messages(self, ids: Sequence[str]) -> Sequence[list[Message]]: ...

    @abstractmethod
    async def _publish(self, messages: Sequence[tuple[str, str, bytes]]) -> Sequence[int]: ...

    @abstractmethod
    async def _offer(self, messages: Sequence[tuple[str, str, bytes]]) -> Sequence[bool]: ...

    @abstractmethod
    async def _select(self, selections: Sequence[Selection]) -> Sequence[list[Record]]: ...

    @abstractmethod
    async def _delete(self, ids: Sequence[str]) -> Sequence[Any]: ...

    @abstractmethod
    async def _drop_parts(self, wishes: Sequence[tuple[str, str]]) -> Sequence[int]: ...

    @abstractmethod
    async def _load(self, ids: Sequence[str]) -> Sequence[State | None]: ...

    @abstractmethod
    async def _save(self, states: Sequence[tuple[str, bytes]]) -> Sequence[None]: ...

    @abstractmethod
    async def _disconnect(self) -> None:
        """Give everything back, and close the connections."""

    # the lease

    async def _sign_in(self) -> None:
        """Have a lease, and somebody who renews it."""
        if not self._lease.is_signed_in:
            asked = now()
            await self._sign_in_as(self._lease.owner)
            self._lease.renewed(asked)
            await self._begin_to_listen([])

    async def _begin_to_listen(self, asked: Sequence[None]) -> Sequence[None]:
        if self._listening is None:
            self._listening = self._remote.start(self._listen_on())
            threading.Thread(target=self._watch_over_lease, name="durable-ast-lease", daemon=True).start()
        return [None] * len(asked)

    async def _listen_on(self) -> None:
        """Listen, whatever happens: nobody else renews the lease."""
        while True:
            try:
                await self._listen()
            except Exception:
                log.exception("%s could not listen to its server; it begins again", type(self).__name__)
                await asyncio.sleep(_PAUSE)

    def _watch_over_lease(self) -> None:
        """Tell whoever runs instances once the lease has run out, also while the server does not answer."""
        was_held = self._lease.is_held
        while not self._is_closed.wait(max(self._lease.left, 0.0) if was_held else self._lease.seconds / 4):
            is_held = self._lease.is_held
            if was_held and not is_held:
                self.notices.post_all()
            was_held = is_held

    def _lost(self) -> None:
        """The lease has run out: nothing that was owned is any more, and a new owner begins."""
        self._held.clear()
        self._lease.begin_anew()
        self.notices.post_all()

    def _owned(self, instance_id: str) -> tuple[Any, int] | None:
        """The key and epoch of an instance, if this store owns it; decided without the server."""
        return self._held.get(instance_id) if self._lease.is_held else None

    # owning an instance

    async def acquire(self, initial: Record) -> tuple[Record, bool]:
        name = check_instance_id(initial.instance_id)
        if name in self._taking or self._owned(name) is not None:
            raise InstanceBusy
        self._taking.add(name)
        try:
            return await kept(self._remote.ask(self._acquire_noted, initial, name), self._let_go)
        finally:
            self._taking.discard(name)

    async def _acquire_noted(self, initials: Sequence[Record]) -> list[Any]:
        await self._sign_in()
        answers: list[Any] = []
        for answer in await self._acquire(initials):
            if not isinstance(answer, Exception):
                key, record, created = answer
                if not record.status.is_final:
                    self._held[record.instance_id] = (key, record.epoch)
                answer = record, created
            answers.append(answer)
        return answers

    def _let_go(self, taken: tuple[Record, bool]) -> None:
        self.release(taken[0].instance_id, taken[0].epoch)

    async def enqueue(self, record: Record) -> bool:
        check_instance_id(record.instance_id)
        created: bool = await self._remote.ask(self._enqueue, record.copy(), record.instance_id)
        return created

    async def claim(self, programs: Collection[str], limit: int, but: Collection[str] = ()) -> Claimed:
        def give_back(claimed: Claimed) -> None:
            for record in claimed.records:
                self.release(record.instance_id, record.epoch)

        return await kept(self._remote.ask(self._claim, (list(programs), limit, list(but)), None), give_back)

    async def _claim(self, wishes: Sequence[tuple[list[str], int, list[str]]]) -> list[Claimed]:
        await self._sign_in()
        answers = []
        for wish in wishes:
            claimed, next_due = await self._claim_some(*wish)
            self._held.update({record.instance_id: (key, record.epoch) for key, record in claimed})
            answers.append(Claimed([record for _, record in claimed], next_due))
        return answers

    def release(self, instance_id: str, epoch: int) -> None:
        held = self._held.get(instance_id)
        if held is not None and held[1] == epoch:
            del self._held[instance_id]
        self._remote.submit(self._release, (instance_id, epoch), instance_id)

    async def delete(self, instance_id: str) -> bool:
        deleted: bool = await self._remote.ask(self._delete, instance_id, instance_id)
        return deleted

    async def drop_parts(self, instance_id: str, prefix: str) -> int:
        dropped: int = await self._remote.ask(self._drop_parts, (instance_id, prefix), instance_id)
        return dropped

    # transitions

    def commit(
        self,
        record: Record,
        consumed: Sequence[int],
        flush: bool,
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None]:
        """What counts as written the server's own settings say, whatever `flush` is."""
        held = self._owned(record.instance_id)
        if held is None or held[1] != record.epoch:
            return self._refuse(record)
        transition = Transition(record.copy(), held[0], tuple(consumed), parts, tuple(outbox))
        return self._remote.ask(self._commit_in_order, transition, record.instance_id)

    async def _commit_in_order(self, transitions: Sequence[Transition]) -> list[Any]:
        """Nothing is written after what could not be: it may say of a part that it has been."""
        sound = [each for each in transitions if each.owned not in self._broken]
        try:
            done = dict(zip(map(id, sound), await self._commit(sound) if sound else (), strict=True))
        except Exception as error:
            if len(sound) == 1 or isinstance(error, ConnectionBroke):
                self._broken.update(each.owned for each in sound)
            raise
        answers: list[Any] = []
        for each in transitions:
            if id(each) not in done:
                answers.append(lost(each.record))
            else:
                answers.append(None if done[id(each)] else await self._refused(each.record))
        return answers

    async def _refused(self, record: Record) -> Exception:
        """What became of a write that was not done; others that came with it were, so nothing is raised."""
        try:
            (current,) = await self._read([record.instance_id])
        except Exception as error:
            return error
        return self._refusal(record, current)

    async def _refuse(self, record: Record) -> None:
        raise self._refusal(record, await self.read(record.instance_id))

    def _refusal(self, record: Record, current: Record | None) -> StaleOwnerError:
        """Why a write is refused, where the instance is as it is now."""
        if current is None or current.epoch != record.epoch:
            return stale(record, current)
        return self._ran_out(record)

    def _ran_out(self, record: Record) -> StaleOwnerError:
        return StaleOwnerError(
            f"instance {record.instance_id!r}: the lease of this process ran out, because it could not be renewed "
            f"within {self._lease.seconds} seconds; this run stops, so that another process can go on"
        )

    def refusal(self, record: Record) -> StaleOwnerError | None:
        held = self._owned(record.instance_id)
        return None if held is not None and held[1] == record.epoch else self._ran_out(record)

    # looking

    async def read(self, instance_id: str) -> Record | None:
        record: Record | None = await self._remote.ask(self._read, instance_id, instance_id)
        return record

    async def parts(self, instance_id: str, prefix: str = "") -> dict[str, bytes]:
        parts: dict[str, bytes] = await self._remote.ask(self._parts, (instance_id, prefix), instance_id)
        return parts

    async def select(self, selection: Selection) -> list[Record]:
        records: list[Record] = await self._remote.ask(self._select, selection, None)
        return records

    # messages

    async def messages(self, instance_id: str) -> list[Message]:
        messages: list[Message] = await self._remote.ask(self._messages, instance_id, instance_id)
        return messages

    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        """If the connection breaks, whether it is stored is not known, and the error says so."""
        stored = self._remote.submit(self._publish, (check_instance_id(instance_id), name, payload), instance_id)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            stored.result()  # nothing is blocked, and whoever called may be about to end
        return stored

    async def offer(self, instance_id: str, name: str, payload: bytes) -> bool:
        is_new: bool = await self._remote.ask(self._offer, (check_instance_id(instance_id), name, payload), instance_id)
        return is_new

    async def changed(self, instance_id: str | None, seen: Any, timeout: float) -> Any:
        if self._listening is None:
            await self._remote.ask(self._begin_to_listen, None, None)
        return await self.notices.wait(instance_id, seen, timeout)

    def watch(self, instance_id: str, callback: Callable[[], None]) -> Callable[[], object]:
        if self._listening is None:
            self._remote.submit(self._begin_to_listen, None, None)
        return self.notices.watch(instance_id, callback)

    # plain states

    async def load(self, instance_id: str) -> State | None:
        record = await self.read(instance_id)
        if record is not None:
            return record.to_state()
        state: State | None = await self._remote.ask(self._load, instance_id, instance_id)
        return state

    async def save(self, instance_id: str, state: State) -> None:
        await self._remote.ask(self._save, (check_instance_id(instance_id), pickle.dumps(state)), instance_id)

    async def keep_sources(self, texts: Mapping[str, str]) -> None:  # all in one request
        await asyncio.gather(*(super(RemoteStore, self).keep_sources({version: texts[version]}) for version in texts))

    async def close(self) -> None:
        async def end(asked: Sequence[None]) -> list[None]:
            if self._listening is not None:
                await stop(self._listening)  # or it would renew the lease on a connection that nobody closes
            await self._disconnect()
            return [None] * len(asked)

        self._is_closed.set()
        await self._remote.ask(end, None, None)
        await asyncio.to_thread(self._remote.close)
