"""What others ask of a running instance: to cancel, to end at once, to stand still; and that it stops when
it may be running elsewhere.

They ask through its mailbox, with messages whose names begin with a dot.  A message is taken with the
checkpoint that has it in effect, so an instance that dies meanwhile is asked again when it goes on.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import DurableError, StaleOwnerError, StoreError

if TYPE_CHECKING:
    from ..state.schema import Message
    from ..stores.base import InstanceStore
    from .branch import Branch
    from .instance import Instance

CANCEL, TERMINATE, PAUSE = ".cancel", ".terminate", ".pause"

_PATIENCE = 0.1
"""Seconds that an instance runs before anybody listens: most have ended by then."""


_AGAIN = 1.0
"""Seconds after which to look again into a mailbox that could not be read."""


class Terminated(DurableError):
    """The instance was ended from outside."""


class Paused(DurableError):
    """The instance stands still until it is told to go on; calling it waits for that."""


class Listener:
    """Obeys what is asked of an instance while it runs here.

    Args:
        instance: the instance.
        root: its root branch.
    """

    def __init__(self, instance: Instance, root: Branch) -> None:
        self._instance = instance
        self._root = root
        self._reading: _Reading | None = None
        self._has_stopped_step = False
        self._end_watch: Callable[[], object] | None = None
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._begin)

    @property
    def instance_id(self) -> str:
        """The instance that is listened for."""
        return self._instance.record.instance_id

    def _begin(self) -> None:
        self._end_watch = self._instance.store.watch(self.instance_id, self._look)

    def _look(self) -> None:
        """Something may be in the mailbox, or the instance may not be ours any more."""
        if self._end_watch is None:
            return  # word that was on its way when the instance ended
        refusal = self._instance.store.refusal(self._instance.record)
        if refusal is not None:
            self._stop(refusal)
        elif self._reading is None or self._reading.has_begun:
            self._reading = _Reading.next(self._instance.store)
            self._reading.listeners.add(self)

    def look_later(self) -> None:
        """The mailbox could not be read."""
        if self._end_watch is not None:
            self._timer = asyncio.get_running_loop().call_later(_AGAIN, self._look)

    def obey(self, messages: Iterable[Message]) -> None:
        """Do what was asked, if anything was; what comes behind an end or a pause is left for later."""
        instance = self._instance
        for message in messages:
            if self._root.halted is not None:
                return
            if message.number in instance.obeyed:
                continue
            match message.name:
                case ".cancel":
                    instance.obeyed[message.number] = False
                    assert instance.root_task is not None
                    instance.root_task.cancel()
                case ".terminate":
                    instance.obeyed[message.number] = True
                    self._halt(Terminated(f"instance {instance.record.instance_id!r} was terminated"))
                case ".pause":
                    instance.obeyed[message.number] = True
                    self._halt(Paused(f"instance {instance.record.instance_id!r} is paused"))

    def _stop(self, refusal: StaleOwnerError) -> None:
        """Somebody else may run the instance soon: it stops here, and the step that is running is cancelled,
        so that what it has begun (tasks of its own, requests) stops too."""
        root, instance = self._root, self._instance
        if root.halted is not None or self._has_stopped_step:
            return
        if not root.in_step or root.siblings is not None or not root.saves_steps:
            self._halt(refusal)
            return
        root.journal.fault = root.journal.fault or refusal
        instance.failure = refusal
        self._has_stopped_step = True
        assert instance.root_task is not None
        instance.root_task.cancel()

    def _halt(self, error: DurableError) -> None:
        """Nothing of the instance runs any further, and nothing of it is unwound."""
        root, instance = self._root, self._instance
        if root.siblings is not None:
            root.siblings.halt(error)
        instance.failure = error
        root.halted = error
        assert instance.root_task is not None
        instance.root_task.cancel()

    def end(self) -> None:
        """The instance has ended, or is let go."""
        if self._has_stopped_step and self._instance.root_task is not None:
            self._instance.root_task.uncancel()
        self._timer.cancel()
        if self._end_watch is not None:
            self._end_watch()
            self._end_watch = None
        if self._reading is not None:
            self._reading.leave(self)


class _Reading:
    """Reads the mailboxes of those who look into theirs in one turn of the event loop: of a thousand
    instances that have begun together, all at once.

    Attributes:
        listeners: who wants to know what is there.
        has_begun: whether who comes now is too late.
    """

    _next: ClassVar[dict[tuple[asyncio.AbstractEventLoop, InstanceStore], _Reading]] = {}
    """Those that have not begun."""

    def __init__(self, loop: asyncio.AbstractEventLoop, store: InstanceStore) -> None:
        self.listeners: set[Listener] = set()
        self.has_begun = False
        self._key = loop, store
        self._task = loop.create_task(self._read(store), name="durable_ast control")

    @classmethod
    def next(cls, store: InstanceStore) -> _Reading:
        """The reading that can be joined."""
        key = asyncio.get_running_loop(), store
        if key not in cls._next:
            cls._next[key] = cls(*key)
        return cls._next[key]

    def leave(self, listener: Listener) -> None:
        """Somebody does not want to know any more."""
        self.listeners.discard(listener)
        if not self.listeners and not self._key[0].is_closed():
            self._begin()
            self._task.cancel()

    def _begin(self) -> None:
        if not self.has_begun:
            self.has_begun = True
            del self._next[self._key]

    async def _read(self, store: InstanceStore) -> None:
        self._begin()
        try:
            found = await store.mailboxes([listener.instance_id for listener in self.listeners])
        except StoreError:
            for listener in self.listeners:
                listener.look_later()
            return
        for listener in list(self.listeners):
            messages = found.get(listener.instance_id)
            if messages:
                listener.obey(messages)


def is_interrupted() -> bool:
    """Whether this process is being ended by Ctrl-C, for which asyncio cancels what runs."""
    handler: Any = signal.getsignal(signal.SIGINT)
    runner = getattr(getattr(handler, "func", None), "__self__", None)
    return isinstance(runner, asyncio.Runner) and getattr(runner, "_interrupt_count", 0) > 0
