"""The commands of `redis.lua` where no script may be run: with WATCH and MULTI.

A command reads what it decides by, and has what it writes done at once; if anything that it has read
was changed meanwhile, nothing is done, and it begins again.  It takes four round trips or more
where a script takes one.  Keys, arguments and answers are those of the script, so that processes of
both kinds may share a store.

The owners are not watched, but when one renews its lease: a lease that has run out never comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
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

    def run(self, client: Any, command: str, *values: Any) -> Any:
        """What the script would answer."""
        encode = client.get_encoder().encode
        decide: Callable[[Any, Arguments], Any] = getattr(self, command)
        return decide(client, Arguments([encode(value) for value in values]))

    def _turn(self, client: Any, decide: Callable[[Turn], T]) -> T:
        """What is decided in the first turn that nobody has disturbed."""
        while True:
            with client.pipeline(transaction=True) as pipeline:
                turn = Turn(client, pipeline, self._store)
                try:
                    answer = decide(turn)
                    turn.end()
                except WatchError:
                    continue
                return answer

    # owners

    def sign_in(self, client: Any, given: Arguments) -> int:
        owner, seconds = given.take(), float(given.take())

        def decide(turn: Turn) -> int:
            turn.write("ZADD", f"{self._store}:owners", "NX", turn.now() + seconds, owner)
            return 1

        return self._turn(client, decide)

    def renew(self, client: Any, given: Arguments) -> int:
        owner, seconds = given.take(), float(given.take())

        def decide(turn: Turn) -> int:
            turn.watch_owners()
            if not turn.is_alive(owner):
                return 0
            turn.write("ZADD", f"{self._store}:owners", turn.now() + seconds, owner)
            return 1

        return self._turn(client, decide)

    def sign_out(self, client: Any, given: Arguments) -> int:
        self._bury(client, given.take())
        return 1

    def disown_others(self, client: Any, given: Arguments) -> int:
        owner, known = given.take(), given.take_many()
        for instance in self._owned_by(client, owner) - {*known}:
            self._take_from(client, owner, instance)
        return 1

    def _owned_by(self, client: Any, owner: bytes) -> set[bytes]:
        return {*client.smembers(f"{self._store}:o:".encode() + owner)}

    def _bury(self, client: Any, owner: bytes) -> None:
        """Give what it owned to whoever wants it; again, if it has taken more meanwhile."""
        while owned := self._owned_by(client, owner):
            for instance in owned:
                self._take_from(client, owner, instance, b"recoveries")
        client.zrem(f"{self._store}:owners", owner)

    def _take_from(self, client: Any, owner: bytes, instance: bytes, *counted: bytes) -> None:
        def decide(turn: Turn) -> None:
            facts = turn.some(instance, b"owner", *DUE)
            if facts.get(b"owner") != owner:
                turn.write("SREM", turn.key("o", owner), instance)
                return
            for name in (b"epoch", *counted):
                turn.count(instance, name)
            turn.disown(instance, facts)
            turn.tell(instance)

        self._turn(client, decide)

    # owning an instance

    def acquire(self, client: Any, given: Arguments) -> list[Any]:
        owner, instance, fields = given.take(), given.take(), given.take_many()

        def decide(turn: Turn) -> list[Any]:
            facts = turn.facts(instance)
            if not facts:
                turn.create(instance, fields)
                turn.count(instance, b"epoch")
                turn.own(instance, owner)
                return [1, _flat(_raised(pairs(fields), b"epoch"))]
            if facts[b"status"] in FINAL:
                return [0, _flat(facts)]
            last = facts.get(b"owner")
            if last is not None and turn.is_alive(last):
                return [-1]
            counted = [b"epoch"] if last is None else [b"epoch", b"recoveries"]
            if last is not None:
                turn.write("SREM", turn.key("o", last), instance)
            for name in counted:
                turn.count(instance, name)
            turn.own(instance, owner)
            return [0, _flat(_raised(facts, *counted))]

        return self._turn(client, decide)

    def enqueue(self, client: Any, given: Arguments) -> int:
        instance, fields = given.take(), given.take_many()

        def decide(turn: Turn) -> int:
            if turn.some(instance, b"status"):
                return 0
            turn.create(instance, fields)
            turn.note_due(instance, pairs(fields), turn.letters(instance))
            turn.tell(instance)
            return 1

        return self._turn(client, decide)

    def claim(self, client: Any, given: Arguments) -> list[Any]:
        owner, limit = given.take(), int(given.take())
        programs, others = {*given.take_many()}, {*given.take_many()}
        time = Turn(client, None, self._store).now()
        for dead in client.zrangebyscore(f"{self._store}:owners", "-inf", time):
            self._bury(client, dead)
        due, seen = f"{self._store}:due", 0
        claimed: list[list[bytes]] = []
        while len(claimed) < limit:
            found = client.zrangebyscore(due, "-inf", time, start=seen, num=limit)
            if not found:
                break
            for instance in found:
                facts = None
                if len(claimed) < limit and instance not in others:
                    facts = self._claim_one(client, owner, instance, programs, time)
                if facts is None:
                    seen += 1
                else:
                    claimed.append(_flat(facts))
        later = client.zrangebyscore(due, f"({time}", "+inf", start=0, num=1, withscores=True)
        return [claimed, later[0][1] if later else b""]

    def _claim_one(
        self, client: Any, owner: bytes, instance: bytes, programs: Collection[bytes], time: float
    ) -> Facts | None:
        """Its facts; None if it cannot be had, or not any more."""

        def decide(turn: Turn) -> Facts | None:
            facts = turn.facts(instance)
            if facts.get(b"program") not in programs or b"owner" in facts:
                return None
            when = due_of(facts, turn.letters(instance))
            if when is None or float(when) > time:
                return None
            turn.count(instance, b"epoch")
            turn.own(instance, owner)
            return _raised(facts, b"epoch")

        return self._turn(client, decide)

    def release(self, client: Any, given: Arguments) -> int:
        instance, epoch = given.take(), given.take()

        def decide(turn: Turn) -> int:
            facts = turn.some(instance, b"epoch", b"owner", *DUE)
            if facts.get(b"epoch") == epoch and b"owner" in facts:
                turn.put("i", instance, [b"recoveries", b"0"])
                turn.disown(instance, facts)
            turn.tell(instance)
            return 1

        return self._turn(client, decide)

    def put_aside(self, client: Any, given: Arguments) -> int:
        instance = given.take()

        def decide(turn: Turn) -> int:
            facts = turn.some(instance, b"owner", *DUE)
            turn.put("i", instance, [b"status", b"PARKED"])
            turn.disown(instance, {**facts, b"status": b"PARKED"})
            return 1

        return self._turn(client, decide)

    def delete(self, client: Any, given: Arguments) -> int:
        instance = given.take()

        def decide(turn: Turn) -> int:
            facts = turn.some(instance, b"status", b"owner")
            last = facts.get(b"owner")
            if last is not None:
                if turn.is_alive(last):
                    return -1
                turn.write("SREM", turn.key("o", last), instance)
            turn.write("DEL", *(turn.key(kind, instance) for kind in "ipmns"))
            turn.write("ZREM", f"{self._store}:all", instance)
            turn.write("ZREM", f"{self._store}:due", instance)
            return 1 if facts else 0

        return self._turn(client, decide)

    def drop_parts(self, client: Any, given: Arguments) -> int:
        instance, prefix = given.take(), given.take()

        def decide(turn: Turn) -> int:
            names = client.hkeys(turn.key("p", instance))
            gone = [name for name in names if name.startswith(prefix)]
            turn.drop("p", instance, gone)
            return len(gone)

        return self._turn(client, decide)

    # transitions

    def commit(self, client: Any, given: Arguments) -> list[int]:
        is_repeated, keep = given.take() == b"1", int(given.take())
        transient = tuple(given.take_many())
        answers = []
        for _ in range(int(given.take())):
            transition = Transition(given, transient, keep, is_repeated)
            answers.append(self._turn(client, transition.write))
        return answers

    # messages

    def mail(self, client: Any, given: Arguments) -> list[list[bytes]]:
        instance = given.take()
        with client.pipeline(transaction=True) as pipeline:
            for kind in "nm":
                pipeline.hgetall(f"{self._store}:{kind}:".encode() + instance)
            return [_flat(found) for found in pipeline.execute()]

    def publish(self, client: Any, given: Arguments) -> int:
        message = given.take(), given.take(), given.take()
        return self._turn(client, lambda turn: turn.send(*message))

    def offer(self, client: Any, given: Arguments) -> int:
        instance, name, payload = given.take(), given.take(), given.take()

        def decide(turn: Turn) -> int:
            if name in turn.letters(instance):
                return 0
            turn.send(instance, name, payload)
            return 1

        return self._turn(client, decide)


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

    def write(self, turn: Turn) -> int:
        """Whether its epoch is the current one."""
        instance = self._instance
        known = turn.some(instance, b"epoch", b"sequence")
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
            turn.send(*self._letters[place : place + 3])
        if self._is_final:
            names = turn.client.hkeys(turn.key("p", instance))
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
