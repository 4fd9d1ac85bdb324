"""What has finished inside of a running step.

A step is atomic for its instance: after a crash it runs again whole.  What runs inside of it is not
compiled (a library, a step that calls steps), but may consist of units that are worth keeping: each
has a key, and its result is written beside the instance's record as soon as it is there.  When the
step runs again, for a crash, a retry, or because the failed instance was called again, its finished
units give what they gave.  The entries are deleted by the checkpoint that is past the step.

A key is found again because it is made of what a checkpoint keeps (how many steps the branch has
taken, the block that the step is in) and of what happens inside: the unit's name, a digest of its
arguments, and how many of these were started before.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import DurableError, NotPersistableError
from ..state import snapshot
from ..state.digest import digest
from ..state.known_classes import given
from ..state.schema import Message
from ..stores.parts import NO_PARTS, Parts
from .control import is_interrupted
from .effects import NO_EFFECTS, Effects
from .questions import answered, asked
from .running_branch import current
from .setting import setting
from .trail import Trail

if TYPE_CHECKING:
    from .branch import Branch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded under a key."""

    value: Any


class Journal:
    """The entries of one branch since its last checkpoint.

    Attributes:
        fault: why an entry could not be kept; the branch must not go on then.
    """

    def __init__(self, branch: Branch) -> None:
        self._instance = branch.instance
        self._prefix = f"j/{branch.name}/"
        self._entries: dict[str, bytes] | None = None
        self._loading = asyncio.Lock()
        self._trail: Trail | None = None
        self.fault: BaseException | None = None

    async def lookup(self, path: str) -> Recorded | None:
        """The entry of a unit, if it has finished."""
        data = (await self._loaded()).get(self._name(path))
        return None if data is None else Recorded(snapshot.loads(data)[1])

    async def _loaded(self) -> dict[str, bytes]:
        if self._entries is None:
            async with self._loading:
                if self._entries is None:
                    self._entries = await self._instance.parts(self._prefix)
        return self._entries

    async def record(self, path: str, value: Any, effects: Effects = NO_EFFECTS) -> None:
        """Write the entry of a unit, whose effects these are.

        Raises:
            NotPersistableError: the value cannot be saved.
            StoreError, StaleOwnerError: it could not be written.
        """
        entry = await self._entered(path, value)
        try:
            await self._instance.note(effects.with_parts(entry))
        except DurableError as error:
            self.fault = error
            raise

    async def record_behind(self, path: str, value: Any) -> None:
        """The same for whoever goes on meanwhile; nothing may begin in the branch before `settled`.

        Raises:
            NotPersistableError: the value cannot be saved.
        """
        writing = self._instance.noting(Effects(parts=await self._entered(path, value)))
        if writing is None:
            return
        self._trail = self._trail or Trail()
        if self._trail.add(writing) is not None:
            await self.settled()

    async def settled(self) -> None:
        """Wait until all entries are stored.

        Raises:
            StoreError, StaleOwnerError: one could not be written.
        """
        if self._trail is None:
            return
        try:
            await self._trail.settled()
        except DurableError as error:
            self.fault = self.fault or error
            raise

    async def _entered(self, path: str, value: Any) -> dict[str, bytes]:
        """A new entry, as the part to write."""
        try:
            data = snapshot.dumps((path, value))
        except Exception as error:
            self.fault = NotPersistableError(
                f"instance {self._instance.record.instance_id!r}: {path} gave a {type(value).__qualname__}, which "
                f"cannot be saved ({error}); a unit of a step must give what can be pickled, or what "
                "durable_ast.resource() knows how to save"
            )
            raise self.fault from error
        name = self._name(path)
        (await self._loaded())[name] = data
        return {name: data}

    async def drop(self, paths: Sequence[str]) -> None:
        """Forget some entries."""
        entries = await self._loaded()
        gone: dict[str, bytes | None] = {name: None for path in paths if (name := self._name(path)) in entries}
        for name in gone:
            del entries[name]
        if gone:
            await self._instance.note(Effects(parts=gone))

    async def receive(self, path: str, event: str, deadline: float | None) -> Any:
        """The payload of an event, which is an entry as soon as it is taken.

        Raises:
            TimeoutError: the time was up first.
        """
        message, payload = await self._received(self._instance.receive_inside(event, deadline))
        if message is None:
            raise TimeoutError(f"no event {event!r} within the time")
        await self.record(path, payload, Effects((message.number,), answered(event)))  # nobody is asked any more
        return payload

    async def hear(
        self, path: str, name: str, deadline: float | None, poll: float | None, convert: Callable[[Any], Any]
    ) -> Any:
        """The same for a signal, whose payload is recorded as what `convert` makes of it."""
        after = await self._instance.mailbox.last_delivery(name)
        message, payload = await self._received(self._instance.receive_inside(name, deadline, after, poll))
        if message is None:
            raise TimeoutError(f"no signal {name!r} within the time")
        effects = self._instance.mailbox.deliver(message)
        try:
            payload = convert(payload)
        except Exception:
            await self._instance.note(effects)  # it is no use to whoever waits next
            raise
        await self.record(path, payload, effects)
        return payload

    async def _received(self, receiving: Awaitable[Message | None]) -> tuple[Message | None, Any]:
        try:
            message = await receiving
            payload = None if message is None else given(message.payload)
        except DurableError as error:
            self.fault = self.fault or error
            raise Leaving from error
        return message, payload

    def forget(self) -> Parts:
        """Forget all entries; gives what makes a store do the same."""
        if not self._entries:
            return NO_PARTS
        gone = dict.fromkeys(self._entries)
        self._entries.clear()
        return gone

    def _name(self, path: str) -> str:
        return self._prefix + _hash(path)


class Leaving(BaseException):
    """Unwinds a step whose instance stops or leaves memory; the step will run again."""


class Scope:
    """A step or unit that is running, as seen from inside; ``with scope:`` code inside runs in it.

    Attributes:
        branch: the branch that runs it; None for a call outside of any instance.
        path: which one it is, the same each time it runs again.
        name: its name.
        attempt: the number of this attempt, from 1.
        is_open: whether it is still running.
    """

    __slots__ = ("_given", "_here", "_ordinals", "attempt", "branch", "is_open", "name", "path")

    def __init__(self, branch: Branch | None, path: str, name: str, attempt: int = 1) -> None:
        self.branch = branch
        self.path = path
        self.name = name
        self.attempt = attempt
        self.is_open = True
        self._ordinals: dict[str, int] = {}
        self._given: dict[str, str | None] | None = None

    def __enter__(self) -> None:
        self._here = setting(_scope, self)
        self._here.__enter__()

    def __exit__(self, *error: object) -> None:
        self.is_open = False
        self._here.__exit__()

    def ordinal(self, name: str) -> int:
        """How often this was asked for that name before."""
        ordinal = self._ordinals.get(name, 0)
        self._ordinals[name] = ordinal + 1
        return ordinal

    def key_given(self, key: str, arguments: Any) -> str:
        """The key of a unit whose call was given a name of its own.

        Raises:
            ValueError: a call with other arguments has it.
        """
        found = digest(arguments)
        if self._given is None:
            self._given = {}
        if found != self._given.setdefault(key, found):
            raise ValueError(
                f"step_id {key!r} was given to two calls inside of step {self.name}, with other arguments: the second "
                "would get the result of the first. Give each call a name of its own, or none"
            )
        return key

    def path_of(self, key: str) -> str:
        """The path of a unit inside."""
        return f"{self.path} > {key}"

    def key_of(self, name: str, arguments: Any) -> str:
        """The key of a unit for its next call with these arguments."""
        unit = f"{name}({digest(arguments) or ''})"
        return f"{unit}#{self.ordinal(unit)}"

    @property
    def instance_id(self) -> str | None:
        """The instance that it belongs to."""
        return None if self.branch is None else self.branch.instance.record.instance_id

    @property
    def idempotency_key(self) -> str:
        """See `step_key`."""
        branch = "" if self.branch is None else self.branch.name
        return _hash("\0".join((self.instance_id or "", branch, self.path)))


_scope: contextvars.ContextVar[Scope | None] = contextvars.ContextVar("durable_ast.scope", default=None)


def enclosing() -> Scope | None:
    """The innermost step or unit that this code runs inside of."""
    branch = current.get()
    scope = _scope.get()
    if scope is not None and scope.is_open and scope.branch is branch:
        return scope
    return branch.scope if branch is not None and branch.in_step else None


class Run:
    """The running step of an instance, for code that is not compiled: a library's callback, an
    integration.

    Keys are free text, and belong to the step or unit that the code runs in: the same key elsewhere,
    or in the next iteration of a loop around the step, is another one.

    Attributes:
        instance_id: the instance.
        attempt: the number of the attempt of the step or unit, from 1.
        key: the idempotency key of the step or unit; see `step_key`.
    """

    def __init__(self, scope: Scope, branch: Branch) -> None:
        self._scope = scope
        self._journal = branch.journal
        self._instance = branch.instance
        self.instance_id: str = branch.instance.record.instance_id
        self.attempt = scope.attempt

    @property
    def key(self) -> str:
        return self._scope.idempotency_key

    @property
    def is_left(self) -> bool:
        """Whether the instance goes on later, or elsewhere: what is under way is to be left as it is."""
        branch = self._scope.branch
        return is_interrupted() or (branch is not None and branch.halted is not None)

    def ordinal(self, name: str) -> int:
        """How often this was asked for that name before, in this attempt: 0, 1, 2, ...

        Makes keys for what is done repeatedly in one order.
        """
        return self._scope.ordinal(name)

    async def lookup(self, key: str) -> Recorded | None:
        """What was recorded under a key, in this or an earlier process; None if nothing was."""
        return await self._journal.lookup(self._scope.path_of(key))

    async def record(self, key: str, value: Any, effects: Effects = NO_EFFECTS) -> None:
        """Record a value under a key, with what else is to happen at once; it is stored when this
        returns, with all that was recorded before.

        Raises:
            NotPersistableError: the value cannot be saved; the instance stops.
            StoreError, StaleOwnerError: it could not be stored; the instance stops.
        """
        await self._journal.record(self._scope.path_of(key), value, effects)

    async def forget(self, keys: Sequence[str]) -> None:
        """Forget what was recorded under some keys: it is not to be found when the step runs again.

        Raises:
            StoreError, StaleOwnerError: it could not be stored; the instance stops.
        """
        await self._journal.drop([self._scope.path_of(key) for key in keys])

    async def settled(self) -> None:
        """Wait until everything that was recorded is stored.

        Raises:
            StoreError, StaleOwnerError: it could not be stored; the instance stops.
        """
        await self._journal.settled()

    async def ask(self, key: str, questions: Mapping[str, Any]) -> None:
        """Show the world what this step is going to wait for, once; see `questions.pending`.

        Args:
            key: see `record`.
            questions: what is asked, by the names of the events that answer.
        """
        if await self.lookup(key) is None:
            await self.record(key, None, Effects(parts=asked(questions)))

    async def answered(self, key: str, answer: Any, event: str) -> None:
        """Record what the answer to a question was; it is not shown any longer."""
        await self.record(key, answer, Effects(parts=answered(event)))

    async def publish(self, events: Sequence[Any], key: str | None = None) -> None:
        """Add to what the instance tells the world; see `event_log`.

        Args:
            events: what is added.
            key: see `record`; with a key, nothing is added if that was done before.

        Raises:
            NotPersistableError, StoreError, StaleOwnerError: it could not be stored.
        """
        if key is None:
            await self._instance.publish(events)
        elif await self.lookup(key) is None:
            async with self._instance.publishing:
                await self.record(key, None, Effects(parts=await self._instance.event_log.append(events)))

    async def wait_for_event(self, name: str, *, timeout: float | None = None) -> Any:
        """See `durable_ast.wait_for_event`.  The step waits in memory; where nobody wants to wait, it
        is unwound by an exception that derives from BaseException only, and runs again later."""
        key, known, deadline = await self._wait(f"event {name}", timeout)
        return await self._journal.receive(self._scope.path_of(key), name, deadline) if known is None else known.value

    async def wait_for_signal(
        self, name: str, timeout: float | None, poll: float | None, convert: Callable[[Any], Any]
    ) -> Any:
        """The same for a signal; see `signals`."""
        key, known, deadline = await self._wait(f"signal {name}", timeout)
        if known is not None:
            return known.value
        return await self._journal.hear(self._scope.path_of(key), name, deadline, poll, convert)

    async def _wait(self, what: str, timeout: float | None) -> tuple[str, Recorded | None, float | None]:
        """The key of a wait, what it gave if it has ended, and when it ends."""
        assert self._scope.branch is not None
        self._scope.branch.must_not_wait(f"{what} was awaited")
        key = f"{what}#{self.ordinal(what)}"
        known = await self.lookup(key)
        if known is not None or timeout is None:
            return key, known, None
        return key, None, await self.once(f"{key} deadline", lambda: _in(timeout))

    async def once(self, key: str, body: Callable[[], Awaitable[T]]) -> T:
        """What `body()` gave, if it has finished under this key; else run it, and record its result.

        Units inside of the body have keys of their own.  An error is not recorded.
        """
        known = await self.lookup(key)
        if known is not None:
            value: T = known.value
            return value
        with Scope(self._scope.branch, self._scope.path_of(key), key):
            value = await body()
        await self.record(key, value)
        return value


def current_run() -> Run | None:
    """The running step of the instance that this code runs for; None outside of a step.

    >>> import asyncio
    >>> from durable_ast import DurableBackend, make_durable, step
    >>> async def ask(question: str) -> str:
    ...     run = current_run()
    ...     async def paid_request() -> str:
    ...         return question.upper()
    ...     return await paid_request() if run is None else await run.once(question, paid_request)
    >>> @make_durable
    ... async def agent() -> str:
    ...     return await step(ask)("why?")
    >>> asyncio.run(agent(orchestration_backend=DurableBackend(), instance_id="a-1"))
    'WHY?'
    """
    scope = enclosing()
    return None if scope is None or scope.branch is None else Run(scope, scope.branch)


async def _in(seconds: float) -> float:
    return time.time() + seconds


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
