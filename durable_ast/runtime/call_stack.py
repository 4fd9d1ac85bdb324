"""The call stack of an instance: one `FunctionCall` for each live frame, outermost first.

These are records, not frames.  A running instance has real coroutines that await each other; the
records are what a checkpoint takes from them, and what they are built from again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CellType, MappingProxyType
from typing import Any, TypeAlias

from ..compiler.managers import Manager
from ..compiler.source import FunctionKey
from ..compiler.table import CodeBlock
from ..state import snapshot
from .appended import AppendedBlock
from .functions import function_of
from .generators import Later, flying

Waiting: TypeAlias = "tuple[Any, ...]"
"""What the innermost call waits for, as a tag and its arguments (see `leaves`)."""

NOTHING: Waiting = ("start",)


class FunctionCall:
    """One live call of a durable function.

    Args:
        fn: the function called.
        kwargs: its arguments by name.

    A call that is pushed onto a stack can be given more code with `append_code_block`, before it runs
    and while it does.

    Attributes:
        key: which function it is, in every process.
        version: the version of its code.
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
        compiled = function_of(function.__code__, function.__globals__).compiled
        self.key: FunctionKey = compiled.key
        self.version: str = compiled.version
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
        key: FunctionKey,
        version: str,
        block: int,
        locals: dict[str, Any],
        cells: dict[str, CellType],
        is_step: bool,
    ) -> FunctionCall:
        """A record of these facts."""
        call = cls.__new__(cls)
        call.key, call.version, call.block = key, version, block
        call.locals, call.cells, call.is_step = locals, cells, is_step
        return call

    def visible_locals(self) -> dict[str, Any]:
        """The locals that the user's text names."""
        shared = {name: cell.cell_contents for name, cell in self.cells.items() if _is_full(cell)}
        every = {**self.locals, **shared}
        return {name: value for name, value in every.items() if not name.startswith((".", "__"))}

    def to_state(
        self, locals: dict[str, Any] | None = None, cells: dict[str, CellType] | None = None
    ) -> tuple[Any, ...]:
        """The record as a tuple of plain values, with its own locals and cells or with others."""
        key = self.key
        locals = self.locals if locals is None else locals
        cells = self.cells if cells is None else cells
        state = key.module, key.qualname, key.ordinal, self.version, self.block, locals, cells, self.is_step
        return state if self.generator is None else (*state, self.generator, self.later)

    @classmethod
    def from_state(cls, state: tuple[Any, ...]) -> FunctionCall:
        """The record in such a tuple."""
        module, qualname, ordinal, version, block, locals, cells, is_step, *flying = state
        call = cls.captured(FunctionKey(module, qualname, ordinal), version, block, locals, cells, is_step)
        if flying:
            call.generator, call.later = flying
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
    """The calls of one line of execution, what the innermost waits for, and the exceptions that are
    being handled, outermost first.

    >>> stack = CallStack()
    >>> stack.is_empty(), stack.peek()
    (True, None)
    """

    __slots__ = ("flights", "last_result", "stack", "waiting")

    def __init__(
        self,
        calls: Iterable[FunctionCall] = (),
        waiting: Waiting = NOTHING,
        flights: Iterable[BaseException] = (),
    ) -> None:
        self.stack: list[FunctionCall] = list(calls)
        self.waiting = waiting
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
        with flying({id(call.generator): state[:7] + state[9:] for call, state in zip(self.stack, calls, strict=True)
                     if call.generator is not None}):  # fmt: skip
            return snapshot.dumps_with_cells((self.waiting, calls, self.flights), spare)

    @classmethod
    def from_bytes(cls, data: bytes) -> CallStack:
        """The stack in a snapshot."""
        (waiting, states, flights), spare = snapshot.loads_with_cells(data)
        calls = [FunctionCall.from_state(state) for state in states]
        for (index, name), cell in spare.items():
            calls[index].cells[name] = cell
        return cls(calls, waiting, flights)

    def to_state(self) -> dict[str, Any]:
        """The stack as a dictionary of plain values."""
        return {"call_stack": self.to_bytes()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> CallStack:
        """The stack in such a dictionary."""
        return cls.from_bytes(state["call_stack"])
