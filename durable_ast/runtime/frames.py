"""Frames into records, and records into frames.

Capture reads the frames from outside, while the innermost one waits; nothing is paid for it on the
way.  Restore builds the coroutines from the inside out: each twin gets the next inner one as what
its saved point awaits.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import CodeType, CoroutineType, FrameType, FunctionType
from typing import Any

from ..compiler.constructs import InFinal, InHandler
from ..compiler.kinds import Leaving
from ..compiler.names import BLOCK, CELLS, is_hidden
from ..errors import CodeChangedError, NotPersistableError
from .call_stack import FrameState, FunctionCall
from .environment import path_of
from .functions import LASTI_AFTER_SEND, SEND, Frame, Function, arguments, frames, function_of_frame, resolve
from .generators import PASSES_ON, Later, closure_of, delegated
from .migrations import migrated

_CLEARS_LOCALS = sys.version_info < (3, 13)


@dataclass(frozen=True, slots=True)
class Wrappers:
    """The code of the functions of ours that run between the frames of a branch.

    Attributes:
        driver: drives the outermost frame.
        step: around a frame whose end is a checkpoint.
        advance: ask an async generator for an item, or raise an error in it.
    """

    driver: CodeType
    step: CodeType
    advance: tuple[CodeType, ...]


class DrivenByHandError(NotPersistableError):
    """There are frames between those of a branch that are none of ours."""

    def __init__(self, filename: str, line: int, what: str) -> None:
        super().__init__(f"{filename}:{line}: {what}; await it instead")
        self.filename, self.line, self.what = filename, line, what

    def __reduce__(self) -> Any:
        return type(self), (self.filename, self.line, self.what)


def capture_plain(frame: FrameType | None, driver: CodeType) -> list[FrameState] | None:
    """The states of the frames up to the driver, outermost first, where they have locals only and
    await each other; None if there is more to them."""
    states: list[FrameState] = []
    while frame is not None:
        code = frame.f_code
        known = frames.get(id(code))
        if known is None:
            if code is not driver:
                return None
            states.reverse()
            return states
        if known.bytecode[frame.f_lasti - LASTI_AFTER_SEND] != SEND:
            return None
        function = known.function
        values = frame.f_locals
        block = values[BLOCK]
        try:
            live = function.plain_live[block]
        except KeyError:
            live = function.note_block(block)
        if live is None:
            return None
        states.append((function.ref, block, {name: values[name] for name in live if name in values}))
        if _CLEARS_LOCALS:
            values.clear()  # the dictionary stays with the frame and would keep the objects alive
        frame = frame.f_back
    return None


def capture(frame: FrameType | None, wrappers: Wrappers) -> list[FunctionCall]:
    """The calls whose frames lie between `frame` and the driver, outermost first.

    Raises:
        DrivenByHandError: there are frames between them that are none of ours.
    """
    calls: list[FunctionCall] = []
    innermost = frame
    while frame is not None and frame.f_code is not wrappers.driver:
        code = frame.f_code
        known = frames.get(id(code))
        if known is not None:
            if not known.is_awaiting(frame):
                raise _foreign(innermost, frame)
            calls.append(_captured(known.function, frame))
        elif code is wrappers.step and calls:
            calls[-1].is_step = True
        elif code in wrappers.advance and calls:
            _flies(calls[-1], frame.f_locals["generator"])
        elif code not in PASSES_ON:
            raise _foreign(innermost, frame)
        frame = frame.f_back
    calls.reverse()
    return calls


def position_of(frame: FrameType) -> str:
    """Where a frame stands, for keys: the same when it is resumed there, in any process."""
    known = frames.get(id(frame.f_code))
    if known is None:
        return ""  # the driver
    values = frame.f_locals
    position = f"{known.function.key}:{values[BLOCK]}"
    if _CLEARS_LOCALS:
        values.clear()
    return position


def block_around(frame: FrameType | None) -> tuple[str, int] | None:
    """The durable function that a frame is of, or was called by, and the number of its code block."""
    while frame is not None:
        known = frames.get(id(frame.f_code))
        if known is not None:
            values = frame.f_locals
            number = values.get(BLOCK, 0)
            if _CLEARS_LOCALS:
                values.clear()
            return known.function.key.qualname, number
        frame = frame.f_back
    return None


def handled_in(frame: FrameType | None, driver: CodeType) -> BaseException | None:
    """The exception that user code is handling while it waits for a step, in `frame` or around it."""
    while frame is not None and frame.f_code is not driver:
        known = frames.get(id(frame.f_code))
        if known is not None:
            values = frame.f_locals
            for construct in reversed(known.function.compiled.constructs[values[BLOCK]]):
                match construct:
                    case InHandler(error=name):
                        return values.get(name)
                    case InFinal(completion=completion) if values.get(completion.kind) == Leaving.RAISE:
                        return values.get(completion.error)
        frame = frame.f_back
    return None


def capture_suspended(frame: Frame, wrappers: Wrappers) -> list[FunctionCall]:
    """The calls of a branch that waits, read from its outermost frame inwards."""
    calls: list[FunctionCall] = []
    is_step = False
    awaited: Any = frame
    while True:
        awaited = delegated(awaited)
        if type(awaited) is not CoroutineType or awaited.cr_frame is None:
            return calls
        code, suspended = awaited.cr_code, awaited.cr_frame
        known = frames.get(id(code))
        if known is not None:
            if not awaited.cr_suspended:
                calls.append(_unstarted(known.function, awaited))
                return calls
            call = _captured(known.function, suspended)
            inner = awaited.cr_await
        elif code is wrappers.step:
            is_step, awaited = True, awaited.cr_await
            continue
        elif code in wrappers.advance:
            generator = suspended.f_locals["generator"]
            function = function_of_frame(generator.ag_code)
            assert function is not None
            call = _captured(function, generator.ag_frame)
            _flies(call, generator)
            inner = generator.ag_await
        else:
            return calls
        call.is_step = is_step
        calls.append(call)
        is_step, awaited = False, inner


def _unstarted(function: Function, coroutine: Frame) -> FunctionCall:
    closure = closure_of(coroutine)
    call = captured_start(function, coroutine, closure)
    call.cells = {name: cell for name, cell in call.cells.items() if not is_hidden(name)}
    return call


def _flies(call: FunctionCall, generator: Any) -> None:
    """The frame of a call is an async generator's."""
    call.generator, call.later = generator, Later()
    call.cells = {**call.cells, **call.spare_cells}  # it is rebuilt before these could be sorted out
    call.spare_cells = {}


def _foreign(innermost: FrameType | None, frame: FrameType) -> DrivenByHandError:
    name = "a durable function" if innermost is None else f"{innermost.f_code.co_qualname}()"
    return DrivenByHandError(
        frame.f_code.co_filename,
        frame.f_lineno,
        f"{name} is not awaited here but driven by {frame.f_code.co_qualname}(), and where that stands cannot be saved",
    )


def _captured(function: Function, frame: FrameType) -> FunctionCall:
    compiled = function.compiled
    values = frame.f_locals
    block = values[BLOCK]
    live = compiled.live[block]
    locals = {name: values[name] for name in live.locals if name in values}
    if compiled.cells:
        every = dict(zip(compiled.cells, values[CELLS], strict=True))
        cells = {name: every[name] for name in live.cells}
        spare = {name: every[name] for name in live.spare_cells}
        cells.update({name: cell for name, cell in spare.items() if path_of(cell) is not None})
    else:
        cells, spare = {}, {}
    call = FunctionCall.captured(function.ref, block, locals, cells, False)
    call.spare_cells = spare
    managers = compiled.managers.around.get(block)
    if managers:
        call.managers = managers
        call.entered = {m.name: values[m.entered] for m in managers if m.entered is not None and m.entered in values}
        call.operands = {name: values[name] for m in managers for name in m.reads if name in values}
    if _CLEARS_LOCALS:
        values.clear()  # the dictionary stays with the frame and would keep the objects alive
    return call


def captured_start(
    function: Function, coroutine: CoroutineType[Any, Any, Any], closure: Callable[..., Any]
) -> FunctionCall:
    """The record of a call that has not started: its arguments."""
    assert isinstance(closure, FunctionType)
    code = coroutine.cr_code
    cells = dict(zip(closure.__code__.co_freevars, closure.__closure__ or (), strict=True))
    locals = {name: value for name, value in arguments_of(coroutine).items() if name not in code.co_freevars}
    return FunctionCall.captured(function.ref, 0, locals, cells, False)


def arguments_of(coroutine: CoroutineType[Any, Any, Any]) -> dict[str, Any]:
    """The parameters of a coroutine that has not started, and their values."""
    frame = coroutine.cr_frame
    assert frame is not None
    return frame.f_locals


def restore(
    calls: list[FunctionCall],
    leaf: Any,
    as_step: Callable[[Awaitable[Any]], Any],
    advance: Callable[[Any], Any],
) -> Frame:
    """The outermost of the frames that go on where these calls stood.

    Args:
        calls: outermost first.
        leaf: what the innermost call awaits.
        as_step: wraps a frame whose end is a checkpoint.
        advance: asks an async generator for an item.
    """
    child = leaf
    try:
        for call in reversed(calls):
            child = _around(call, child, as_step, advance)
    except CodeChangedError:
        if isinstance(child, CoroutineType):
            child.close()  # nothing of it has run
        raise
    frame: Frame = child
    return frame


def _around(
    call: FunctionCall, child: Any, as_step: Callable[[Awaitable[Any]], Any], advance: Callable[[Any], Any]
) -> Any:
    """The frame of a call, which awaits `child`."""
    if call.generator is not None:
        assert call.later is not None
        call.later.value = child
        return advance(call.generator)
    frame = _frame(call, child)
    return as_step(frame) if call.is_step else frame


def _frame(call: FunctionCall, child: Any) -> Frame:
    call = migrated(call)
    function = resolve(call.ref, call.block, {*call.locals, *call.cells})
    if call.block:
        return function.twin(call.block, call.locals, call.cells, child)
    code = function.compiled.code
    positional, keywords = arguments(code, call.locals)
    frame: Frame = function.with_cells(call.cells)(*positional, **keywords)
    return frame
