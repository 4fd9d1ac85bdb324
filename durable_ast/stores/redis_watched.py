"""The commands of `redis.lua` where no script may be run: with WATCH and MULTI.

A command reads what it decides by, and has what it writes done at once; if anything that it has read
was changed meanwhile, nothing is done, and it begins again.  It takes four round trips or more
where a script takes one.  Keys, arguments and answers are those of the script, so that processes of
both kinds may share a store.

The owners are not watched, but when one renews its lease: a lease that has run out never comes back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar

from redis.exceptions import WatchError

from .redis_turn import DUE, FINAL, Facts, Turn, due_of, pairs

T = TypeVar("T")


class Arguments:
    """What a command was given, to be taken in order.

    >>> arguments = Arguments([b"one", b"2", b"a", b"b"])
    >>> arguments.take(), arguments.take_many()
    (b'one', [b'a', b'b'])
    """

    def __init__(self, values: Sequence[bytes]) -> None:
        self._values = values
        self._place = 0

    def take(self) -> bytes:
        """The next one."""
        self._place += 1
        return self._values[self._place - 1]

    def take_many(self, each: int = 1) -> list[bytes]:
        """As many as the next one says, times `each`."""
        first = self._place + 1
        self._place = first + each * int(self._values[self._place])
        return list(self._values[first : self._place])


class WatchedCommands:
    """The commands.

    Args:
        store: the name of the store.
    """

    def __init__(self, store: str) -> None:
        self._store = store

    async def run(self, client: Any, command: str, *values: Any) -> Any:
        """What the script would answer."""
        encode = client.get_encoder().encode
        decide: Callable[[Any, Arguments], Awaitable[Any]] = getattr(self, command)
        return await decide(client, Arguments([encode(value) for value in values]))

    async def _turn(self, client: Any, decide: Callable[[Turn], Awaitable[T]]) -> T:
        """What is decided in the first turn that nobody has disturbed."""
        while True:
            async with client.pipeline(transaction=True) as pipeline:
                turn = Turn(client, pipeline, self._store)
                try:
                    answer = await decide(turn)
                    await turn.end()
                except WatchError:
                    continue
                return answer

    # owners

    async def sign_in(self, client: Any, given: Arguments) -> int:
        owner, seconds = given.take(), float(given.take())

        async def decide(turn: Turn) -> int:
            turn.write("ZADD", f"{self._store}:owners", "NX", await turn.now() + seconds, owner)
            return 1

        return await self._turn(client, decide)

    async def renew(self, client: Any, given: Arguments) -> int:
        owner, seconds = given.take(), float(given.take())

        async def decide(turn: Turn) -> int:
            await turn.watch_owners()
            if not await turn.is_alive(owner):
                return 0
            turn.write("ZADD", f"{self._store}:owners", await turn.now() + seconds, owner)
            return 1

        return await self._turn(client, decide)

    async def sign_out(self, client: Any, given: Arguments) -> int:
        await self._bury(client, given.take())
        return 1

    async def disown_others(self, client: Any, given: Arguments) -> int:
        owner, known = given.take(), given.take_many()
        for instance in await self._owned_by(client, owner) - {*known}:
            await self._take_from(client, owner, instance)
        return 1

    async def _owned_by(self, client: Any, owner: bytes) -> set[bytes]:
        return {*await client.smembers(f"{self._store}:o:".encode() + owner)}

    async def _bury(self, client: Any, owner: bytes) -> None:
        """Give what it owned to whoever wants it; again, if it has taken more meanwhile."""
        while owned := await self._owned_by(client, owner):
            for instance in owned:
                await self._take_from(client, owner, instance, b"recoveries")
        await client.zrem(f"{self._store}:owners", owner)

    async def _take_from(self, client: Any, owner: bytes, instance: bytes, *counted: bytes) -> None:
        async def decide(turn: Turn) -> None:
            facts = await turn.some(instance, b"owner", *DUE)
            if facts.get(b"owner") != owner:
                turn.write("SREM", turn.key("o", owner), instance)
                return
            for name in (b"epoch", *counted):
                turn.count(instance, name)
            await turn.disown(instance, facts)
            turn.tell(instance)

        await self._turn(client, decide)

    # owning an instance

    async def acquire(self, client: Any, given: Arguments) -> list[Any]:
        owner, instance, fields = given.take(), given.take(), given.take_many()

        async def decide(turn: Turn) -> list[Any]:
            facts = await turn.facts(instance)
            if not facts:
                await turn.create(instance, fields)
                turn.count(instance, b"epoch")
                turn.own(instance, owner)
                return [1, _flat(_raised(pairs(fields), b"epoch"))]
            if facts[b"status"] in FINAL:
                return [0, _flat(facts)]
            last = facts.get(b"owner")
            if last is not None and await turn.is_alive(last):
                return [-1]
            counted = [b"epoch"] if last is None else [b"epoch", b"recoveries"]
            if last is not None:
                turn.write("SREM", turn.key("o", last), instance)
            for name in counted:
                turn.count(instance, name)
            turn.own(instance, owner)
            return [0, _flat(_raised(facts, *counted))]

        return await self._turn(client, decide)

    async def enqueue(self, client: Any, given: Arguments) -> int:
        instance, fields = given.take(), given.take_many()

        async def decide(turn: Turn) -> int:
            if await turn.some(instance, b"status"):
                return 0
            await turn.create(instance, fields)
            turn.note_due(instance, pairs(fields), await turn.letters(instance))
            turn.tell(instance)
            return 1

        return await self._turn(client, decide)

    async def claim(self, client: Any, given: Arguments) -> list[Any]:
        owner, limit = given.take(), int(given.take())
        programs, others = {*given.take_many()}, {*given.take_many()}
        time = await Turn(client, None, self._store).now()
        for dead in await client.zrangebyscore(f"{self._store}:owners", "-inf", time):
            await self._bury(client, dead)
        due, seen = f"{self._store}:due", 0
        claimed: list[list[bytes]] = []
        while len(claimed) < limit:
            found = await client.zrangebyscore(due, "-inf", time, start=seen, num=limit)
            if not found:
                break
            for instance in found:
                facts = None
                if len(claimed) < limit and instance not in others:
                    facts = await self._claim_one(client, owner, instance, programs, time)
                if facts is None:
                    seen += 1
                else:
                    claimed.append(_flat(facts))
        later = await client.zrangebyscore(due, f"({time}", "+inf", start=0, num=1, withscores=True)
        return [claimed, later[0][1] if later else b""]

    async def _claim_one(
        self, client: Any, owner: bytes, instance: bytes, programs: Collection[bytes], time: float
    ) -> Facts | None:
        """Its facts; None if it cannot be had, or not any more."""

        async def decide(turn: Turn) -> Facts | None:
            facts = await turn.facts(instance)
            if facts.get(b"program") not in programs or b"owner" in facts:
                return None
            when = due_of(facts, await turn.letters(instance))
            if when is None or float(when) > time:
                return None
            turn.count(instance, b"epoch")
            turn.own(instance, owner)
            return _raised(facts, b"epoch")

        return await self._turn(client, decide)

    async def release(self, client: Any, given: Arguments) -> int:
        instance, epoch = given.take(), given.take()

        async def decide(turn: Turn) -> int:
            facts = await turn.some(instance, b"epoch", b"owner", *DUE)
            if facts.get(b"epoch") == epoch and b"owner" in facts:
                turn.put("i", instance, [b"recoveries", b"0"])
                await turn.disown(instance, facts)
            turn.tell(instance)
            return 1

        return await self._turn(client, decide)

    async def put_aside(self, client: Any, given: Arguments) -> int:
        instance = given.take()

        async def decide(turn: Turn) -> int:
            facts = await turn.some(instance, b"owner", *DUE)
            turn.put("i", instance, [b"status", b"PARKED"])
            await turn.disown(instance, {**facts, b"status": b"PARKED"})
            return 1

        return await self._turn(client, decide)

    async def delete(self, client: Any, given: Arguments) -> int:
        instance = given.take()

        async def decide(turn: Turn) -> int:
            facts = await turn.some(instance, b"status", b"owner")
            last = facts.get(b"owner")
            if last is not None:
                if await turn.is_alive(last):
                    return -1
                turn.write("SREM", turn.key("o", last), instance)
            turn.write("DEL", *(turn.key(kind, instance) for kind in "ipmns"))
            turn.write("ZREM", f"{self._store}:all", instance)
            turn.write("ZREM", f"{self._store}:due", instance)
            return 1 if facts else 0

        return await self._turn(client, decide)

    async def drop_parts(self, client: Any, given: Arguments) -> int:
        instance, prefix = given.take(), given.take()

        async def decide(turn: Turn) -> int:
            names = await client.hkeys(turn.key("p", instance))
            gone = [name for name in names if name.startswith(prefix)]
            turn.drop("p", instance, gone)
            return len(gone)

        return await self._turn(client, decide)

    # transitions

    async def commit(self, client: Any, given: Arguments) -> list[int]:
        is_repeated, keep = given.take() == b"1", int(given.take())
        transient = tuple(given.take_many())
        answers = []
        for _ in range(int(given.take())):
            transition = Transition(given, transient, keep, is_repeated)
            answers.append(await self._turn(client, transition.write))
        return answers

    # messages

    async def mail(self, client: Any, given: Arguments) -> list[list[bytes]]:
        instance = given.take()
        async with client.pipeline(transaction=True) as pipeline:
            for kind in "nm":
                pipeline.hgetall(f"{self._store}:{kind}:".encode() + instance)
            return [_flat(found) for found in await pipeline.execute()]

    async def publish(self, client: Any, given: Arguments) -> int:
        message = given.take(), given.take(), given.take()
        return await self._turn(client, lambda turn: turn.send(*message))

    async def offer(self, client: Any, given: Arguments) -> int:
        instance, name, payload = given.take(), given.take(), given.take()

        async def decide(turn: Turn) -> int:
            if name in await turn.letters(instance):
                return 0
            await turn.send(instance, name, payload)
            return 1

        return await self._turn(client, decide)


class Transition:
    """One transition of a commit.

    Args:
        given: its facts are the next.
        transient: what the names of parts begin with that go when an instance ends.
        keep: seconds for which an instance is kept that has ended; for ever if it is 0.
        is_repeated: whether it may have been written already.
    """

    def __init__(self, given: Arguments, transient: tuple[bytes, ...], keep: int, is_repeated: bool) -> None:
        self._is_repeated = is_repeated
        self._transient = transient
        self._keep = keep
        self._instance, self._epoch, self._sequence = given.take(), given.take(), int(given.take())
        self._is_final = given.take() == b"1"
        self._fields, self._gone = given.take_many(), given.take_many()
        self._consumed = given.take_many()
        self._parts, self._parts_gone = given.take_many(), given.take_many()
        self._letters = given.take_many(3)

    async def write(self, turn: Turn) -> int:
        """Whether its epoch is the current one."""
        instance = self._instance
        known = await turn.some(instance, b"epoch", b"sequence")
        if known.get(b"epoch") != self._epoch:
            return 0
        if self._is_repeated and int(known[b"sequence"]) >= self._sequence:
            return 1
        turn.put("i", instance, self._fields)
        turn.drop("i", instance, self._gone)
        turn.drop("m", instance, self._consumed)
        turn.drop("n", instance, self._consumed)
        turn.put("p", instance, self._parts)
        turn.drop("p", instance, self._parts_gone)
        for place in range(0, len(self._letters), 3):
            await turn.send(*self._letters[place : place + 3])
        if self._is_final:
            names = await turn.client.hkeys(turn.key("p", instance))
            turn.drop("p", instance, [name for name in names if name.startswith(self._transient)])
            if self._keep:
                for kind in "ipmn":
                    turn.write("EXPIRE", turn.key(kind, instance), self._keep)
        if self._is_final or any(not name.startswith(self._transient) for name in self._parts[::2]):
            turn.tell(instance)
        return 1


def _raised(facts: Facts, *names: bytes) -> Facts:
    """The facts with one more in each of these."""
    return {**facts, **{name: b"%d" % (int(facts.get(name, 0)) + 1) for name in names}}


def _flat(facts: Facts) -> list[bytes]:
    """As a script answers."""
    return [item for pair in facts.items() for item in pair]
