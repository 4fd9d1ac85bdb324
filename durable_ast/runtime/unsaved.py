"""What to tell a user whose values cannot be saved: which variable, of what type, where, and what to do."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import FunctionType, ModuleType
from typing import Any

from ..compiler.names import LOCAL, is_hidden
from ..errors import NotPersistableError, NotPersistableWarning
from ..state.snapshot import failure, pickler
from .call_stack import CallStack, FunctionCall
from .frames import DrivenByHandError
from .functions import resolve
from .lost import Outside
from .staged import MadeOfItself

_MANAGERS = f"{__package__}.async_managers"

_warned: set[tuple[str, int, str]] = set()

REMEDY = (
    "Create it where it is needed and let it go before the next await, open it in a `with` block (it is entered "
    "again after a crash), or tell durable_ast.resource() how to save it."
)

IN_AN_EXIT_STACK = (
    "An exit stack cannot enter again what it has entered, because that was made elsewhere. Enter it in a `with` block "
    "of its own; or open the stack in a function with @contextlib.asynccontextmanager that yields what it has entered, "
    "and enter that function in a `with` block: it runs again after a crash."
)

MADE_BEFORE = "Make it in the `with` statement itself (`async with Client() as client`): that is carried out again."


@dataclass(frozen=True, slots=True)
class Blamed:
    """A variable whose value keeps checkpoints away.

    Attributes:
        name: its name.
        key: the id of its value.
    """

    name: str
    key: int

    def is_in(self, stack: CallStack) -> bool:
        """Whether the value is still held."""
        return any(self.name in call.locals and id(call.locals[self.name]) == self.key for call in stack.stack)


@dataclass(frozen=True, slots=True)
class Problem:
    """Values that keep a checkpoint from being taken."""

    filename: str
    line: int
    what: str
    reason: str
    remedy: str = REMEDY
    blamed: Blamed | None = None

    @property
    def text(self) -> str:
        """The whole story, for an error."""
        return f"{self.filename}:{self.line}: {self.what} cannot be saved ({self.reason}). {self.remedy}"

    def warn(self) -> None:
        """Say once that there is no checkpoint here."""
        _warn_once(
            self.filename,
            self.line,
            f"{self.what} cannot be saved ({self.reason}), so no checkpoint is taken while it is in use: a crash "
            f"meanwhile runs everything since the last checkpoint again. {self.remedy}",
        )


def warn_driven_by_hand(error: DrivenByHandError) -> None:
    """Say once that there is no checkpoint inside of a coroutine that is not awaited."""
    _warn_once(
        error.filename,
        error.line,
        f"{error.what}, so no checkpoint is taken inside of it: a crash meanwhile runs everything since the last "
        "checkpoint again. Await it instead.",
    )


def _warn_once(filename: str, line: int, text: str) -> None:
    if (filename, line, text) not in _warned:
        _warned.add((filename, line, text))
        warnings.warn_explicit(text, NotPersistableWarning, filename, line)


def is_entering(stack: CallStack) -> bool:
    """Whether a manager is being entered, or one of `contextlib` is being left: if nothing of that can be saved,
    it is entered or left once more."""
    calls = stack.stack
    if any(call.key.module == _MANAGERS for call in calls):
        return True
    return any(call.block in resolve(call.ref).compiled.managers.entering for call in calls if call.block)


def explain_ended(ended: CallStack, starter: CallStack, error: Exception, names: Outside) -> Problem:
    """The same for a branch that has ended, and stands nowhere: `starter` is what has started it."""
    reason = _failure(ended.waiting, names)
    if reason is None:
        return explain_unsaved(starter, error, names)
    return _problem(starter.stack[-1], f"the result of a task ({_type_of(ended.waiting[1])})", reason)


def explain_unsaved(stack: CallStack, error: Exception, names: Outside) -> Problem:
    """Find out which value of a call stack could not be pickled.

    Args:
        stack: the stack.
        error: what was raised.
        names: names what need not be saved.
    """
    if isinstance(error, MadeOfItself):
        call = next(call for call in stack.stack if call.key.qualname == error.qualname)
        value = {**call.operands, **call.locals}.get(error.name)
        return _problem(call, _named(error.name, value), error, MADE_BEFORE, error.line)
    remedy = IN_AN_EXIT_STACK if _has_entered(stack) else REMEDY
    for call in reversed(stack.stack):
        values = {**call.locals, **call.cells}
        for name, value in values.items():
            reason = _failure(value, names)
            if reason is not None:
                found = _problem(call, _named(name, value) + _inside(name, value, names), reason, remedy)
                return replace(found, blamed=Blamed(name, id(value)))
    reason = _failure(stack.waiting, names) or error
    what = "the value just awaited"
    if len(stack.waiting) > 1:
        what += f" ({type(stack.waiting[1]).__qualname__})"
    return _problem(stack.stack[-1], what, reason, remedy)


def _has_entered(stack: CallStack) -> bool:
    """Whether a frame holds an exit stack that has entered something that cannot be saved."""
    held = (value for call in stack.stack for value in call.locals.values())
    return any(issubclass(type(value), ExitStacks) and failure(value) is not None for value in held)


ExitStacks = (contextlib.ExitStack, contextlib.AsyncExitStack)


def _inside(name: str, value: object, names: Outside) -> str:
    """Which part of a value is to blame, where that is deep inside."""
    path, part = "" if is_hidden(name) else name, value
    for _ in range(_DEPTH):
        inner = next(((way, inner) for way, inner in _parts(part) if _failure(inner, names) is not None), None)
        if inner is None:
            break
        path, part = path + inner[0], inner[1]
    return "" if part is value or not path else f", because of {path} ({_type_of(part)}),"


_DEPTH = 5
"""How far it is looked for what is to blame."""


def _parts(value: Any) -> Iterator[tuple[str, object]]:
    """What a value holds, with the way there; not what its class makes of being asked."""
    kind = type(value)
    if issubclass(kind, dict):
        yield from ((f"[{_shown(key)}]", part) for key, part in dict.items(value))
    elif issubclass(kind, (list, tuple)):
        held = (list if issubclass(kind, list) else tuple).__iter__(value)
        yield from ((f"[{index}]", part) for index, part in enumerate(held))
    elif not issubclass(kind, (type, FunctionType, ModuleType)) and not kind.__module__.startswith("_"):
        yield from ((f".{name}", part) for name, part in _attributes(value).items() if not name.startswith("_"))


def _attributes(value: object) -> dict[str, object]:
    try:
        found = object.__getattribute__(value, "__dict__")
    except Exception:  # it has none, or a property of that name
        return {}
    return found if isinstance(found, dict) else {}


def _shown(key: object) -> str:
    """A key of a dict as text, whatever its class does when it is asked for that."""
    try:
        return repr(key)
    except Exception:
        return _type_of(key)


def _failure(value: object, names: Outside) -> Exception | None:
    """Why a value cannot be saved."""
    try:
        pickler(io.BytesIO(), names).dump(value)
    except Exception as error:
        return error
    return None


def unsaved_result(stack: CallStack, step: str, reason: Exception) -> NotPersistableError:
    """The error of a step whose result cannot be saved."""
    problem = _problem(stack.stack[-1], f"the result of step {step} ({_type_of(stack.waiting[1])})", reason)
    return NotPersistableError(
        f"{problem.filename}:{problem.line}: {problem.what} cannot be saved ({problem.reason}), so the step would run "
        "again after a crash. Let it return plain data, tell durable_ast.resource() how to save its type, or make it "
        "an ordinary function"
    )


def unsaved_outcome(program: str, result: object, reason: Exception) -> NotPersistableError:
    """The error of a program whose result cannot be saved."""
    text = " ".join(f"{type(reason).__name__}: {reason}".split())
    return NotPersistableError(
        f"{program} has ended, and its result ({_type_of(result)}){_inside('result', result, Outside({}))} cannot be saved ({text}), "
        "so nobody could be given it. Let it return plain data, or tell durable_ast.resource() how to save its type; "
        "called again, it goes on from its last checkpoint"
    )


def _type_of(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


_ROLES = {"cm": "the context manager", "it": "the iterator of the loop", "h": "the handled exception"}


def _named(name: str, value: object) -> str:
    kind = _type_of(value)
    if not is_hidden(name):
        return f"local variable {name!r} ({kind})"
    roles = (text for kind, text in _ROLES.items() if name.startswith(f"{LOCAL}{kind}"))
    role = next(roles, "an intermediate value")
    return f"{role} ({kind})"


def _problem(call: FunctionCall, what: str, reason: Exception, remedy: str = REMEDY, at: int | None = None) -> Problem:
    compiled = resolve(call.ref).compiled
    line = compiled.lowered.origin.lineno  # type: ignore[attr-defined]
    if at is not None:
        line = at
    elif call.block:
        line = compiled.lowered.points[call.block - 1].origin.lineno  # type: ignore[attr-defined]
    text = " ".join(f"{type(reason).__name__}: {reason}".split())
    return Problem(compiled.source.filename, line, f"{what} of {call.key.qualname}()", text, remedy)
