"""What a user wants to become of calls that stand in code that was edited before the place where they stand.

A migration is a function of the user's that is given such a call and says with which variables, and at
which await, it goes on in the edited code.  It is asked when the checkpoint is restored; until the next
one is written it may be asked again, in another process.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeAlias, TypeVar

from ..compiler.code_objects import plain_qualname
from ..compiler.compile import find_source
from ..compiler.compiled import Compiled
from ..compiler.constructs import Construct, InAsyncWith, InFinal, InHandler, InLoop, InManager, InTurn
from ..compiler.names import is_hidden
from ..compiler.source import FunctionKey
from ..errors import CodeChangedError
from .call_stack import FunctionCall
from .functions import Function, as_it_is_now, as_it_was, may_move


@dataclass(frozen=True, slots=True)
class OldCall:
    """A call that stands in code that was edited.

    Attributes:
        function: the qualified name of its function.
        source: the text that it was started with; None if the store does not have it.
        awaits: what it waits for, as `explain` shows it; empty if it has not begun, or without that text.
        locals: its variables, as far as they were saved; its arguments if it has not begun.
    """

    function: str
    source: str | None
    awaits: str
    locals: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GoOn:
    """How a call goes on in the edited code.

    Attributes:
        locals: its variables there; its arguments if it has not begun.
        at: what it waits for there, as text (``"pay(total)"``) or as the number that `explain` shows;
            None for what reads as it did.
    """

    locals: Mapping[str, Any]
    at: str | int | None = None


Migration: TypeAlias = Callable[[OldCall], GoOn | None]

M = TypeVar("M", bound=Migration)

_registered: list[tuple[FunctionType, Migration]] = []
_by_key: dict[FunctionKey, Migration] = {}


def migrate(function: Callable[..., Any]) -> Callable[[M], M]:
    """A decorator for what brings calls of a function over to its edited text.

    It is asked for each call that stands behind a place that was edited, when its instance goes on.
    It gives a `GoOn`, or None where the call shall do what it does without a migration: finish in the
    text that it was started with, or be refused.

    Args:
        function: the durable function, as it is now.

    Raises:
        TypeError: it is not a function that was written as ``async def``.

    >>> async def pay(cents, currency):
    ...     return await charge(cents, currency)
    >>> @migrate(pay)
    ... def with_currency(call: OldCall) -> GoOn | None:
    ...     return GoOn({**call.locals, "currency": "EUR"}, at="charge(cents, currency)")
    """
    inner = getattr(function, "fn", function)
    inner = getattr(inner, "__func__", inner)
    if not isinstance(inner, FunctionType) or not inspect.iscoroutinefunction(inner):
        raise TypeError(f"@migrate(function) needs an async function, not {function!r}")

    def register(migration: M) -> M:
        _registered.append((inner, migration))
        return migration

    return register


def migrated(call: FunctionCall) -> FunctionCall:
    """A call as its migration wants it; the call itself if there is none that has a say.

    Raises:
        CodeChangedError: the migration wants what cannot be.
    """
    migration = _migration_of(call.key) if _registered or _by_key else None
    if migration is None:
        return call
    new, old = as_it_is_now(call.key), as_it_was(call.ref)
    if new is None or new.ref == call.ref:
        return call
    if old is not None and may_move(old, new, call.block, {*call.locals, *call.cells}):
        return call
    wanted = migration(_shown(call, old))
    return call if wanted is None else _moved(call, old, new, wanted)


def _migration_of(key: FunctionKey) -> Migration | None:
    """The one that was registered last for a function; the texts of others are not looked for."""
    for item in [item for item in _registered if _may_be(item[0], key)]:
        _registered.remove(item)
        function, migration = item
        _by_key[find_source(function.__code__, function.__globals__).key] = migration
    return _by_key.get(key)


def _may_be(function: FunctionType, key: FunctionKey) -> bool:
    return function.__globals__.get("__name__") == key.module and plain_qualname(function.__code__) == key.qualname


def _shown(call: FunctionCall, old: Function | None) -> OldCall:
    source = None if old is None else old.compiled.source.text
    awaits = _texts(old.compiled)[call.block - 1] if old is not None and call.block else ""
    return OldCall(call.key.qualname, source, awaits, call.visible_locals())


def _moved(call: FunctionCall, old: Function | None, new: Function, wanted: GoOn) -> FunctionCall:
    """The call in the new code."""
    compiled = new.compiled
    block = _block(call, old, compiled, wanted.at) if call.block else 0
    hidden = _hidden(call, old, compiled, block) if block else {}
    locals = {**hidden, **{name: value for name, value in wanted.locals.items() if name not in call.cells}}
    for name, cell in call.cells.items():
        if name in wanted.locals:
            cell.cell_contents = wanted.locals[name]
        else:
            with contextlib.suppress(ValueError):
                del cell.cell_contents
    live = compiled.live[block] if block else None
    needed = (*live.locals, *live.cells) if live is not None else _parameters(compiled)
    missing = [name for name in needed if name not in locals and name not in call.cells]
    if missing:
        raise _impossible(compiled, f"it reads {', '.join(missing)} there, which was not given")
    moved = FunctionCall.captured(new.ref, block, locals, call.cells, call.is_step)
    moved.spare_cells = call.spare_cells
    return moved


def _parameters(compiled: Compiled) -> list[str]:
    args = compiled.lowered.args
    every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    return [arg.arg for arg in every if arg is not None]


def _block(call: FunctionCall, old: Function | None, new: Compiled, at: str | int | None) -> int:
    """The point of the new code to go on at."""
    texts = _texts(new)
    if isinstance(at, int):
        if not 0 < at <= len(texts):
            raise _impossible(new, f"it has no point {at}")
        return at
    if at is None:
        if old is None:
            raise _impossible(new, "its old text is not known, so GoOn(..., at=...) has to say at which await")
        before = _texts(old.compiled)
        at = before[call.block - 1]
        if before.count(at) == texts.count(at):
            return _numbers(texts, at)[_numbers(before, at).index(call.block)]
    found = _numbers(texts, _normal(at))
    if len(found) != 1:
        listed = "".join(f"\n  {number}: {text}" for number, text in enumerate(texts, 1))
        reason = (
            f"has no `{at}`" if not found else f"has `{at}` {len(found)} times, so GoOn(..., at=...) must be a number"
        )
        raise _impossible(new, f"it {reason}; its points are:{listed}")
    return found[0]


def _numbers(texts: list[str], text: str) -> list[int]:
    return [number for number, each in enumerate(texts, 1) if each == text]


def _texts(compiled: Compiled) -> list[str]:
    """What the points of a function wait for."""
    from ..compiler.table import text_of  # rarely wanted

    return [text_of(point) for point in compiled.lowered.points]


def _normal(text: str) -> str:
    """A text as it would be unparsed."""
    import ast

    return ast.unparse(ast.parse(text.strip().removeprefix("await ")))


def _hidden(call: FunctionCall, old: Function | None, new: Compiled, block: int) -> dict[str, Any]:
    """The names of the compiler in the new code, with what the call holds: its iterators, managers
    and exceptions, by the constructs that they belong to."""
    names = {name: name for name in call.locals if is_hidden(name)}
    if old is not None:
        before, now = old.compiled.constructs[call.block], new.constructs[block]
        if old.compiled.kinds[call.block - 1] is not new.kinds[block - 1] or not _are_alike(before, now):
            raise _impossible(
                new, f"`{_texts(new)[block - 1]}` does not lie in the loops, blocks and handlers that the call is in"
            )
        for here, there in zip(before, now, strict=True):
            names.update(zip(_names(there), _names(here), strict=True))
    return {name: call.locals[held] for name, held in names.items() if held in call.locals}


def _are_alike(before: tuple[Construct, ...], now: tuple[Construct, ...]) -> bool:
    return len(before) == len(now) and all(
        type(one) is type(other) and _exits(one) == _exits(other) and len(_names(one)) == len(_names(other))
        for one, other in zip(before, now, strict=True)
    )


def _names(construct: Construct) -> list[str]:
    """The locals that belong to a construct."""
    match construct:
        case InLoop(iterator=name) | InManager(manager=name) | InHandler(error=name):
            return [name]
        case InTurn(going=going, iterator=iterator):
            return [going] if iterator is None else [going, iterator]
        case InAsyncWith(manager=name, unfailed=unfailed):
            return [name, unfailed]
        case InFinal(completion=completion):
            return [completion.kind, completion.error]


def _exits(construct: Construct) -> object:
    return construct.completion.exits if isinstance(construct, InFinal) else None


def _impossible(compiled: Compiled, reason: str) -> CodeChangedError:
    source = compiled.source
    return CodeChangedError(
        f"{source.filename}:{source.lines[0]}: {source.key.qualname}() was edited, and a call cannot go on in it as its "
        f"@migrate function wants: {reason}. The instance is kept as it is; mend the function, and call it again"
    )
