"""Queues: runs that wait for their turn.

A run that is queued stands still until the queue lets it go.  Who decides is one process at a time,
the owner of the queue's own record in the store: so the limits hold however many processes there are,
and another takes over when it dies.  Whoever queues a run tells the queue through its mailbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import pickle
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from ..errors import DurableError
from ..state import snapshot
from ..state.schema import INTERNAL, Record, Status
from ..stores.claiming import InstanceBusy
from ..stores.names import check_instance_id
from .functions import WorkflowFunction, checked
from .handles import OVER, Handle
from .queue_item import Item
from .starting import Start

if TYPE_CHECKING:
    from .workflow import Workflow

log = logging.getLogger("durable_ast")

P = ParamSpec("P")
R = TypeVar("R")

_PROGRAM = f"{INTERNAL}queue)"
"""What the record of a queue runs: nothing that a worker has."""
_ITEMS = "q/"
"""What the names of the parts of a queue begin with that hold its runs."""
_GRANTS = "g/times"
_ENDED = "u/"
"""What the names of those parts begin with that tell how many runs of a unique key have ended."""
_QUEUED = "queued"
_LOOK_AGAIN = 0.25
"""Seconds after which a queue looks whether runs have ended."""
_TAKE_OVER = 1.0
"""Seconds after which a process asks again whether a queue has lost its owner."""


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of seconds that is not negative, not {value!r}")


class Queue:
    """Lets runs go, so many at a time; `Workflow.queue` makes it.

    Args:
        workflow: whose runs they are.
        name: its name; queues of one name in one store are one queue.
        concurrency: how many runs go at a time.
        per_key: how many of them may be of one key.
        rate: how many are let go in how many seconds.
        priority: of those that are given none.
    """

    def __init__(
        self,
        workflow: Workflow,
        name: str,
        *,
        concurrency: int | None,
        per_key: int | None,
        rate: tuple[int, float] | None,
        priority: int = 0,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(f"a queue needs a name, not {name!r}")
        if rate is not None and (not isinstance(rate, tuple) or len(rate) != 2):
            raise ValueError(
                f"rate of queue {name!r} must be a number of runs and of seconds, as (10, 60), not {rate!r}"
            )
        for limit, value in (("concurrency", concurrency), ("per_key", per_key), ("rate", rate and rate[0])):
            if value is not None and not (_is_whole(value) and value > 0):
                raise ValueError(f"{limit} of queue {name!r} must be positive, and whole, not {value!r}")
        if rate is not None:
            _check_seconds(f"the time for the rate of queue {name!r}", rate[1])
        if rate is not None and not rate[1]:
            raise ValueError(f"the rate of queue {name!r} must be for some time")
        if not _is_whole(priority):
            raise ValueError(f"priority of queue {name!r} must be whole, not {priority!r}")
        self.name = name
        self.id = check_instance_id(f"queue {workflow.name}/{name}")
        self._workflow = workflow
        self._concurrency, self._per_key, self._rate = concurrency, per_key, rate
        self._priority = priority
        self._items: dict[str, Item] = {}
        self._grants: list[float] = []
        self._untold: set[str] = set()
        """The runs that were let go, and may still be held."""
        self._task: asyncio.Task[None] | None = None

    # the arguments of the workflow are checked where no option is given: no type says both

    @overload
    async def start(
        self,
        fn: WorkflowFunction[..., R],
        /,
        *args: Any,
        unique: str,
        debounce: float | None = None,
        id: None = None,
        key: str | None = None,
        priority: int | None = None,
        delay: float = 0,
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    async def start(
        self,
        fn: WorkflowFunction[..., R],
        /,
        *args: Any,
        id: str | None,
        key: str | None = None,
        priority: int | None = None,
        delay: float = 0,
        unique: None = None,
        debounce: None = None,
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    async def start(
        self,
        fn: WorkflowFunction[..., R],
        /,
        *args: Any,
        id: str | None = None,
        key: str | None,
        priority: int | None = None,
        delay: float = 0,
        unique: None = None,
        debounce: None = None,
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    async def start(
        self,
        fn: WorkflowFunction[..., R],
        /,
        *args: Any,
        id: str | None = None,
        key: str | None = None,
        priority: int | None,
        delay: float = 0,
        unique: None = None,
        debounce: None = None,
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    async def start(
        self,
        fn: WorkflowFunction[..., R],
        /,
        *args: Any,
        id: str | None = None,
        key: str | None = None,
        priority: int | None = None,
        delay: float,
        unique: None = None,
        debounce: None = None,
        **kwargs: Any,
    ) -> Handle[R]: ...
    @overload
    async def start(self, fn: WorkflowFunction[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]: ...

    async def start(
        self,
        fn: Any,
        /,
        *args: Any,
        id: Any = None,
        key: Any = None,
        priority: Any = None,
        delay: Any = 0,
        unique: Any = None,
        debounce: Any = None,
        **kwargs: Any,
    ) -> Handle[Any]:
        """Queue a run; it is stored when this returns.

        A run that is there already is not queued twice; while it still waits, a later call with a
        `delay` puts it off anew.  One that has failed is queued to go on from where it failed.

        Args:
            fn: the workflow.
            args, kwargs: its arguments.
            id: the id of the run; the one that a call with these arguments has if it is left out.
            key: whom it counts for, where a limit holds for each key.
            priority: the higher, the earlier.
            delay: how long it is to wait at least, in seconds.
            unique: a key of which one run at a time is queued or at work: while there is one, its
                handle is given, and none is started.  It makes the id.
            debounce: how long no further call with this unique key must come before the run goes, in
                seconds; each replaces the arguments.  Once it was let go, the next call queues another.

        Raises:
            InstanceConflictError: the run of this id was started with other arguments.
            NotPersistableError: the arguments cannot be saved.
            ValueError: these do not go together.
        """
        if unique is None and debounce is not None:
            raise ValueError("debounce needs to know which calls are about the same: give unique= as well")
        if unique is not None and id is not None:
            raise ValueError("a unique key makes the id of the run: give one of unique= and id=")
        fn = checked(fn)
        for name, value in (("key", key), ("unique", unique)):
            if value is not None and not (isinstance(value, str) and value):
                raise ValueError(f"{name} must be a text that is not empty, not {value!r}")
        if priority is not None and not _is_whole(priority):
            raise ValueError(f"priority must be whole, not {priority!r}")
        _check_seconds("delay", delay)
        _check_seconds("debounce", 0 if debounce is None else debounce)
        due = time.time() + (delay if debounce is None else debounce)
        item = Item("", key, self._priority if priority is None else priority, due)
        if unique is None:
            runtime, is_new = await Start(self._workflow.backend, fn, id, args, kwargs).enqueue(held=True)
            item = replace(item, run_id=runtime.instance_id)
            if not is_new:
                await self._workflow.handle(item.run_id).hold()
        else:
            item, is_new = await self._only(item, fn, unique, debounce is not None, args, kwargs)
            if not is_new and debounce is None and await self._knows(item.run_id):
                return Handle(self._workflow, item.run_id)
        message = self._workflow.instances.publish(self.id, _QUEUED, snapshot.dumps(item))
        await asyncio.wrap_future(message)
        self.begin()
        return Handle(self._workflow, item.run_id)

    async def _only(
        self,
        item: Item,
        fn: WorkflowFunction[..., Any],
        unique: str,
        replaces: bool,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[Item, bool]:
        """The run of a unique key that such a call is about, and whether it is new."""
        store, name = self._workflow.instances, _ENDED + unique
        ended = (await store.parts(self.id, name)).get(name)
        number = 0 if ended is None else pickle.loads(ended)
        seen: Any = None
        while True:
            number += 1
            start = Start(
                self._workflow.backend, fn, f"{self._workflow.name}-{fn.__name__}~{unique}#{number}", args, kwargs
            )
            runtime, is_new = await start.enqueue(held=True, replaceable=True)
            item = replace(item, run_id=runtime.instance_id, only=(unique, number))
            if is_new or (replaces and await runtime.replace(args, kwargs)):
                return item, is_new
            record = await store.read(runtime.instance_id)
            if record is None or record.status in OVER:
                continue
            if not replaces:
                return item, False
            if record.is_held:  # somebody else has it for a moment
                number -= 1
                seen = await store.changed(record.instance_id, seen, _LOOK_AGAIN)
            elif not record.stands_still:
                self._workflow.go_on(record)  # it was let go while it was taken to be replaced

    async def _knows(self, run_id: str) -> bool:
        """Whether the queue has heard of a run: whoever created it may have failed to say so."""
        store = self._workflow.instances
        record = await store.read(run_id)
        if record is None or not record.is_held:
            return True
        messages = await store.messages(self.id)  # before the parts, which they become
        if any(snapshot.loads(message.payload).run_id == run_id for message in messages):
            return True
        return _ITEMS + run_id in await store.parts(self.id, _ITEMS + run_id)

    # the process that decides

    def begin(self) -> None:
        """Decide, in the background, unless another process does."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._decide(), name=f"durable_ast {self.id}")

    async def stop(self) -> None:
        """Leave it to others to decide."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _decide(self) -> None:
        store = self._workflow.instances
        while True:
            try:
                record, _ = await store.acquire(Record(self.id, _PROGRAM, Status.PAUSED))
            except InstanceBusy:
                await asyncio.sleep(_TAKE_OVER)
                continue
            except Exception:  # such as a store that does not answer; nobody else might begin again
                log.warning("%s: trying again", self.id, exc_info=True)
                await asyncio.sleep(_TAKE_OVER)
                continue
            try:
                await self._own(record)
            except Exception:
                log.warning("%s: trying again", self.id, exc_info=True)
                await asyncio.sleep(_TAKE_OVER)
            finally:
                store.release(record.instance_id, record.epoch)

    async def _own(self, record: Record) -> None:
        store = self._workflow.instances
        parts = await store.parts(self.id)
        self._items = {item.run_id: item for name, data in parts.items() if name.startswith(_ITEMS)
                       for item in [pickle.loads(data)]}  # fmt: skip
        self._untold = {item.run_id for item in self._items.values() if item.is_free}
        self._grants = pickle.loads(parts[_GRANTS]) if _GRANTS in parts else []
        seen: Any = None
        while True:
            changes = await self._ended()
            consumed = await self._arrivals(changes)
            granted = await self._granted(time.time(), changes)
            if changes or consumed:
                record.sequence += 1
                writing = store.commit(record, consumed, True, changes)
                if writing is not None:
                    await writing
            self._untold.update(item.run_id for item in granted)
            for item in granted:
                await self._let_go(item)
            waits = any(not item.is_free for item in self._items.values())
            seen = await store.changed(self.id, seen, _LOOK_AGAIN if waits or self._items else 60.0)

    async def _arrivals(self, changes: dict[str, bytes | None]) -> tuple[int, ...]:
        """Take what was queued; gives the numbers of the messages."""
        messages = await self._workflow.instances.messages(self.id)
        for message in messages:
            item: Item = snapshot.loads(message.payload)
            known = self._items.get(item.run_id)
            if known is not None and known.is_free:
                record = await self._workflow.instances.read(item.run_id)
                if record is None or not record.is_held or item.run_id in self._untold:
                    continue
                known = None  # it has failed since, and waits for its turn anew
            self._put(replace(item, place=message.number if known is None else known.place), changes)
        return tuple(message.number for message in messages)

    async def _ended(self) -> dict[str, bytes | None]:
        """Forget the runs that were let go and have ended."""
        changes: dict[str, bytes | None] = {}
        for item in [item for item in self._items.values() if item.is_free]:
            record = await self._workflow.instances.read(item.run_id)
            if record is None or record.status in OVER:
                self._forget(item, changes)
            elif record.is_held and item.run_id in self._untold:
                await self._let_go(item)  # the process died between the two, or somebody had it
        return changes

    def _forget(self, item: Item, changes: dict[str, bytes | None]) -> None:
        """A run has ended."""
        del self._items[item.run_id]
        self._untold.discard(item.run_id)
        changes[_ITEMS + item.run_id] = None
        if item.only is not None:
            unique, number = item.only
            left = [each.only[1] for each in self._items.values() if each.only and each.only[0] == unique]
            changes[_ENDED + unique] = pickle.dumps(min([number, *(other - 1 for other in left)]))

    async def _granted(self, now: float, changes: dict[str, bytes | None]) -> list[Item]:
        """The runs that are let go now."""
        free = [item for item in self._items.values() if item.is_free]
        count, of_key = len(free), Counter(item.key for item in free)
        granted: list[Item] = []
        if self._rate is not None:
            self._grants = [then for then in self._grants if then > now - self._rate[1]]
        for item in sorted(self._items.values(), key=lambda item: (-item.priority, item.place)):
            if item.is_free or item.due > now:
                continue
            if self._concurrency is not None and count >= self._concurrency:
                break
            if self._rate is not None and len(self._grants) >= self._rate[0]:
                break
            if self._per_key is not None and item.key is not None and of_key[item.key] >= self._per_key:
                continue
            record = await self._workflow.instances.read(item.run_id)
            if record is None or record.status in OVER:
                self._forget(item, changes)  # it was ended while it waited
                continue
            count += 1
            of_key[item.key] += 1
            granted.append(replace(item, is_free=True))
            self._put(granted[-1], changes)
            if self._rate is not None:
                self._grants.append(now)
                changes[_GRANTS] = pickle.dumps(self._grants)
        return granted

    def _put(self, item: Item, changes: dict[str, bytes | None]) -> None:
        self._items[item.run_id] = item
        changes[_ITEMS + item.run_id] = pickle.dumps(item)

    async def _let_go(self, item: Item) -> None:
        with contextlib.suppress(DurableError):
            if await self._workflow.handle(item.run_id).let_go():
                self._untold.discard(item.run_id)
