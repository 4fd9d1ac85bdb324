"""The mailbox of an instance at work: which message a wait gets.

A message stays in the store until the transition that is past its wait; what is taken meanwhile is
known here only.  What was there when the instance went on was read at once, and is not asked for again.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import NamedTuple

from ..state.schema import Message, Record
from ..stores.base import InstanceStore
from .effects import Effects

SIGNALS = "s/"
"""What the names of those parts begin with that hold the last delivery of a signal."""


class Delivered(NamedTuple):
    """The last delivery of a signal, by the number of its message; None if there was none."""

    number: int | None


class Mailbox:
    """The messages to one instance.

    Args:
        store: where they are.
        record: the instance.
    """

    def __init__(self, store: InstanceStore, record: Record) -> None:
        self._store = store
        self._id = record.instance_id
        self._found: list[Message] = []
        self._taken: set[int] = set()
        self._heard: dict[str, Message] = {}
        """The last delivery of each signal by this owner."""
        self._before: dict[str, Message] | None = {} if record.sequence == 0 else None
        """Those before, once somebody has asked."""
        self._unheard: dict[str, Delivered] = {}
        """Of these signals nobody can have heard since a delivery."""

    def note(self, messages: Iterable[Message]) -> None:
        """These are there, and none before them."""
        self._found = list(messages)

    async def receive(self, event: str) -> Message | None:
        """The oldest message of that name that no branch has taken; it is taken now."""
        found = await self._oldest(event)
        if found is not None and found.number in self._taken:
            messages = await self._store.messages(self._id)
            left = (item for item in messages if item.name == event and item.number not in self._taken)
            found = next(left, None)
        if found is not None:
            self._taken.add(found.number)
        return found

    async def hear(self, name: str, after: Delivered) -> Message | None:
        """The message that a wait for a signal gets: one that was delivered since it began, or the
        oldest one that was not delivered."""
        if self._unheard.get(name) != after:
            last = await self._last_delivered(name)
            if last is not None and last.number != after.number:
                return last
        message = await self._oldest(name)
        return None if message is None or message.number in self._taken else message

    async def last_delivery(self, name: str) -> Delivered:
        """What a wait for a signal that begins now waits beyond."""
        last = await self._last_delivered(name)
        return Delivered(None if last is None else last.number)

    def only_waiter(self, name: str, after: Delivered) -> None:
        """A wait for a signal was restored, and nobody else can have heard it meanwhile."""
        self._unheard[name] = after

    def deliver(self, message: Message) -> Effects:
        """A message is delivered as a signal, with the transition that has these effects."""
        self._heard[message.name] = message
        self._unheard.pop(message.name, None)
        self._found = [each for each in self._found if each.number != message.number]
        return Effects((message.number,), {SIGNALS + message.name: pickle.dumps((message.number, message.payload))})

    async def _oldest(self, name: str) -> Message | None:
        for message in self._found:
            if message.name == name and message.number not in self._taken:
                return message
        return await self._store.message(self._id, name)

    async def _last_delivered(self, name: str) -> Message | None:
        heard = self._heard.get(name)
        if heard is not None:
            return heard
        if self._before is None:
            parts = await self._store.parts(self._id, SIGNALS)
            names = {key.removeprefix(SIGNALS): pickle.loads(data) for key, data in parts.items()}
            self._before = {name: Message(number, name, payload) for name, (number, payload) in names.items()}
        return self._before.get(name)
