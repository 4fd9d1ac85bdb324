"""A store in front of another one that is given nothing readable, and believed nothing.

What an instance holds (its checkpoints, parts, outcome, error text and messages) goes through a codec.
In the clear stays what a store must know to do its work: ids, the names of programs, parts and events,
status and times.  A record that does not pass is put aside, unread.
"""

from __future__ import annotations

import base64
import logging
import pickle
from collections.abc import Awaitable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

from ..errors import TamperedStateError
from ..state import plain
from ..state.codec import Codec, Signing, key_of_environment
from ..state.schema import Message, Outgoing, Record, State, Status
from .base import InstanceStore
from .claiming import Claimed
from .delegating import DelegatingStore
from .parts import NO_PARTS, Parts
from .selection import Selection
from .transactions import OpenTransaction

log = logging.getLogger("durable_ast")

_SEALED = "sealed"

_STATE = b"+"
"""Stands before a state, so that having none is sealed as well."""


class CodedStore(DelegatingStore):
    """Keeps instances in another store, in coded form.

    Args:
        inner: the other store.
        codec: what is done to all that it is given.
    """

    def __init__(self, inner: InstanceStore, codec: Codec) -> None:
        super().__init__(inner)
        self._codec = codec
        self.is_guarded = codec.authenticates
        inner.unpickle = plain.loads

    # records

    def _encoded(self, record: Record) -> Record:
        def sealed(field: str, data: bytes | None) -> bytes | None:
            return None if data is None else self._codec.encode(data, _place(record, field))

        error = None if record.error is None else sealed("error", record.error.encode("utf-8", "backslashreplace"))
        return replace(
            record,
            call_stack=sealed(_shape(record), b"" if record.call_stack is None else _STATE + (record.state or b"")),
            retry=tuple(self._codec.encode(each, _place(record, "retry")) for each in record.retry),
            outcome=sealed("outcome", record.outcome),
            error=None if error is None else base64.b64encode(error).decode(),
        )

    def _decoded(self, record: Record) -> Record:
        def opened(field: str, data: bytes | None) -> bytes | None:
            return None if data is None else self._codec.decode(data, _place(record, field))

        try:
            error = None if record.error is None else opened("error", base64.b64decode(record.error))
            state = opened(_shape(record), record.state)
            if state is None:
                raise TamperedStateError("its state is missing: it was deleted, or written without a key")
            return replace(
                record,
                call_stack=state.removeprefix(_STATE) if state else None,
                retry=tuple(self._codec.decode(each, _place(record, "retry")) for each in record.retry),
                outcome=opened("outcome", record.outcome),
                error=None if error is None else error.decode(),
            )
        except (TamperedStateError, ValueError) as problem:
            raise TamperedStateError(
                f"the record of instance {record.instance_id!r}: {problem}; it was not read, and is left as it is"
            ) from problem

    async def _quarantined(self, record: Record) -> None:
        """Put an instance aside whose record does not pass; nobody claims it from then on."""
        record.status = Status.PARKED
        writing = self.inner.commit(record, (), True)
        if writing is not None:
            await writing
        self.inner.release(record.instance_id, record.epoch)

    async def acquire(self, initial: Record) -> tuple[Record, bool]:
        record, created = await self.inner.acquire(self._encoded(initial))
        try:
            return self._decoded(record), created
        except TamperedStateError:
            if not record.status.is_final:
                await self._quarantined(record)
            raise
        except BaseException:  # a codec may ask a server for its key
            self.inner.release(record.instance_id, record.epoch)
            raise

    async def enqueue(self, record: Record) -> bool:
        return await self.inner.enqueue(self._encoded(record))

    async def claim(self, programs: Collection[str], limit: int, but: Collection[str] = ()) -> Claimed:
        claimed = await self.inner.claim(programs, limit, but)
        try:
            found = [await self._decoded_or_put_aside(record) for record in claimed.records]
        except BaseException:  # who could not be told of them will not run them
            for record in claimed.records:
                self.inner.release(record.instance_id, record.epoch)
            raise
        return Claimed([record for record in found if record is not None], claimed.next_due)

    async def _decoded_or_put_aside(self, record: Record) -> Record | None:
        try:
            return self._decoded(record)
        except TamperedStateError as error:
            log.error("%s", error)
            await self._quarantined(record)
            return None

    def commit(
        self,
        record: Record,
        consumed: Sequence[int],
        flush: bool,
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None] | None:
        sealed, letters = self._sealed(record, parts, outbox)
        return self.inner.commit(self._encoded(record), consumed, flush, sealed, letters)

    def commit_within(
        self,
        transaction: OpenTransaction,
        record: Record,
        consumed: Sequence[int],
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None]:
        sealed, letters = self._sealed(record, parts, outbox)
        return self.inner.commit_within(transaction, self._encoded(record), consumed, sealed, letters)

    def _sealed(self, record: Record, parts: Parts, outbox: Sequence[Outgoing]) -> tuple[Parts, list[Outgoing]]:
        """What a transition writes beside the record."""
        sealed = {
            part: None if value is None else self._codec.encode(value, _part_place(record.instance_id, part))
            for part, value in parts.items()
        }
        letters = [
            replace(letter, payload=self._codec.encode(letter.payload, _message_place(letter.instance_id, letter.name)))
            for letter in outbox
        ]
        return sealed, letters

    async def read(self, instance_id: str) -> Record | None:
        record = await self.inner.read(instance_id)
        return None if record is None else self._decoded(record)

    async def select(self, selection: Selection) -> list[Record]:
        """Of records that do not pass only what is in the clear is given."""
        return [self._decoded_for_show(record) for record in await self.inner.select(selection)]

    def _decoded_for_show(self, record: Record) -> Record:
        try:
            return self._decoded(record)
        except TamperedStateError as error:
            return replace(record, call_stack=None, retry=(), outcome=None, error=str(error))

    async def parts(self, instance_id: str, prefix: str = "") -> dict[str, bytes]:
        found = await self.inner.parts(instance_id, prefix)
        return {
            name: self._opened(value, _part_place(instance_id, name), f"part {name!r} of instance {instance_id!r}")
            for name, value in found.items()
        }

    def _opened(self, data: bytes, place: bytes, what: str) -> bytes:
        try:
            return self._codec.decode(data, place)
        except TamperedStateError as error:
            raise TamperedStateError(f"{what}: {error}; it was not read, and is left as it is") from error

    # messages

    async def messages(self, instance_id: str) -> list[Message]:
        return [self._read_message(instance_id, each) for each in await self.inner.messages(instance_id)]

    async def mailboxes(self, instance_ids: Sequence[str]) -> dict[str, list[Message]]:
        found: dict[str, list[Message]] = {}
        for instance_id, messages in (await self.inner.mailboxes(instance_ids)).items():
            try:
                found[instance_id] = [self._read_message(instance_id, each) for each in messages]
            except TamperedStateError as error:
                log.error("%s; the other mailboxes are read", error)
        return found

    async def message(self, instance_id: str, name: str) -> Message | None:
        message = await self.inner.message(instance_id, name)
        return None if message is None else self._read_message(instance_id, message)

    def _read_message(self, instance_id: str, message: Message) -> Message:
        what = f"message {message.number} for instance {instance_id!r}, event {message.name!r}"
        return replace(message, payload=self._opened(message.payload, _message_place(instance_id, message.name), what))

    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        return self.inner.publish(instance_id, name, self._codec.encode(payload, _message_place(instance_id, name)))

    async def offer(self, instance_id: str, name: str, payload: bytes) -> bool:
        return await self.inner.offer(instance_id, name, self._codec.encode(payload, _message_place(instance_id, name)))

    async def complete(
        self, instance_id: str, name: str, payload: bytes, delivered: str, rivals: str | None = None
    ) -> bool | None:
        sealed = self._codec.encode(payload, _message_place(instance_id, name))
        return await self.inner.complete(instance_id, name, sealed, delivered, rivals)

    # plain states

    async def load(self, instance_id: str) -> State | None:
        sealed = await self.inner.load(instance_id)
        if sealed is None:
            return None
        if "format" in sealed:
            return self._decoded(Record.from_state(sealed)).to_state()
        body = self._opened(sealed.get(_SEALED, b""), _state_place(instance_id), f"the state of {instance_id!r}")
        state: State = pickle.loads(body)
        return state

    async def save(self, instance_id: str, state: State) -> None:
        await self.inner.save(
            instance_id, {_SEALED: self._codec.encode(pickle.dumps(state), _state_place(instance_id))}
        )

    async def keep_sources(self, texts: Mapping[str, str]) -> None:
        await InstanceStore.keep_sources(self, texts)

    async def source(self, version: str) -> str | None:
        return await InstanceStore.source(self, version)


def _place(record: Record, field: str) -> bytes:
    return repr((record.instance_id, record.program, field, record.sequence)).encode("utf-8", "backslashreplace")


def _shape(record: Record) -> str:
    """What else there is of a record, and whether it has ended: its state is worth nothing beside more or less.

    Not where it stands: whoever has another key has put it aside, and then it goes on with the right one.
    """
    there = record.outcome is not None, record.error is not None, len(record.retry)
    return f"call_stack {record.status.is_final} {there}"


def _part_place(instance_id: str, name: str) -> bytes:
    return repr((instance_id, "part", name)).encode("utf-8", "backslashreplace")


def _message_place(instance_id: str, name: str) -> bytes:
    return repr((instance_id, "message", name)).encode("utf-8", "backslashreplace")


def _state_place(instance_id: str) -> bytes:
    return repr((instance_id, "state")).encode("utf-8", "backslashreplace")


def guarded(store: InstanceStore) -> InstanceStore:
    """The store, signed with the key of the environment if there is one.

    Whoever can write to a store that is shared without a key can run code in those who read it; that
    is said once.
    """
    global _has_warned
    if store.is_guarded:
        return store
    key = key_of_environment()
    if key is not None:
        return CodedStore(store, Signing(key))
    if store.is_shared and not _has_warned:
        _has_warned = True
        log.warning(
            "%s is used without a key: whoever can write to it can run code in this process. Set DURABLE_AST_KEY to "
            "the same secret everywhere, or pass signing_key= to open_store()",
            type(store).__name__,
        )
    return store


_has_warned = False
