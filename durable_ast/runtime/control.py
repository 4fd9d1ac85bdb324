"""What others ask of a running instance: to cancel, to end at once, to stand still.

They ask through its mailbox, with messages whose names begin with a dot.  A message is taken with the
checkpoint that has it in effect, so an instance that dies meanwhile is asked again when it goes on.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..errors import DurableError, StoreError

if TYPE_CHECKING:
    from ..state.schema import Message
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
        self._reading: asyncio.Task[None] | None = None
        self._is_new = False
        self._end_watch: Callable[[], object] | None = None
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._begin)

    def _begin(self) -> None:
        self._end_watch = self._instance.store.watch(self._instance.record.instance_id, self._look)

    def _look(self) -> None:
        """Something may be in the mailbox."""
        self._is_new = True
        if self._end_watch is not None and self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read(), name="durable_ast control")

    async def _read(self) -> None:
        try:
            while self._is_new:
                self._is_new = False
                self.obey(await self._instance.store.messages(self._instance.record.instance_id))
        except StoreError:
            self._timer = asyncio.get_running_loop().call_later(_AGAIN, self._look)
        finally:
            self._reading = None

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
        self._timer.cancel()
        if self._end_watch is not None:
            self._end_watch()
            self._end_watch = None
        if self._reading is not None and not self._reading.get_loop().is_closed():
            self._reading.cancel()


def is_interrupted() -> bool:
    """Whether this process is being ended by Ctrl-C, for which asyncio cancels what runs."""
    handler: Any = signal.getsignal(signal.SIGINT)
    runner = getattr(getattr(handler, "func", None), "__self__", None)
    return isinstance(runner, asyncio.Runner) and getattr(runner, "_interrupt_count", 0) > 0
