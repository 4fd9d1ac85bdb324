"""The call stack of an instance: one `FunctionCall` for each live frame, outermost first.

These are records, not frames.  A running instance has real coroutines that await each other; the
records are what a checkpoint takes from them, and what they are built from again.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import CellType, MappingProxyType
from typing import Any, TypeAlias

from ..compiler.code_block import CodeBlock
from ..compiler.compiled import Manager
from ..compiler.source import FunctionKey
from ..state import snapshot
from ..state.pieces import Lists, Pieces
from .appended import AppendedBlock
from .functions import function_of, key_of
from .generators import Later, flying
from .variables import Variables

Waiting: TypeAlias = "tuple[Any, ...]"
"""What the innermost call waits for, as a tag and its arguments (see `leaves`)."""

FrameState: TypeAlias = "tuple[Any, ...]"
"""A frame as a checkpoint holds it: reference, block and locals; then, as far as there is something to
say, its cells, whether its end is a checkpoint, and the async generator whose frame it is."""

_FEW = 100
"""Dicts of more items are not searched for large lists."""

_NOTHING_MORE: FrameState = (None, None, None, None, False, None, None)

NOTHING: Waiting = ("start",)


def stack_to_bytes(
    waiting: Waiting, frames: list[FrameState], steps: int, flights: Sequence[BaseException], variables: Variables
) -> bytes:
    """A call stack as one object graph."""
    if flights or variables:
        return snapshot.dumps((waiting, frames, steps, flights, variables))
    return snapshot.dumps((waiting, frames, steps))


def stack_in_pieces(
    waiting: Waiting,
    frames: list[FrameState],
    steps: int,
    flights: Sequence[BaseException],
    variables: Variables,
    lists: Lists,
) -> bytes | Pieces:
    """The same for a large one, of which only what has changed is looked at."""
    outer = (*waiting[1:], *(value for state in frames for value in state[2].values()))
    candidates = itertools.chain(outer, *map(_held_by, outer))
    return snapshot.dumps_in_pieces((waiting, frames, steps, flights, variables), candidates, lists)


def _held_by(value: Any) -> Iterable[Any]:
    """What a small dict or an object holds: a large list is often an attribute."""
    try:
        held = value if type(value) is dict else object.__getattribute__(value, "__dict__")
    except Exception:
        return ()  # it has none, or stands for an object that is not there
    return held.values() if type(held) is dict and len(held) <= _FEW else ()


class FunctionCall:
    """One live call of a durable function.

    Args:
        fn: the function called.
        kwargs: its arguments by name.

    A call that is pushed onto a stack can be given more code with `append_code_block`, before it runs
    and while it does.

    Attributes:
        ref: which function it is, in every process, and the version of its code.
        block: the number of the code block it is in; 0 before it has started.
        locals: its live locals, or its arguments while `block` is 0.
        cells: the variables it shares with other functions.
        is_step: whether its end is a checkpoint, as the end of a step is.
        generator: the async generator whose frame it is, if it is one's.
        later: takes what such a frame awaits, when it is rebuilt.
        blocks: the code that is left to run, of a call that was pushed.
        spare_cells: variables it shares and will not read; they matter if another function has them.
        managers: the context managers that are entered, outermost first.
        entered: what they gave on entering, by the local that holds them.
        operands: the values that entering them again takes.
    """

    generator: Any = None
    later: Later | None = None
    blocks: tuple[AppendedBlock, ...] = ()
    spare_cells: Mapping[str, CellType] = MappingProxyType({})
    managers: tuple[Manager, ...] = ()
    entered: Mapping[str, Any] = MappingProxyType({})
    operands: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, fn: Callable[..., Any], kwargs: Mapping[str, Any] | None = None) -> None:
        function = getattr(fn, "fn", fn)
        compiled = function_of(function.__code__, function.__globals__)
        self.ref = compiled.ref
        self.block = 0
        self.locals: dict[str, Any] = dict(kwargs or {})
        closure = function.__closure__ or ()
        self.cells: dict[str, CellType] = dict(zip(function.__code__.co_freevars, closure, strict=True))
        self.is_step = False
        self.blocks = (AppendedBlock(function),)

    def append_code_block(self, block: CodeBlock) -> None:
        """Add a block to the end of the call.

        Its code sees the call's locals, and is saved with the instance.  A call that has ended takes
        no more.

        >>> async def first(a):
        ...     b = a + 1
        >>> async def second():
        ...     return b * 2
        >>> from durable_ast import CodeBlock
        >>> call = FunctionCall(first, {"a": 1})
        >>> call.append_code_block(CodeBlock(second))
        >>> len(call.blocks)
        2
        """
        if block.fn is None:
            raise TypeError("a block to append needs its code: CodeBlock(function)")
        self.blocks += (AppendedBlock(block.fn),)

    @classmethod
    def captured(
        cls,
        ref: str,
        block: int,
        locals: dict[str, Any],
        cells: dict[str, CellType],
        is_step: bool,
    ) -> FunctionCall:
        """A record of these facts."""
        call = cls.__new__(cls)
        call.ref, call.block = ref, block
        call.locals, call.cells, call.is_step = locals, cells, is_step
        return call

    @property
    def key(self) -> FunctionKey:
        """Which function it is."""
        return key_of(self.ref)

    def visible_locals(self) -> dict[str, Any]:
        """The locals that the user's text names."""
        shared = {name: cell.cell_contents for name, cell in self.cells.items() if _is_full(cell)}
        every = {**self.locals, **shared}
        return {name: value for name, value in every.items() if not name.startswith((".", "__"))}

    def to_state(self, locals: dict[str, Any] | None = None, cells: dict[str, CellType] | None = None) -> FrameState:
        """The record as a tuple of plain values, with its own locals and cells or with others."""
        locals = self.locals if locals is None else locals
        cells = self.cells if cells is None else cells
        if self.generator is not None:
            return self.ref, self.block, locals, cells, self.is_step, self.generator, self.later
        if cells or self.is_step:
            return self.ref, self.block, locals, cells, self.is_step
        return self.ref, self.block, locals

    @classmethod
    def from_state(cls, state: FrameState) -> FunctionCall:
        """The record in such a tuple."""
        ref, block, locals, cells, is_step, generator, later = state + _NOTHING_MORE[len(state) :]
        call = cls.captured(ref, block, locals, cells or {}, is_step)
        if generator is not None:
            call.generator, call.later = generator, later
        return call

    def __repr__(self) -> str:
        return f"<FunctionCall {self.key} block {self.block}>"


def _is_full(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


class CallStack:
    """The calls of one line of execution, what the innermost waits for, the exceptions that are being
    handled, outermost first, how many steps were taken, and the context variables.

    >>> stack = CallStack()
    >>> stack.is_empty(), stack.peek()
    (True, None)
    """

    __slots__ = ("flights", "last_result", "stack", "steps", "variables", "waiting")

    def __init__(
        self,
        calls: Iterable[FunctionCall] = (),
        waiting: Waiting = NOTHING,
        flights: Iterable[BaseException] = (),
        steps: int = 0,
        variables: Variables = (),
    ) -> None:
        self.stack: list[FunctionCall] = list(calls)
        self.waiting = waiting
        self.steps = steps
        self.variables = variables
        self.flights = list(flights)
        self.last_result: Any = None

    def is_empty(self) -> bool:
        """Whether nothing is being called."""
        return not self.stack

    def peek(self) -> FunctionCall | None:
        """The innermost call."""
        return self.stack[-1] if self.stack else None

    def push(self, call: FunctionCall) -> None:
        """Put a call on top."""
        self.stack.append(call)

    def pop(self) -> FunctionCall:
        """Take the innermost call off."""
        return self.stack.pop()

    def __len__(self) -> int:
        return len(self.stack)

    def __iter__(self) -> Iterator[FunctionCall]:
        return iter(self.stack)

    def to_bytes(self) -> bytes:
        """The whole stack as one object graph."""
        calls = [call.to_state() for call in self.stack]
        spare = {
            (index, name): cell for index, call in enumerate(self.stack) for name, cell in call.spare_cells.items()
        }
        # rebuilding a generator takes the same facts as rebuilding its frame
        with flying({id(call.generator): (*state[:4], state[6]) for call, state in zip(self.stack, calls, strict=True)
                     if call.generator is not None}):  # fmt: skip
            if spare:
                return snapshot.dumps_with_cells((self.waiting, calls, self.steps, self.flights, self.variables), spare)
            return stack_to_bytes(self.waiting, calls, self.steps, self.flights, self.variables)

    @classmethod
    def from_bytes(cls, data: bytes, reader: snapshot.Reader = pickle.Unpickler) -> CallStack:
        """The stack in a snapshot."""
        (waiting, states, steps, *more), spare = snapshot.loads_with_cells(data, reader)
        calls = [FunctionCall.from_state(state) for state in states]
        for (index, name), cell in spare.items():
            calls[index].cells[name] = cell
        flights, variables = more or ((), ())
        return cls(calls, waiting, flights, steps, variables)

    def to_state(self) -> dict[str, Any]:
        """The stack as a dictionary of plain values."""
        return {"call_stack": self.to_bytes()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> CallStack:
        """The stack in such a dictionary."""
        return cls.from_bytes(state["call_stack"])
