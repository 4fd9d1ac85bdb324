"""Checkpoints inside of context managers that cannot be saved.

Such a manager (a client, a connection) is entered again when the instance goes on.  Until then there
is no such object, but much may refer to it: locals of the frame, of frames further in, objects and
cells that they share.  So the graph is saved in stages, by one pickler: first what does not need the
manager, then what does, manager by manager from the outside in.  Restoring reads a stage, enters a
manager, reads the next; what was one object is still one, whatever its stage.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CellType
from typing import Any, TypeAlias

from ..compiler.compiled import Manager
from ..state import snapshot
from ..state.snapshot import failure
from . import environment
from .call_stack import CallStack, FunctionCall
from .functions import Frame, resolve
from .generators import Later
from .intrinsics import LOST
from .reentry import Persisted
from .variables import Variables

MARK = b"staged:"

_PLAIN = (type(None), bool, int, float, complex, type, type(...))
"""Types whose objects are never told apart by identity."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A manager that cannot be saved, entered by a call of the stack."""

    call: int
    facts: Manager
    manager: Any
    entered: Any


class Savable:
    """Which of the entered managers can be saved; each is tried once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bool]] = {}

    def lost(self, stack: CallStack) -> list[Lost]:
        """The managers of a stack that cannot be saved, outermost first."""
        found: list[Lost] = []
        known: dict[int, tuple[Any, bool]] = {}
        for index, call in enumerate(stack.stack):
            for facts in call.managers:
                manager = call.locals.get(facts.name)
                saved = self._known.get(id(manager)) or (manager, _is_saved(manager))
                known[id(manager)] = saved
                if not saved[1]:
                    found.append(Lost(index, facts, manager, call.entered.get(facts.name)))
        self._known = known
        return found


def _is_saved(manager: Any) -> bool:
    """Whether it is restored; one that the user wants restored keeps the rest from being saved if it
    cannot be."""
    return isinstance(manager, Persisted) or failure(manager) is None


# saving


class _Names:
    """Names for what is not part of the graph: lost managers, what they gave, and cells.

    The highest number of a lost manager that was named tells the stage of what was pickled.
    """

    def __init__(self, lost: Sequence[Lost], cells: dict[int, int]) -> None:
        self._ids: dict[int, tuple[str, int]] = {}
        for number, item in enumerate(lost, 1):
            self._ids[id(item.manager)] = "manager", number
            if not isinstance(item.entered, _PLAIN):
                self._ids.setdefault(id(item.entered), ("entered", number))
        self._cells = cells
        self.stage = 0

    def __call__(self, obj: Any) -> tuple[str, int] | None:
        name = self._ids.get(id(obj))
        if name is not None:
            self.stage = max(self.stage, name[1])
            return name
        if type(obj) is CellType and id(obj) in self._cells:
            return "cell", self._cells[id(obj)]
        return None


def dumps(stack: CallStack, lost: Sequence[Lost]) -> bytes:
    """Save a call stack with lost managers.

    Raises:
        Exception: something else cannot be saved either, or refers to a manager that is entered
            only after it.
    """
    cells: dict[int, int] = {}
    for call in stack.stack:
        if call.generator is not None:
            raise TypeError(f"{call.key.qualname}() is being iterated over, inside of a manager that cannot be saved")
        for cell in environment.split({**call.cells, **call.spare_cells})[0].values():
            cells.setdefault(id(cell), len(cells))
    names = _Names(lost, cells)
    file = io.BytesIO()
    pickler = snapshot.pickler(file, names)
    own = [[item for item in lost if item.call == index] for index in range(len(stack.stack))]
    header = [
        (
            call.to_state(locals={}, cells={}),
            _places({**call.cells, **call.spare_cells}, cells),
            [item.facts.name for item in mine],
        )
        for call, mine in zip(stack.stack, own, strict=True)
    ]
    pickler.dump((len(cells), header))
    entered = 0
    for call, mine in zip(stack.stack, own, strict=True):
        for part in _by_stage(call, mine, entered, names):
            pickler.dump(part)
        entered += len(mine)
    pickler.dump((stack.waiting, stack.flights, stack.steps, stack.variables))
    return MARK + snapshot.sealed(file.getbuffer())


_Place: TypeAlias = "int | environment.Path"
"""Where a cell is found: its number among those saved, or its path in the environment."""


def _places(cells: Mapping[str, CellType], numbers: dict[int, int]) -> dict[str, _Place]:
    own, outer = environment.split(cells)
    return {**{name: numbers[id(cell)] for name, cell in own.items()}, **outer}


def _found(places: Mapping[str, _Place], cells: Sequence[CellType]) -> dict[str, CellType]:
    return {
        name: cells[place] if isinstance(place, int) else environment.cell_at(place) for name, place in places.items()
    }


def _by_stage(call: FunctionCall, mine: list[Lost], before: int, names: _Names) -> list[dict[str, Any]]:
    """The values of a call: those that need no manager of its own, then those that wait for its
    first, its second, ..."""
    parts: list[dict[str, Any]] = [{} for _ in range(len(mine) + 1)]
    (own, outer), (spare, _) = environment.split(call.cells), environment.split(call.spare_cells)
    values = {**call.locals, **_contents(own)}
    values.update({name: value for name, value in _contents(spare).items() if failure(value) is None})
    for item in mine:
        reads = [name for name in item.facts.reads if name not in outer]
        values.update({name: call.operands[name] for name in reads if name in call.operands})
    gone = {item.facts.name for item in mine}
    for name, value in values.items():
        if name in gone:
            parts[0][name] = LOST
            continue
        stage = max(_stage(value, names) - before, 0)
        if stage > len(mine):
            raise TypeError(f"{name!r} refers to a context manager that is entered only after it")
        parts[stage][name] = value
    return parts


def _stage(value: Any, names: _Names) -> int:
    if isinstance(value, _PLAIN) or (type(value) in (str, bytes) and names(value) is None):
        return 0
    names.stage = 0
    snapshot.pickler(io.BytesIO(), names).dump(value)
    return names.stage


def _contents(cells: Mapping[str, CellType]) -> dict[str, Any]:
    contents = {}
    for name, cell in cells.items():
        try:
            contents[name] = cell.cell_contents
        except ValueError:
            continue  # a variable without a value
    return contents


# restoring


class Loader:
    """Reads the stages, as managers are entered.

    Args:
        data: what `dumps` gave.
        leaf: makes what the innermost call awaits, from what it waits for, the exceptions in flight,
            how many steps were taken, and the context variables.
        as_step: wraps a frame whose end is a checkpoint.
    """

    def __init__(
        self,
        data: bytes,
        leaf: Callable[[Any, list[BaseException], int, Variables], Any],
        as_step: Callable[[Any], Any],
    ) -> None:
        self._unpickler = snapshot.unpickler(io.BytesIO(snapshot.opened(data[len(MARK) :])), self._named)
        self.leaf, self.as_step = leaf, as_step
        count, self._header = self._unpickler.load()
        self._cells = [CellType() for _ in range(count)]
        self._objects: dict[tuple[str, int], Any] = {}
        self._entered = 0

    def _named(self, name: tuple[str, int]) -> Any:
        return self._cells[name[1]] if name[0] == "cell" else self._objects[name]

    def frame(self, index: int = 0) -> Frame:
        """The frame of a call; everything around it has been entered."""
        call = FunctionCall.from_state(self._header[index][0])
        call.locals = self.part()
        call.cells = _found(self._header[index][1], self._cells)
        for name, cell in call.cells.items():
            if name in call.locals:
                cell.cell_contents = call.locals[name]
        function = resolve(call.ref)
        frame = function.twin(call.block, call.locals, call.cells, Resumption(self, index))
        return self.as_step(frame) if call.is_step else frame

    def part(self) -> dict[str, Any]:
        """The next stage."""
        part: dict[str, Any] = self._unpickler.load()
        return part

    def next(self, index: int) -> Any:
        """What the call at `index` awaits."""
        if index + 1 < len(self._header):
            return self.frame(index + 1)
        return self.leaf(*self._unpickler.load())

    def entered(self, manager: Any, value: Any) -> dict[str, Any]:
        """A manager is entered again; gives the locals that have waited for it."""
        self._entered += 1
        self._objects["manager", self._entered] = manager
        self._objects["entered", self._entered] = value
        return self.part()


@dataclass(frozen=True, slots=True)
class Resumption:
    """What a twin of a staged stack knows of the rest of it."""

    loader: Loader
    index: int

    def entered(self, name: str, manager: Any, value: Any) -> dict[str, Any]:
        """See `Loader.entered`."""
        return self.loader.entered(manager, value)

    def child(self) -> Any:
        """What the saved point awaits."""
        return self.loader.next(self.index)


def child(awaited: Any) -> Any:
    """What a saved point awaits; the intrinsic `.child`."""
    if type(awaited) is Resumption:
        return awaited.child()
    return awaited.value if type(awaited) is Later else awaited


NamingReader: TypeAlias = Callable[[io.BytesIO, Callable[[Any], Any]], pickle.Unpickler]
"""What reads a pickle that names objects which are no part of it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Shown where a saved stack refers to a manager that will be entered again."""

    def __repr__(self) -> str:
        return "<entered again when it goes on>"


def look(data: bytes, reader: NamingReader = snapshot.unpickler) -> CallStack:
    """A staged stack for people to look at; it cannot be run."""
    missing: dict[tuple[str, int], Missing] = {}
    cells: list[CellType] = []

    def named(name: tuple[str, int]) -> Any:
        if name[0] == "cell":
            return cells[name[1]]
        return missing[name]

    unpickler = reader(io.BytesIO(snapshot.opened(data[len(MARK) :])), named)
    count, header = unpickler.load()
    cells.extend(CellType() for _ in range(count))
    calls = []
    for state, names, own in header:
        call = FunctionCall.from_state(state)
        for _ in own:
            number = len(missing) // 2 + 1
            missing["manager", number] = missing["entered", number] = Missing()
        call.locals = {}
        for _ in range(len(own) + 1):
            call.locals.update(unpickler.load())
        call.cells = _found(names, cells)
        for name, cell in call.cells.items():
            if name in call.locals:
                cell.cell_contents = call.locals.pop(name)
        calls.append(call)
    waiting, flights, steps, variables = unpickler.load()
    return CallStack(calls, waiting, flights, steps, variables)
