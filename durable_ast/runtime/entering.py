"""Context managers are entered again, for all branches of an instance.

A graph may name managers that other branches have entered.  So each part of it is read once what it
needs is there, and all branches wait at a gate until the last manager is.  A manager that cannot be
entered fails where it stands, in the user's code; branches that cannot go on without it end with the
same error.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from .async_generators import advance
from .awaiting import leaf_of
from .branch import Branch
from .branch_task import BranchTask
from .call_stack import Waiting
from .callbacks import Callback
from .cut import ROOT, Header
from .cuts import Cuts, Settled
from .lost import Entered, Name, Needs
from .shared import SharedReader
from .tasks import tasks_by_number


class NotEntered(Exception):
    """A manager that is needed could not be entered again."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class _Back:
    """One branch, on its way back."""

    def __init__(self, branch: Branch) -> None:
        assert branch.task is not None
        self.branch = branch
        self.task = branch.task
        self.cancelled: asyncio.CancelledError | None = None
        self._cancelling = branch.task.cancelling()

    def is_put_off(self, number: int, error: BaseException) -> bool:
        """A cancellation is for the user's code, which is not there yet."""
        if not isinstance(error, asyncio.CancelledError) or self.task.cancelling() <= self._cancelling:
            return False
        self._put_off(error)
        return True

    def _put_off(self, error: asyncio.CancelledError | None) -> None:
        if error is not None:
            self.cancelled, self._cancelling = error, self.task.cancelling()

    def as_step(self, frame: Any) -> Any:
        """Wrap a frame whose end is a checkpoint."""
        return self.branch.leaf(frame)

    def advance(self, generator: Any) -> Any:
        """Ask an async generator for an item."""
        return advance(generator)


class Alone(_Back):
    """The only branch of its instance."""

    def __init__(self, branch: Branch) -> None:
        super().__init__(branch)
        self._objects: dict[Name, Any] = {}

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Inside, a part of its graph is read."""
        return tasks_by_number({ROOT: self.task})

    def found(self, name: Name) -> Any:
        """What has this name."""
        return self._objects[name]

    async def entered(self, number: int, manager: Any, value: Any) -> None:
        """A manager is entered again."""
        self._objects.update(Entered(number, manager, value).objects())

    def leaf(self, waiting: Waiting, flights: list[BaseException], callbacks: Sequence[Callback] = ()) -> Any:
        """What the innermost call awaits."""
        self.branch.flights = flights
        if self.cancelled is not None:
            self.branch.cancel_later(self.cancelled)
        return leaf_of(self.branch, waiting)


class Entering:
    """The managers of an instance with several branches.

    Args:
        cuts: its checkpoints; none is taken until all are back.

    Attributes:
        tasks: the tasks of the branches, by number.
    """

    def __init__(self, cuts: Cuts) -> None:
        self._cuts = cuts
        self.tasks: Mapping[int, Any] = {}
        self._gates: dict[int, Settled] = {}
        self._is_open = False
        self._unsettled: set[int] = set()
        self._away: set[int] = set()
        self._objects: dict[Name, Any] = {}
        self._entered: set[int] = set()
        self._failed: dict[int, BaseException] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._shared: SharedReader | None = None

    def begin(self, live: Iterable[int], unsettled: Iterable[int]) -> None:
        """What needs nothing has been read.

        Args:
            live: these branches go on, in this order, once all are back.
            unsettled: those of them that do not stand where they stood even then.
        """
        self._gates = {number: Settled() for number in live}
        self._unsettled = set(unsettled)
        self._cuts.hold()
        asyncio.get_running_loop().call_soon(self._open)

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Inside, a graph is read."""
        return tasks_by_number(self.tasks)

    # what is named

    def read_shared(self, data: bytes) -> None:
        """Read what several branches refer to, as far as that needs no manager."""
        self._shared = SharedReader(data, self._manager)
        self._cuts.parts.adopt(data, self._shared.numbers)
        self._read()

    def _manager(self, name: Name) -> Any:
        return self._objects[name]

    def _read(self) -> None:
        if self._shared is not None:
            self._shared.read(self._entered)
            self._cuts.parts.adopt_objects(self._shared.objects)

    def found(self, name: Name) -> Any:
        """What has this name in the record of a branch."""
        return self._cuts.parts.found(name) if isinstance(name, int) else self._objects[name]

    def _managers_of(self, needs: Needs) -> set[int]:
        """The managers that are needed directly, or by something that is shared."""
        found = set(needs.managers)
        if self._shared is not None:
            for number in needs.shared:
                found |= self._shared.needs(number)
        return found

    def expects(self, header: Header) -> bool:
        """Whether a branch has to wait for managers, or has some itself."""
        is_away = bool(header.opens or self._managers_of(header.needs[0]) - self._entered)
        if is_away:
            self._away.add(header.number)
        return is_away

    # waiting

    async def there(self, needs: Needs) -> asyncio.CancelledError | None:
        """Wait until what is needed is there; gives the cancellation that came meanwhile.

        Raises:
            NotEntered: it will never be.
        """
        cancelled: asyncio.CancelledError | None = None
        while True:
            managers = self._managers_of(needs)
            error = next((self._failed[number] for number in managers if number in self._failed), None)
            if error is not None:
                raise NotEntered(error)
            if managers <= self._entered:
                return cancelled
            waiter = Settled()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError as raised:
                cancelled = raised

    async def gate(self, number: int) -> asyncio.CancelledError | None:
        """Wait until all are back; gives the cancellation that came meanwhile."""
        try:
            await self._gates[number]
        except asyncio.CancelledError as error:
            return error
        return None

    def is_back(self, number: int) -> None:
        """A branch waits for nothing any more."""
        self._away.discard(number)
        asyncio.get_running_loop().call_soon(self._open)

    def enters(self, branch: Branch, number: int, manager: Any, value: Any) -> None:
        """A branch has entered a manager again."""
        self._cuts.parts.enters(branch, number, manager, value)
        self._objects.update(Entered(number, manager, value).objects())
        self._entered.add(number)
        with self.reading():
            self._read()
        self._wake()

    def fails(self, number: int, error: BaseException) -> None:
        """A manager could not be entered again."""
        self._failed[number] = error
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.set_result(None)

    def is_settled(self, number: int) -> None:
        """A branch stands where it stood; once all do, there may be checkpoints."""
        self._unsettled.discard(number)
        if not self._unsettled:
            self._cuts.go_on()

    def _open(self) -> None:
        if not self._away and not self._is_open:
            self.let_go()

    def let_go(self) -> None:
        """Nobody waits any longer."""
        self._is_open = True
        for gate in self._gates.values():
            gate.set_result(None)
        if not self._unsettled:
            self._cuts.go_on()


class Together(_Back):
    """One branch of several, which has entered managers.

    Attributes:
        settle: sees to it that it is cancelled as it was; called with the request that came meanwhile.
    """

    def __init__(self, entering: Entering, branch: Branch, header: Header) -> None:
        super().__init__(branch)
        self._entering, self._header = entering, header
        self._count = 0
        self.settle: Callable[[asyncio.CancelledError | None], Coroutine[Any, Any, None]]

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Inside, a part of its graph is read."""
        return self._entering.reading()

    def found(self, name: Name) -> Any:
        """What has this name."""
        return self._entering.found(name)

    async def entered(self, number: int, manager: Any, value: Any) -> None:
        """A manager is entered again; after the last one, the branch waits for the others."""
        self.branch.savable.note(manager, number)
        self._entering.enters(self.branch, number, manager, value)
        self._count += 1
        is_last = self._count == len(self._header.opens)
        if is_last:
            self._entering.is_back(self._header.number)
            self._put_off(await self._entering.gate(self._header.number))
        self._put_off(await self._entering.there(self._header.needs[self._count]))
        if is_last:
            await self.settle(self.cancelled)

    def is_put_off(self, number: int, error: BaseException) -> bool:
        """See `_Back`; where it is not, it fails for all who need it."""
        if super().is_put_off(number, error):
            return True
        for inner in self._header.opens[self._count :]:
            self._entering.fails(inner, error)
        self._entering.is_back(self._header.number)
        self._entering.is_settled(self._header.number)
        return False

    def leaf(self, waiting: Waiting, flights: list[BaseException], callbacks: Sequence[Callback] = ()) -> Any:
        """What the innermost call awaits."""
        branch = self.branch
        assert branch.line is not None
        branch.flights, branch.line.waiting = flights, waiting
        if isinstance(branch.task, BranchTask):
            branch.task.call_again(callbacks)
        return leaf_of(branch, waiting)
