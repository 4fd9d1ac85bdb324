"""Frames into records, and records into frames.

Capture reads the frames from outside, while the innermost one waits; nothing is paid for it on the
way.  Restore builds the coroutines from the inside out: each twin gets the next inner one as what
its saved point awaits.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from types import CodeType, CoroutineType, FrameType, FunctionType
from typing import Any

from ..compiler.names import BLOCK, CELLS
from .call_stack import FunctionCall
from .functions import Frame, Function, arguments, function_of_frame, resolve
from .generators import Later

_CLEARS_LOCALS = sys.version_info < (3, 13)


def capture(frame: FrameType | None, driver: CodeType, step: CodeType, advance: CodeType) -> list[FunctionCall]:
    """The calls whose frames lie between `frame` and the driver, outermost first.

    Args:
        frame: the innermost frame.
        driver: the code of the function that drives the outermost one.
        step: the code of the wrapper around a frame that ends in a checkpoint.
        advance: the code of the function that asks an async generator for an item.
    """
    calls: list[FunctionCall] = []
    while frame is not None and frame.f_code is not driver:
        code = frame.f_code
        function = function_of_frame(code)
        if function is not None:
            calls.append(_captured(function, frame))
        elif code is step and calls:
            calls[-1].is_step = True
        elif code is advance and calls:
            call = calls[-1]
            call.generator, call.later = frame.f_locals["generator"], Later()
            call.cells = {**call.cells, **call.spare_cells}  # it is rebuilt before these could be sorted out
            call.spare_cells = {}
        frame = frame.f_back
    calls.reverse()
    return calls


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
    else:
        cells, spare = {}, {}
    call = FunctionCall.captured(compiled.key, compiled.version, block, locals, cells, False)
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
    return FunctionCall.captured(function.key, function.compiled.version, 0, locals, cells, False)


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
    for call in reversed(calls):
        if call.generator is not None:
            assert call.later is not None
            call.later.value = child
            child = advance(call.generator)
            continue
        child = _frame(call, child)
        if call.is_step:
            child = as_step(child)
    frame: Frame = child
    return frame


def _frame(call: FunctionCall, child: Any) -> Frame:
    function = resolve(call.key, call.version)
    if call.block:
        return function.twin(call.block, call.locals, call.cells, child)
    code = function.compiled.code
    positional, keywords = arguments(code, call.locals)
    frame: Frame = function.with_cells(call.cells)(*positional, **keywords)
    return frame
