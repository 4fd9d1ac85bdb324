"""Generators and coroutines that a frame holds: saved where they stand, rebuilt there.

They run as the user wrote them, uncompiled.  A suspended one is read from outside: its variables, and
the iterators, managers and exceptions on its value stack (see `compiler.value_stack`).  Only to go on
in another process it is compiled, to a re-entry twin.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from types import (
    AsyncGeneratorType,
    CellType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
)
from typing import Any, TypeAlias

from ..compiler.names import BLOCK, CELLS
from ..compiler.value_stack import has_suspended
from ..errors import NoSourceCodeException
from ..state.snapshot import Reduced, register
from .discard import discard
from .functions import Function, arguments, function_of, function_of_frame, resolve

Generator: TypeAlias = "GeneratorType[Any, Any, Any] | CoroutineType[Any, Any, Any] | AsyncGeneratorType[Any, Any]"

_PREFIX = {GeneratorType: "gi", CoroutineType: "cr", AsyncGeneratorType: "ag"}

saved: list[Generator] = []
"""The suspended ones that were saved since this was last cleared."""

_looked_at: list[Generator] | None = None
"""The ones that were rebuilt only to be looked at; None while all are meant to go on."""


_flying: dict[int, tuple[Any, ...]] = {}
"""The async generators whose frames belong to the call stack that is being saved, by id: how to
rebuild each."""


@contextlib.contextmanager
def flying(generators: dict[int, tuple[Any, ...]]) -> Iterator[None]:
    """Inside, these running async generators can be saved: they are frames of the call stack."""
    _flying.update(generators)
    try:
        yield
    finally:
        _flying.clear()


@contextlib.contextmanager
def only_looking() -> Iterator[None]:
    """What is rebuilt inside is never run: dropping it runs nothing either."""
    global _looked_at
    rebuilt: list[Generator] = []
    _looked_at = rebuilt
    try:
        yield
    finally:
        _looked_at = None
        for generator in rebuilt:
            discard(generator)


def _rebuilt(generator: Any) -> Any:
    if _looked_at is not None:
        _looked_at.append(generator)
    return generator


def register_all() -> None:
    """Let snapshots save generators and coroutines."""
    for kind in _PREFIX:
        register(kind, reduce_generator)


def _of(generator: Generator, name: str) -> Any:
    """``gi_frame``, ``cr_frame`` or ``ag_frame``, and so on."""
    return getattr(generator, f"{_PREFIX[type(generator)]}_{name}")


# saving


def reduce_generator(generator: Generator) -> Reduced:
    """What the pickler saves for a generator or coroutine."""
    frame: FrameType | None = _of(generator, "frame")
    code: CodeType = _of(generator, "code")
    if frame is None:
        return _ended, (_PREFIX[type(generator)], generator.__name__, generator.__qualname__)
    if id(generator) in _flying:
        return _rebuild_flying, _flying[id(generator)]
    if _of(generator, "running"):
        if type(generator) is CoroutineType:  # a frame awaits it, and nobody else can do anything with it
            return _ended, ("cr", generator.__name__, generator.__qualname__)
        raise TypeError(f"cannot save {generator.__qualname__}(): it is running")
    if not is_started(generator):
        return _reduce_unstarted(generator, frame, code)
    saved.append(generator)
    function = function_of_frame(code)
    if function is not None:
        state = _compiled_state(function, frame)
    else:
        function = _compiled(generator, frame, code)
        from .uncompiled import plain_state  # with it comes the compiler

        state = plain_state(function, generator, frame, code)
    block, locals, cells = state
    child = _of(generator, "yieldfrom" if type(generator) is GeneratorType else "await")
    return _rebuild, (function.ref, block, locals, cells, child, _names(generator))


def frame_of(generator: Generator) -> FrameType:
    """The frame of a generator that has not ended."""
    frame: FrameType = _of(generator, "frame")
    return frame


def is_started(generator: Generator) -> bool:
    """Whether a generator that has not ended has been started."""
    if type(generator) is not AsyncGeneratorType:
        return bool(_of(generator, "suspended") or _of(generator, "running"))
    frame = frame_of(generator)  # `ag_suspended` is new in Python 3.12
    return generator.ag_running or has_suspended(frame.f_code, frame.f_lasti)


def _reduce_unstarted(generator: Generator, frame: FrameType, code: CodeType) -> Reduced:
    function = closure_of(generator)
    known = function_of_frame(code)
    positional, keywords = arguments(code, frame.f_locals)
    if known is not None:
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        own = {name: cell for name, cell in cells.items() if not name.startswith(".")}
        return _start, (known.ref, positional, keywords, own, _names(generator))
    return _call, (function, positional, keywords, _names(generator))


def _names(generator: Generator) -> Names:
    return generator.__name__, generator.__qualname__


def closure_of(generator: Generator) -> FunctionType:
    """The function whose call made a generator or coroutine; its frame holds on to it."""
    code = _of(generator, "code")
    for held in gc.get_referents(generator):
        if type(held) is FunctionType and held.__code__ is code:
            return held
    raise TypeError(f"the function of {generator!r} cannot be found")


def _compiled(generator: Generator, frame: FrameType, code: CodeType) -> Function:
    try:
        return function_of(code, frame.f_globals)
    except NoSourceCodeException as error:
        raise TypeError(f"cannot save {generator.__qualname__}(): {error}") from error


Names: TypeAlias = tuple[str, str]
"""The name and qualified name of a generator, which may be others than those of its function."""

State: TypeAlias = tuple[int, dict[str, Any], dict[str, CellType]]


def _compiled_state(function: Function, frame: FrameType) -> State:
    values = frame.f_locals
    block = values[BLOCK]
    compiled = function.compiled
    live = compiled.live[block].locals
    cells = dict(zip(compiled.cells, values[CELLS], strict=True)) if compiled.cells else {}
    return block, {name: values[name] for name in live if name in values}, cells


# rebuilding


class _Primed:
    """What is delegated to, behind one value that only shows that it has been reached."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._reached = False

    def __iter__(self) -> _Primed:
        return self

    __await__ = __iter__

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """Go on with what is delegated to."""
        if not self._reached:
            self._reached = True
            return PRIMED
        return next(self.inner) if value is None else self.inner.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise in what is delegated to."""
        throw = getattr(self.inner, "throw", None)
        if throw is None:
            raise error[-1]
        return throw(*error)

    def close(self) -> None:
        """Close what is delegated to."""
        close = getattr(self.inner, "close", None)
        if close is not None:
            close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)  # whoever looks at what is delegated to sees that

    def __reduce__(self) -> Reduced:
        return _delegate, (self.inner,)


def delegated(awaited: Any) -> Any:
    """What is awaited, without what shows that it has been reached."""
    while type(awaited) is _Primed:
        awaited = awaited.inner
    return awaited


PASSES_ON = frozenset(function.__code__ for function in (_Primed.__next__, _Primed.send, _Primed.throw))
"""The code of functions of ours that may run between two frames of a branch."""


def _delegate(inner: Any) -> _Primed:
    """A rebuilt delegation that is saved again: it has been reached already."""
    primed = _Primed(inner)
    primed._reached = True
    return primed


class Mark:
    """What a rebuilt generator yields when it has reached its place."""

    def __reduce__(self) -> str:
        return "PRIMED"


PRIMED = Mark()


def _rebuild(
    ref: str,
    block: int,
    locals: dict[str, Any],
    cells: dict[str, CellType],
    child: Any,
    names: Names,
) -> Any:
    """A generator or coroutine that stands where the saved one stood."""
    function = resolve(ref, block, {*locals, *cells})
    if isinstance(child, _Primed):
        child = child.inner
    awaited = PRIMED if child is None else _Primed(child)
    generator: Any = function.twin(block, locals, cells, awaited)
    generator.__name__, generator.__qualname__ = names
    if isinstance(generator, AsyncGeneratorType):
        try:
            reached = generator.asend(None).send(None)
        except StopIteration as stop:
            reached = stop.value
    else:
        reached = generator.send(None)
    if reached is not PRIMED:
        raise RuntimeError(f"{names[1]}() did not reach its place when it was rebuilt")
    return _rebuilt(generator)


class Later:
    """What the saved point of a frame awaits, when that is made after the frame."""

    def __init__(self) -> None:
        self.value: Any = None

    def __reduce__(self) -> Reduced:
        return Later, ()


def _rebuild_flying(
    ref: str,
    block: int,
    locals: dict[str, Any],
    cells: dict[str, CellType],
    later: Later,
) -> Any:
    """An async generator that will go on to its place when its next item is asked for."""
    function = resolve(ref, block, {*locals, *cells})
    generator: Any = function.twin(block, locals, cells, later)
    return _rebuilt(generator)


def _call(function: FunctionType, positional: list[Any], keywords: dict[str, Any], names: Names) -> Any:
    generator = function(*positional, **keywords)
    generator.__name__, generator.__qualname__ = names
    return _rebuilt(generator)


def _start(
    ref: str,
    positional: list[Any],
    keywords: dict[str, Any],
    cells: dict[str, CellType],
    names: Names,
) -> Any:
    function = resolve(ref)
    generator = function.with_cells(cells)(*positional, **keywords)
    generator.__name__, generator.__qualname__ = names
    return _rebuilt(generator)


def _ended(kind: str, name: str, qualname: str) -> Any:
    """One that has ended."""
    made: Any
    if kind == "gi":
        made = (_ for _ in ())
        next(made, None)
    elif kind == "cr":
        made = _nothing()
        made.close()
    else:
        made = _no_items()
        with contextlib.suppress(StopAsyncIteration):
            made.asend(None).send(None)
    made.__name__, made.__qualname__ = name, qualname
    return made


async def _nothing() -> None: ...


async def _no_items() -> Any:
    return
    yield
