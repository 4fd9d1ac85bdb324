"""Checkpoints inside of context managers that cannot be saved.

Such a manager (a client, a connection) is entered again when the instance goes on.  Until then there
is no such object, but much may refer to it: locals of the frame, of frames further in, objects and
cells that they share, other branches.  So the graph is saved in stages, by one pickler: first what
does not need the manager, then what does, manager by manager from the outside in.  Restoring reads a
stage, enters a manager, reads the next; what was one object is still one, whatever its stage.

The managers of an instance have numbers, in the order in which they were met.  What needs several is
read once the highest is there: so two branches that enter managers never wait for each other.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CellType
from typing import Any, TypeAlias

from ..state import snapshot
from . import environment
from .call_stack import FunctionCall
from .generators import flying
from .intrinsics import LOST
from .lost import PLAIN, Lost, Needs, Outside
from .put_off import PutOff
from .reentry import Around

MARK = b"staged:"


@dataclass(frozen=True, slots=True)
class Staged:
    """A saved stack.

    Attributes:
        data: its pickles.
        objects: the objects in it that can change, by id.
        needs: by how many of its own managers have been entered again, what the next parts need.
    """

    data: bytes
    objects: dict[int, Any]
    needs: list[Needs]


class MadeOfItself(TypeError):
    """A variable that the expression of a manager reads refers to that manager."""

    def __init__(self, name: str, qualname: str, line: int) -> None:
        super().__init__(f"{name!r}, with which a context manager is made, refers to that manager")
        self.name, self.qualname, self.line = name, qualname, line


class _Names:
    """The names in a staged stack: those from outside, and its own cells.

    The highest number of a manager that is needed tells the stage of what was pickled.

    Attributes:
        put_off: the attributes that wait for a manager, and put off nothing else.
    """

    def __init__(self, outside: Outside, cells: dict[int, int]) -> None:
        self._outside = outside
        self.put_off = PutOff(outside)
        self._cells = cells
        self.named_cells: set[int] = set()
        self.stage = 0

    def __call__(self, obj: Any) -> Any:
        name = self._outside(obj)
        if name is not None:
            self.stage = max(self.stage, self._outside.stage(name))
            return name
        if type(obj) is CellType and id(obj) in self._cells:
            self.named_cells.add(id(obj))
            return "cell", self._cells[id(obj)]
        return None

    def is_shared(self, cell: CellType) -> bool:
        """Whether several branches have a cell."""
        return self._outside.number(cell) is not None

    def stage_of(self, value: Any) -> int:
        """The highest manager that a value needs."""
        if isinstance(value, PLAIN) or (type(value) in (str, bytes) and self(value) is None):
            return 0
        self.stage = 0
        snapshot.pickler(io.BytesIO(), self, PutOff(self._outside)).dump(value)
        return self.stage


def dumps(calls: Sequence[FunctionCall], lost: Sequence[Lost], facts: Any, tail: Any, outside: Outside) -> Staged:
    """Save calls that have entered managers that cannot be saved.

    Args:
        calls: outermost first.
        lost: the managers.
        facts: what is wanted back before any manager is entered.
        tail: what is wanted back after all of them.
        outside: names what is no part of it.

    Raises:
        Exception: something else cannot be saved either, or refers to a manager that is entered
            only after it.
    """
    with flying({id(call.generator): _rebuilding(call) for call in calls if call.generator is not None}):
        return _dumps(calls, lost, facts, tail, outside)


def _rebuilding(call: FunctionCall) -> tuple[Any, ...]:
    return call.ref, call.block, call.locals, call.cells, call.later


def _dumps(calls: Sequence[FunctionCall], lost: Sequence[Lost], facts: Any, tail: Any, outside: Outside) -> Staged:
    own_cells = _own_cells(calls, outside)
    cells = {key: number for number, key in enumerate(own_cells)}
    names = _Names(outside, cells)
    file = io.BytesIO()
    pickler = snapshot.pickler(file, names, names.put_off)
    own = [[item for item in lost if item.call == index] for index in range(len(calls))]
    header: list[Any] = [
        (
            (call.ref, call.block, {}, {}, call.is_step),
            _places(call, cells, outside),
            None if call.generator is not None else [item.number for item in mine],
        )
        for call, mine in zip(calls, own, strict=True)
    ]
    outside.used.clear()
    pickler.dump((facts, len(cells), header))
    needs: list[Needs] = []
    used = set(outside.used)

    def dump(part: Any) -> None:
        outside.used.clear()
        pickler.dump(part)
        used.update(outside.used)

    left = [item.number for item in lost]
    unsaved: dict[int, Exception] = {}
    for call, mine in zip(calls, own, strict=True):
        left = left[len(mine) :]
        if call.generator is not None:
            if any(_is_made_of(item.manager, call.generator) for item in lost):
                raise TypeError(f"{call.key.qualname}() is being left, and makes up a manager that cannot be saved")
            if mine:
                raise TypeError(f"{call.key.qualname}() is being iterated over, inside of a manager of its own that "
                                "cannot be saved")  # fmt: skip
            state = call.generator, call.later
            _check_order(f"the iteration over {call.key.qualname}()", names.stage_of(state), left)
            dump(state)
            continue
        for index, part in enumerate(_by_stage(call, mine, left, names, unsaved)):
            if index:
                needs.append(Needs.of(used))
                used.clear()
                names.put_off.entered = mine[index - 1].number
                dump((part, names.put_off.take(names.put_off.entered)))
            else:
                dump(part)
    dump(tail)
    needs.append(Needs.of(used))
    for key in names.named_cells & unsaved.keys():
        raise unsaved[key]
    read = {id(cell) for call in calls for cell in call.cells.values()} | names.named_cells
    objects = {**snapshot.noted(pickler), **{key: cell for key, cell in own_cells.items() if key in read}}
    return Staged(bytes(file.getbuffer()), objects, needs)


def _is_made_of(manager: Any, generator: Any) -> bool:
    """Whether a manager goes through a generator; entered again, it has another one."""
    inner = manager.manager if isinstance(manager, Around) else manager
    return getattr(inner, "gen", None) is generator


def _own_cells(calls: Sequence[FunctionCall], outside: Outside) -> dict[int, CellType]:
    """The cells of frames; each is made before what is in it is read."""
    found: dict[int, CellType] = {}
    for call in calls:
        if call.generator is None:
            for cell in environment.split({**call.cells, **call.spare_cells})[0].values():
                if outside.number(cell) is None:
                    found[id(cell)] = cell
    return found


Place: TypeAlias = "int | environment.Path | tuple[None, int]"
"""Where a cell is found: its number among those saved, its path in the environment, or its number
among what several branches refer to."""


def _places(call: FunctionCall, numbers: dict[int, int], outside: Outside) -> dict[str, Place]:
    if call.generator is not None:
        return {}
    own, outer = environment.split({**call.cells, **call.spare_cells})
    places: dict[str, Place] = dict(outer)
    for name, cell in own.items():
        shared = outside.number(cell)
        if shared is not None:
            (outside.spare if name in call.spare_cells else outside.numbers).add(shared)
        places[name] = numbers[id(cell)] if shared is None else (None, shared)
    return places


def _by_stage(
    call: FunctionCall, mine: list[Lost], later: Sequence[int], names: _Names, unsaved: dict[int, Exception]
) -> list[dict[str, Any]]:
    """The values of a call: those that need no manager of its own, then those that wait for its
    first, its second, ...

    Args:
        call: the call.
        mine: the lost managers that it has entered.
        later: the numbers of those that calls further in have.
        names: the names in the stack.
        unsaved: gets the cells that nobody may need and that cannot be saved.
    """
    parts: list[dict[str, Any]] = [{} for _ in range(len(mine) + 1)]
    placed: dict[str, int] = {}
    for name, value in _values(call, mine, names, unsaved).items():
        stage = names.stage_of(value)
        _check_order(repr(name), stage, later)
        placed[name] = sum(item.number <= stage for item in mine)
        parts[placed[name]][name] = value
    for index, item in enumerate(mine):
        parts[0][item.facts.name] = LOST
        early = next((name for name in item.facts.reads if placed.get(name, 0) > index), None)
        if early is not None:
            raise MadeOfItself(early, call.key.qualname, item.facts.line)
    return parts


def _check_order(what: str, stage: int, later: Sequence[int]) -> None:
    if later and stage >= later[0]:
        raise TypeError(f"{what} refers to a context manager that is entered only after it")


def _values(call: FunctionCall, mine: list[Lost], names: _Names, unsaved: dict[int, Exception]) -> dict[str, Any]:
    (own, outer), (spare, _) = environment.split(call.cells), environment.split(call.spare_cells)
    values = {**call.locals, **_contents(own, names)}
    for name, value in _contents(spare, names).items():
        try:
            names.stage_of(value)
        except Exception as error:
            unsaved[id(spare[name])] = error
        else:
            values[name] = value
    for item in mine:
        reads = [name for name in item.facts.reads if name not in outer]
        values.update({name: call.operands[name] for name in reads if name in call.operands})
    for item in mine:
        values.pop(item.facts.name, None)
        values.update(item.given_to(values))
    return values


def _contents(cells: Mapping[str, CellType], names: _Names) -> dict[str, Any]:
    """What is in cells, but for those that several branches have."""
    contents = {}
    for name, cell in cells.items():
        if names.is_shared(cell):
            continue
        try:
            contents[name] = cell.cell_contents
        except ValueError:
            continue  # a variable without a value
    return contents
