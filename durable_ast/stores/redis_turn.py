"""One attempt at changing what a `RedisStore` keeps, with WATCH and MULTI.

It reads at once, and writes at its end, unless anything that it has read was changed meanwhile.  What
the keys are says `redis.lua`; what is decided on the way, the commands in `redis_watched.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

Facts: TypeAlias = dict[bytes, bytes]

DUE = b"status", b"awaited", b"wake_at", b"updated_at"
"""The facts that say when an instance can go on."""

FINAL = b"SUCCESS", b"CANCELLED"


class Turn:
    """One attempt at a command: reads at once, and writes that wait for its end.

    Args:
        client: for what need not be watched.
        pipeline: of the same server, for this turn alone.
        store: the name of the store.
    """

    def __init__(self, client: Any, pipeline: Any, store: str) -> None:
        self.client = client
        self.store = store
        self._pipeline = pipeline
        self._writes: list[tuple[Any, ...]] = []
        self._names: dict[bytes, list[bytes]] = {}

    def key(self, kind: str, name: bytes) -> bytes:
        """Of what an instance or an owner has."""
        return f"{self.store}:{kind}:".encode() + name

    def write(self, *command: Any) -> None:
        """A command for the end."""
        self._writes.append(command)

    def end(self) -> None:
        """Write all of it.

        Raises:
            WatchError: something that was read has changed; nothing is written.
        """
        if self._writes:
            self._pipeline.multi()
            for command in self._writes:
                self._pipeline.execute_command(*command)
            self._pipeline.execute()

    # reading

    def facts(self, instance: bytes) -> Facts:
        """All facts of an instance; none if there is no such instance."""
        self._pipeline.watch(self.key("i", instance))
        found: Facts = self._pipeline.hgetall(self.key("i", instance))
        return found

    def some(self, instance: bytes, *names: bytes) -> Facts:
        """Some facts of an instance; what it does not have is left out."""
        self._pipeline.watch(self.key("i", instance))
        values = self._pipeline.hmget(self.key("i", instance), names)
        return {name: value for name, value in zip(names, values, strict=True) if value is not None}

    def letters(self, instance: bytes) -> list[bytes]:
        """The names of the messages of an instance, with those that this turn writes."""
        if instance not in self._names:
            self._pipeline.watch(self.key("n", instance))
            self._names[instance] = self._pipeline.hvals(self.key("n", instance))
        return self._names[instance]

    def watch_owners(self) -> None:
        self._pipeline.watch(f"{self.store}:owners")

    def now(self) -> float:
        """The time of the server, in seconds."""
        seconds, micros = self.client.time()
        return int(seconds) + int(micros) / 1e6

    def is_alive(self, owner: bytes) -> bool:
        expires_at = self.client.zscore(f"{self.store}:owners", owner)
        return expires_at is not None and float(expires_at) > self.now()

    def next_number(self) -> int:
        number: int = self.client.incr(f"{self.store}:count")
        return number

    # writing

    def put(self, kind: str, instance: bytes, fields: Sequence[bytes]) -> None:
        """Set fields of a hash, names and values in turn."""
        if fields:
            self.write("HSET", self.key(kind, instance), *fields)

    def drop(self, kind: str, instance: bytes, names: Sequence[bytes]) -> None:
        """Remove fields of a hash."""
        if names:
            self.write("HDEL", self.key(kind, instance), *names)

    def tell(self, instance: bytes) -> None:
        """Say that something about an instance has changed."""
        self.write("PUBLISH", f"{self.store}:changed", instance)

    def note_due(self, instance: bytes, facts: Facts, letters: Iterable[bytes]) -> None:
        """An instance that nobody owns: when it can go on."""
        due = due_of(facts, letters)
        if due is None:
            self.write("ZREM", f"{self.store}:due", instance)
        else:
            self.write("ZADD", f"{self.store}:due", due, instance)

    def create(self, instance: bytes, fields: Sequence[bytes]) -> None:
        self.put("i", instance, fields)
        self.write("ZADD", f"{self.store}:all", self.next_number(), instance)

    def own(self, instance: bytes, owner: bytes) -> None:
        """Give it to an owner; one that was forgotten since its lease has run out is noted, to be buried."""
        self.put("i", instance, [b"owner", owner])
        self.write("SADD", self.key("o", owner), instance)
        self.write("ZADD", f"{self.store}:owners", "NX", 0, owner)
        self.write("ZREM", f"{self.store}:due", instance)

    def disown(self, instance: bytes, facts: Facts) -> None:
        """Take it from its owner; the facts are those of `DUE` and the owner."""
        self.drop("i", instance, [b"owner"])
        self.write("SREM", self.key("o", facts[b"owner"]), instance)
        self.note_due(instance, facts, self.letters(instance))

    def count(self, instance: bytes, name: bytes) -> None:
        """Add one to a fact."""
        self.write("HINCRBY", self.key("i", instance), name, 1)

    def send(self, instance: bytes, name: bytes, payload: bytes) -> int:
        """Put a message into a mailbox; gives its number."""
        facts = self.some(instance, b"owner", *DUE)
        letters = self.letters(instance)
        number = self.next_number()  # after those that are there: what comes between ends this turn
        letters.append(name)
        self.put("m", instance, [b"%d" % number, payload])
        self.put("n", instance, [b"%d" % number, name])
        if b"owner" not in facts and facts.get(b"status") in (b"SLEEPING", b"WAITING"):
            self.note_due(instance, facts, letters)
        if facts.get(b"status") in FINAL:
            left = self.client.pttl(self.key("i", instance))
            if left > 0:  # nobody will take it, so it goes with the instance
                self.write("PEXPIRE", self.key("m", instance), left)
                self.write("PEXPIRE", self.key("n", instance), left)
        self.tell(instance)
        return number


def due_of(facts: Facts, letters: Iterable[bytes]) -> bytes | None:
    """When an instance that nobody owns can go on."""
    status = facts.get(b"status")
    if status == b"RUNNING" or (status == b"ENQUEUED" and b"wake_at" not in facts):
        return facts[b"updated_at"]
    if status in (b"SLEEPING", b"WAITING"):
        awaited = {name.encode() for name in json.loads(facts.get(b"awaited", b"[]"))}
        if any(name in awaited or name.startswith(b".") for name in letters):
            return facts[b"updated_at"]
    return facts.get(b"wake_at") if status in (b"WAITING", b"SLEEPING") else None


def pairs(items: Sequence[bytes]) -> Facts:
    """Facts that are given as names and values in turn."""
    return dict(zip(items[::2], items[1::2], strict=True))
