"""Instances in Redis: for any number of processes on any number of machines.

Needs the extra ``redis``.  An instance is one hash; a transition is one script, which the server runs
whole or not at all, for all instances of the process that checkpoint at the time.  All keys of a
store carry its name as their hash tag, so they are in one slot of a cluster, whichever of its nodes
has that: a store is given the URL of any of them, and follows.  Use stores of several names to spread
over more.

The thread that talks to the server does one thing at a time, so it waits in a call that blocks: that takes
a third of the time of redis-py's coroutines.  Only what others say is heard beside it.

Where a server has no scripts, or a user may not run them, each transition is made with WATCH and MULTI
instead (`redis_watched.py`): the same keys, the same promises, several round trips.

What Redis confirms it may lose: with ``appendfsync everysec`` the last second when the machine dies,
and whatever a replica did not have when it takes over.  An instance then goes on from an earlier
checkpoint, and steps after that run again; set ``appendfsync always`` and do not fail over
automatically where that must not be.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

try:
    import redis.asyncio
    from redis.asyncio.retry import Retry as ListenersRetry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError, MovedError, NoPermissionError, RedisError, ResponseError, TimeoutError
    from redis.retry import Retry
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ImportError("Redis needs redis-py: pip install 'durable-ast[redis]'") from error

from ..errors import CorruptStateError, NewerFormatError, StoreError
from ..state.schema import Message, Record, State
from .base import InstanceStore
from .claiming import InstanceBusy
from .damaged import listed
from .lease import now
from .parts import TRANSIENT
from .redis_facts import counted, fields_of, record_in, sent
from .redis_steps import RedisSteps
from .redis_turn import pairs
from .redis_watched import WatchedCommands
from .remote import ConnectionBroke
from .remote_store import RemoteStore, Transition
from .selection import Selection
from .seven_methods import SevenMethodStore

log = logging.getLogger("durable_ast")

FORMAT = 1
"""The version of what is kept; see `redis.lua`."""
_PATIENCE = 30.0
"""Seconds to go on trying to reach a server that is away."""
_PAGE = 500
_MOVES = 5
"""How many nodes of a cluster are asked for the keys."""


class RedisStore(RemoteStore):
    """Keeps instances in a Redis server or cluster slot.

    Args:
        url: where the server is, as ``redis://host:6379/0``.
        ttl: seconds for which instances are kept that have ended for good; for ever if it is 0 or None.
            Others never expire.
        prefix: the name of the store, with which all its keys begin.
        lease: seconds after which others may take over from a process that is not heard of.
        client: a client of your own, to be used in its own event loop and without scripts: one process
            at a time may then work on a run.  It is for tests without a server.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        ttl: int | None = 86_400,
        prefix: str = "durable_ast",
        *,
        lease: float = 10.0,
        client: Any = None,
    ) -> None:
        super().__init__("durable-ast-redis", lease)
        if "{" in prefix or "}" in prefix:
            raise ValueError(f"the prefix of a store is its hash tag, and holds no braces: {prefix!r}")
        if ttl is not None and ttl < 0:
            raise ValueError(f"ttl must be a number of seconds that is not negative, not {ttl}")
        self.url = url
        self.ttl = ttl
        self.name = f"{{{prefix}}}"
        self._redis: Any = client
        self._adapted: tuple[RedisSteps, SevenMethodStore] | None = None
        self._script: Any = None
        self._watched: WatchedCommands | None = None
        """The commands without scripts, once the server has refused one."""
        self._node = url
        """Where the node is that has the keys."""
        self._is_known = False
        """Whether what is kept is of a version that is known here."""
        self._is_unsure = False
        """Whether an answer was lost that might have made this store an owner."""

    # a client of the caller's own

    @property
    def _steps(self) -> RedisSteps | None:
        """What keeps steps and signals if the client is the caller's own."""
        is_own = self._redis is not None and self._script is None
        return RedisSteps(self._redis, self.ttl, self.name) if is_own else None

    @property
    def instances(self) -> InstanceStore:
        steps = self._steps
        if steps is None:
            return self
        if self._adapted is None or self._adapted[0].client is not steps.client:
            self._adapted = steps, SevenMethodStore(steps)
        return self._adapted[1]

    async def get_step(self, run_id: str, step_id: str) -> tuple[bool, Any]:
        steps = self._steps
        return await (super().get_step(run_id, step_id) if steps is None else steps.get_step(run_id, step_id))

    async def set_step(self, run_id: str, step_id: str, result: Any, attempt: int = 1) -> None:
        steps = self._steps
        await (
            super().set_step(run_id, step_id, result, attempt)
            if steps is None
            else steps.set_step(run_id, step_id, result, attempt)
        )

    async def mark_run_done(self, run_id: str) -> None:
        steps = self._steps
        await (super().mark_run_done(run_id) if steps is None else steps.mark_run_done(run_id))

    async def mark_run_failed(self, run_id: str, error: str) -> None:
        steps = self._steps
        await (super().mark_run_failed(run_id, error) if steps is None else steps.mark_run_failed(run_id, error))

    async def get_signal(self, run_id: str, name: str) -> tuple[bool, Any]:
        steps = self._steps
        return await (super().get_signal(run_id, name) if steps is None else steps.get_signal(run_id, name))

    async def set_signal(self, run_id: str, name: str, payload: Any) -> bool:
        steps = self._steps
        return await (
            super().set_signal(run_id, name, payload) if steps is None else steps.set_signal(run_id, name, payload)
        )

    # the server

    def _connected(self) -> Any:
        if self._redis is None:
            # a request is repeated only where that does no harm, so redis-py must not do it
            client = redis.Redis.from_url(self._node, retry=Retry(NoBackoff(), 0), single_connection_client=True)
            text = importlib.resources.files(__package__).joinpath("redis.lua").read_text("utf-8")
            self._script, self._redis = client.register_script(text), client
        return self._redis

    async def _run(self, command: str, *values: Any) -> Any:
        """What the script answers.

        Raises:
            ConnectionBroke: it may have run or not.
            StoreError: the server refuses.
        """
        return await self._ask_once(lambda client: self._perform(client, command, *values))

    async def _run_safely(self, command: str, *values: Any) -> Any:
        """The same for a command that may be repeated."""
        return await self._ask(lambda client: self._perform(client, command, *values))

    def _perform(self, client: Any, command: str, *values: Any) -> Any:
        if self._watched is None:
            try:
                return self._script(keys=[self.name], args=[command, *values], client=client)
            except ResponseError as error:
                if not _is_about_scripts(error):
                    raise
                log.info("Redis: %s; transitions are made with WATCH and MULTI, which takes more round trips", error)
                self._watched = WatchedCommands(self.name)
        return self._watched.run(client, command, *values)

    async def _ask(self, request: Callable[[Any], Any]) -> Any:
        """What the server answers; if the connection breaks, it is asked again."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return await self._ask_once(request)
            except ConnectionBroke:
                self._is_unsure = True
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)

    async def _ask_once(self, request: Callable[[Any], Any]) -> Any:
        """What the server answers; then whatever else runs in the thread has its turn, as what renews the lease."""
        try:
            return self._try(request)
        finally:
            await asyncio.sleep(0)

    def _answered(self, request: Callable[[Any], Any]) -> Any:
        """What the node answers that has the keys."""
        for _ in range(_MOVES):
            try:
                client = self._connected()
                if not self._is_known:
                    self._check_format(client)
                return request(client)
            except MovedError as moved:
                self._follow(moved.host, moved.port)
        raise StoreError(f"Redis: no node of the cluster has the keys of {self.name}, or all say that another one does")

    def _check_format(self, client: Any) -> None:
        """Make sure that what is kept can be read here."""
        key = f"{self.name}:format"
        client.setnx(key, FORMAT)
        found = int(client.get(key))
        if found > FORMAT:
            raise NewerFormatError(
                f"the store {self.name} in Redis was made by a later version of durable-ast (format {found}; this one "
                f"knows {FORMAT}); upgrade durable-ast"
            )
        self._is_known = True

    def _follow(self, host: str, port: int) -> None:
        """Turn to another node of the cluster; nothing was done here."""
        url = urlsplit(self._node)
        credentials, at, _ = url.netloc.rpartition("@")
        place = f"{host or url.hostname}:{port}"
        self._turn_to(url._replace(netloc=f"{credentials}{at}{place}").geturl())

    def _turn_to(self, node: str) -> None:
        last, self._redis, self._node = self._redis, None, node
        if last is not None:
            last.close()

    def _try(self, request: Callable[[Any], Any]) -> Any:
        try:
            return self._answered(request)
        except (ConnectionError, TimeoutError, OSError) as error:
            if self._node != self.url:  # the node may be gone for good, and another one have its keys
                self._turn_to(self.url)
            raise ConnectionBroke(f"Redis: {error}; what was asked may be done or not") from error
        except (RedisError, UnicodeError) as error:
            raise StoreError(f"Redis: {error}; nothing was changed, the last checkpoint is kept") from error

    async def _hashes(self, keys: Iterable[str]) -> list[dict[bytes, bytes]]:
        """What is in hashes of these names."""
        names = list(keys)

        def request(client: Any) -> Any:
            with client.pipeline(transaction=False) as pipeline:
                for name in names:
                    pipeline.hgetall(name)
                return pipeline.execute()

        hashes: list[dict[bytes, bytes]] = await self._ask(request)
        return hashes

    def _key(self, kind: str, instance_id: str) -> str:
        return f"{self.name}:{kind}:{instance_id}"

    # the lease

    async def _sign_in_as(self, owner: str) -> None:
        await self._run_safely("sign_in", owner, self._lease.seconds)

    async def _listen(self) -> None:
        while True:
            client = redis.asyncio.Redis.from_url(self._node, retry=ListenersRetry(NoBackoff(), 0))
            try:
                async with client.pubsub() as channel:
                    await channel.subscribe(f"{self.name}:changed")
                    self.notices.post_all()  # something may have happened before
                    while True:
                        await self._renew()
                        notice = await channel.get_message(
                            ignore_subscribe_messages=True, timeout=min(1.0, self._lease.seconds / 4)
                        )
                        if notice is not None:
                            self.notices.post(notice["data"].decode())
            except (RedisError, OSError, StoreError):
                await asyncio.sleep(0.1)
            finally:
                await client.aclose()

    async def _renew(self) -> None:
        if not self._lease.wants_renewal:
            return
        asked = now()
        if await self._run("renew", self._lease.owner, self._lease.seconds):
            self._lease.renewed(asked)
        else:
            self._lost()

    async def _let_go_of_the_unknown(self) -> None:
        if self._is_unsure:
            await self._run_safely("disown_others", self._lease.owner, len(self._held), *self._held)
            self._is_unsure = False

    # owning an instance

    async def _acquire(self, initials: Sequence[Record]) -> list[Any]:
        await self._let_go_of_the_unknown()
        answers: list[Any] = []
        for initial in initials:
            fields = fields_of(initial)
            answer = await self._run_safely("acquire", self._lease.owner, initial.instance_id, *counted(fields))
            if answer[0] < 0 and self._is_unsure:
                await self._let_go_of_the_unknown()
                answer = await self._run_safely("acquire", self._lease.owner, initial.instance_id, *counted(fields))
            answers.append(InstanceBusy() if answer[0] < 0 else await self._taken(pairs(answer[1]), bool(answer[0])))
        return answers

    async def _taken(self, facts: dict[bytes, bytes], created: bool) -> Any:
        try:
            record = record_in(facts)
        except CorruptStateError as error:
            await self._release([(facts[b"id"].decode(), int(facts[b"epoch"]))])
            return error
        return record.instance_id, record, created

    async def _enqueue(self, records: Sequence[Record]) -> list[bool]:
        return [
            bool(await self._run_safely("enqueue", record.instance_id, *counted(fields_of(record))))
            for record in records
        ]

    async def _claim_some(
        self, programs: list[str], limit: int, but: list[str]
    ) -> tuple[list[tuple[Any, Record]], float | None]:
        await self._let_go_of_the_unknown()
        claimed, later = await self._run_safely("claim", self._lease.owner, limit, *counted(programs), *counted(but))
        records = []
        for facts in map(pairs, claimed):
            try:
                record = record_in(facts)
                records.append((record.instance_id, record))
            except CorruptStateError as error:
                log.error("%s; it is put aside", error)
                await self._run_safely("put_aside", facts[b"id"].decode())
        return records, float(later) if later else None

    async def _release(self, instances: Sequence[tuple[str, int]]) -> list[None]:
        for name, epoch in instances:
            await self._run_safely("release", name, epoch)
            self.notices.post(name)
        return [None] * len(instances)

    async def _delete(self, ids: Sequence[str]) -> list[Any]:
        answers = [await self._run_safely("delete", name) for name in ids]
        return [InstanceBusy() if answer < 0 else bool(answer) for answer in answers]

    async def _drop_parts(self, wishes: Sequence[tuple[str, str]]) -> list[int]:
        return [await self._run_safely("drop_parts", *wish) for wish in wishes]

    # transitions

    async def _commit(self, transitions: Sequence[Transition]) -> list[bool]:
        values = [self.ttl or 0, *counted(TRANSIENT), len(transitions)]
        for each in transitions:
            values += sent(each)
        try:
            answers = await self._run("commit", 0, *values)
        except ConnectionBroke:
            answers = await self._run_safely("commit", 1, *values)
        return [bool(answer) for answer in answers]

    # looking

    async def _read(self, ids: Sequence[str]) -> list[Record | None]:
        found = await self._hashes(self._key("i", name) for name in ids)
        return [record_in(facts) if facts else None for facts in found]

    async def _parts(self, wishes: Sequence[tuple[str, str]]) -> list[dict[str, bytes]]:
        found = await self._hashes(self._key("p", name) for name, _ in wishes)
        return [
            {name.decode(): value for name, value in parts.items() if name.decode().startswith(prefix)}
            for parts, (_, prefix) in zip(found, wishes, strict=True)
        ]

    async def _select(self, selections: Sequence[Selection]) -> list[list[Record]]:
        return [await self._select_one(selection) for selection in selections]

    async def _select_one(self, selection: Selection) -> list[Record]:
        index = f"{self.name}:all"
        records: list[Record] = []
        wanted = None if selection.limit is None else selection.offset + selection.limit
        start = 0
        while wanted is None or len(records) < wanted:
            ids = await self._ask(_slice(index, start, start + _PAGE - 1))
            if not ids:
                break
            found = [*zip(ids, await self._hashes(self._key("i", name.decode()) for name in ids), strict=True)]
            expired = [name for name, facts in found if not facts]
            if expired:
                await self._ask(_without(index, expired))
            start += len(ids) - len(expired)
            shown = (listed(record_in, facts, name.decode()) for name, facts in found if facts)
            records += filter(selection.matches, shown)
        return records[selection.offset : wanted]

    # messages

    async def _messages(self, ids: Sequence[str]) -> list[list[Message]]:
        answers = []
        for instance_id in ids:
            names, payloads = map(pairs, await self._run_safely("mail", instance_id))
            answers.append(
                [Message(int(each), names[each].decode(), payloads[each]) for each in sorted(names, key=int)]
            )
        return answers

    async def _publish(self, messages: Sequence[tuple[str, str, bytes]]) -> list[Any]:
        answers: list[Any] = []
        for message in messages:
            try:
                answers.append(int(await self._run("publish", *message)))
            except StoreError as error:
                answers.append(error)
        for name, _, _ in messages:
            self.notices.post(name)
        return answers

    async def _offer(self, messages: Sequence[tuple[str, str, bytes]]) -> list[bool]:
        return [bool(await self._run_safely("offer", *message)) for message in messages]

    # plain states

    async def _load(self, ids: Sequence[str]) -> list[State | None]:
        found = await self._hashes(self._key("s", name) for name in ids)
        return [self.unpickle(facts[b"state"]) if facts else None for facts in found]

    async def _save(self, states: Sequence[tuple[str, bytes]]) -> list[None]:
        for name, state in states:
            await self._ask(_put(self._key("s", name), state))
        return [None] * len(states)

    async def _disconnect(self) -> None:
        if self._redis is not None:
            if self._lease.is_signed_in:
                await self._run("sign_out", self._lease.owner)
            self._redis.close()


def _is_about_scripts(error: ResponseError) -> bool:
    """Whether a server has no scripts, or does not let this user run any."""
    text = str(error).lower()
    refuses = isinstance(error, NoPermissionError) or "unknown command" in text
    return refuses and ("evalsha" in text or "script" in text)


def _slice(index: str, first: int, last: int) -> Callable[[Any], Any]:
    return lambda client: client.zrevrange(index, first, last)


def _without(index: str, names: list[bytes]) -> Callable[[Any], Any]:
    return lambda client: client.zrem(index, *names)


def _put(key: str, state: bytes) -> Callable[[Any], Any]:
    return lambda client: client.hset(key, "state", state)
