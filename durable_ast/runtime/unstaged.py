"""Stacks that were saved in stages, on their way back.

The other half of `staged`: a stage is read, the twin of a frame enters a manager again, the next
stage is read.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CellType
from typing import Any, NoReturn, Protocol, TypeAlias

from ..state import snapshot
from . import environment
from .call_stack import CallStack, FunctionCall
from .functions import resolve
from .generators import Later
from .lost import Name
from .put_off import put_on
from .staged import MARK, Place


class Back(Protocol):
    """Whoever brings a branch back."""

    def reading(self) -> contextlib.AbstractContextManager[None]:
        """Inside, a part of its graph is read."""

    def found(self, name: Name) -> Any:
        """What has this name."""

    async def entered(self, number: int, manager: Any, value: Any) -> None:
        """A manager is entered again; ends once what needs it may be read."""

    def is_put_off(self, number: int, error: BaseException) -> bool:
        """Whether to enter a manager once more, though this was raised meanwhile."""

    def leaf(self, waiting: Any, flights: list[BaseException], callbacks: Sequence[Any] = ()) -> Any:
        """What the innermost call awaits."""

    def as_step(self, frame: Any) -> Any:
        """Wrap a frame whose end is a checkpoint."""

    def advance(self, generator: Any) -> Any:
        """Ask an async generator for an item."""


class Loader:
    """Reads the stages, as managers are entered.

    Args:
        data: what `dumps` gave.
        back: brings the branch back.

    Attributes:
        facts: what was wanted back before any manager is entered.
    """

    def __init__(self, data: bytes | memoryview, back: Back) -> None:
        self._unpickler = snapshot.unpickler(io.BytesIO(data), self._named)
        self.back = back
        self._cells: list[CellType] = []
        self.facts, count, self._header = self._read()
        self._cells += [CellType() for _ in range(count)]
        self._numbers = iter([number for _, _, own in self._header for number in own or ()])
        self._number = next(self._numbers, 0)

    def _named(self, name: Any) -> Any:
        return self._cells[name[1]] if isinstance(name, tuple) and name[0] == "cell" else self.back.found(name)

    def _read(self) -> Any:
        with self.back.reading():
            return self._unpickler.load()

    def frame(self, index: int = 0) -> Any:
        """The frame of a call; everything around it has been entered."""
        state, places, own = self._header[index]
        call = FunctionCall.from_state(state)
        if own is None:
            generator, later = self._read()
            later.value = self.next(index)
            return self.back.advance(generator)
        call.locals = self._read()
        call.cells = _found(places, self._cells, self.back.found)
        for name, cell in call.cells.items():
            if name in call.locals:
                cell.cell_contents = call.locals[name]
        frame = resolve(call.ref).twin(call.block, call.locals, call.cells, Resumption(self, index))
        return self.back.as_step(frame) if call.is_step else frame

    def next(self, index: int) -> Any:
        """What the call at `index` awaits."""
        if index + 1 < len(self._header):
            return self.frame(index + 1)
        return self.back.leaf(*self._read())

    async def entered(self, manager: Any, value: Any) -> dict[str, Any]:
        """A manager is entered again; gives the locals that have waited for it."""
        await self.back.entered(self._number, manager, value)
        self._number = next(self._numbers, 0)
        part: dict[str, Any]
        part, attributes = self._read()
        put_on(attributes)
        return part

    def is_put_off(self) -> bool:
        """Whether to enter the manager once more, after what was raised."""
        error = sys.exception()
        assert error is not None
        return self.back.is_put_off(self._number, error)


def _found(places: Mapping[str, Place], cells: Sequence[CellType], shared: Callable[[int], Any]) -> dict[str, CellType]:
    return {name: _cell_at(place, cells, shared) for name, place in places.items()}


def _cell_at(place: Place, cells: Sequence[CellType], shared: Callable[[int], Any]) -> CellType:
    if isinstance(place, int):
        return cells[place]
    cell: CellType = shared(place[1]) if place[0] is None else environment.cell_at(place)
    return cell


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a twin of a staged stack knows of the rest of it."""

    loader: Loader
    index: int

    async def entered(self, manager: Any, value: Any) -> dict[str, Any]:
        """See `Loader.entered`."""
        return await self.loader.entered(manager, value)

    def is_put_off(self) -> bool:
        """See `Loader.is_put_off`."""
        return self.loader.is_put_off()

    def child(self) -> Any:
        """What the saved point awaits."""
        return self.loader.next(self.index)


def child(awaited: Any) -> Any:
    """What a saved point awaits; the intrinsic `.child`."""
    if type(awaited) is Resumption:
        return awaited.child()
    return awaited.value if type(awaited) is Later else awaited


# looking


NamingReader: TypeAlias = Callable[[io.BytesIO, Callable[[Any], Any]], pickle.Unpickler]
"""What reads a pickle that names objects which are no part of it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Shown where a saved stack refers to a manager that will be entered again."""

    def __repr__(self) -> str:
        return "<entered again when it goes on>"


MISSING = Missing()


def look(
    data: bytes | memoryview, shared: Callable[[int], Any], reader: NamingReader = snapshot.unpickler
) -> tuple[list[FunctionCall], Any, Any]:
    """A staged stack for people to look at; it cannot be run.

    Args:
        data: what `dumps` gave.
        shared: gives what several branches refer to.
        reader: reads the pickles.

    Returns:
        The calls, the facts and the tail.
    """
    cells: list[CellType] = []

    def named(name: Any) -> Any:
        if isinstance(name, int):
            return shared(name)
        return cells[name[1]] if name[0] == "cell" else MISSING

    unpickler = reader(io.BytesIO(data), named)
    facts, count, header = unpickler.load()
    cells.extend(CellType() for _ in range(count))
    calls = []
    for state, places, own in header:
        call = FunctionCall.from_state(state)
        calls.append(call)
        if own is None:
            unpickler.load()  # an async generator is shown without its variables
            continue
        call.locals = {}
        call.locals.update(unpickler.load())
        for _ in own:
            part, attributes = unpickler.load()
            call.locals.update(part)
            put_on(attributes)
        call.cells = {name: cell for name, cell in _found(places, cells, shared).items() if type(cell) is CellType}
        for name, cell in call.cells.items():
            if name in call.locals:
                cell.cell_contents = call.locals.pop(name)
    return calls, facts, unpickler.load()


def stack_in(data: bytes, reader: NamingReader = snapshot.unpickler) -> CallStack:
    """The staged stack of an instance with one branch, to look at."""
    calls, (steps, variables), (waiting, flights) = look(opened(data), _none, reader)
    return CallStack(calls, waiting, flights, steps, variables)


def opened(data: bytes) -> memoryview:
    """What `staged.dumps` gave for it."""
    return snapshot.opened(data[len(MARK) :])


def _none(number: int) -> NoReturn:
    raise pickle.UnpicklingError(f"an object is shared under the number {number}, and there are no other branches")
