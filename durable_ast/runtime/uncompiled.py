"""A suspended generator that runs uncompiled, read from outside.

Its variables can be asked for.  The iterators, managers and exceptions that CPython keeps on its value
stack are among the objects that the garbage collector visits, in the order of the slots; the compiler
knows what each slot is there for (see `compiler.value_stack`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import CellType, CodeType, FrameType
from typing import TYPE_CHECKING, Any

from ..compiler.constructs import Around, InAsyncWith, InFinal, InHandler, InLoop, InManager, InTurn
from ..compiler.kinds import Leaving, PointKind
from ..compiler.lowered import Point
from ..compiler.names import OPERAND
from ..compiler.value_stack import Slot, position_at, stacks, suspended_at, yields_itself
from .functions import Function

if TYPE_CHECKING:
    from .generators import Generator, State


def plain_state(function: Function, generator: Generator, frame: FrameType, code: CodeType) -> State:
    """The state of a generator that runs uncompiled."""
    offset = suspended_at(code, frame.f_lasti)
    point = _point(function, code, offset)
    values = dict(frame.f_locals)
    held = _held(generator, code)
    cells, used = _cells(code, values, held)
    slots = list(stacks(code)[offset][:-1])  # without the value that was yielded
    if point.kind is not PointKind.YIELD:
        slots.pop()  # what is delegated to
    if slots and code.co_name == "<genexpr>":
        slots[0] = Slot.ITERATOR
    on_stack, error = _matched(generator, slots, held[used:])
    compiled = function.compiled
    hidden = _hidden(
        generator, slots, on_stack, error, compiled.constructs[point.number], compiled.live[point.number].locals
    )
    known = {**values, **hidden}
    locals = {name: known[name] for name in compiled.live[point.number].locals if name in known}
    return point.number, locals, {name: cells[name] for name in compiled.cells}


def _point(function: Function, code: CodeType, offset: int) -> Point:
    itself = yields_itself(code, offset)
    points = [point for point in function.compiled.lowered.points if (point.kind is PointKind.YIELD) is itself]
    line, end_line, column, end_column = position_at(code, offset)
    for point in points:
        place = point.origin
        where = (place.lineno, place.end_lineno, place.col_offset, place.end_col_offset)  # type: ignore[attr-defined]
        if where == (line, end_line, column, end_column):
            return point
    if itself and len(points) == 1:
        return points[0]  # that of a generator expression may have another place
    raise TypeError(f"cannot save {code.co_qualname}(): it stands where its source has no point, in line {line}")


def _held(generator: Generator, code: CodeType) -> list[Any]:
    """The objects in the slots of a frame: variables, cells, value stack, handled exception."""
    held = gc.get_referents(generator)
    last = max(index for index, obj in enumerate(held) if obj is code)
    return held[last + 1 :]


def _cells(code: CodeType, values: dict[str, Any], held: list[Any]) -> tuple[dict[str, CellType], int]:
    """The cells among the held objects, and how many of these are variables."""
    shared = {*code.co_cellvars, *code.co_freevars}
    order = [*code.co_varnames, *(name for name in code.co_cellvars if name not in code.co_varnames), *code.co_freevars]
    cells: dict[str, CellType] = {}
    used = 0
    for name in order:
        if name in shared:
            cells[name] = held[used]
            used += 1
        elif name in values:
            used += 1
    return cells, used


def _matched(generator: Generator, slots: list[Slot], held: list[Any]) -> tuple[list[Any], Any]:
    """The object in each slot, and the exception that is being handled."""
    empty = {Slot.NULL}  # nothing is visited for an empty slot
    if len(held) < len(slots) - slots.count(Slot.NULL):
        empty |= {Slot.EXIT_OWNER, Slot.SELF}  # these may be empty
    objects = iter(held)
    try:
        on_stack = [None if slot in empty else next(objects) for slot in slots]
    except StopIteration:
        raise TypeError(f"cannot save {generator.__qualname__}(): its value stack cannot be read") from None
    rest = list(objects)
    if len(rest) > 1:
        raise TypeError(f"cannot save {generator.__qualname__}(): its value stack cannot be read")
    return on_stack, rest[0] if rest else None


def _hidden(
    generator: Generator, slots: list[Slot], on_stack: list[Any], error: Any, around: Around, live: tuple[str, ...]
) -> dict[str, Any]:
    """The values of the twin's hidden locals, which in the plain generator lie on its value stack."""
    hidden: dict[str, Any] = {}
    previous = [obj for slot, obj in zip(slots, on_stack, strict=True) if slot is Slot.PREVIOUS]
    handled: Iterator[Any] = iter([*previous[1:], error])
    stack = list(zip(slots, on_stack, strict=True))

    def take(*wanted: Slot) -> list[Any]:
        taken = []
        for slot in wanted:
            if not stack or stack[0][0] is not slot:
                raise TypeError(f"cannot save {generator.__qualname__}(): it stands in the middle of an expression")
            taken.append(stack.pop(0)[1])
        return taken

    def manager() -> Any:
        (leave,) = take(Slot.EXIT)
        owner = take(Slot.EXIT_OWNER)[0] if stack and stack[0][0] is Slot.EXIT_OWNER else None
        return owner if owner is not None else leave.__self__

    for construct in around:
        match construct:
            case InLoop(iterator=name):
                (hidden[name],) = take(Slot.ITERATOR)
            case InTurn(going=going, iterator=iterator):
                hidden[going] = True
                if iterator is not None:
                    (hidden[iterator],) = take(Slot.ITERATOR)
            case InManager(manager=name):
                hidden[name] = manager()
            case InAsyncWith(manager=name, unfailed=unfailed):
                hidden[name], hidden[unfailed] = manager(), True
            case InHandler(error=name):
                take(Slot.PREVIOUS)
                hidden[name] = next(handled)
            case InFinal(completion=completion):
                if [slot for slot, _ in stack[:2]] == [Slot.PREVIOUS, Slot.EXCEPTION]:
                    take(Slot.PREVIOUS, Slot.EXCEPTION)
                    hidden[completion.kind], hidden[completion.error] = int(Leaving.RAISE), next(handled)
                elif completion.exits:
                    raise TypeError(f"cannot save {generator.__qualname__}(): it is leaving through a finally")
                else:
                    hidden[completion.kind] = int(Leaving.NORMAL)
    operands = [name for name in live if name.startswith(OPERAND)]
    values = _operands(stack)
    if len(values) != len(operands) or any(slot is Slot.PARTIAL for slot, _ in stack):
        raise TypeError(f"cannot save {generator.__qualname__}(): it stands in the middle of an expression")
    hidden.update(zip(operands, values, strict=True))
    return hidden


def _operands(stack: list[tuple[Slot, Any]]) -> list[Any]:
    """Operands on the value stack; a method and its object are one."""
    values: list[Any] = []
    for slot, obj in stack:
        if slot is Slot.SELF and obj is not None:
            values[-1] = values[-1].__get__(obj)
        elif slot not in (Slot.NULL, Slot.SELF):
            values.append(obj)
    return values
