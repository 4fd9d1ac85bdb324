"""The record of what several branches refer to.

It is one graph.  Where parts of it need context managers that are entered again (see `staged`), it is
saved in stages too: by the highest manager that an object needs.  Shared variables are no obstacle:
they are there from the start, and filled when their time has come.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Mapping
from types import CellType
from typing import Any

from ..state import snapshot
from . import environment
from .lost import Name, Needs, Outside
from .put_off import PutOff, put_on
from .unstaged import MISSING, NamingReader

MARK = b"staged:"
"""What the record begins with if it has stages."""


class _Names:
    """The names in a staged record: those of managers, and of the variables."""

    def __init__(self, outside: Outside, cells: Mapping[int, int]) -> None:
        self._outside, self._cells = outside, cells

    def __call__(self, obj: Any) -> Any:
        if type(obj) is CellType and id(obj) in self._cells:
            return self._cells[id(obj)]
        return self._outside(obj)


def dumps(shared: Mapping[int, Any], outside: Outside) -> tuple[bytes, dict[int, Any], dict[int, int]]:
    """Save objects by their numbers.

    Args:
        shared: the objects.
        outside: names managers.

    Returns:
        The record; the objects in it that can change, by id; and the highest manager that each
        object needs, by number, if any needs one.
    """
    outside.used.clear()
    data, objects = snapshot.dumps_and_note(shared, {}, None if outside.is_empty else outside)
    if not outside.used:
        return data, objects, {}
    cells = {id(cell): number for number, cell in shared.items() if _is_variable(cell)}
    names = _Names(outside, cells)
    tried = PutOff(outside)
    stages = {
        number: _stage(_content(obj) if id(obj) in cells else obj, outside, names, tried)
        for number, obj in shared.items()
    }
    file = io.BytesIO()
    put_off = PutOff(outside)
    pickler = snapshot.pickler(file, names, put_off)
    facts: list[tuple[list[int], list[int]]] = []
    for stage in sorted({*stages.values(), *tried.managers()}):
        outside.used.clear()
        put_off.entered = stage
        mine = [number for number in shared if stages[number] == stage]
        part = {n: _content(obj) if id(obj := shared[n]) in cells else obj for n in mine}
        pickler.dump((part, put_off.take(stage)))
        facts.append((sorted(Needs.of(outside.used).managers), mine))
    header = json.dumps([sorted(cells.values()), facts]).encode()
    data = MARK + snapshot.sealed(len(header).to_bytes(4, "little"), header, file.getbuffer())
    noted = {**snapshot.noted(pickler), **{id(cell): cell for cell in shared.values() if id(cell) in cells}}
    reached = {number: 0 if id(shared[number]) in cells else stage for number, stage in stages.items()}
    return data, noted, reached


def _is_variable(obj: Any) -> bool:
    return type(obj) is CellType and environment.path_of(obj) is None


def _content(cell: CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _stage(value: Any, outside: Outside, names: _Names, put_off: PutOff) -> int:
    outside.used.clear()
    snapshot.pickler(io.BytesIO(), names, put_off).dump(value)
    return max(Needs.of(outside.used).managers, default=0)


class SharedReader:
    """Reads the record, as managers are entered.

    Args:
        data: the record.
        found: gives a manager, or what it gave, by its name.
        reader: reads the pickles.

    Attributes:
        objects: what was read, by number.
        numbers: the numbers in the record.
    """

    def __init__(self, data: bytes, found: Callable[[Name], Any], reader: NamingReader = snapshot.unpickler) -> None:
        self.objects: dict[int, Any] = {}
        self._left: list[tuple[list[int], list[int]]] = []
        self._cells: dict[int, CellType] = {}
        self.numbers: frozenset[int] = frozenset()
        if not data.startswith(MARK):
            objects, _ = snapshot.loads_with_cells(data, lambda file: reader(file, found))
            self.objects.update(objects)
            self.numbers = frozenset(objects)
            return
        body = snapshot.opened(data.removeprefix(MARK))
        end = 4 + int.from_bytes(body[:4], "little")
        cells, self._left = json.loads(bytes(body[4:end]))
        self.numbers = frozenset(number for _, numbers in self._left for number in numbers)
        self._cells = {number: CellType() for number in cells}
        self.objects.update(self._cells)

        def named(name: Name) -> Any:
            return self._cells[name] if isinstance(name, int) else found(name)

        self._unpickler = reader(io.BytesIO(body[end:]), named)

    def read(self, entered: Collection[int]) -> None:
        """Read what needs these managers, and no more."""
        while self._left and set(self._left[0][0]) <= set(entered):
            del self._left[0]
            objects, attributes = self._unpickler.load()
            put_on(attributes)
            for number, obj in objects.items():
                if number not in self._cells:
                    self.objects[number] = obj
                elif obj:
                    self._cells[number].cell_contents = obj[0]

    def needs(self, number: int) -> set[int]:
        """The managers that have to be there before an object is read."""
        found: set[int] = set()
        if number in self.objects:
            return found
        for managers, numbers in self._left:
            found.update(managers)
            if number in numbers:
                return found
        return found

    def managers(self) -> set[int]:
        """The managers that what is left needs."""
        return {manager for managers, _ in self._left for manager in managers}


def look(data: bytes, reader: NamingReader = snapshot.unpickler) -> dict[int, Any]:
    """The objects in a record, to look at."""
    found = SharedReader(data, lambda name: MISSING, reader)
    found.read(found.managers())
    return found.objects
